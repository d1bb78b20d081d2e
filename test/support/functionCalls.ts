/** Counts the calls of functions while an entry is imported, by the file that has them: the count is the same each time. */
import { Session } from "node:inspector/promises"

const session = new Session()
session.connect()
await session.post("Profiler.enable")
await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false })
await import(process.argv[2] ?? "")
const { result } = await session.post("Profiler.takePreciseCoverage")
const calls = result.filter(({ url }) => url.startsWith("file:")).map(({ functions, url }) => [
  url,
  functions.reduce((sum, { ranges: [range] }) => sum + (range?.count ?? 0), 0)
])
process.stdout.write(JSON.stringify(Object.fromEntries(calls)))
