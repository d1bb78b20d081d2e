import { assert, describe, it } from "@effect/vitest"
import { resolve } from "node:path"
import { allocatedIn } from "../../bench/allocated.ts"

/** Bytes. What is over it has been looked at, and found worth it. */
const budget = { perEvent: 660, perTurn: 80_000, perTurnInBlocks: 82_000, perRequest: 37_000, keptByTurn: 22_000 }

describe("what is allocated", () => {
  it("is within its budget, by event, by turn and by request, and so is what a silent turn keeps", () => {
    const { keptByTurn, perEvent, perRequest, perTurn, perTurnInBlocks } = allocatedIn(
      resolve(import.meta.dirname, "../..")
    )
    assert.isAtMost(perEvent, budget.perEvent)
    assert.isAtMost(perTurn, budget.perTurn)
    assert.isAtMost(perTurnInBlocks, budget.perTurnInBlocks)
    assert.isAtMost(perRequest, budget.perRequest)
    assert.isAtMost(keptByTurn, budget.keptByTurn)
  })
})
