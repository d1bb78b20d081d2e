/** A whole turn as one value: what an agent said and did. */
import * as Schema from "effect/Schema"
import { ResultMessage, TokenUsage, withRaw } from "./ClaudeMessage.ts"
import { orUndefined } from "./Wire.ts"

/** A call of a tool, with its answer where there was one. */
export interface ToolCall extends Schema.Schema.Type<typeof ToolCall> {}
export const ToolCall = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  input: Schema.Json,
  result: orUndefined(Schema.Struct({ content: Schema.Json, isError: Schema.Boolean })),
  /** The call that started the subagent which made this one. */
  parentToolUseId: orUndefined(Schema.String)
}).annotate({ identifier: "ToolCall" })

/** What an agent said and did in a turn. Subagents count in `toolCalls` only. */
export interface Turn extends Schema.Schema.Type<typeof Turn> {}
export const Turn = Schema.Struct({
  /**
   * Everything that the agent wrote; a blank line separates what it wrote before and after it used tools. The final
   * answer alone is `result.result`.
   */
  text: Schema.String,
  thinking: Schema.String,
  toolCalls: Schema.Array(ToolCall),
  /** The answer to an `outputFormat`. */
  structuredOutput: orUndefined(Schema.Json),
  /** Tokens of the whole turn. */
  usage: orUndefined(TokenUsage),
  /** US dollars. */
  costUsd: orUndefined(Schema.Finite),
  /** Model calls. */
  numTurns: orUndefined(Schema.Finite),
  stopReason: orUndefined(Schema.String),
  /**
   * How the turn ended, with the whole JSON in `raw`. Without one the turn is not known to be complete: another turn or
   * an `exec` on the same session can end a stream early.
   */
  result: orUndefined(withRaw(ResultMessage))
}).annotate({ identifier: "Turn" })
