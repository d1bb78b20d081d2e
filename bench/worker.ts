/** One peer at one scenario, in a process of its own: connects, then runs a round on each request. */
import { setImmediate } from "node:timers/promises"
import { type Client, NotInstalled, peers } from "./peers.ts"
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
}

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

const runTurn = async (client: Client, work: Work, onText = (text: string) => {
  textLength += text.length
}) => {
  const events = await client.turn(onText)
  if (events !== undefined && events !== expectedEvents(work)) {
    throw new Error(`${events} events instead of ${expectedEvents(work)}`)
  }
}

const repeat = async (times: number, atOnce: number, run: () => Promise<unknown>) => {
  for (let count = 0; count < times; count++) await Promise.all(Array.from({ length: atOnce }, run))
}

/** What a round measured itself, beside its duration. */
interface Round {
  readonly units: number
  readonly time?: number
  readonly growth?: number
}

/** Opens turns, and waits until each has begun. */
const openTurns = (client: Client, count: number) =>
  new Promise<void>((resolve, reject) => {
    let begun = 0
    for (let index = 0; index < count; index++) {
      client.turn(() => {
        begun += 1
        if (begun === count) resolve()
      }).catch(reject)
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
      await repeat(times, atOnce, () => runTurn(client, work))
      return { units: times * atOnce * number }
    }
    case "live": {
      const latencies: Array<number> = []
      await repeat(times, atOnce, () =>
        runTurn(client, work, (sentAt) => {
          latencies.push(Number(process.hrtime.bigint() - BigInt(sentAt)) / 1000)
        }))
      return { units: times * atOnce * expectedEvents(work), time: median(latencies) }
    }
    case "first": {
      const latencies: Array<number> = []
      await repeat(times, atOnce, async () => {
        const startedAt = performance.now()
        let firstAt: number | undefined
        await runTurn(client, work, () => {
          firstAt ??= performance.now()
        })
        latencies.push(((firstAt ?? Number.NaN) - startedAt) * 1000)
      })
      return { units: times * atOnce, time: median(latencies) }
    }
    case "idle": {
      // As many before: a process that opens its first streams grows by what it needs to do so, and keeps that.
      await openTurns(client, atOnce)
      const before = await settledMemory()
      await openTurns(client, atOnce)
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
  }
}

const measure = async (client: Client, work: Work): Promise<Sample> => {
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const { growth, time, units } = await runRound(client, work)
  const elapsed = (performance.now() - startedAt) * 1000
  const { system, user } = process.cpuUsage(cpuBefore)
  return {
    time: time ?? elapsed / units,
    cpu: (user + system) / units,
    ...(growth === undefined ? {} : { growth }),
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
  process.on("message", () => {
    measure(client, work).then((sample) => answer({ type: "sample", sample }), (error) => answer(failed(error)))
  })
  answer({ type: "connected" })
} catch (error) {
  answer(failed(error))
}
process.on("disconnect", () => process.exit())
