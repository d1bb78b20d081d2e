/**
 * What an event stream means, by slower ways than the package's: by the standard (HTML, section 9.2.6), written as
 * it has it, for a text as a whole; and by Effect's own parser, piece by piece. Events are decoded by their schemas.
 */
import * as Sse from "effect/encoding/Sse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { claudeMessageFromJson } from "../../src/schema/ClaudeMessage.ts"
import * as Events from "../../src/schema/StreamEvent.ts"
import { parseJson } from "../../src/schema/Wire.ts"

const schemas: Readonly<Record<string, Schema.Decoder<Events.StreamEvent>>> = {
  session_start: Events.SessionStartEvent,
  text_delta: Events.TextDeltaEvent,
  thinking_delta: Events.ThinkingDeltaEvent,
  tool_use: Events.ToolUseEvent,
  tool_result: Events.ToolResultEvent,
  turn_complete: Events.TurnCompleteEvent,
  session_end: Events.SessionEndEvent
}

const typeOf = (json: Schema.Json) =>
  typeof json === "object" && json !== null && "type" in json ? json.type : undefined

/** Beyond the standard an end is one without data, too. */
const isTerminal = (name: string) => name === "error" || name === "done"

const eventOf = (name: string, data: string): Events.StreamEvent => {
  const json = parseJson(data)
  if (name === "message") {
    return typeOf(json) === "stream_event"
      ? { _tag: "Partial", json: data }
      : { _tag: "Message", message: claudeMessageFromJson(json) }
  }
  if (isTerminal(name)) return Events.streamEventFromText(name, data)
  const schema = Object.hasOwn(schemas, name) ? schemas[name] : undefined
  const decoded = schema === undefined ? Option.none() : Schema.decodeOption(schema)(json)
  return Option.getOrElse(decoded, () => ({ _tag: "Unknown", event: name, data: json }))
}

export const eventsByStandard = (bytes: Uint8Array): ReadonlyArray<Events.StreamEvent> => {
  const lines = new TextDecoder("utf-8").decode(bytes).split(/\r\n|\n|\r/)
  // What is not ended by a line end is not processed.
  lines.pop()
  const events: Array<Events.StreamEvent> = []
  let name = ""
  let data = ""
  for (const line of lines) {
    if (line === "") {
      if (data !== "" || isTerminal(name)) events.push(eventOf(name === "" ? "message" : name, data.slice(0, -1)))
      name = ""
      data = ""
      continue
    }
    const colon = line.indexOf(":")
    if (colon === 0) continue
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "")
    if (field === "event") name = value
    if (field === "data") data += `${value}\n`
  }
  return events
}

/** The events, and whether one was larger than so many characters. */
export const eventsByEffect = (chunks: ReadonlyArray<Uint8Array>, maxEventSize = Infinity) => {
  const events: Array<Events.StreamEvent> = []
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  const parser = Sse.makeParser((event) => {
    if (event._tag === "Event") events.push(eventOf(event.event, event.data))
  }, { maxEventSize })
  const isTooLarge = chunks.some((chunk) => parser.feed(decoder.decode(chunk, { stream: true })) !== undefined)
  return { events, isTooLarge }
}
