import { assert, describe, it } from "@effect/vitest"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { connect } from "node:net"
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

  it("ends what it has started when its reader leaves, as `head` does", async () => {
    const child = spawn(process.execPath, ["--conditions=effect-ash-source", program, "--runs", "2"], {
      stdio: ["ignore", "pipe", "ignore"]
    })
    const [printed] = await once(child.stdout.setEncoding("utf8"), "data")
    child.stdout.destroy()
    const [status] = await once(child, "exit")
    // That of a program that Ctrl-C ends, or of one that has ended before.
    assert.oneOf(status, [130, 0])
    const port = /:(\d+)\/postgres/.exec(printed)?.[1]
    assert.strictEqual(port === undefined, Postgres.installed === undefined, printed)
    if (port === undefined) return
    const error = await once(connect(Number(port), "127.0.0.1"), "connect").catch((error: unknown) => error)
    assert.propertyVal(error, "code", "ECONNREFUSED")
  })
})
