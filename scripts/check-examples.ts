/** Runs every example as its user would, on the embedded server. */
import { spawnSync } from "node:child_process"
import { globSync } from "node:fs"
import { stayHere } from "./environment.ts"

stayHere()

for (const example of globSync("examples/*.ts").toSorted()) {
  const { signal, status, stderr, stdout } = spawnSync(
    "node",
    ["--conditions=effect-ash-source", example],
    { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: 300_000 }
  )
  if (status !== 0) {
    console.error(`${example} failed (${signal ?? status})\n${stdout}\n${stderr}`)
    process.exit(1)
  }
  console.log(`${example} runs`)
}
