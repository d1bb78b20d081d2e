/** A whole turn as one value: what an agent wrote and did. */
import * as Schema from "effect/Schema"
import { ResultMessage, TokenUsage, withRaw } from "./ClaudeMessage.ts"
import { orUndefined } from "./Wire.ts"

/** A call of a tool, with its first result if there was one. */
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
  /** The result is marked as an error, such as a failure of the model's API; `error` is its text instead of an answer. */
  Schema.TaggedStruct("IsError", { error: Schema.String }),
  /** An end that this package does not know, by the server's name for it. */
  Schema.TaggedStruct("Other", { subtype: Schema.String }),
  /** No result came: another turn or an `exec` on the same session can end a stream early. */
  Schema.TaggedStruct("NoResult", {})
]).annotate({ identifier: "TurnOutcome" })

/**
 * What `usage` and `costUsd` of a turn count: the turn, or, if the previous turns are unknown, at most the SDK's session
 * up to it.
 */
export type UsageScope = typeof UsageScope.Type
export const UsageScope = Schema.Literals(["turn", "session"])

/** What an agent wrote and did in a turn. Subagents count in `toolCalls`, `usage` and `costUsd` only. */
export interface Turn extends Schema.Schema.Type<typeof Turn> {}
export const Turn = Schema.Struct({
  /**
   * All text of the agent. A blank line separates text before and after tool calls. It is the text of complete messages, and
   * of pieces only if no complete message came for them. `result.result` is only the final answer.
   */
  text: Schema.String,
  thinking: Schema.String,
  /** In their order; calls without a unique id are kept apart. */
  toolCalls: Schema.Array(ToolCall),
  /** How the turn ended. `SessionHandle.ask` fails with `TurnUnsuccessful` unless it is `Success`. */
  outcome: TurnOutcome,
  /** The answer to an `outputFormat`. */
  structuredOutput: orUndefined(Schema.Json),
  /** Tokens, including those of subagents, which the server's own statistics (`Usage`) omit. */
  usage: orUndefined(TokenUsage),
  /** US dollars: an estimate by the SDK's price table; do not bill from it. */
  costUsd: orUndefined(Schema.Finite),
  /**
   * What `usage` and `costUsd` count. If the SDK sums figures over a session, a session handle subtracts those of the turn
   * before. If that turn is unknown, this is `session`: the figures may be sums, and the turn used at most that.
   */
  usageScope: UsageScope,
  /** Turns as the SDK counts them, tool results among them: not the number of model calls. */
  numTurns: orUndefined(Schema.Finite),
  stopReason: orUndefined(Schema.String),
  /** The message that ended the turn, with its whole JSON in `raw`. Without it, the turn may be incomplete. */
  result: orUndefined(withRaw(ResultMessage)),
  /** Whether something is left out: of a turn that is streamed, that of an error (`AshError.partialTurn`) keeps 1 MiB. */
  isPartial: Schema.Boolean
}).annotate({ identifier: "Turn" })
