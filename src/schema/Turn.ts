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

/** How a turn ended. Only `Success` is one. */
export type TurnOutcome = typeof TurnOutcome.Type
export const TurnOutcome = Schema.Union([
  Schema.TaggedStruct("Success", {}),
  /** The agent made as many model calls as `maxTurns` allows. */
  Schema.TaggedStruct("MaxTurns", {}),
  /** The agent used up `maxBudgetUsd`. */
  Schema.TaggedStruct("MaxBudgetUsd", {}),
  /** The agent gave no answer that fits its `outputFormat`. */
  Schema.TaggedStruct("MaxStructuredOutputRetries", {}),
  /** The agent failed, with these errors. */
  Schema.TaggedStruct("ErrorDuringExecution", { errors: Schema.Array(Schema.Json) }),
  /** The result says that it is an error, as where the model's API failed; `error` is what it says instead of an answer. */
  Schema.TaggedStruct("IsError", { error: Schema.String }),
  /** An end that is not known here, as the server names it. */
  Schema.TaggedStruct("Other", { subtype: Schema.String }),
  /** No result came: another turn or an `exec` on the same session can end a stream early. */
  Schema.TaggedStruct("NoResult", {})
]).annotate({ identifier: "TurnOutcome" })

/**
 * What `usage` and `costUsd` of a turn count: the turn, or at most the SDK's session until then, where the turns before it
 * are not known.
 */
export type UsageScope = typeof UsageScope.Type
export const UsageScope = Schema.Literals(["turn", "session"])

/** What an agent said and did in a turn. Subagents count in `toolCalls`, `usage` and `costUsd` only. */
export interface Turn extends Schema.Schema.Type<typeof Turn> {}
export const Turn = Schema.Struct({
  /**
   * Everything that the agent wrote; a blank line separates what it wrote before and after it used tools. It is what
   * complete messages say, and pieces only where no complete message came for them. The final answer alone is
   * `result.result`.
   */
  text: Schema.String,
  thinking: Schema.String,
  /** In their order; calls without an id of their own are kept apart. */
  toolCalls: Schema.Array(ToolCall),
  /** How the turn ended. `SessionHandle.ask` fails with `TurnUnsuccessful` unless it is `Success`. */
  outcome: TurnOutcome,
  /** The answer to an `outputFormat`. */
  structuredOutput: orUndefined(Schema.Json),
  /** Tokens, those of subagents included. The server's own statistics (`Usage`) leave subagents out. */
  usage: orUndefined(TokenUsage),
  /** US dollars: an estimate by the SDK's price table, not to bill from. */
  costUsd: orUndefined(Schema.Finite),
  /**
   * What `usage` and `costUsd` count. A session handle knows the turn before, and takes its figures off where the SDK sums
   * them up; elsewhere `session` says that they may be sums over the session until then, and the turn's own are at most that.
   */
  usageScope: UsageScope,
  /** Turns as the SDK counts them, tool results among them: not the number of model calls. */
  numTurns: orUndefined(Schema.Finite),
  stopReason: orUndefined(Schema.String),
  /** How the turn ended, with the whole JSON in `raw`. Without one the turn is not known to be complete. */
  result: orUndefined(withRaw(ResultMessage)),
  /** Whether something is left out, as of what an error carries of a turn (`AshError.partialTurn`) 1 MiB is kept. */
  isPartial: Schema.Boolean
}).annotate({ identifier: "Turn" })
