import { assert, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { globSync, readFileSync } from "node:fs"
import { resolve } from "node:path"

const folder = resolve(import.meta.dirname, "../../examples")

it("examples/README.md lists every example", () => {
  const listed = [...readFileSync(resolve(folder, "README.md"), "utf8").matchAll(/^\| \[(.+?)\]\((.+?)\)/gm)]
  assert.deepStrictEqual(
    listed.map(([, name]) => name).toSorted(),
    globSync(["*.ts", "*/{main,server}.ts"], { cwd: folder }).toSorted()
  )
  for (const [, name, link] of listed) assert.strictEqual(link, name)
})

it("an example tells what kept it from running, though that is no error of a call", () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    ["--conditions=effect-ash-source", resolve(folder, "main.ts")],
    { env: { PATH: process.env["PATH"], TMPDIR: resolve(folder, "no-such-folder") }, encoding: "utf8" }
  )
  assert.strictEqual(status, 1)
  assert.include(stderr, "no-such-folder")
})
