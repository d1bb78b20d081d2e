import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { isDeepStrictEqual } from "node:util"
import { nothingBefore, unknownBefore, type UsageBefore, usageOf } from "../../src/internal/turn/turnUsage.ts"
import { claudeMessageFromJson } from "../../src/schema/ClaudeMessage.ts"
import { result } from "../support/fixtures.ts"
import { promise } from "../support/promise.ts"

describe("usage and cost", () => {
  interface Step {
    /** Tokens of the main loop, and of subagents. */
    readonly own: number
    readonly sub?: number
    /** Of those of subagents, how many are of a model of their own. */
    readonly other?: number
    readonly session?: string
    /** Whether the budget was used up: then the main loop counts none. */
    readonly isOver?: boolean
  }
  const countOf = (tokens: number) => ({ inputTokens: tokens, outputTokens: tokens, costUSD: tokens / 10 })
  const models = (tokens: number, other = 0) => ({
    claude: countOf(tokens - other),
    // A name that each object has in its prototype.
    ...(other === 0 ? {} : { constructor: countOf(other) })
  })
  /** The results of turns, by an SDK that counts so. */
  const resultsOf = (counts: "turn" | "session", steps: ReadonlyArray<Step>) => {
    const sums = new Map<string, readonly [all: number, other: number]>()
    return steps.map(({ isOver = false, other = 0, own, session = "s", sub = 0 }) => {
      const [all, others] = (counts === "session" ? sums.get(session) : undefined) ?? [0, 0]
      const [sum, otherSum] = [all + own + sub, others + other]
      sums.set(session, [sum, otherSum])
      const tokens = isOver ? 0 : own
      return claudeMessageFromJson({
        ...result,
        session_id: session,
        total_cost_usd: sum / 10,
        usage: { input_tokens: tokens, output_tokens: tokens },
        modelUsage: models(sum, otherSum)
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
    ["a subagent of another model that uses more than the turn before", [{ own: 3 }, { own: 5, sub: 9, other: 9 }]],
    ["the same, and more turns", [{ own: 3 }, { own: 5, sub: 50, other: 50 }, { own: 6 }, {
      own: 7,
      sub: 8,
      other: 8
    }]],
    ["subagents that use as much as the agent", [{ own: 7, sub: 7, other: 7 }, { own: 7 }, {
      own: 7,
      sub: 7,
      other: 7
    }]],
    ["subagents of both models", [{ own: 9, sub: 4, other: 1 }, { own: 5, sub: 3, other: 2 }, {
      own: 20,
      sub: 30,
      other: 9
    }]],
    ["a budget that is used up at first", [{ own: 14, isOver: true }]],
    ["a budget that is used up", [{ own: 35 }, { own: 20 }, { own: 14, isOver: true }]],
    ["a budget that is used up, and more", [{ own: 35 }, { own: 20 }, { own: 14, isOver: true }, { own: 8, sub: 2 }]]
  ]
  const cases = rows.flatMap(([name, steps]) =>
    (["turn", "session"] as const).map((counts) => ({ name, steps, counts }))
  )
  promise(
    "P20",
    "usage and cost are those of the turn, whatever the figures count: turns, restarts, subagents, a used-up budget",
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

  it("of a session whose turns before are not known is at most what is reported, unless nothing else fits", () => {
    assert.deepStrictEqual<object>(run("session", unknownBefore, [{ own: 7, sub: 2 }, { own: 5 }]), [
      { tokens: 9, out: 9, costUsd: 0.9, scope: "session" },
      { tokens: 5, out: 5, costUsd: 0.5, scope: "turn" }
    ])
    assert.deepStrictEqual<object>(run("turn", unknownBefore, [{ own: 7 }]), exact([{ own: 7 }]))
  })

  interface Said {
    readonly in?: number
    readonly out?: number
    readonly cached?: number
  }
  /** What an SDK says that sums up, and what is due. */
  const sums = (
    cost: number | string,
    own: Said,
    sum: Said | null,
    more: Readonly<Record<string, Schema.Json>> = {}
  ) => ({
    ...result,
    session_id: "s",
    total_cost_usd: cost,
    usage: { input_tokens: own.in ?? 0, output_tokens: own.out ?? 0, cache_read_input_tokens: own.cached ?? 0 },
    modelUsage: sum === null ? [] : {
      claude: { inputTokens: sum.in ?? 0, outputTokens: sum.out ?? 0, cacheReadInputTokens: sum.cached ?? 0 }
    },
    ...more
  })
  const one = { in: 10, out: 5 }
  const times = (count: number) => ({ in: 10 * count, out: 5 * count })
  const turns = [1, 2, 3, 4, 5].map((count) => sums(count / 10, one, times(count)))
  /** Turns behind which the SDK still sums up, by what they say and cost when so many turns have cost 0.1 before. */
  const odd: Readonly<
    Record<
      string,
      (before: number) => readonly [said: ReturnType<typeof sums>, usd: number | undefined, known: boolean]
    >
  > = {
    "a turn that used nothing": (before) => [
      sums(before / 10, {}, times(before), { is_error: true, result: "API Error: 529" }),
      0,
      before > 1
    ],
    "a turn of which nothing is counted": (before) => [sums(0, {}, {}, { is_error: true }), 0, before >= 0],
    "a turn of which nothing is reported": (before) => [sums("0.3", {}, null), undefined, before >= 0],
    "a turn without a cost": (before) => [sums("0.3", {}, times(before)), undefined, before > 1]
  }
  it.each(Object.keys(odd).flatMap((name) => [1, 2, 3].map((before) => ({ name, before }))))(
    "are still those of the turn behind $name, after $before",
    ({ before, name }) => {
      const [said, usd, isKnown] = odd[name]?.(before) ?? assert.fail("no such turn")
      const [seen, ...behind] = costs([...turns.slice(0, before), said, ...turns.slice(before)]).slice(before)
      if (isKnown) assert.strictEqual(seen?.costUsd, usd)
      else assert.strictEqual(seen?.scope, "session")
      // What is missing in one is at most in the next.
      assert.isTrue(behind[0]?.scope === "session" || behind[0]?.costUsd === 0.1)
      for (const turn of behind.slice(1)) assert.deepStrictEqual(turn, { costUsd: 0.1, scope: "turn" })
    }
  )

  const costs = (said: ReadonlyArray<Schema.Json>) => {
    let known: UsageBefore = nothingBefore
    return said.map((json) => {
      const message = claudeMessageFromJson(json)
      if (message._tag !== "Result") return assert.fail("no result")
      const { after, costUsd, scope } = usageOf(message, known)
      known = after
      return { costUsd, scope }
    })
  }
  const all = (...usd: ReadonlyArray<number | undefined>) => usd.map((costUsd) => ({ costUsd, scope: "turn" }))

  it("of turns with input, output or the cache alone are those of the turn", () => {
    const cached = sums(0.2, { out: 5, cached: 100 }, { in: 10, out: 10, cached: 100 })
    const asked = sums(0.2, { in: 10 }, { in: 20, out: 5 })
    const [first = cached, , third = cached] = turns
    assert.deepStrictEqual<object>(costs([first, asked, third]), all(0.1, 0.1, 0.1))
    assert.deepStrictEqual<object>(
      costs([first, cached, sums(0.3, { out: 5 }, { in: 10, out: 15, cached: 100 })]),
      all(0.1, 0.1, 0.1)
    )
  })

  it("keep a cost that is missing as missing: the next one is at most what is reported", () => {
    const [, ...later] = turns
    assert.deepStrictEqual<object>(costs([sums("0.1", one, one), ...later]).slice(0, 3), [
      { costUsd: undefined, scope: "turn" },
      { costUsd: 0.2, scope: "session" },
      { costUsd: 0.1, scope: "turn" }
    ])
  })

  it("are as they are reported once a figure was less than before, which no sum is", () => {
    const turn = (usd: number, count: number) => sums(usd, times(count), times(count))
    assert.deepStrictEqual<object>(costs([turn(0.3, 3), turn(0.1, 1), turn(0.2, 2)]), all(0.3, 0.1, 0.2))
  })

  it("of a budget that is used up, where it is not known how the SDK counts, is at most what is reported", () => {
    const [, second] = run("turn", nothingBefore, [{ own: 10 }, { own: 14, isOver: true }])
    assert.deepStrictEqual<object>(second ?? {}, { tokens: 14, out: 14, costUsd: 1.4, scope: "session" })
  })
})
