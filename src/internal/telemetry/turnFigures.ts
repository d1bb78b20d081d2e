/** What a turn used and cost, as telemetry has it. */
import type { ResultMessage, TokenUsage } from "../../schema/ClaudeMessage.ts"
import type { State } from "../turn/turnFold.ts"
import { unknownBefore, usageOf } from "../turn/turnUsage.ts"
import type { usageAttribute } from "./conventions.ts"

/** Tokens, and the cost, as far as it is known. */
export interface TurnFigures {
  readonly tokens: Tokens | undefined
  readonly costUsd: number | undefined
}

/** Tokens as the conventions count them: those of caches are input, too. */
type Tokens = Readonly<Record<keyof typeof usageAttribute, number>>

const tokensOf = (usage: TokenUsage): Tokens => {
  const [cacheRead, cacheCreation] = [usage.cache_read_input_tokens ?? 0, usage.cache_creation_input_tokens ?? 0]
  return {
    input: (usage.input_tokens ?? 0) + cacheRead + cacheCreation,
    output: usage.output_tokens ?? 0,
    cacheRead,
    cacheCreation
  }
}

/** The figures of a turn. Where they may be sums over its session, they are those of the agent without its subagents. */
export const turnFigures = (result: ResultMessage, fold: State | undefined): TurnFigures => {
  const { costUsd, scope, usage } = usageOf(result, fold?.before ?? unknownBefore)
  const own = scope === "turn" ? usage : result.usage ?? undefined
  return { tokens: own && tokensOf(own), costUsd: scope === "turn" ? costUsd : undefined }
}
