/** What turns used, added up. */
import * as Struct from "effect/Struct"
import { TokenUsage } from "../schema/ClaudeMessage.ts"

/** Tokens and US dollars. */
export interface Spent {
  readonly usage: TokenUsage
  readonly costUsd: number
}

export const nothingSpent: Spent = { usage: {}, costUsd: 0 }

/** What was spent with a turn more. */
export const spend = (
  spent: Spent,
  turn: { readonly usage?: TokenUsage | undefined; readonly costUsd?: number | undefined }
): Spent => ({
  usage: Object.fromEntries(
    Struct.keys(TokenUsage.fields).flatMap((name) => {
      const [before, more] = [spent.usage[name], turn.usage?.[name]]
      return (before ?? more ?? undefined) === undefined ? [] : [[name, (before ?? 0) + (more ?? 0)]]
    })
  ),
  costUsd: Number((spent.costUsd + (turn.costUsd ?? 0)).toFixed(12))
})
