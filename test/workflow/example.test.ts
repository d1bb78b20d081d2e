import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import * as Postgres from "../../examples/durable/postgres.ts"

const program = join(import.meta.dirname, "../../examples/durable/main.ts")

const runs = 8

describe("examples/durable", () => {
  it(`survives the death of a runner, ${Postgres.installed === undefined ? "on TestRunner alone" : "on PostgreSQL"}`, () => {
    const { status, stderr, stdout } = spawnSync(
      process.execPath,
      ["--conditions=effect-ash-source", program, "--runs", `${runs}`],
      { encoding: "utf8" }
    )
    assert.strictEqual(status, 0, stderr)
    const table = new Map([...stdout.matchAll(/^(.+?) {2,}(.+)$/gm)].map(([, name, value]) => [name, value]))
    assert.strictEqual(table.get("runs that succeeded"), `${runs}`, stdout)
    assert.strictEqual(table.get("turns twice in one session"), "0", stdout)
    assert.strictEqual(table.get("sessions alive at the end"), "0", stdout)
    assert.isAtLeast(Number(table.get("turns that the server saw")), 3 * runs, stdout)
    // Now and then none of so few runs is at the runner that is killed.
    const takeOver = Postgres.installed === undefined ? /^nothing was killed$/ : /^(?:[0-9.]+ s|none was needed)$/
    assert.match(table.get("time to take over") ?? "", takeOver, stdout)
  })
})
