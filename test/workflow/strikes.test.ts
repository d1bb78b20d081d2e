import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { scenarios, strikes } from "../support/strikes.ts"

describe("a database that fails, or whose runner dies or freezes, at any statement", () => {
  it.live.each(scenarios)("$name", (scenario) =>
    Effect.gen(function*() {
      const { count, faults } = yield* strikes(scenario, scenario.step)
      assert.deepStrictEqual(faults, [])
      assert.isAbove(count, 5)
    }))
})
