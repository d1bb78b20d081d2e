/** What turns used, added up. */
import type { TokenUsage } from "../schema/ClaudeMessage.ts"

/** Tokens and US dollars. */
export interface Spent {
  readonly usage: TokenUsage
  readonly costUsd: number
}

export const nothingSpent: Spent = { usage: {}, costUsd: 0 }

const names = [
  "input_tokens",
  "output_tokens",
  "cache_creation_input_tokens",
  "cache_read_input_tokens"
] as const

/** What was spent with a turn more. */
export const spend = (
  spent: Spent,
  turn: { readonly usage?: TokenUsage | undefined; readonly costUsd?: number | undefined }
): Spent => ({
  usage: Object.fromEntries(
    names.flatMap((name) => {
      const [before, more] = [spent.usage[name], turn.usage?.[name]]
      return (before ?? more ?? undefined) === undefined ? [] : [[name, (before ?? 0) + (more ?? 0)]]
    })
  ),
  costUsd: Number((spent.costUsd + (turn.costUsd ?? 0)).toFixed(12))
})
