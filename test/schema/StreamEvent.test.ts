import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { type StreamEvent, streamEventFromText } from "../../src/schema/StreamEvent.ts"
import { assistant, sessionId } from "../support/fixtures.ts"
import { AnyJson } from "../support/json.ts"

const fromJson = (name: string, data: Schema.Json) => streamEventFromText(name, JSON.stringify(data))

describe("streamEventFromText", () => {
  const known: ReadonlyArray<readonly [name: string, data: Schema.Json, expected: StreamEvent]> = [
    ["session_start", { sessionId, version: "0.2.0" }, { _tag: "SessionStart", sessionId, version: "0.2.0" }],
    ["text_delta", { delta: "Hel" }, { _tag: "TextDelta", delta: "Hel" }],
    ["thinking_delta", { delta: "Hm" }, { _tag: "ThinkingDelta", delta: "Hm" }],
    [
      "tool_use",
      { id: "toolu_1", name: "Bash", input: { command: "ls" } },
      { _tag: "ToolUse", id: "toolu_1", name: "Bash", input: { command: "ls" } }
    ],
    ["tool_use", {}, { _tag: "ToolUse" }],
    ["tool_result", {}, { _tag: "ToolResult" }],
    [
      "tool_result",
      { tool_use_id: "toolu_1", content: [{ type: "text" }], is_error: true },
      { _tag: "ToolResult", tool_use_id: "toolu_1", content: [{ type: "text" }], is_error: true }
    ],
    ["turn_complete", { numTurns: 2, result: "Hi." }, { _tag: "TurnComplete", numTurns: 2, result: "Hi." }],
    ["turn_complete", { numTurns: 2 }, { _tag: "TurnComplete", numTurns: 2 }],
    ["error", { error: "boom" }, { _tag: "TurnError", error: "boom" }],
    ["error", { error: "boom", message: "" }, { _tag: "TurnError", error: "boom" }],
    ["done", { sessionId: "" }, { _tag: "Done", sessionId: "" }],
    ["done", {}, { _tag: "Done" }],
    ["session_end", { sessionId }, { _tag: "SessionEnd", sessionId }]
  ]

  it.each(known)("%s %j", (name, data, expected) => {
    assert.deepStrictEqual(fromJson(name, data), expected)
  })

  it("message carries a message of the Claude Agent SDK", () => {
    const json = assistant([{ type: "text", text: "Hi." }])
    const event = fromJson("message", json as unknown as Schema.Json)
    assert.strictEqual(event._tag, "Message")
    assert.strictEqual(event._tag === "Message" ? event.message._tag : "", "Assistant")
  })

  it("message keeps what is no message of the Claude Agent SDK", () => {
    assert.deepStrictEqual(streamEventFromText("message", "not json"), {
      _tag: "Message",
      message: { _tag: "Unknown", raw: "not json" }
    })
  })

  it("fields that a newer server adds, and nulls, do not make a known event unknown", () => {
    assert.strictEqual(fromJson("text_delta", { delta: "x", index: 4 })._tag, "TextDelta")
    assert.strictEqual(fromJson("tool_use", { id: null, name: null, input: null })._tag, "ToolUse")
    assert.strictEqual(fromJson("turn_complete", { numTurns: null, result: null })._tag, "TurnComplete")
    assert.strictEqual(fromJson("done", { sessionId: null })._tag, "Done")
    assert.strictEqual(fromJson("session_start", { sessionId, version: null })._tag, "SessionStart")
  })

  const malformed: ReadonlyArray<readonly [name: string, data: Schema.Json]> = [
    ["session_start", null],
    ["text_delta", { delta: null }],
    ["text_delta", "not json"],
    ["thinking_delta", []],
    ["tool_result", "text"],
    ["done", { type: "done", data: "x" }],
    ["session_end", 7]
  ]

  it.each(malformed)("%s with other data, %j, is unknown and complete", (event, data) => {
    assert.deepStrictEqual(fromJson(event, data), { _tag: "Unknown", event, data })
  })

  const reasons: ReadonlyArray<readonly [data: string, error: string]> = [
    [
      "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
      "Overloaded (overloaded_error)"
    ],
    [
      "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"\"}}",
      "overloaded_error"
    ],
    ["{\"error\":{\"message\":\"Overloaded\"}}", "Overloaded"],
    ["{\"error\":{\"error\":{\"message\":\"deep\"}}}", "deep"],
    ["{\"message\":\"boom\"}", "boom"],
    ["{\"message\":{\"message\":\"boom\"}}", "boom"],
    ["{\"error\":\"Bad Gateway\",\"message\":\"the sandbox died\"}", "the sandbox died"],
    ["{\"error\":\"boom\",\"type\":\"error\"}", "boom"],
    ["{\"error\":null,\"message\":\"boom\"}", "boom"],
    ["{\"error\":5}", "{\"error\":5}"],
    ["{}", "{}"],
    ["[\"boom\"]", "[\"boom\"]"],
    ["null", ""],
    ["", ""],
    ["false", "false"],
    ["\"boom\"", "boom"],
    ["502 Bad Gateway", "502 Bad Gateway"],
    [`${"{\"error\":".repeat(20_000)}"deep"${"}".repeat(20_000)}`, "deep"],
    ["[".repeat(20_000) + "]".repeat(20_000), "[".repeat(20_000) + "]".repeat(20_000)]
  ]

  it.each(reasons)("error of any shape has the server's text: %.60s", (data, error) => {
    const event = streamEventFromText("error", data)
    assert.strictEqual(event._tag, "TurnError")
    assert.strictEqual(event._tag === "TurnError" ? event.error : undefined, error)
    assert.isTrue(event._tag === "TurnError" && "raw" in event)
  })

  it.each(["null", "", "[DONE]", "[]", "{\"sessionId\":5}"])("done of any shape is an end: %j", (data) => {
    assert.deepStrictEqual(streamEventFromText("done", data), { _tag: "Done" })
  })

  it.each(["input_json_delta", "redacted_thinking", "undefined", "__proto__", "constructor", "toString", ""])(
    "the name %j is unknown",
    (event) => {
      assert.deepStrictEqual(fromJson(event, { a: [1] }), { _tag: "Unknown", event, data: { a: [1] } })
    }
  )

  const names = Schema.Union([
    Schema.Literals(["session_start", "message", "text_delta", "thinking_delta", "tool_use", "tool_result"]),
    Schema.Literals(["turn_complete", "error", "done", "session_end"]),
    Schema.String
  ])

  it.prop("takes any name with any JSON", { name: names, data: AnyJson }, ({ data, name }) => {
    const event = fromJson(name, data)
    // As it was on the wire, which has no negative zero.
    const sent: Schema.Json = JSON.parse(JSON.stringify(data))
    if (name === "error") assert.strictEqual(event._tag, "TurnError")
    if (event._tag === "Unknown") assert.deepStrictEqual(event, { _tag: "Unknown", event: name, data: sent })
    if (event._tag === "Message") assert.deepStrictEqual(event.message.raw, sent)
  })
})
