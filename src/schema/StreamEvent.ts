/**
 * The events of a turn, as the server streams them. Known names decode to tagged events. An unknown name, or a known
 * name with unexpected data, becomes `Unknown`. Decoding never fails.
 */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { claudeMessageFromJson, ClaudeMessageType } from "./ClaudeMessage.ts"
import { jsonDecoder } from "./jsonDecoder.ts"
import { copyOf, nullish, parseJson, tagged } from "./Wire.ts"

/** The first event: the turn has begun. */
export interface SessionStartEvent extends Schema.Schema.Type<typeof SessionStartEvent> {}
export const SessionStartEvent = tagged("SessionStart", {
  sessionId: nullish(Schema.String),
  /** The version of the server. */
  version: nullish(Schema.String)
}).annotate({ identifier: "SessionStartEvent" })

/** A message of the Claude Agent SDK. It follows the finer events that the server made from it. */
export interface ClaudeMessageEvent extends Schema.Schema.Type<typeof ClaudeMessageEvent> {}
export const ClaudeMessageEvent = tagged("Message", { message: ClaudeMessageType })
  .annotate({ identifier: "ClaudeMessageEvent" })

/**
 * A piece of a message while the model writes it, a `stream_event` of the Claude Agent SDK; only with
 * `includePartialMessages`. A turn has thousands of them, and a finer event before each has its text. So its JSON
 * is not parsed; `MessageReader.readPartial` does that.
 */
export interface PartialEvent extends Schema.Schema.Type<typeof PartialEvent> {}
export const PartialEvent = Schema.TaggedStruct("Partial", { json: Schema.String })
  .annotate({ identifier: "PartialEvent" })

/** A piece of text; only with `includePartialMessages`. */
export interface TextDeltaEvent extends Schema.Schema.Type<typeof TextDeltaEvent> {}
export const TextDeltaEvent = tagged("TextDelta", { delta: Schema.String }).annotate({ identifier: "TextDeltaEvent" })

/** A piece of thinking. One more event has the whole text of each thinking block, with or without partial messages. */
export interface ThinkingDeltaEvent extends Schema.Schema.Type<typeof ThinkingDeltaEvent> {}
export const ThinkingDeltaEvent = tagged("ThinkingDelta", { delta: Schema.String })
  .annotate({ identifier: "ThinkingDeltaEvent" })

const replacement = { abandoned: Schema.String, text: Schema.String } as const

/**
 * Made by this package, not sent by the server: the pieces of text received so far, `abandoned`, differ from the
 * complete message. `text` replaces them: the text of the message that follows, or empty if the model was asked again.
 */
export interface TextReplacedEvent extends Schema.Schema.Type<typeof TextReplacedEvent> {}
export const TextReplacedEvent = Schema.TaggedStruct("TextReplaced", replacement)
  .annotate({ identifier: "TextReplacedEvent" })

/** The same as `TextReplaced`, for thinking. */
export interface ThinkingReplacedEvent extends Schema.Schema.Type<typeof ThinkingReplacedEvent> {}
export const ThinkingReplacedEvent = Schema.TaggedStruct("ThinkingReplaced", replacement)
  .annotate({ identifier: "ThinkingReplacedEvent" })

/** The agent calls a tool. */
export interface ToolUseEvent extends Schema.Schema.Type<typeof ToolUseEvent> {}
export const ToolUseEvent = tagged("ToolUse", {
  id: nullish(Schema.String),
  name: nullish(Schema.String),
  input: nullish(Schema.Json)
}).annotate({ identifier: "ToolUseEvent" })

/** A tool returned its result. Its id is usually absent; the `User` message that follows has it. */
export interface ToolResultEvent extends Schema.Schema.Type<typeof ToolResultEvent> {}
export const ToolResultEvent = tagged("ToolResult", {
  tool_use_id: nullish(Schema.String),
  content: nullish(Schema.Json),
  is_error: nullish(Schema.Boolean)
}).annotate({ identifier: "ToolResultEvent" })

/** The agent is done; the `Result` message and `Done` follow. */
export interface TurnCompleteEvent extends Schema.Schema.Type<typeof TurnCompleteEvent> {}
export const TurnCompleteEvent = tagged("TurnComplete", {
  numTurns: nullish(Schema.Finite),
  result: nullish(Schema.String)
}).annotate({ identifier: "TurnCompleteEvent" })

/** The turn failed. Terminal. */
export interface TurnErrorEvent extends Schema.Schema.Type<typeof TurnErrorEvent> {}
export const TurnErrorEvent = tagged("TurnError", {
  /** The reason that the server gives; empty if there is none. */
  error: Schema.String,
  /** The whole data, unless it is the `{ error }` of known servers. */
  raw: Schema.optionalKey(Schema.Json)
}).annotate({ identifier: "TurnErrorEvent" })

/** The turn ended. Terminal. One with an empty or another `sessionId` ends something else and becomes `Unknown`. */
export interface DoneEvent extends Schema.Schema.Type<typeof DoneEvent> {}
export const DoneEvent = tagged("Done", { sessionId: nullish(Schema.String) }).annotate({ identifier: "DoneEvent" })

/** Declared by the server's types; no known server sends it. */
export interface SessionEndEvent extends Schema.Schema.Type<typeof SessionEndEvent> {}
export const SessionEndEvent = tagged("SessionEnd", { sessionId: nullish(Schema.String) })
  .annotate({ identifier: "SessionEndEvent" })

/** An event that this package does not know: its name, and its data as JSON, or as text if it is not JSON. */
export interface UnknownEvent extends Schema.Schema.Type<typeof UnknownEvent> {}
export const UnknownEvent = Schema.TaggedStruct("Unknown", { event: Schema.String, data: Schema.Json })
  .annotate({ identifier: "UnknownEvent" })

/**
 * An event of a turn. Later versions may add events: match those that you use, and handle the rest in `Match.orElse`,
 * `default` or `else`. The JSON of the schema keeps `_tag`, since two events may have the same data.
 *
 * | event | what it is |
 * | --- | --- |
 * | `SessionStart` | the turn has begun; the first event |
 * | `TextDelta` | a piece of text; only with `includePartialMessages` |
 * | `ThinkingDelta` | a piece of thinking, and the whole text of each thinking block once more |
 * | `Partial` | a piece in the form of the model's API, as JSON that `MessageReader.readPartial` reads; only with `includePartialMessages` |
 * | `TextReplaced` | made by this package: `text` replaces the pieces of text in `abandoned` |
 * | `ThinkingReplaced` | made by this package: `text` replaces the pieces of thinking in `abandoned` |
 * | `ToolUse` | the agent calls a tool |
 * | `ToolResult` | a tool returned its result |
 * | `Message` | a complete message of the Claude Agent SDK; it follows the finer events that repeat its parts |
 * | `TurnComplete` | the agent is done; the `Result` message and `Done` follow |
 * | `Done` | the turn ended; the last event |
 * | `TurnError` | the turn failed; the stream of a turn fails with `TurnFailed` instead of emitting it |
 * | `SessionEnd` | declared by the server's types; no known server sends it |
 * | `Unknown` | any other event, or one with unexpected data: its name and its JSON |
 */
export type StreamEvent =
  | SessionStartEvent
  | ClaudeMessageEvent
  | PartialEvent
  | TextDeltaEvent
  | ThinkingDeltaEvent
  | TextReplacedEvent
  | ThinkingReplacedEvent
  | ToolUseEvent
  | ToolResultEvent
  | TurnCompleteEvent
  | TurnErrorEvent
  | DoneEvent
  | SessionEndEvent
  | UnknownEvent
export const StreamEvent = Schema.Union([
  Schema.toType(SessionStartEvent),
  Schema.toType(ClaudeMessageEvent),
  Schema.toType(PartialEvent),
  Schema.toType(TextDeltaEvent),
  Schema.toType(ThinkingDeltaEvent),
  Schema.toType(TextReplacedEvent),
  Schema.toType(ThinkingReplacedEvent),
  Schema.toType(ToolUseEvent),
  Schema.toType(ToolResultEvent),
  Schema.toType(TurnCompleteEvent),
  Schema.toType(TurnErrorEvent),
  Schema.toType(DoneEvent),
  Schema.toType(SessionEndEvent),
  Schema.toType(UnknownEvent)
]).annotate({ identifier: "StreamEvent" })

/** Decodes the data of an event, the part of `text` from `start` to before `end`; `undefined` if it is unexpected. */
type FromText = (text: string, start: number, end: number) => StreamEvent | undefined

const isOfType = (type: string, json: Schema.Json | undefined): boolean =>
  Predicate.hasProperty(json, "type") && json.type === type

/** How known servers begin a piece of a message. Data that begins differently is parsed to find its type. */
const piece = "{\"type\":\"stream_event\""

const messageFromText: FromText = (text, start, end) => {
  const data = text.slice(start, end)
  if (text.startsWith(piece, start)) return { _tag: "Partial", json: data }
  const json = parseJson(data)
  return isOfType("stream_event", json)
    ? { _tag: "Partial", json: data }
    : { _tag: "Message", message: claudeMessageFromJson(json) }
}

const fromText = <A extends StreamEvent>(schema: Schema.Decoder<A>): FromText => {
  const decode = jsonDecoder(schema)
  return (text, start, end) => Option.getOrUndefined(decode(parseJson(text.slice(start, end))))
}

/** How known servers begin and end a delta. Data with more fields is parsed as a whole. */
const deltaStart = "{\"delta\":\""
const quote = 34
const backslash = 92
const closingBrace = 125

/** Engines copy a substring shorter than this. A longer one keeps the whole text in memory. */
const copied = 13

/** Whether the text of a JSON string needs no unescaping (RFC 8259, section 7). */
const isPlain = (text: string, start: number, end: number): boolean => {
  for (let index = start; index < end; index++) {
    const code = text.charCodeAt(index)
    if (code < 32 || code === quote || code === backslash) return false
  }
  return true
}

const deltaFromText = <A extends TextDeltaEvent | ThinkingDeltaEvent>(
  tag: A["_tag"],
  schema: Schema.Decoder<A>
): FromText => {
  const decode = fromText(schema)
  return (text, start, end) => {
    if (text.startsWith(deltaStart, start) && text.charCodeAt(end - 1) === closingBrace) {
      const from = start + deltaStart.length
      const to = end - 2
      if (to >= from && to - from < copied && text.charCodeAt(to) === quote && isPlain(text, from, to)) {
        return { _tag: tag, delta: text.slice(from, to) }
      }
      const json = parseJson(text.slice(from - 1, end - 1), null)
      if (typeof json === "string") return { _tag: tag, delta: json }
    }
    return decode(text, start, end)
  }
}

const decodeDone = jsonDecoder(DoneEvent)

/**
 * Servers name what they pass on by its `type`, so that one of the type `done` may be a block of the agent. The server's own
 * has no type, and is an end, whatever else its data holds.
 */
const doneFromText: FromText = (text, start, end) => {
  const json = parseJson(text.slice(start, end))
  return isOfType("done", json)
    ? undefined
    : Option.getOrElse(decodeDone(json), (): DoneEvent => ({ _tag: "Done" }))
}

/** The reason in the data of an `error`, however servers and model APIs nest it; `undefined` if there is no text. */
const reasonIn = (json: Schema.Json): string | undefined => {
  let reason: unknown = json
  while (Predicate.isObject(reason)) {
    const { error, message, type } = reason
    if (Predicate.isString(message) && !Predicate.isObject(error)) {
      const kind = Predicate.isString(type) && type !== "error" ? type : ""
      if (message !== "") return kind === "" ? message : `${message} (${kind})`
      if (kind !== "" && !Predicate.isString(error)) return kind
    }
    reason = error ?? message
  }
  return Predicate.isString(reason) ? reason : undefined
}

const errorFromText: FromText = (text, start, end) => {
  const data = text.slice(start, end)
  const raw = parseJson(data)
  const error = reasonIn(raw) ?? (raw === null ? "" : data)
  const isUsual = Predicate.hasProperty(raw, "error") && raw.error === error && !Predicate.hasProperty(raw, "type")
  return isUsual ? { _tag: "TurnError", error } : { _tag: "TurnError", error, raw }
}

/** Whether the error may be a block of the agent, which servers pass on under the same name. */
export const mayBeBlock = ({ raw }: TurnErrorEvent): boolean => isOfType("error", raw)

/** The events of a name. */
export interface StreamEventKind {
  /** Not a part of what was parsed: parsers keep it. */
  readonly name: string
  /** Whether the event ends a turn even without data. The SSE standard drops events without data. */
  readonly isTerminal: boolean
  readonly decode: (text: string, start: number, end: number) => StreamEvent
}

const makeKind = (name: string, fromText?: FromText, isTerminal = false): StreamEventKind => ({
  name,
  isTerminal,
  decode: (text, start, end) =>
    fromText?.(text, start, end) ?? { _tag: "Unknown", event: name, data: parseJson(text.slice(start, end)) }
})

const kinds = new Map([
  makeKind("session_start", fromText(SessionStartEvent)),
  makeKind("message", messageFromText),
  makeKind("text_delta", deltaFromText("TextDelta", TextDeltaEvent)),
  makeKind("thinking_delta", deltaFromText("ThinkingDelta", ThinkingDeltaEvent)),
  makeKind("tool_use", fromText(ToolUseEvent)),
  makeKind("tool_result", fromText(ToolResultEvent)),
  makeKind("turn_complete", fromText(TurnCompleteEvent)),
  makeKind("error", errorFromText, true),
  makeKind("done", doneFromText, true),
  makeKind("session_end", fromText(SessionEndEvent))
].map((kind) => [kind.name, kind]))

/** The last kind with a name of each length, for all streams: there are few names, and none is looked up twice in a row. */
const last: Array<StreamEventKind> = []

/** Lengths of names that are known again. */
const longestName = 32

/**
 * The decoder for events of a name, which stands in a text from `start` to before `end`. Total: unexpected data becomes
 * `Unknown`.
 */
export const streamEventKind = (text: string, start = 0, end = text.length): StreamEventKind => {
  const known = last[end - start]
  if (known !== undefined && text.startsWith(known.name, start)) return known
  const name = text.slice(start, end)
  const kind = kinds.get(name) ?? makeKind(copyOf(name))
  if (name.length < longestName) last[name.length] = kind
  return kind
}

/** Decodes the name and the data of an event. */
export const streamEventFromText = (event: string, data: string): StreamEvent =>
  streamEventKind(event).decode(data, 0, data.length)
