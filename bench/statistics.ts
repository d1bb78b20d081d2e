/** Medians, and ratios of rounds that ran side by side. */
import type { Result } from "./run.ts"
import type { Sample } from "./worker.ts"

/** The median, and the least and the greatest. */
export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

const spread = (values: ReadonlyArray<number>): Spread => {
  const sorted = values.toSorted((a, b) => a - b)
  return {
    median: sorted[sorted.length >> 1] ?? Number.NaN,
    least: sorted[0] ?? Number.NaN,
    most: sorted.at(-1) ?? Number.NaN
  }
}

/** What a sample is looked at for. */
export type Measure = (sample: Sample) => number

export const time: Measure = (sample) => sample.time
export const cpu: Measure = (sample) => sample.cpu
export const peak: Measure = (sample) => sample.peak
export const growth: Measure = (sample) => sample.growth ?? Number.NaN
export const part = (name: string): Measure => (sample) => sample.parts?.[name] ?? Number.NaN

export const medianOf = (result: Result | undefined, measure: Measure) =>
  spread((result?.samples ?? []).map(measure)).median

/** The ratio of a result to another, round by round. */
export const ratioOf = (result: Result | undefined, other: Result | undefined, measure: Measure): Spread =>
  spread((result?.samples ?? []).flatMap((sample, round) => {
    const beside = other?.samples[round]
    return beside === undefined ? [] : [measure(sample) / measure(beside)]
  }))

/** How many times faster a result is than another, round by round. */
export const speedOf = (result: Result | undefined, other: Result | undefined, measure: Measure = time): Spread =>
  ratioOf(other, result, measure)

/** What a result is compared with. */
export const referenceOf = ({ contender }: Result, results: ReadonlyArray<Result>) =>
  results.find(({ contender: { label } }) => label === contender.reference)

export const decimals = (value: number) => {
  if (!Number.isFinite(value)) return "–"
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 })
}

export const times = (value: number) => Number.isFinite(value) ? `${value.toFixed(2)}x` : "–"

/** A table, its columns padded as the formatter does it. The first column is text, the others are numbers. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`
  const pad = (row: ReadonlyArray<string>) =>
    line(
      widths.map((width, column) =>
        column === 0 ? (row[column] ?? "").padEnd(width) : (row[column] ?? "").padStart(width)
      )
    )
  const rule = line(widths.map((width, column) => column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`))
  const [head = [], ...body] = rows
  return [pad(head), rule, ...body.map(pad)].join("\n")
}
