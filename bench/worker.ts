/** One peer at one scenario, in a process of its own: connects, then runs a round on each request. */
import { setImmediate } from "node:timers/promises"
import { sessionIdAt } from "./frames.ts"
import { type Client, NotInstalled, peers } from "./peers.ts"
import { type Profile, profiled } from "./profile.ts"
import type { Work } from "./scenarios.ts"

/** What a worker is given to do. */
export interface Task {
  readonly peer: string
  readonly origin: string
  readonly work: Work
}

/** What one round cost. */
export interface Sample {
  /** Microseconds per unit: by the clock, or the median where a unit has a latency of its own. */
  readonly time: number
  /** Microseconds of all threads of the process, per unit. */
  readonly cpu: number
  /** KiB per unit that the process grew by; only where units stay open. */
  readonly growth?: number
  /** The most memory that the process has had, in MiB. */
  readonly peak: number
  /** Microseconds of parts of it, by their names: per unit, or of a whole start. */
  readonly parts?: Readonly<Record<string, number>>
  /** The same by whose code took them, where the round was profiled. */
  readonly profile?: Profile
}

/** What a worker is asked for: a round, under a profiler or not. */
export type Ask = "round" | "profile"

/** What a worker answers. */
export type Answer =
  | { readonly type: "connected" }
  | { readonly type: "not installed" }
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "sample"; readonly sample: Sample }

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

/** What the events of a turn have to add up to, so that no peer is fast because it is wrong. */
const expectedEvents = ({ cut, number }: Work) => {
  if (cut === "mebibytes") return 3
  if (cut === "short") return 6
  return cut === "live" ? 2 * number + 1 : number
}

let textLength = 0

/** Runs a turn. Those that run at once are of sessions of their own, as turns of one session wait for each other. */
const runTurn = async (client: Client, work: Work, place: number, onText = (text: string) => {
  textLength += text.length
}) => {
  const events = await client.turn(onText, sessionIdAt(place))
  if (events !== undefined && events !== expectedEvents(work)) {
    throw new Error(`${events} events instead of ${expectedEvents(work)}`)
  }
}

const repeat = async (times: number, atOnce: number, run: (place: number) => Promise<unknown>) => {
  const places = Array.from({ length: atOnce }, (_, place) => place)
  for (let count = 0; count < times; count++) await Promise.all(places.map(run))
}

/** Of how many turns at the beginning of a long run the time is taken. */
const beginnings = new Map([[1, "the first turn"], [10, "the first 10"], [100, "the first 100"]])

/** Runs turns one after another. Answers the time of those at the beginning, per event. */
const runLong = async (client: Client, work: Work) => {
  const parts: Record<string, number> = {}
  const startedAt = performance.now()
  for (let count = 1; count <= work.times; count++) {
    await runTurn(client, work, 0)
    const name = beginnings.get(count)
    if (name !== undefined) parts[name] = (performance.now() - startedAt) * 1000 / (count * work.number)
  }
  return parts
}

/** What a round measured itself, beside its duration. */
interface Round {
  readonly units: number
  readonly time?: number
  readonly growth?: number
  readonly parts?: Readonly<Record<string, number>>
  readonly profile?: Profile
}

/** Opens turns, each in a session of its own, and waits until each has begun. */
const openTurns = (client: Client, first: number, count: number) =>
  new Promise<void>((resolve, reject) => {
    let begun = 0
    for (let place = first; place < first + count; place++) {
      client.turn(() => {
        begun += 1
        if (begun === count) resolve()
      }, sessionIdAt(place)).catch(reject)
    }
  })

const settledMemory = async () => {
  for (let count = 0; count < 5; count++) {
    global.gc?.()
    await setImmediate()
  }
  return process.memoryUsage.rss() / 1024
}

const runRound = async (client: Client, work: Work): Promise<Round> => {
  const { atOnce, kind, number, times } = work
  switch (kind) {
    case "turns": {
      await repeat(times, atOnce, (place) => runTurn(client, work, place))
      return { units: times * atOnce * number }
    }
    case "long":
      return { units: times * number, parts: await runLong(client, work) }
    case "live": {
      const latencies: Array<number> = []
      await repeat(times, atOnce, (place) =>
        runTurn(client, work, place, (sentAt) => {
          latencies.push(Number(process.hrtime.bigint() - BigInt(sentAt)) / 1000)
        }))
      return { units: times * atOnce * expectedEvents(work), time: median(latencies) }
    }
    case "first": {
      const latencies: Array<number> = []
      await repeat(times, atOnce, async (place) => {
        const startedAt = performance.now()
        let firstAt: number | undefined
        await runTurn(client, work, place, () => {
          firstAt ??= performance.now()
        })
        latencies.push(((firstAt ?? Number.NaN) - startedAt) * 1000)
      })
      return { units: times * atOnce, time: median(latencies) }
    }
    case "idle": {
      // As many before: a process that opens its first streams grows by what it needs to do so, and keeps that.
      await openTurns(client, 0, atOnce)
      const before = await settledMemory()
      await openTurns(client, atOnce, atOnce)
      return { units: atOnce, growth: (await settledMemory() - before) / atOnce }
    }
    case "session": {
      await repeat(times, atOnce, async () => client.session?.())
      return { units: times * atOnce }
    }
    case "sessions": {
      await repeat(times, atOnce, async () => {
        if (await client.sessions?.() !== 1000) throw new Error("the list is not whole")
      })
      return { units: times * atOnce }
    }
    case "cold":
      throw new Error("a program of its own measures this")
  }
}

const measure = async (client: Client, work: Work, ask: Ask): Promise<Sample> => {
  const run = () => runRound(client, work)
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const { growth, parts, profile, time, units } = await (ask === "profile" ? profiled<Round>(run) : run())
  const elapsed = (performance.now() - startedAt) * 1000
  const { system, user } = process.cpuUsage(cpuBefore)
  return {
    time: time ?? elapsed / units,
    cpu: (user + system) / units,
    ...(growth === undefined ? {} : { growth }),
    ...(parts === undefined ? {} : { parts }),
    ...(profile === undefined ? {} : { profile }),
    peak: process.resourceUsage().maxRSS / 1024
  }
}

const answer = (message: Answer) => process.send?.(message)

const failed = (error: unknown): Answer =>
  error instanceof NotInstalled ? { type: "not installed" } : { type: "failed", message: String(error) }

const { origin, peer: id, work }: Task = JSON.parse(process.argv[2] ?? "")
const peer = peers.find((peer) => peer.id === id)

try {
  if (peer === undefined) throw new Error(`no peer ${id}`)
  const client = await peer.connect(`${origin}/${work.number}/${work.cut}`)
  process.on("message", (ask: Ask) => {
    measure(client, work, ask).then((sample) => answer({ type: "sample", sample }), (error) => answer(failed(error)))
  })
  answer({ type: "connected" })
} catch (error) {
  answer(failed(error))
}
process.on("disconnect", () => process.exit())
