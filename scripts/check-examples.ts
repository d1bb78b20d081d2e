/** Runs every example as its user would, on the embedded server. */
import { spawnSync } from "node:child_process"
import { globSync } from "node:fs"

const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ASH_")))

for (const example of globSync("examples/*.ts").toSorted()) {
  const { signal, status, stderr, stdout } = spawnSync(
    "node",
    ["--conditions=effect-ash-source", example],
    { encoding: "utf8", env: environment, stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 }
  )
  if (status !== 0) {
    console.error(`${example} failed (${signal ?? status})\n${stdout}\n${stderr}`)
    process.exit(1)
  }
  console.log(`${example} runs`)
}
