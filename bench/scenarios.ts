/** What is measured, with whom, and how often. */
import {
  exportedId,
  httpApiClientId,
  httpClientId,
  httpClientParseId,
  imitation,
  nodeParseId,
  peers,
  sdkId,
  transports
} from "./peers.ts"

/** What one round of a scenario does. */
export interface Work {
  readonly kind: "turns" | "long" | "first" | "live" | "idle" | "session" | "sessions" | "cold"
  /** What the server sends: the number and the cut of its path. */
  readonly number: number
  readonly cut: string
  /** How many run at once. */
  readonly atOnce: number
  /** How many times that is repeated in one round. */
  readonly times: number
}

export interface Scenario {
  readonly title: string
  readonly work: Work
  /** What the numbers are per. */
  readonly unit: string
  readonly rounds: number
  readonly warmUps: number
  readonly peers: ReadonlyArray<string>
  /** Whom the others are compared with. @default the reference of every other scenario */
  readonly reference?: string
}

const ours = transports.map((transport) => sdkId(transport))

const officials = [imitation, "official"]

/** Programs of Effect without an SDK, which check nothing. */
const unchecked = transports.map(httpClientParseId)

const foreign = [...officials, "fetch-bytes", "fetch-parse", "eventsource-parser", "anthropic", "openai"]

const core = [...officials, "fetch-parse", ...ours]

const atOnce = [...officials, "fetch-parse", ...unchecked, ...ours]

const smallWrites = [...officials, "fetch-parse", nodeParseId, ...ours]

const exported = [exportedId("nothing exported"), exportedId("traces and metrics exported")]

const consumed = peers.map(({ id }) => id).filter((id) => id.startsWith("effect-ash") && !exported.includes(id))

const clients = [...officials, ...ours]

const requesters = [...officials, ...transports.map(httpClientId), ...transports.map(httpApiClientId), ...ours]

const besideBare = [
  ...officials,
  "fetch-bytes",
  "node-bytes",
  "undici-bytes",
  ...transports.map(httpClientId),
  ...unchecked,
  ...ours
]

const turns = (title: string, work: Partial<Work>, rest: Partial<Scenario> = {}): Scenario => ({
  title,
  work: { kind: "turns", number: 20_000, cut: "16384", atOnce: 1, times: 1, ...work },
  unit: "event",
  rounds: 7,
  warmUps: 3,
  peers: core,
  ...rest
})

const large = (mebibytes: number, rounds: number): Scenario =>
  turns(`One event of ${mebibytes} MiB`, {
    number: mebibytes,
    cut: "mebibytes",
    times: Math.max(1, Math.floor(16 / mebibytes))
  }, { unit: "MiB", rounds, warmUps: mebibytes < 32 ? 1 : 0, peers: clients })

const other = (
  title: string,
  work: Omit<Work, "number" | "cut"> & Partial<Work>,
  rest: Partial<Scenario>
): Scenario => ({
  title,
  work: { number: 0, cut: "16384", ...work },
  unit: "call",
  rounds: 5,
  warmUps: 1,
  peers: clients,
  ...rest
})

const firstEvent = (rounds: number) =>
  other("The first event of a turn", { kind: "first", cut: "short", atOnce: 1, times: 1000 }, {
    unit: "turn",
    rounds,
    warmUps: 1,
    peers: besideBare
  })

const idle = (streams: number, rounds: number) =>
  other(`${streams} idle streams`, { kind: "idle", cut: "idle", atOnce: streams, times: 1 }, {
    unit: "stream",
    rounds,
    warmUps: 0,
    peers: besideBare
  })

const live = (streams: number, rounds: number) =>
  other(`A delta and its twin each 5 ms, live, ${streams} at once`, {
    kind: "live",
    number: 200,
    cut: "live",
    atOnce: streams,
    times: 1
  }, { unit: "event", rounds, peers: core })

const session = (calls: number, rounds: number) =>
  other("GET of one session, one after another", { kind: "session", atOnce: 1, times: calls }, {
    rounds,
    peers: requesters
  })

const session64 = (calls: number, rounds: number) =>
  other("GET of one session, 64 at once", { kind: "session", atOnce: 64, times: calls / 64 }, {
    rounds,
    peers: requesters
  })

const sessions = (calls: number, rounds: number) =>
  other("A list of 1,000 sessions", { kind: "sessions", atOnce: 1, times: calls }, { rounds, peers: requesters })

/** Turns one after another, in a process of their own each round. */
const turnsInARow = (title: string, turns: number, rounds: number): Scenario => ({
  title,
  work: { kind: "long", number: 2000, cut: "16384", atOnce: 1, times: turns },
  unit: "event",
  rounds,
  warmUps: 0,
  peers: [
    ...officials,
    "fetch-parse",
    nodeParseId,
    ...transports.map(httpClientId),
    ...unchecked,
    ...ours
  ]
})

const longRun = (rounds: number) =>
  turnsInARow("The long run: 1,000 turns of 2,000 events in one process", 1000, rounds)

const firstTurns = (rounds: number) => turnsInARow("The first 10 turns of 2,000 events in a process", 10, rounds)

/** Those it is measured of are programs, which coldStart.ts makes. */
const coldStart = (rounds: number): Scenario => ({
  title: "Cold start: a fresh process that runs one turn of 20 events",
  work: { kind: "cold", number: 20, cut: "16384", atOnce: 1, times: 1 },
  unit: "start",
  rounds,
  warmUps: 1,
  peers: []
})

/** What it costs to export traces and metrics: of the events of a turn, and of a turn. */
const exporting = (rounds: number): ReadonlyArray<Scenario> => [
  turns("20,000 events, in a program that exports", { times: 2 }, {
    rounds,
    warmUps: 15,
    peers: exported,
    reference: exportedId("nothing exported")
  }),
  turns("Turns of 6 events, in a program that exports", { number: 1, cut: "short", times: 200 }, {
    unit: "turn",
    rounds,
    warmUps: 15,
    peers: exported,
    reference: exportedId("nothing exported")
  })
]

export const full: ReadonlyArray<Scenario> = [
  longRun(3),
  firstTurns(9),
  coldStart(7),
  turns("20,000 events, 16 KiB writes", { times: 10 }, { peers: [...foreign, ...unchecked, ...ours] }),
  turns("20,000 events, 16 KiB writes, each way to consume", { times: 10 }, { peers: [...officials, ...consumed] }),
  turns("1,000 events, 16 KiB writes", { number: 1000, times: 20 }, {
    rounds: 7,
    warmUps: 10,
    peers: [...foreign, ...ours]
  }),
  turns("200,000 events, 16 KiB writes", { number: 200_000 }, { rounds: 5, warmUps: 1, peers: core }),
  turns("20,000 events, one event a write", { cut: "event", times: 5 }, { peers: smallWrites }),
  turns("20,000 events, 7-byte writes", { cut: "7" }, { rounds: 5, warmUps: 2, peers: smallWrites }),
  turns("50 streams at once, 2,000 events each", { number: 2000, atOnce: 50, times: 3 }, { warmUps: 1, peers: atOnce }),
  turns("500 streams at once, 400 events each", { number: 400, atOnce: 500 }, { rounds: 5, warmUps: 2, peers: atOnce }),
  live(1, 3),
  live(50, 3),
  ...exporting(7),
  firstEvent(5),
  idle(500, 3),
  ...[1, 2, 4, 8, 16, 32, 64].map((mebibytes) => large(mebibytes, 3)),
  session(2000, 5),
  session64(6400, 5),
  sessions(100, 5)
]

export const quick: ReadonlyArray<Scenario> = [
  longRun(1),
  firstTurns(3),
  coldStart(3),
  turns("20,000 events, 16 KiB writes", {}, { rounds: 9, warmUps: 15, peers: [...foreign, ...consumed] }),
  turns("20,000 events, one event a write", { cut: "event" }, { rounds: 3, warmUps: 5, peers: smallWrites }),
  turns("20,000 events, 7-byte writes", { cut: "7" }, { rounds: 1, warmUps: 1, peers: smallWrites }),
  turns("50 streams at once, 400 events each", { number: 400, atOnce: 50 }, { rounds: 5, peers: clients }),
  live(1, 1),
  ...exporting(7),
  firstEvent(3),
  idle(250, 1),
  large(1, 3),
  large(16, 3),
  session(500, 3),
  session64(1280, 3),
  sessions(20, 3)
]

/** Those that miss their targets, once each. */
export const toProfile: ReadonlyArray<Scenario> = [
  longRun(1),
  firstTurns(1),
  turns("20,000 events, 16 KiB writes", { times: 20 }, { warmUps: 2, peers: [...officials, ...unchecked, ...ours] }),
  turns("20,000 events, one event a write", { cut: "event", times: 5 }, { warmUps: 2, peers: smallWrites }),
  turns("20,000 events, 7-byte writes", { cut: "7" }, { warmUps: 2, peers: smallWrites }),
  firstEvent(1),
  session(2000, 1),
  sessions(100, 1)
].map((scenario) => ({ ...scenario, rounds: 1 }))
