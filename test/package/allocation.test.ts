import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as Path from "node:path"

const program = Path.join(import.meta.dirname, "../../bench/allocation.ts")

/** One thread, the interpreter alone, and room for all that is allocated. */
const flags = [
  "--predictable",
  "--single-threaded",
  "--no-opt",
  "--no-maglev",
  "--no-sparkplug",
  "--min-semi-space-size=512",
  "--max-semi-space-size=512"
]

/** Bytes. What is over it has been looked at, and found worth it. */
const budget = { perEvent: 900, perRequest: 90_000 }

describe("what is allocated", () => {
  it("is within its budget, by event and by request", () => {
    const { stderr, stdout } = spawnSync("node", [...flags, "--conditions=effect-ash-source", program], {
      encoding: "utf8"
    })
    assert.include(stdout, "perEvent", stderr)
    const { perEvent, perRequest } = JSON.parse(stdout)
    assert.isAtMost(perEvent, budget.perEvent)
    assert.isAtMost(perRequest, budget.perRequest)
  })
})
