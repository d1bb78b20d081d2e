/**
 * The messages of the Claude Agent SDK, as Ash passes them through: in the `message` events of a stream and in stored
 * messages. Those that matter to a program are typed; every other one is kept as `Unknown`, and each keeps its whole
 * JSON in `raw`. A message or a block is known by its type and what it is for; any other field that does not fit is absent.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { jsonDecoder } from "./jsonDecoder.ts"
import { fitting, nullish, tagged, UnknownJson } from "./Wire.ts"

/** Text that the agent or the user wrote. */
export interface TextBlock extends Schema.Schema.Type<typeof TextBlock> {}
export const TextBlock = tagged("Text", {
  type: Schema.Literal("text"),
  text: Schema.String
}).annotate({ identifier: "TextBlock" })

/** What the model thought before it answered. */
export interface ThinkingBlock extends Schema.Schema.Type<typeof ThinkingBlock> {}
export const ThinkingBlock = tagged("Thinking", {
  type: Schema.Literal("thinking"),
  thinking: Schema.String,
  signature: nullish(Schema.String)
}).annotate({ identifier: "ThinkingBlock" })

/** A call of a tool. */
export interface ToolUseBlock extends Schema.Schema.Type<typeof ToolUseBlock> {}
export const ToolUseBlock = tagged("ToolUse", {
  type: Schema.Literal("tool_use"),
  id: nullish(Schema.String),
  name: nullish(Schema.String),
  input: nullish(Schema.Json)
}).annotate({ identifier: "ToolUseBlock" })

/** What a tool answered to the call with the id `tool_use_id`. */
export interface ToolResultBlock extends Schema.Schema.Type<typeof ToolResultBlock> {}
export const ToolResultBlock = tagged("ToolResult", {
  type: Schema.Literal("tool_result"),
  tool_use_id: nullish(Schema.String),
  /** Text, or content blocks as JSON. */
  content: nullish(Schema.Json),
  is_error: nullish(Schema.Boolean)
}).annotate({ identifier: "ToolResultBlock" })

/** A block of a message. A type that is not known here, or not as expected, is kept as `Unknown`. */
export type MessageBlock = TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock | UnknownJson
export const MessageBlock = Schema.Union([TextBlock, ThinkingBlock, ToolUseBlock, ToolResultBlock, UnknownJson])
  .annotate({ identifier: "MessageBlock" })

const MessageContent = Schema.Union([Schema.String, Schema.Array(MessageBlock)])

/** Tokens that a message or a turn used. */
export interface TokenUsage extends Schema.Schema.Type<typeof TokenUsage> {}
export const TokenUsage = Schema.Struct({
  input_tokens: nullish(Schema.Finite),
  output_tokens: nullish(Schema.Finite),
  cache_creation_input_tokens: nullish(Schema.Finite),
  cache_read_input_tokens: nullish(Schema.Finite)
}).annotate({ identifier: "TokenUsage" })

/** Tokens and cost of one model in a turn. */
export interface ModelUsage extends Schema.Schema.Type<typeof ModelUsage> {}
export const ModelUsage = Schema.Struct({
  inputTokens: nullish(Schema.Finite),
  outputTokens: nullish(Schema.Finite),
  cacheReadInputTokens: nullish(Schema.Finite),
  cacheCreationInputTokens: nullish(Schema.Finite),
  webSearchRequests: nullish(Schema.Finite),
  /** US dollars. */
  costUSD: nullish(Schema.Finite)
}).annotate({ identifier: "ModelUsage" })

/** The first message of a turn: what the agent works with. `session_id` is the Claude SDK's, not Ash's. */
export interface SystemInit extends Schema.Schema.Type<typeof SystemInit> {}
export const SystemInit = tagged("SystemInit", {
  type: Schema.Literal("system"),
  subtype: Schema.Literal("init"),
  session_id: nullish(Schema.String),
  cwd: nullish(Schema.String),
  model: nullish(Schema.String),
  tools: nullish(Schema.Array(Schema.String)),
  permissionMode: nullish(Schema.String),
  mcp_servers: nullish(Schema.Array(Schema.Json))
}).annotate({ identifier: "SystemInit" })

/** What the agent wrote: one content block a message as a rule, several messages with one `message.id`. */
export interface AssistantMessage extends Schema.Schema.Type<typeof AssistantMessage> {}
export const AssistantMessage = tagged("Assistant", {
  type: Schema.Literal("assistant"),
  message: Schema.Struct({
    id: nullish(Schema.String),
    model: nullish(Schema.String),
    content: MessageContent,
    stop_reason: nullish(Schema.String),
    usage: nullish(TokenUsage)
  }),
  /** The tool call that started the subagent whose message this is; absent or null for the agent itself. */
  parent_tool_use_id: nullish(Schema.String),
  session_id: nullish(Schema.String),
  /** The same when a server delivers the message twice. */
  uuid: nullish(Schema.String)
}).annotate({ identifier: "AssistantMessage" })

/** What went to the model in the user's place: tool results above all, and the prompts of subagents. */
export interface UserMessage extends Schema.Schema.Type<typeof UserMessage> {}
export const UserMessage = tagged("User", {
  type: Schema.Literal("user"),
  message: Schema.Struct({ content: MessageContent }),
  parent_tool_use_id: nullish(Schema.String),
  session_id: nullish(Schema.String),
  uuid: nullish(Schema.String),
  /** The tool's own answer, in the tool's own shape. */
  tool_use_result: nullish(Schema.Json)
}).annotate({ identifier: "UserMessage" })

/** How a turn ended, what it cost and what it used. */
export interface ResultMessage extends Schema.Schema.Type<typeof ResultMessage> {}
export const ResultMessage = tagged("Result", {
  type: Schema.Literal("result"),
  /** `success`, `error_max_turns`, `error_max_budget_usd`, `error_during_execution` and others. */
  subtype: nullish(Schema.String),
  /** Not to be relied on: a limit that was reached comes with false, a failed model call with `success` and true. */
  is_error: nullish(Schema.Boolean),
  /** The answer; absent unless the subtype is `success`. */
  result: nullish(Schema.String),
  structured_output: nullish(Schema.Json),
  num_turns: nullish(Schema.Finite),
  stop_reason: nullish(Schema.String),
  /** Milliseconds. */
  duration_ms: nullish(Schema.Finite),
  /** US dollars. */
  total_cost_usd: nullish(Schema.Finite),
  usage: nullish(TokenUsage),
  modelUsage: nullish(Schema.Record(Schema.String, fitting(ModelUsage))),
  errors: nullish(Schema.Array(Schema.Json)),
  session_id: nullish(Schema.String),
  uuid: nullish(Schema.String)
}).annotate({ identifier: "ResultMessage" })

/** A piece of a message while the model writes it; only with `includePartialMessages`. */
export interface PartialMessage extends Schema.Schema.Type<typeof PartialMessage> {}
export const PartialMessage = tagged("Partial", {
  type: Schema.Literal("stream_event"),
  /** An event of the Claude Messages API: `message_start`, `content_block_delta` and so on. */
  event: Schema.Json,
  parent_tool_use_id: nullish(Schema.String),
  session_id: nullish(Schema.String),
  uuid: nullish(Schema.String)
}).annotate({ identifier: "PartialMessage" })

const known = [SystemInit, AssistantMessage, UserMessage, ResultMessage, PartialMessage] as const

/** A decoded message with its whole JSON. */
export type WithRaw<Message> = Message & { readonly raw: Schema.Json }

/** The type of a decoded message that keeps its whole JSON. */
export const withRaw = <Fields extends Schema.Struct.Fields>(member: Schema.Struct<Fields>) =>
  Schema.toType(Schema.Struct({ ...member.fields, raw: Schema.Json }))

const decodeKnown = jsonDecoder(Schema.Union(known))

/** Decodes any JSON value: total, a message that is not known or not as expected is `Unknown`. */
export const claudeMessageFromJson = (raw: Schema.Json): ClaudeMessage =>
  Option.match(decodeKnown(raw), {
    onNone: () => ({ _tag: "Unknown", raw }),
    onSome: (message) => ({ ...message, raw })
  })

/**
 * A message of the Claude Agent SDK, with its whole JSON in `raw`. Later versions may add kinds: match those that you use,
 * and handle the rest in `Match.orElse`, `default` or `else`.
 *
 * | message | what it is |
 * | --- | --- |
 * | `SystemInit` | the first message: model, tools, MCP servers, working directory |
 * | `Assistant` | what the agent wrote: text, thinking and calls of tools, as a rule one block in each message |
 * | `User` | what the model received in the user's place: results of tools, prompts of subagents |
 * | `Result` | how the turn ended, its answer, usage and cost |
 * | `Partial` | a piece of a message, read from a `Partial` event by `MessageReader.readPartial`; only with `includePartialMessages` |
 * | `Unknown` | any other message, or one with unexpected fields, as its JSON in `raw` |
 */
export type ClaudeMessage =
  | WithRaw<SystemInit>
  | WithRaw<AssistantMessage>
  | WithRaw<UserMessage>
  | WithRaw<ResultMessage>
  | WithRaw<PartialMessage>
  | UnknownJson
export const ClaudeMessageType = Schema.Union([
  withRaw(SystemInit),
  withRaw(AssistantMessage),
  withRaw(UserMessage),
  withRaw(ResultMessage),
  withRaw(PartialMessage),
  Schema.toType(UnknownJson)
])
export const ClaudeMessage = Schema.Json.pipe(
  Schema.decodeTo(ClaudeMessageType, {
    decode: SchemaGetter.transform(claudeMessageFromJson),
    encode: SchemaGetter.transform(({ raw }) => raw)
  })
).annotate({ identifier: "ClaudeMessage" })
