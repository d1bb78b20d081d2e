/** Turns results into tables in Markdown, and a chart. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { findPackageJSON } from "node:module"
import { arch, cpus, platform, release, totalmem } from "node:os"
import { join } from "node:path"
import type { EntryCost } from "./entry.ts"
import type { Result } from "./run.ts"
import type { Scenario } from "./scenarios.ts"
import type { Sample } from "./worker.ts"

/** A scenario, and what its contenders were measured at. */
interface Section {
  readonly scenario: Scenario
  readonly results: ReadonlyArray<Result>
}

/** The median, and the least and the greatest. */
interface Spread {
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

type Measure = (sample: Sample) => number

const medianOf = (result: Result, measure: Measure) => spread(result.samples.map(measure)).median

/** The ratio of a result to the reference, or of the reference to the result, from rounds that ran side by side. */
const ratio = (result: Result, results: ReadonlyArray<Result>, measure: Measure, inverted = false): Spread => {
  const reference = results.find(({ contender }) => contender.label === result.contender.reference)
  return spread(result.samples.flatMap((sample, round) => {
    const other = reference?.samples[round]
    if (other === undefined) return []
    return [inverted ? measure(other) / measure(sample) : measure(sample) / measure(other)]
  }))
}

const time: Measure = (sample) => sample.time
const cpu: Measure = (sample) => sample.cpu
const peak: Measure = (sample) => sample.peak
const growth: Measure = (sample) => sample.growth ?? Number.NaN

const decimals = (value: number) => {
  if (!Number.isFinite(value)) return "–"
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 })
}

const times = (value: number) => Number.isFinite(value) ? `${value.toFixed(2)}x` : "–"

const timesWithSpread = ({ least, median, most }: Spread) =>
  least < most ? `${times(median)} (${least.toFixed(2)}–${most.toFixed(2)})` : times(median)

/** A table, its columns padded as the formatter does it. The first column is text, the others are numbers. */
const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(5, ...rows.map((row) => row[column]?.length ?? 0)))
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

const isIdle = ({ work }: Scenario) => work.kind === "idle"

const isLatency = ({ work }: Scenario) => work.kind === "live" || work.kind === "first"

const rowsOf = ({ results, scenario }: Section): ReadonlyArray<ReadonlyArray<string>> => {
  const head = isIdle(scenario)
    ? ["peer", "KiB per stream", "ratio"]
    : [
      "peer",
      isLatency(scenario) ? "µs of latency" : `µs per ${scenario.unit}`,
      "speed",
      `CPU µs per ${scenario.unit}`,
      "CPU",
      "peak MiB",
      "peak"
    ]
  const rows = results.map((result) => {
    const { contender, problem } = result
    if (problem !== undefined) return [contender.label, problem, ...head.slice(2).map(() => "–")]
    if (isIdle(scenario)) {
      return [
        contender.label,
        decimals(medianOf(result, growth)),
        timesWithSpread(ratio(result, results, growth))
      ]
    }
    return [
      contender.label,
      decimals(medianOf(result, time)),
      timesWithSpread(ratio(result, results, time, true)),
      decimals(medianOf(result, cpu)),
      times(ratio(result, results, cpu).median),
      decimals(Math.max(...result.samples.map(peak))),
      times(ratio(result, results, peak).median)
    ]
  })
  return [head, ...rows]
}

/** Large events once more, side by side: how the time per byte grows with the size. */
const largeTable = (sections: ReadonlyArray<Section>): ReadonlyArray<string> => {
  const large = sections.filter(({ scenario }) => scenario.work.cut === "mebibytes")
  const labels = large[0]?.results.flatMap(({ contender, problem }) => problem === undefined ? [contender.label] : [])
  if (labels === undefined) return []
  const cell = ({ results }: Section, label: string) => {
    const result = results.find(({ contender }) => contender.label === label)
    return result === undefined ? "–" : decimals(medianOf(result, time) / 1000)
  }
  return [
    "## Milliseconds per MiB of one event, by its size",
    table([
      ["peer", ...large.map(({ scenario }) => `${scenario.work.number} MiB`)],
      ...labels.map((label) => [label, ...large.map((section) => cell(section, label))])
    ])
  ]
}

export const entryTitle = "Having the package"

const entryTable = (entries: ReadonlyArray<readonly [name: string, cost: EntryCost]>): ReadonlyArray<string> => [
  `## ${entryTitle}`,
  table([
    ["package", "program, bundled, min+gzip, beyond effect", "import", "import of only its effect modules", "ratio"],
    ...entries.map(([name, { effect, entry, size }]) => [
      name,
      `${(size / 1000).toFixed(1)} kB`,
      `${decimals(spread(entry).median)} ms`,
      `${decimals(spread(effect).median)} ms`,
      timesWithSpread(spread(entry.map((value, round) => value / (effect[round] ?? Number.NaN))))
    ])
  ])
]

/** A package and its version, as a folder resolves it; nothing where it does not. */
const versionOf = (name: string, folder: string): ReadonlyArray<string> => {
  try {
    const file = findPackageJSON(name, join(folder, "package.json"))
    if (file === undefined) return []
    const { version }: { readonly version: string } = JSON.parse(readFileSync(file, "utf8"))
    return [`${name} ${version}`]
  } catch {
    return []
  }
}

/** The machine, and the versions of all that was measured. */
const environment = ({ peersFolder, root }: Report): ReadonlyArray<string> => {
  const [cpu] = cpus()
  const commit = execFileSync("git", ["-C", root, "describe", "--always", "--dirty"], { encoding: "utf8" }).trim()
  const versions = [
    ...["effect", "@effect/platform-node"].flatMap((name) => versionOf(name, root)),
    ...["eventsource-parser", "@anthropic-ai/sdk", "openai"].flatMap((name) => versionOf(name, peersFolder))
  ]
  return [
    `- ${cpus().length} x ${cpu?.model ?? "unknown processor"}, ${
      (totalmem() / 2 ** 30).toFixed(0)
    } GiB, ${platform()} ${release()} ${arch()}`,
    `- Node ${process.versions.node}, its undici ${process.versions.undici ?? "none"}`,
    `- effect-ash ${commit}, ${versions.join(", ")}`
  ]
}

export interface Report {
  readonly root: string
  readonly peersFolder: string
  readonly title: string
  readonly note: string
  readonly sections: ReadonlyArray<Section>
  readonly entries: ReadonlyArray<readonly [name: string, cost: EntryCost]>
}

export const toMarkdown = (report: Report): string => {
  const { entries, note, sections, title } = report
  return [
    `# ${title}`,
    environment(report).join("\n"),
    note,
    ...sections.flatMap((section) => [`## ${section.scenario.title}`, table(rowsOf(section))]),
    ...largeTable(sections),
    ...(entries.length === 0 ? [] : entryTable(entries))
  ].join("\n\n") + "\n"
}

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const rowHeight = 18
const labelWidth = 300
const barWidth = 420

/** One panel: how fast each contender is, over the reference. */
const panel = ({ results, scenario }: Section, top: number) => {
  const bars = results.flatMap((result) => {
    const speed = ratio(result, results, time, true).median
    const { label, reference } = result.contender
    return Number.isFinite(speed)
      ? [{ label, speed, isOurs: label !== reference && label.startsWith("effect-ash") }]
      : []
  })
  const scale = barWidth / Math.max(2, ...bars.map(({ speed }) => speed))
  const height = (bars.length + 2) * rowHeight
  const lines = bars.map(({ isOurs, label, speed }, index) => {
    const y = top + (index + 1) * rowHeight
    const color = isOurs ? "#4c6ef5" : "#adb5bd"
    return `<text x="${labelWidth - 8}" y="${y + 13}" text-anchor="end">${escape(label)}</text>
<rect x="${labelWidth}" y="${y + 3}" width="${(speed * scale).toFixed(1)}" height="12" fill="${color}"/>
<text x="${(labelWidth + speed * scale + 6).toFixed(1)}" y="${y + 13}">${times(speed)}</text>`
  })
  const one = (labelWidth + scale).toFixed(1)
  const end = top + (bars.length + 1) * rowHeight
  return {
    height,
    svg: [
      `<text x="8" y="${top + 12}" font-weight="bold">${escape(scenario.title)}</text>`,
      ...lines,
      `<line x1="${one}" x2="${one}" y1="${top + rowHeight}" y2="${end}" stroke="#e03131" stroke-dasharray="3 3"/>`
    ].join("\n")
  }
}

/** Speed over the reference, scenario by scenario; the dashed line is the reference. */
export const toSvg = ({ sections, title }: Report): string => {
  let top = 40
  const panels = sections.filter(({ scenario }) => !isIdle(scenario)).map((section) => {
    const { height, svg } = panel(section, top)
    top += height
    return svg
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="800" height="${top}" font-family="sans-serif" font-size="12">`,
    `<rect width="800" height="${top}" fill="white"/>`,
    `<text x="8" y="22" font-size="16">${escape(title)}: speed (longer is faster)</text>`,
    ...panels,
    "</svg>"
  ].join("\n") + "\n"
}
