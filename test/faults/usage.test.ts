import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
import { nothingBefore, unknownBefore, type UsageBefore, usageOf } from "../../src/internal/turnUsage.ts"
import { claudeMessageFromJson } from "../../src/schema/ClaudeMessage.ts"
import { result } from "../support/fixtures.ts"
import { promise } from "../support/promise.ts"

describe("usage and cost", () => {
  interface Step {
    /** Tokens of the main loop, and of subagents. */
    readonly own: number
    readonly sub?: number
    readonly session?: string
    /** Whether the budget was used up: then the main loop counts none. */
    readonly isOver?: boolean
  }
  const models = (tokens: number) => ({ claude: { inputTokens: tokens, outputTokens: tokens, costUSD: tokens / 10 } })
  /** The results of turns, by an SDK that counts so. */
  const resultsOf = (counts: "turn" | "session", steps: ReadonlyArray<Step>) => {
    const sums = new Map<string, number>()
    return steps.map(({ isOver = false, own, session = "s", sub = 0 }) => {
      const sum = (counts === "session" ? sums.get(session) ?? 0 : 0) + own + sub
      sums.set(session, sum)
      const tokens = isOver ? 0 : own
      return claudeMessageFromJson({
        ...result,
        session_id: session,
        total_cost_usd: sum / 10,
        usage: { input_tokens: tokens, output_tokens: tokens },
        modelUsage: models(sum)
      })
    })
  }
  const run = (counts: "turn" | "session", before: UsageBefore, steps: ReadonlyArray<Step>) => {
    let known = before
    return resultsOf(counts, steps).map((message) => {
      if (message._tag !== "Result") return assert.fail("no result")
      const { after, costUsd, scope, usage } = usageOf(message, known)
      known = after
      return { tokens: usage?.input_tokens, out: usage?.output_tokens, costUsd, scope }
    })
  }
  const exact = (steps: ReadonlyArray<Step>) =>
    steps.map(({ own, sub = 0 }) => ({ tokens: own + sub, out: own + sub, costUsd: (own + sub) / 10, scope: "turn" }))

  const rows: ReadonlyArray<readonly [name: string, steps: ReadonlyArray<Step>]> = [
    ["one turn", [{ own: 7 }]],
    ["one turn with a subagent", [{ own: 252, sub: 101 }]],
    ["turns of one size", [{ own: 7 }, { own: 7 }, { own: 7 }]],
    ["turns that grow", [{ own: 1 }, { own: 10 }, { own: 300 }]],
    ["turns that shrink", [{ own: 300 }, { own: 10 }, { own: 1 }]],
    ["turns with subagents", [{ own: 10 }, { own: 20, sub: 5 }, { own: 30, sub: 7 }, { own: 5 }]],
    ["a restart", [{ own: 10 }, { own: 20, session: "t" }, { own: 3, session: "t" }]],
    ["a restart with a subagent", [{ own: 10 }, { own: 20 }, { own: 20, sub: 9, session: "t" }]],
    ["a budget that is used up at first", [{ own: 14, isOver: true }]],
    ["a budget that is used up", [{ own: 35 }, { own: 20 }, { own: 14, isOver: true }]],
    ["a budget that is used up, and more", [{ own: 35 }, { own: 20 }, { own: 14, isOver: true }, { own: 8, sub: 2 }]]
  ]
  const cases = rows.flatMap(([name, steps]) =>
    (["turn", "session"] as const).map((counts) => ({ name, steps, counts }))
  )
  promise(
    "P20",
    "are those of the turn, whatever the figures count: turns, restarts, subagents, a used-up budget",
    { fast: cases.length, full: cases.length },
    () =>
      Effect.sync(() => ({
        cases: cases.length,
        failures: cases.flatMap(({ counts, name, steps }) => {
          const seen = run(counts, nothingBefore, steps)
          return isDeepStrictEqual(seen, exact(steps)) ? [] : [`${name}, by ${counts}: ${JSON.stringify(seen)}`]
        })
      }))
  )

  it("of a session whose turns before are not known is at most what is said, unless nothing else fits", () => {
    assert.deepStrictEqual<object>(run("session", unknownBefore, [{ own: 7, sub: 2 }, { own: 5 }]), [
      { tokens: 9, out: 9, costUsd: 0.9, scope: "session" },
      { tokens: 5, out: 5, costUsd: 0.5, scope: "turn" }
    ])
    assert.deepStrictEqual<object>(run("turn", unknownBefore, [{ own: 7 }]), exact([{ own: 7 }]))
  })

  it("of a budget that is used up, where it is not known how the SDK counts, is at most what is said", () => {
    const [, second] = run("turn", nothingBefore, [{ own: 10 }, { own: 14, isOver: true }])
    assert.deepStrictEqual<object>(second ?? {}, { tokens: 14, out: 14, costUsd: 1.4, scope: "session" })
  })
})
