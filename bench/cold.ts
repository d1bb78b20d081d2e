/** What a program of one turn measures of itself, from the start of its process to the end of the turn. */
import { flushCompileCache } from "node:module"
import { sessionId } from "./frames.ts"
import type { Client } from "./peers.ts"
import type { Answer, Sample, Task } from "./worker.ts"

const runTurn = async (connect: (url: string) => Promise<Client>): Promise<Sample> => {
  const importedAt = performance.now()
  const { origin, work }: Task = JSON.parse(process.argv[2] ?? "")
  const client = await connect(`${origin}/${work.number}/${work.cut}`)
  const connectedAt = performance.now()
  const events = await client.turn(() => {}, sessionId)
  const endedAt = performance.now()
  if (events !== undefined && events !== work.number) throw new Error(`${events} events instead of ${work.number}`)
  const { system, user } = process.cpuUsage()
  return {
    time: endedAt * 1000,
    cpu: user + system,
    peak: process.resourceUsage().maxRSS / 1024,
    parts: {
      "imports": importedAt * 1000,
      "layer": (connectedAt - importedAt) * 1000,
      "turn": (endedAt - connectedAt) * 1000
    }
  }
}

/** Connects and runs a turn at once, and answers what they cost when a worker's round is asked for. */
export const measureColdStart = async (connect: (url: string) => Promise<Client>) => {
  const answer = (message: Answer) => process.send?.(message)
  process.on("disconnect", () => process.exit())
  try {
    const sample = await runTurn(connect)
    flushCompileCache()
    process.on("message", () => answer({ type: "sample", sample }))
    answer({ type: "connected" })
  } catch (error) {
    answer({ type: "failed", message: String(error) })
  }
}
