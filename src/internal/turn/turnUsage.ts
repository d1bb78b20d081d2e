/**
 * What a turn used and cost. A result counts the main loop alone in `usage`, and subagents, too, in `modelUsage`; the
 * latter and the cost are those of the turn, or, with SDKs from 0.3.277 on, sums over the session of the SDK: which of the
 * two is found by the result before it.
 */
import type { ModelUsage, ResultMessage, TokenUsage } from "../../schema/ClaudeMessage.ts"
import type { UsageScope } from "../../schema/Turn.ts"
import { present } from "./agentText.ts"

interface Figures {
  readonly session: string | undefined
  readonly models: ReadonlyMap<string, ModelUsage>
  readonly hasTokens: boolean
  readonly costUsd: number | undefined
  /** Whether all of them are of that result, and none of an earlier one as it was missing. */
  readonly isWhole: boolean
}

export interface UsageBefore {
  /** The last result; none where the turn is the first of its session, unknown where there may have been any. */
  readonly last: Figures | "none" | "unknown"
  /** What results were found to count. */
  readonly counts: "turn" | "session" | "unknown"
}

export const unknownBefore: UsageBefore = { last: "unknown", counts: "unknown" }
export const nothingBefore: UsageBefore = { last: "none", counts: "unknown" }

const counters = [
  { counter: "inputTokens", total: "input_tokens" },
  { counter: "outputTokens", total: "output_tokens" },
  { counter: "cacheReadInputTokens", total: "cache_read_input_tokens" },
  { counter: "cacheCreationInputTokens", total: "cache_creation_input_tokens" }
] as const

type Tokens = { -readonly [Name in keyof TokenUsage]: number }

/** The sums of those counters that a model has. */
const totalOf = (models: Figures["models"]): Tokens => {
  const totals: Tokens = {}
  for (const model of models.values()) {
    for (const { counter, total } of counters) {
      const count = model[counter] ?? undefined
      if (count !== undefined) totals[total] = (totals[total] ?? 0) + count
    }
  }
  return totals
}

const countOf = (usage: TokenUsage, name: keyof TokenUsage): number => usage[name] ?? 0

export const tokensOf = (usage: TokenUsage): number =>
  counters.reduce((sum, { total }) => sum + countOf(usage, total), 0)

const isZero = (usage: TokenUsage) => counters.every(({ total }) => countOf(usage, total) === 0)

/** Whether one has at least as much of everything as another. */
const covers = (one: TokenUsage, other: TokenUsage) =>
  counters.every(({ total }) => countOf(one, total) >= countOf(other, total))

/** Differences of sums of fractions, without what such sums are off by. */
const cents = (usd: number): number => Number(usd.toFixed(12))

/** From one result to the next one: what is known, since each figure may be missing. */
const growthOf = (now: Figures, before: Figures) => {
  const tokens: Tokens = {}
  const costUsd = now.costUsd === undefined || before.costUsd === undefined
    ? undefined
    : cents(now.costUsd - before.costUsd)
  /** Whether a figure has become less, which sums never do. */
  let hasShrunk = costUsd !== undefined && costUsd < 0
  if (!now.hasTokens || !before.hasTokens) return { tokens, costUsd, hasShrunk }
  const names = [...new Set([...now.models.keys(), ...before.models.keys()])]
  for (const { counter, total } of counters) {
    /** What a model counts, which is no number where it is not known. */
    const countIn = ({ models }: Figures, name: string) => {
      const model = models.get(name)
      return model === undefined ? 0 : model[counter] ?? NaN
    }
    const grown = names.map((name) => countIn(now, name) - countIn(before, name))
    hasShrunk ||= grown.some((count) => count < 0)
    const sum = grown.reduce((sum, count) => sum + count, 0)
    if (!Number.isNaN(sum)) tokens[total] = sum
  }
  return { tokens, costUsd, hasShrunk }
}

/** By what the main loop used, where both are known, whether figures that grew so can be sums; undefined if that shows nothing. */
const canBeSums = ({ tokens }: ReturnType<typeof growthOf>, own: TokenUsage): boolean | undefined => {
  const used = counters.filter(({ total }) => countOf(own, total) > 0 && tokens[total] !== undefined)
  return used.length === 0 ? undefined : used.every(({ total }) => countOf(tokens, total) >= countOf(own, total))
}

/** Whether the main loop used just what one model counts, and not what one has grown by: sums would be more. */
const isOfTurnAlone = ({ models }: Figures, before: Figures, own: TokenUsage): boolean => {
  const isOneOf = (earlier: Figures["models"]) =>
    [...models].some(([name, model]) =>
      counters.every(({ counter, total }) =>
        (model[counter] ?? 0) - (earlier.get(name)?.[counter] ?? 0) === countOf(own, total)
      )
    )
  return !isZero(own) && isOneOf(new Map()) && !isOneOf(before.models)
}

const figuresOf = ({ modelUsage, session_id, total_cost_usd }: ResultMessage): Figures => {
  const models = new Map(Object.entries(modelUsage ?? {}))
  const counted = Object.keys(totalOf(models)).length > 0
  const costUsd = total_cost_usd ?? undefined
  const isWhole = counted && costUsd !== undefined
  return { session: present(session_id), models, hasTokens: counted, costUsd, isWhole }
}

/** The figures of a result, with those of the one before for what is missing. */
const filledUp = (now: Figures, before: Figures): Figures => ({
  session: now.session ?? before.session,
  models: now.hasTokens ? now.models : before.models,
  hasTokens: now.hasTokens || before.hasTokens,
  costUsd: now.costUsd ?? before.costUsd,
  isWhole: now.isWhole
})

/** What the turn of a result used, and what is then known for the next one. */
export const usageOf = (result: ResultMessage, known: UsageBefore) => {
  const { counts, last } = known
  const now = figuresOf(result)
  const own = result.usage ?? {}
  const total = totalOf(now.models)
  const whole: TokenUsage | undefined = now.hasTokens ? total : result.usage ?? undefined
  const answer = (scope: UsageScope, after: UsageBefore, usage = whole, costUsd = now.costUsd) => ({
    usage,
    costUsd,
    scope,
    after
  })
  const counting = (found: UsageBefore["counts"]): UsageBefore => ({ last: now, counts: found })
  // Of a turn that used nothing some servers count nothing at all: what was known before stays known.
  if (isZero(own) && isZero(total) && (now.costUsd ?? 0) === 0) {
    return answer(last === "unknown" ? "session" : "turn", known)
  }
  if (counts === "turn" || last === "none") return answer("turn", counting(counts))
  if (last === "unknown") {
    // Sums over several turns are more than what the main loop of the last one used.
    return answer(now.hasTokens && !isZero(own) && covers(own, total) ? "turn" : "session", counting(counts))
  }
  const isAnother = now.session !== undefined && last.session !== undefined && now.session !== last.session
  if (isAnother) return answer("turn", counting(counts))
  const filled = (found: UsageBefore["counts"]): UsageBefore => ({ last: filledUp(now, last), counts: found })
  const growth = growthOf(now, last)
  const canBe = !isOfTurnAlone(now, last, own) && canBeSums(growth, own)
  if (growth.hasShrunk || canBe === false) {
    // Where the turn used nothing that can be compared, sums are not taken for anything else.
    return counts === "session" && canBe === undefined ? answer("session", known) : answer("turn", counting("turn"))
  }
  if (counts === "unknown" && canBe === undefined) return answer("session", filled(counts))
  const grown = now.hasTokens && last.hasTokens ? growth.tokens : whole
  return answer(last.isWhole ? "turn" : "session", filled("session"), grown, growth.costUsd)
}

/** What is known when a turn has begun, of which no result may come. */
export const begun = ({ counts }: UsageBefore): UsageBefore => ({ last: "unknown", counts })
