import { assert, it } from "@effect/vitest"
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
