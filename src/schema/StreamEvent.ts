/**
 * The events of a turn, as the server streams them. Known names decode to tagged events; an unknown name, or a known
 * one whose data is not as expected, is kept as `Unknown`. No event of any server fails to decode.
 */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { claudeMessageFromJson, ClaudeMessageType } from "./ClaudeMessage.ts"
import { nullish } from "./Wire.ts"

/** The first event: the turn has begun. */
export interface SessionStartEvent extends Schema.Schema.Type<typeof SessionStartEvent> {}
export const SessionStartEvent = Schema.Struct({
  _tag: Schema.tagDefaultOmit("SessionStart"),
  sessionId: Schema.String,
  /** The version of the server. */
  version: nullish(Schema.String)
}).annotate({ identifier: "SessionStartEvent" })

/** A message of the Claude Agent SDK, after the finer events that were made from it. */
export interface MessageEvent extends Schema.Schema.Type<typeof MessageEvent> {}
export const MessageEvent = Schema.Struct({
  _tag: Schema.tagDefaultOmit("Message"),
  message: ClaudeMessageType
}).annotate({ identifier: "MessageEvent" })

/** A piece of text; only with `includePartialMessages`. */
export interface TextDeltaEvent extends Schema.Schema.Type<typeof TextDeltaEvent> {}
export const TextDeltaEvent = Schema.Struct({
  _tag: Schema.tagDefaultOmit("TextDelta"),
  delta: Schema.String
}).annotate({ identifier: "TextDeltaEvent" })

/** A piece of thinking, and once more, with or without partial messages, the whole text of each thinking block. */
export interface ThinkingDeltaEvent extends Schema.Schema.Type<typeof ThinkingDeltaEvent> {}
export const ThinkingDeltaEvent = Schema.Struct({
  _tag: Schema.tagDefaultOmit("ThinkingDelta"),
  delta: Schema.String
}).annotate({ identifier: "ThinkingDeltaEvent" })

/** The agent calls a tool. */
export interface ToolUseEvent extends Schema.Schema.Type<typeof ToolUseEvent> {}
export const ToolUseEvent = Schema.Struct({
  _tag: Schema.tagDefaultOmit("ToolUse"),
  id: nullish(Schema.String),
  name: nullish(Schema.String),
  input: nullish(Schema.Json)
}).annotate({ identifier: "ToolUseEvent" })

/** A tool answered. The id is absent as a rule; the `User` message that follows has it. */
export interface ToolResultEvent extends Schema.Schema.Type<typeof ToolResultEvent> {}
export const ToolResultEvent = Schema.Struct({
  _tag: Schema.tagDefaultOmit("ToolResult"),
  tool_use_id: nullish(Schema.String),
  content: nullish(Schema.Json),
  is_error: nullish(Schema.Boolean)
}).annotate({ identifier: "ToolResultEvent" })

/** The agent is done; the `Result` message and `Done` follow. */
export interface TurnCompleteEvent extends Schema.Schema.Type<typeof TurnCompleteEvent> {}
export const TurnCompleteEvent = Schema.Struct({
  _tag: Schema.tagDefaultOmit("TurnComplete"),
  numTurns: nullish(Schema.Finite),
  result: nullish(Schema.String)
}).annotate({ identifier: "TurnCompleteEvent" })

/** The turn failed. Terminal. */
export interface TurnErrorEvent extends Schema.Schema.Type<typeof TurnErrorEvent> {}
export const TurnErrorEvent = Schema.Struct({
  _tag: Schema.tagDefaultOmit("TurnError"),
  error: Schema.String
}).annotate({ identifier: "TurnErrorEvent" })

/** The turn ended. Terminal. The end of something else, whose `sessionId` is another or empty, is kept as `Unknown`. */
export interface DoneEvent extends Schema.Schema.Type<typeof DoneEvent> {}
export const DoneEvent = Schema.Struct({
  _tag: Schema.tagDefaultOmit("Done"),
  sessionId: nullish(Schema.String)
}).annotate({ identifier: "DoneEvent" })

/** Declared by the server's types; no known server sends it. */
export interface SessionEndEvent extends Schema.Schema.Type<typeof SessionEndEvent> {}
export const SessionEndEvent = Schema.Struct({
  _tag: Schema.tagDefaultOmit("SessionEnd"),
  sessionId: nullish(Schema.String)
}).annotate({ identifier: "SessionEndEvent" })

/** An event that is not known here: its name, and its data as JSON, or as text where it is no JSON. */
export interface UnknownEvent extends Schema.Schema.Type<typeof UnknownEvent> {}
export const UnknownEvent = Schema.TaggedStruct("Unknown", {
  event: Schema.String,
  data: Schema.Json
}).annotate({ identifier: "UnknownEvent" })

/** An event of a turn. */
export type StreamEvent = typeof StreamEvent.Type
export const StreamEvent = Schema.Union([
  SessionStartEvent,
  MessageEvent,
  TextDeltaEvent,
  ThinkingDeltaEvent,
  ToolUseEvent,
  ToolResultEvent,
  TurnCompleteEvent,
  TurnErrorEvent,
  DoneEvent,
  SessionEndEvent,
  UnknownEvent
]).annotate({ identifier: "StreamEvent" })

const decodeDone = Schema.decodeUnknownOption(DoneEvent)

/** Servers name what they pass on after its `type`, be it `done`; an end that is their own has no type. */
const hasType = (data: Schema.Json) => Predicate.hasProperty(data, "type")

const decoders = new Map<string, (data: Schema.Json) => Option.Option<StreamEvent>>([
  ["session_start", Schema.decodeUnknownOption(SessionStartEvent)],
  ["message", (data) => Option.some({ _tag: "Message", message: claudeMessageFromJson(data) })],
  ["text_delta", Schema.decodeUnknownOption(TextDeltaEvent)],
  ["thinking_delta", Schema.decodeUnknownOption(ThinkingDeltaEvent)],
  ["tool_use", Schema.decodeUnknownOption(ToolUseEvent)],
  ["tool_result", Schema.decodeUnknownOption(ToolResultEvent)],
  ["turn_complete", Schema.decodeUnknownOption(TurnCompleteEvent)],
  ["error", Schema.decodeUnknownOption(TurnErrorEvent)],
  ["done", (data) => hasType(data) ? Option.none() : decodeDone(data)],
  ["session_end", Schema.decodeUnknownOption(SessionEndEvent)]
])

/** Decodes the name and the data of an event. Total. */
export const streamEventFromJson = (event: string, data: Schema.Json): StreamEvent =>
  Option.getOrElse(
    decoders.get(event)?.(data) ?? Option.none(),
    () => ({ _tag: "Unknown", event, data })
  )
