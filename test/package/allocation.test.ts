import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as Path from "node:path"

const program = Path.join(import.meta.dirname, "../../bench/allocation.ts")

/** One thread, only the interpreter, and room for all that is allocated. */
const flags = [
  "--predictable",
  "--single-threaded",
  "--no-opt",
  "--no-maglev",
  "--no-sparkplug",
  "--min-semi-space-size=512",
  "--max-semi-space-size=512",
  "--expose-gc"
]

/** Bytes. What is over it has been looked at, and found worth it. */
const budget = { perEvent: 830, perTurn: 142_200, perRequest: 38_700, keptByTurn: 35_000 }

describe("what is allocated", () => {
  it("is within its budget, by event, by turn and by request, and so is what a silent turn keeps", () => {
    const { stderr, stdout } = spawnSync(process.execPath, [...flags, "--conditions=effect-ash-source", program], {
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "" }
    })
    assert.include(stdout, "perEvent", stderr)
    const { keptByTurn, perEvent, perRequest, perTurn } = JSON.parse(stdout)
    assert.isAtMost(perEvent, budget.perEvent)
    assert.isAtMost(perTurn, budget.perTurn)
    assert.isAtMost(perRequest, budget.perRequest)
    assert.isAtMost(keptByTurn, budget.keptByTurn)
  })
})
