/** Runs every example as its user would, on the embedded server: once to its end, and once with a reader that leaves. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { globSync } from "node:fs"
import { stayHere } from "./environment.ts"

stayHere()

/** Runs an example, and gathers what it prints; a reader that leaves goes with the first of it, as `head` does. */
const run = async (example: string, leaves: boolean) => {
  const child = spawn("node", ["--conditions=effect-ash-source", example], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 300_000
  })
  const printed: Array<string> = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => printed.push(text))
  }
  if (leaves) child.stdout.once("data", () => child.stdout.destroy())
  const [status, signal] = await once(child, "close")
  // 130 is the status of a program that Ctrl-C ends.
  if (status === 0 || (leaves && status === 130)) return
  console.error(
    `${example} failed${leaves ? " where its reader leaves" : ""} (${signal ?? status})\n${printed.join("")}`
  )
  process.exit(1)
}

for (const example of globSync("examples/*.ts").toSorted()) {
  await Promise.all([run(example, false), run(example, true)])
  console.log(`${example} runs`)
}
