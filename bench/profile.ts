/** Whose code the processor time of a round goes to, by a profile of it. */
import type { Profiler } from "node:inspector"
import { Session } from "node:inspector/promises"

export const owners = ["its own", "Effect", "other packages", "Node", "garbage collector"] as const

type Owner = typeof owners[number]

/** Microseconds, by whose code took them. */
export type Profile = Readonly<Record<string, number>>

/** Functions of Node and of its engine have no file. */
const ownerOf = ({ functionName, url }: Profiler.ProfileNode["callFrame"]): Owner | undefined => {
  if (functionName === "(idle)") return undefined
  if (functionName === "(garbage collector)") return "garbage collector"
  if (!url.startsWith("file:")) return "Node"
  if (/\/node_modules\/@?effect\//.test(url)) return "Effect"
  return url.includes("/node_modules/") ? "other packages" : "its own"
}

const sumOf = ({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile, units: number): Profile => {
  const byId = new Map(nodes.map(({ callFrame, id }) => [id, ownerOf(callFrame)]))
  const timeOf = (owner: Owner) =>
    samples.reduce((sum, id, index) => byId.get(id) === owner ? sum + (timeDeltas[index] ?? 0) : sum, 0)
  return Object.fromEntries(owners.map((owner) => [owner, timeOf(owner) / units]))
}

/** Runs a round under the profiler of the engine. Answers what it answers, and its profile, for each of its units. */
export const profiled = async <A extends { readonly units: number }>(round: () => Promise<A>) => {
  const session = new Session()
  session.connect()
  await session.post("Profiler.enable")
  await session.post("Profiler.setSamplingInterval", { interval: 200 })
  await session.post("Profiler.start")
  const result = await round()
  const { profile } = await session.post("Profiler.stop")
  session.disconnect()
  return { ...result, profile: sumOf(profile, result.units) }
}
