/**
 * What the server derives from a message of the Claude Agent SDK: the frames of the stream (docs/ash.md 4.4) and the
 * events of the timeline (docs/ash.md 4.6).
 */
import type * as Schema from "effect/Schema"
import { elements, field, picked, present, textField } from "./Json.ts"

export interface Frame {
  readonly event: string
  readonly data: Schema.Json
}

/** The bytes of a frame. Effect's encoder is not used: it omits `event: message`, the default name. */
export const encode = ({ data, event }: Frame): Uint8Array =>
  encoder.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)

const encoder = new TextEncoder()

export const sessionStart = (sessionId: string, version: string): Frame => ({
  event: "session_start",
  data: { sessionId, version }
})

export const error = (message: string): Frame => ({ event: "error", data: { error: message } })

/** The error of a reader that takes nothing for too long. */
export const writeTimeout = error("Client write timeout — closing stream")

export const done = (sessionId: string): Frame => ({ event: "done", data: { sessionId } })

/** The frames of a message: the finer ones, then the message itself. */
export const fromMessage = (message: Schema.JsonObject): ReadonlyArray<Frame> => [
  ...finer(message),
  { event: "message", data: message }
]

const finer = (message: Schema.JsonObject): ReadonlyArray<Frame> => {
  switch (message["type"]) {
    case "stream_event":
      return textField(message["event"], "type") === "content_block_delta"
        ? fromDelta(field(message["event"], "delta"))
        : []
    case "assistant":
      return elements(field(message["message"], "content")).flatMap(fromBlock)
    case "user":
      return toolResult(message["tool_use_result"])
    case "result":
      return [turnComplete(message)]
    default:
      return []
  }
}

const turnComplete = (message: Schema.JsonObject) => ({
  event: "turn_complete",
  data: picked(message, { numTurns: "num_turns", result: "result" })
})

const fromDelta = (delta: Schema.Json | undefined): ReadonlyArray<Frame> => {
  if (!isTruthy(delta)) return []
  const event = typeOf(delta)
  const text = textField(delta, "text")
  const thinking = textField(delta, "thinking")
  if (event === "text_delta") return text === undefined ? [] : [{ event, data: { delta: text } }]
  if (event === "thinking_delta") return thinking === undefined ? [] : [{ event, data: { delta: thinking } }]
  return [{ event, data: delta }]
}

const fromBlock = (block: Schema.Json): ReadonlyArray<Frame> => {
  const event = typeOf(block)
  if (event === "text") return []
  if (event === "tool_use") return [{ event, data: picked(block, { id: "id", name: "name", input: "input" }) }]
  // The thinking is sent whole here, also where it was streamed before.
  if (event === "thinking") return [{ event: "thinking_delta", data: picked(block, { delta: "thinking" }) }]
  return [{ event, data: block }]
}

/** The type of a block or a delta, which names its event. Without a type the event is named `undefined`. */
const typeOf = (value: Schema.Json): string => String(field(value, "type"))

const toolResult = (result: Schema.Json | undefined): ReadonlyArray<Frame> =>
  isTruthy(result)
    ? [{
      event: "tool_result",
      data: present({
        tool_use_id: field(result, "tool_use_id"),
        content: field(result, "stdout") ?? field(result, "content"),
        is_error: field(result, "is_error")
      })
    }]
    : []

const isTruthy = (value: Schema.Json | undefined): value is Schema.Json => Boolean(value)

export interface TimelineEntry {
  readonly event: string
  readonly data: Schema.JsonObject
}

export const timeline = (message: Schema.JsonObject): ReadonlyArray<TimelineEntry> => {
  switch (message["type"]) {
    case "assistant":
      return elements(field(message["message"], "content")).flatMap(blockEntry)
    case "user": {
      const result = message["tool_use_result"]
      const names = { toolName: "tool_name", toolId: "tool_use_id", stdout: "stdout", stderr: "stderr" }
      return isTruthy(result) ? [{ event: "tool_result", data: picked(result, names) }] : []
    }
    case "result":
      return [turnComplete(message)]
    default:
      return []
  }
}

const blockEntry = (block: Schema.Json): ReadonlyArray<TimelineEntry> => {
  switch (field(block, "type")) {
    case "text":
      return [{ event: "text", data: picked(block, { text: "text" }) }]
    case "thinking":
      return [{ event: "reasoning", data: picked(block, { thinking: "thinking" }) }]
    case "tool_use":
      return [{ event: "tool_start", data: picked(block, { toolName: "name", toolId: "id", input: "input" }) }]
    default:
      return []
  }
}

/** Whether the server stores a message: those of the agent and the result of the turn, no others. */
export const isStored = (message: Schema.JsonObject): boolean =>
  message["type"] === "assistant" || message["type"] === "result"

/** The text of an agent's message: its text blocks, joined. */
export const textOf = (message: Schema.JsonObject): string => {
  if (message["type"] !== "assistant") return ""
  const content = field(message["message"], "content")
  return typeof content === "string"
    ? content
    : elements(content).map((block) => textField(block, "type") === "text" ? textField(block, "text") : "").join("")
}
