/** What this package aims at, and what it was measured at: the tables of README.md and bench/README.md. */
import type { Allocated } from "./allocated.ts"
import { coldId, type Form } from "./coldStart.ts"
import { httpClientId, labelOf, nodeParseId, reference, sdkId, type Transport, transports } from "./peers.ts"
import type { Result } from "./run.ts"
import type { Scenario } from "./scenarios.ts"
import type { Size } from "./size.ts"
import {
  cpu,
  decimals,
  growth,
  type Measure,
  medianOf,
  part,
  peak,
  ratioOf,
  speedOf,
  table,
  time,
  times
} from "./statistics.ts"

/** A scenario, and what its contenders were measured at. */
export interface Section {
  readonly scenario: Scenario
  readonly results: ReadonlyArray<Result>
}

/** What was measured at once, or is the same each time. */
export interface Figures {
  readonly sections: ReadonlyArray<Section>
  readonly allocated: Allocated
  readonly size: Size
  /** With no service but the one that streams the turn. */
  readonly coreSize: Size
}

/** Finds a result of a scenario by its label. */
type Find = (label: string) => Result | undefined

type Aims = Partial<Record<Transport, number>>

interface Target {
  readonly what: string
  /** How the title of its scenario begins. */
  readonly scenario: string
  /** The row of the README's table that has it, after those that name the same row before it. */
  readonly inReadme?: string
  readonly better: "more" | "less"
  readonly aims: Aims
  readonly value: (transport: Transport, find: Find) => number
  readonly format?: (value: number) => string
}

const alike = (least: number): Aims => ({ "fetch": least, "node:http": least, "undici": least })

const ours = (transport: Transport, find: Find) => find(sdkId(transport))

const official = (find: Find) => find(labelOf(reference))

const speed = (measure: Measure = time) => (transport: Transport, find: Find) =>
  speedOf(ours(transport, find), official(find), measure).median

const ratio = (measure: Measure) => (transport: Transport, find: Find) =>
  ratioOf(ours(transport, find), official(find), measure).median

const speedOverBareNode = (transport: Transport, find: Find) =>
  transport === "node:http" ? speedOf(ours(transport, find), find(labelOf(nodeParseId))).median : Number.NaN

const ratioToEffect = (measure: Measure) => (transport: Transport, find: Find) =>
  ratioOf(ours(transport, find), find(httpClientId(transport)), measure).median

const cold = (form: Form) => (transport: Transport, find: Find) => {
  const result = find(coldId(transport, form))
  return ratioOf(result, result && find(result.contender.reference), time).median
}

const coldLayer = (transport: Transport, find: Find) =>
  medianOf(find(coldId(transport, "bundled")), part("layer")) / 1000

const at = (streams: number) => `${streams} streams at once`

/** Rows of the README's table. */
const longRun = "1,000 turns of 2,000 events in one process, and 10 in a fresh one: speed"
const turnsAtOnce = "50 turns at once, by processor time, and the first event of a turn: speed"
const requests = "one request after another, and a list of 1,000: processor time"
const coldStart = "a fresh process until the end of one turn, bundled, compiled before, not bundled: time"

const targets: ReadonlyArray<Target> = [
  {
    what: "1,000 turns of 2,000 events in one process: speed",
    scenario: "The long run",
    inReadme: longRun,
    better: "more",
    aims: { "fetch": 1.25, "node:http": 1.5, "undici": 1.5 },
    value: speed()
  },
  {
    what: "the first 10 turns of a process: speed",
    scenario: "The first 10 turns",
    inReadme: longRun,
    better: "more",
    aims: alike(0.9),
    value: speed()
  },
  {
    what: "20,000 events, 16 KiB writes: speed",
    scenario: "20,000 events, 16 KiB writes",
    better: "more",
    aims: { "fetch": 1.8, "node:http": 2.2, "undici": 2.4 },
    value: speed()
  },
  {
    what: "one event a write: speed",
    scenario: "20,000 events, one event a write",
    better: "more",
    aims: { undici: 1.8 },
    value: speed()
  },
  {
    what: "the same, over node:http with JSON.parse",
    scenario: "20,000 events, one event a write",
    better: "more",
    aims: { "node:http": 1 },
    value: speedOverBareNode
  },
  {
    what: "7-byte writes: speed",
    scenario: "20,000 events, 7-byte writes",
    better: "more",
    aims: { undici: 1.5 },
    value: speed()
  },
  {
    what: "the same, over node:http with JSON.parse",
    scenario: "20,000 events, 7-byte writes",
    better: "more",
    aims: { "node:http": 1 },
    value: speedOverBareNode
  },
  ...[[50, 1, 1.2], [500, 0.9, 1]].flatMap(([streams = 0, onNode = 0, onUndici = 0]): ReadonlyArray<Target> => [
    {
      what: `${streams} turns at once: events per CPU second`,
      scenario: at(streams),
      ...(streams === 50 ? { inReadme: turnsAtOnce } : {}),
      better: "more",
      aims: { "node:http": onNode, "undici": onUndici },
      value: speed(cpu)
    },
    {
      what: `${streams} turns at once: peak memory`,
      scenario: at(streams),
      better: "less",
      aims: alike(1.3),
      value: ratio(peak)
    }
  ]),
  {
    what: "the first event of a turn: speed",
    scenario: "The first event",
    inReadme: turnsAtOnce,
    better: "more",
    aims: { "node:http": 1.2, "undici": 1.2 },
    value: speed()
  },
  {
    what: "the same: time over that of Effect's client",
    scenario: "The first event",
    better: "less",
    aims: alike(1.3),
    value: ratioToEffect(time)
  },
  {
    what: "GET of one session, in turn: CPU",
    scenario: "GET of one session, one after",
    inReadme: requests,
    better: "less",
    aims: { "node:http": 1, "undici": 0.95 },
    value: ratio(cpu)
  },
  {
    what: "the same: CPU over that of Effect's client",
    scenario: "GET of one session, one after",
    better: "less",
    aims: { fetch: 1.1 },
    value: ratioToEffect(cpu)
  },
  {
    what: "GET of one session, 64 at once: CPU",
    scenario: "GET of one session, 64",
    better: "less",
    aims: { undici: 1 },
    value: ratio(cpu)
  },
  {
    what: "a list of 1,000 sessions: CPU",
    scenario: "A list of 1,000",
    inReadme: requests,
    better: "less",
    aims: alike(1.3),
    value: ratio(cpu)
  },
  {
    what: "an idle stream, KiB of the process",
    scenario: "500 idle streams",
    better: "less",
    aims: { "node:http": 100, "undici": 65 },
    value: (transport, find) => medianOf(ours(transport, find), growth),
    format: decimals
  },
  {
    what: "cold start, one turn, bundled: time",
    scenario: "Cold start",
    inReadme: coldStart,
    better: "less",
    aims: alike(1.4),
    value: cold("bundled")
  },
  {
    what: "the same, compiled before: time",
    scenario: "Cold start",
    inReadme: coldStart,
    better: "less",
    aims: {},
    value: cold("bundled, compiled before")
  },
  {
    what: "the same, not bundled: time",
    scenario: "Cold start",
    inReadme: coldStart,
    better: "less",
    aims: {},
    value: cold("not bundled")
  },
  {
    what: "the layer, bundled, ms of the cold start",
    scenario: "Cold start",
    better: "less",
    aims: alike(15),
    value: coldLayer,
    format: decimals
  }
]

const isMet = (value: number, aim: number, better: Target["better"]) => better === "more" ? value >= aim : value <= aim

/** A value, in bold if it misses its aim. */
const cell = (value: number, aim: number | undefined, better: Target["better"], format = times) => {
  const text = format(value)
  return aim === undefined || !Number.isFinite(value) || isMet(value, aim, better) ? text : `**${text}**`
}

const aimOf = ({ aims, better, format = times }: Target) => {
  const values = [...new Set(transports.flatMap((transport) => aims[transport] ?? []))]
  const sign = better === "more" ? "≥" : "≤"
  if (values.length === 0) return "–"
  if (values.length === 1 && transports.every((transport) => aims[transport] !== undefined)) {
    return `${sign} ${format(values[0] ?? Number.NaN)}`
  }
  return `${sign} ${
    transports.map((transport) => aims[transport] === undefined ? "–" : format(aims[transport])).join(", ")
  }`
}

const finder = (sections: ReadonlyArray<Section>, title: string): Find => {
  const section = sections.find(({ scenario }) => scenario.title.startsWith(title))
  return (label) => section?.results.find(({ contender }) => contender.label === label)
}

/** How the time for a MiB of one event changes from the smallest event to the largest. */
const growthWithSize = (sections: ReadonlyArray<Section>, transport: Transport) => {
  const large = sections.filter(({ scenario }) => scenario.work.cut === "mebibytes")
  const [first, last] = [large[0], large.at(-1)].map((section) =>
    medianOf(section?.results.find(({ contender }) => contender.label === sdkId(transport)), time)
  )
  return (last ?? Number.NaN) / (first ?? Number.NaN)
}

/** Each target with what was measured; what misses it is bold. */
export const targetTable = ({ sections }: Figures): string =>
  table([
    ["what", "target", ...transports],
    ...targets.map((target) => {
      const find = finder(sections, target.scenario)
      return [
        target.what,
        aimOf(target),
        ...transports.map((transport) =>
          cell(target.value(transport, find), target.aims[transport], target.better, target.format)
        )
      ]
    }),
    [
      "one event: time for a MiB of 64 over that of one",
      "≤ 1.30x",
      ...transports.map((transport) => cell(growthWithSize(sections, transport), 1.3, "less"))
    ]
  ])

/** Targets of what is the same in every run. */
export const budgetTable = ({ allocated, coreSize, size }: Figures): string => {
  const kilobytes = (bytes: number) => `${decimals(bytes / 1000)} kB`
  const bytes = (value: number) => `${decimals(value)} B`
  const row = (what: string, aim: number, value: number, format: (value: number) => string) => [
    what,
    `≤ ${format(aim)}`,
    cell(value, aim, "less", format)
  ]
  return table([
    ["what", "target", "measured"],
    row("allocated for a turn of 6 events", 80_000, allocated.perTurn, kilobytes),
    row("the same, on a server that takes no lone block", 80_000, allocated.perTurnInBlocks, kilobytes),
    row("allocated for a request", 38_000, allocated.perRequest, kilobytes),
    row("allocated for an event", 740, allocated.perEvent, bytes),
    row("kept by an idle turn", 22_000, allocated.keptByTurn, kilobytes),
    row("a program that streams one turn, gzipped", 100_000, size.whole, kilobytes),
    row("the same, beyond effect", 31_000, size.beyondEffect, kilobytes),
    row("the same on AshCore, with Messages alone", 100_000, coreSize.whole, kilobytes),
    row("the same, beyond effect", 31_000, coreSize.beyondEffect, kilobytes)
  ])
}

/** What the README has of it. */
export const readmeTable = ({ sections }: Figures): string => {
  const rows = new Set(targets.flatMap(({ inReadme }) => inReadme ?? []))
  const valueOf = (transport: Transport) => ({ format = times, scenario, value }: Target) =>
    format(value(transport, finder(sections, scenario)))
  return table([
    ["what", ...transports],
    ...[...rows].map((row) => {
      const inRow = targets.filter(({ inReadme }) => inReadme === row)
      return [row, ...transports.map((transport) => inRow.map(valueOf(transport)).join(", "))]
    })
  ])
}
