/** The timeline of a session, as the server stores it: what the agent wrote and did, and changes of the session's state. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as Struct from "effect/Struct"
import { jsonDecoder, readBy } from "./jsonDecoder.ts"
import { JsonText, nullish, open, rowFields, tagged, UnknownJson } from "./Wire.ts"

const data = {
  text: tagged("Text", { text: Schema.String }),
  tool_start: tagged("ToolStart", {
    toolName: nullish(Schema.String),
    toolId: nullish(Schema.String),
    input: nullish(Schema.Json)
  }),
  /** As a rule without the id of the call; `{}` occurs. */
  tool_result: tagged("ToolResult", {
    toolName: nullish(Schema.String),
    toolId: nullish(Schema.String),
    stdout: nullish(Schema.Json),
    stderr: nullish(Schema.Json)
  }),
  reasoning: tagged("Reasoning", { thinking: Schema.String }),
  turn_complete: tagged("TurnComplete", {
    numTurns: nullish(Schema.Finite),
    result: nullish(Schema.String)
  }),
  error: tagged("Error", { error: Schema.String }),
  lifecycle: tagged("Lifecycle", {
    action: open(["created", "paused", "stopped", "ended", "resumed", "forked"]),
    agentName: nullish(Schema.String),
    model: nullish(Schema.String),
    /** How the session was resumed. */
    path: nullish(open(["warm", "cold"])),
    /** Where a cold resume found the workspace. */
    source: nullish(open(["local", "cloud", "fresh"])),
    parentSessionId: nullish(Schema.String)
  }),
  mcp_status: tagged("McpStatus", {
    action: open(["configured", "error"]),
    servers: nullish(Schema.Array(Schema.Json)),
    error: nullish(Schema.String)
  })
}

/** The kind of a session event. Open: a newer server may send others. */
export type SessionEventType = typeof SessionEventType.Type
export const SessionEventType = open(Struct.keys(data))

/** The data of a session event. A kind that is unknown here, or has unexpected data, is `Unknown`. */
export type SessionEventData = typeof SessionEventData.Type
export const SessionEventData = Schema.Union([
  Schema.toType(data.text),
  Schema.toType(data.tool_start),
  Schema.toType(data.tool_result),
  Schema.toType(data.reasoning),
  Schema.toType(data.turn_complete),
  Schema.toType(data.error),
  Schema.toType(data.lifecycle),
  Schema.toType(data.mcp_status),
  Schema.toType(UnknownJson)
]).annotate({ identifier: "SessionEventData" })

const decoders = new Map(Object.entries(data).map(([type, schema]) => [type, jsonDecoder(schema)]))

const row = {
  ...rowFields,
  sessionId: Schema.String,
  type: SessionEventType,
  /** Counts from 1 in each session, apart from the messages. */
  sequence: Schema.Finite
}

const Row = Schema.Struct({ ...row, data: nullish(JsonText) })

const decodeRow = jsonDecoder(Row)

const fromRow = ({ data = null, ...row }: typeof Row.Type) => ({
  ...row,
  data: Option.getOrElse(
    decoders.get(row.type)?.(data) ?? Option.none(),
    (): SessionEventData => ({ _tag: "Unknown", raw: data })
  ),
  raw: data
})

/** An event of a session's timeline: its row, and its data, whose JSON is in `raw`. */
export interface SessionEvent extends Schema.Schema.Type<typeof SessionEvent> {}
export const SessionEvent = readBy(
  Row.pipe(
    Schema.decodeTo(Schema.toType(Schema.Struct({ ...row, data: SessionEventData, raw: Schema.Json })), {
      decode: SchemaGetter.transform(fromRow),
      encode: SchemaGetter.transform(({ raw, ...row }) => ({ ...row, data: raw }))
    })
  ).annotate({ identifier: "SessionEvent" }),
  (json) => Option.map(decodeRow(json), fromRow)
)
