/**
 * What a turn used and cost. A result counts the main loop alone in `usage`, and subagents, too, in `modelUsage`; the
 * latter and the cost are those of the turn, or, with SDKs from 0.3.277 on, sums over the session of the SDK: which of the
 * two is found by the result before it.
 */
import type { ModelUsage, ResultMessage, TokenUsage } from "../schema/ClaudeMessage.ts"
import type { UsageScope } from "../schema/Turn.ts"
import { present } from "./agentText.ts"

/** The figures of a result. */
interface Figures {
  readonly session: string | undefined
  readonly models: Readonly<Record<string, ModelUsage>>
  readonly costUsd: number
}

/** What is known of the turns of a session before one. */
export interface UsageBefore {
  /** The last result; none where the turn is the first of its session, unknown where there may have been any. */
  readonly last: Figures | "none" | "unknown"
  /** What results were found to count. */
  readonly counts: "turn" | "session" | "unknown"
}

export const unknownBefore: UsageBefore = { last: "unknown", counts: "unknown" }
export const nothingBefore: UsageBefore = { last: "none", counts: "unknown" }

const counters = [
  ["inputTokens", "input_tokens"],
  ["outputTokens", "output_tokens"],
  ["cacheReadInputTokens", "cache_read_input_tokens"],
  ["cacheCreationInputTokens", "cache_creation_input_tokens"]
] as const

type Tokens = { readonly [Name in keyof TokenUsage]: number }

/** The sums of those counters that a model has. */
const totalOf = (models: Figures["models"]): Tokens => {
  const totals: { -readonly [Name in keyof Tokens]: Tokens[Name] } = {}
  for (const model of Object.values(models)) {
    for (const [name, total] of counters) {
      const count = model[name] ?? undefined
      if (count !== undefined) totals[total] = (totals[total] ?? 0) + count
    }
  }
  return totals
}

const minus = (one: Tokens, other: Tokens): Tokens =>
  Object.fromEntries(
    counters.flatMap(([, name]) => one[name] === undefined ? [] : [[name, one[name] - (other[name] ?? 0)]])
  )

const isZero = (usage: TokenUsage) => counters.every(([, name]) => (usage[name] ?? 0) === 0)

/** Whether one has at least as much of everything as another. */
const covers = (one: TokenUsage, other: TokenUsage) =>
  counters.every(([, name]) => (one[name] ?? 0) >= (other[name] ?? 0))

/** Whether figures can be sums that others are a part of: nothing has become less, and both ways were used. */
const hasGrown = (now: Figures, before: Figures): boolean => {
  const grown = minus(totalOf(now.models), totalOf(before.models))
  return now.costUsd >= before.costUsd && (grown.input_tokens ?? 0) > 0 && (grown.output_tokens ?? 0) > 0 &&
    Object.entries(before.models).every(([name, model]) =>
      counters.every(([counter]) => (now.models[name]?.[counter] ?? 0) >= (model[counter] ?? 0))
    )
}

const figuresOf = ({ modelUsage, session_id, total_cost_usd }: ResultMessage): Figures => ({
  session: present(session_id),
  models: modelUsage ?? {},
  costUsd: total_cost_usd ?? 0
})

/** Differences of sums of fractions, without what such sums are off by. */
const cents = (usd: number): number => Number(usd.toFixed(12))

export interface TurnUsage {
  readonly usage: TokenUsage | undefined
  readonly costUsd: number | undefined
  readonly scope: UsageScope
}

/** What the turn of a result used, and what is then known for the next one. */
export const usageOf = (result: ResultMessage, { counts, last }: UsageBefore): TurnUsage & { after: UsageBefore } => {
  const now = figuresOf(result)
  const own = result.usage ?? {}
  const total = totalOf(now.models)
  const hasModels = Object.keys(total).length > 0
  const answer = (scope: UsageScope, found: UsageBefore["counts"], before?: Figures) => {
    const cost = result.total_cost_usd ?? undefined
    return {
      usage: hasModels
        ? before === undefined ? total : minus(total, totalOf(before.models))
        : result.usage ?? undefined,
      costUsd: cost === undefined || before === undefined ? cost : cents(cost - before.costUsd),
      scope,
      after: { last: now, counts: found }
    }
  }
  if (counts === "turn" || last === "none") return answer("turn", counts)
  if (last === "unknown") {
    // Sums over several turns are more than what the main loop of the last one used.
    return answer(hasModels && covers(own, total) ? "turn" : "session", counts)
  }
  const isAnother = now.session !== undefined && last.session !== undefined && now.session !== last.session
  if (isAnother) return answer("turn", counts)
  const grown = minus(total, totalOf(last.models))
  if (!hasGrown(now, last) || !covers(grown, own)) return answer("turn", "turn")
  // A budget that is used up leaves nothing in `usage` to tell by.
  if (isZero(own) && counts === "unknown") return answer("session", counts)
  return answer("turn", "session", last)
}

/** What is known when a turn has begun, of which no result may come. */
export const begun = ({ counts }: UsageBefore): UsageBefore => ({ last: "unknown", counts })
