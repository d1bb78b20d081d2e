/** Turns results into tables in Markdown, and a chart. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { findPackageJSON } from "node:module"
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os"
import { join } from "node:path"
import { owners } from "./profile.ts"
import type { Result } from "./run.ts"
import type { Scenario } from "./scenarios.ts"
import {
  cpu,
  decimals,
  growth,
  medianOf,
  part,
  peak,
  ratioOf,
  referenceOf,
  speedOf,
  type Spread,
  table,
  time,
  times
} from "./statistics.ts"
import { budgetTable, type Figures, readmeTable, type Section, targetTable } from "./targets.ts"

const timesWithSpread = ({ least, median, most }: Spread) =>
  least < most ? `${times(median)} (${least.toFixed(2)}–${most.toFixed(2)})` : times(median)

const isIdle = ({ work }: Scenario) => work.kind === "idle"

const isLatency = ({ work }: Scenario) => work.kind === "live" || work.kind === "first"

const isCold = ({ work }: Scenario) => work.kind === "cold"

/** What a value of a scenario is, and how it is told. */
const unitOf = (scenario: Scenario) =>
  isCold(scenario)
    ? { name: "ms", format: (value: number) => decimals(value / 1000) }
    : { name: isLatency(scenario) ? "µs of latency" : `µs per ${scenario.unit}`, format: decimals }

/** The names of the parts that a scenario is measured in. */
const partsOf = (results: ReadonlyArray<Result>) => [
  ...new Set(results.flatMap(({ samples }) => Object.keys(samples[0]?.parts ?? {})))
]

const idleRow = (result: Result, results: ReadonlyArray<Result>) => [
  decimals(medianOf(result, growth)),
  timesWithSpread(ratioOf(result, referenceOf(result, results), growth))
]

const rowOf = (scenario: Scenario, result: Result, results: ReadonlyArray<Result>) => {
  const reference = referenceOf(result, results)
  const { format } = unitOf(scenario)
  const partOf = (name: string) => {
    const value = format(medianOf(result, part(name)))
    return isCold(scenario) ? value : `${value}, ${times(speedOf(result, reference, part(name)).median)}`
  }
  return [
    format(medianOf(result, time)),
    timesWithSpread(speedOf(result, reference)),
    ...partsOf(results).map(partOf),
    format(medianOf(result, cpu)),
    times(ratioOf(result, reference, cpu).median),
    decimals(Math.max(...result.samples.map(peak))),
    times(ratioOf(result, reference, peak).median)
  ]
}

const rowsOf = ({ results, scenario }: Section): ReadonlyArray<ReadonlyArray<string>> => {
  const { name } = unitOf(scenario)
  const parts = partsOf(results).map((part) => isCold(scenario) ? `${name}, ${part}` : part)
  const cpuName = isCold(scenario) ? "CPU ms" : `CPU µs per ${scenario.unit}`
  const head = isIdle(scenario)
    ? ["peer", "KiB per stream", "ratio"]
    : ["peer", name, "speed", ...parts, cpuName, "CPU", "peak MiB", "peak"]
  const rows = results.map((result) => {
    const { contender, problem } = result
    if (problem !== undefined) return [contender.label, problem.slice(0, 60), ...head.slice(2).map(() => "–")]
    return [contender.label, ...(isIdle(scenario) ? idleRow(result, results) : rowOf(scenario, result, results))]
  })
  return [head, ...rows]
}

/** Whose code the processor time goes to, in microseconds. */
const profileRows = ({ results, scenario }: Section): ReadonlyArray<ReadonlyArray<string>> => [
  [`peer: µs per ${scenario.unit}`, "in all", ...owners],
  ...results.flatMap(({ contender, samples: [sample] }) => {
    const shares = owners.map((owner) => sample?.profile?.[owner] ?? Number.NaN)
    const all = shares.reduce((sum, share) => sum + share, 0)
    return Number.isNaN(all) ? [] : [[contender.label, ...[all, ...shares].map(decimals)]]
  })
]

export const profilesToMarkdown = (run: Run): string =>
  [
    "# Whose code takes the processor time",
    environment(run).join("\n"),
    "Of one round under the profiler of V8, which takes time itself.",
    ...run.sections.flatMap((section) => [`## ${section.scenario.title}`, table(profileRows(section))])
  ].join("\n\n") + "\n"

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
const environment = ({ load, peersFolder, root }: Run): ReadonlyArray<string> => {
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
    `- effect-ash ${commit}, ${versions.join(", ")}`,
    `- Load of the machine before and after: ${[load, loadavg()[1] ?? 0].map((value) => value.toFixed(1)).join(", ")}`
  ]
}

/** What was measured, of what, and where. */
export interface Run {
  readonly root: string
  readonly peersFolder: string
  /** The load of the machine before the run. */
  readonly load: number
  readonly sections: ReadonlyArray<Section>
}

export interface Report extends Run {
  readonly title: string
  readonly note: string
  /** What is measured once, beside peers. */
  readonly figures: Figures | undefined
}

export const toMarkdown = (report: Report): string => {
  const { figures, note, sections, title } = report
  return [
    `# ${title}`,
    environment(report).join("\n"),
    note,
    ...(figures === undefined ? [] : ["## Targets", targetTable(figures), budgetTable(figures)]),
    ...sections.flatMap((section) => [`## ${section.scenario.title}`, table(rowsOf(section))]),
    ...largeTable(sections)
  ].join("\n\n") + "\n"
}

/** A document with the first tables of a section replaced, one by one. */
const withTables = (document: string, heading: string, tables: ReadonlyArray<string>) => {
  const start = document.indexOf(`\n## ${heading}\n`)
  if (start < 0) throw new Error(`there is no heading "${heading}"`)
  const end = document.indexOf("\n## ", start + 1)
  const left = [...tables]
  const section = document.slice(start, end).replace(/(?:^\|.*\|\n)+/gm, (found) => {
    const next = left.shift()
    return next === undefined ? found : `${next}\n`
  })
  return document.slice(0, start) + section + document.slice(end)
}

/** The documents that have tables of a full run, with those of this one. */
export const updateDocuments = (
  figures: Figures,
  { benchReadme, readme }: { readonly readme: string; readonly benchReadme: string }
) => ({
  readme: withTables(readme, "Speed", [readmeTable(figures)]),
  benchReadme: withTables(benchReadme, "Targets", [targetTable(figures), budgetTable(figures)])
})

const escape = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const rowHeight = 18
const labelWidth = 300
const barWidth = 420

/** One panel: how fast each contender is, over the reference. */
const panel = ({ results, scenario }: Section, top: number) => {
  const bars = results.flatMap((result) => {
    const speed = speedOf(result, referenceOf(result, results)).median
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
