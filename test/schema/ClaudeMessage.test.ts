import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ClaudeMessage, claudeMessageFromJson } from "../../src/schema/ClaudeMessage.ts"
import { assistant, result, user } from "../support/fixtures.ts"

const decode = (json: unknown) => claudeMessageFromJson(json as Schema.Json)

describe("claudeMessageFromJson", () => {
  it("system init", () => {
    const json = {
      type: "system",
      subtype: "init",
      cwd: "/workspace",
      model: "claude",
      tools: ["Bash"],
      mcp_servers: [{ name: "m", status: "connected" }],
      session_id: "sdk-1",
      slash_commands: ["compact"]
    }
    const message = decode(json)
    assert.strictEqual(message._tag, "SystemInit")
    assert.deepStrictEqual(message._tag === "SystemInit" ? message.tools : [], ["Bash"])
    assert.deepStrictEqual(message.raw, json)
  })

  it("assistant with a block of each kind", () => {
    const json = assistant([
      { type: "thinking", thinking: "Hm", signature: "s" },
      { type: "text", text: "Hi." },
      { type: "tool_use", id: "toolu_1", name: "Bash", input: { command: "ls" } },
      { type: "server_tool_use", id: "x", name: "web_search" },
      { type: "text", text: 5 },
      "bare"
    ], { uuid: "u1" })
    const message = decode(json)
    assert.strictEqual(message._tag, "Assistant")
    if (message._tag !== "Assistant") return
    assert.deepStrictEqual(message.message.content, [
      { _tag: "Thinking", type: "thinking", thinking: "Hm", signature: "s" },
      { _tag: "Text", type: "text", text: "Hi." },
      { _tag: "ToolUse", type: "tool_use", id: "toolu_1", name: "Bash", input: { command: "ls" } },
      { _tag: "Unknown", raw: { type: "server_tool_use", id: "x", name: "web_search" } },
      { _tag: "Unknown", raw: { type: "text", text: 5 } },
      { _tag: "Unknown", raw: "bare" }
    ])
    assert.strictEqual(message.uuid, "u1")
    assert.deepStrictEqual(message.raw, json)
  })

  it("assistant and user whose content is a text", () => {
    const message = decode(assistant("Hi."))
    assert.strictEqual(message._tag === "Assistant" ? message.message.content : undefined, "Hi.")
    const prompt = decode(user("Hello"))
    assert.strictEqual(prompt._tag === "User" ? prompt.message.content : undefined, "Hello")
  })

  it("user with a tool result, its answer in whatever shape", () => {
    const json = user(
      [{ type: "tool_result", tool_use_id: "toolu_1", content: [{ type: "text", text: "one" }], is_error: null }],
      { tool_use_result: "Error: no such file" }
    )
    const message = decode(json)
    assert.deepStrictEqual(message._tag === "User" ? message.message.content : undefined, [
      {
        _tag: "ToolResult",
        type: "tool_result",
        tool_use_id: "toolu_1",
        content: [{ type: "text", text: "one" }],
        is_error: null
      }
    ])
    assert.strictEqual(message._tag === "User" ? message.tool_use_result : undefined, "Error: no such file")
  })

  it("result of any subtype, with or without an answer", () => {
    const message = decode(result)
    assert.strictEqual(message._tag, "Result")
    assert.strictEqual(message._tag === "Result" ? message.total_cost_usd : undefined, 0.00083)
    const limit = decode({ type: "result", subtype: "error_max_turns", is_error: false, usage: null })
    assert.strictEqual(limit._tag === "Result" ? limit.subtype : undefined, "error_max_turns")
    assert.strictEqual(decode({ type: "result", subtype: "error_from_the_future" })._tag, "Result")
  })

  it("partial message", () => {
    const message = decode({ type: "stream_event", event: { type: "message_stop" }, uuid: "u" })
    assert.deepStrictEqual(message._tag === "Partial" ? message.event : undefined, { type: "message_stop" })
  })

  it.each<{ readonly json: Schema.Json }>([
    { json: { type: "system", subtype: "task_started" } },
    { json: { type: "assistant" } },
    { json: { type: "assistant", message: { content: 4 } } },
    { json: { message: { content: "no type" } } },
    { json: { type: "brand_new", message: { content: [] } } },
    { json: [] },
    { json: null },
    { json: "text" },
    { json: 3 }
  ])("what is not known is kept: $json", ({ json }) => {
    assert.deepStrictEqual(decode(json), { _tag: "Unknown", raw: json })
  })

  it("a long nesting is no failure", () => {
    const json = JSON.parse(`${"[".repeat(20_000)}1${"]".repeat(20_000)}`)
    assert.strictEqual(
      decode(assistant([{ type: "tool_use", id: "t", name: "n", input: json }])).raw !== undefined,
      true
    )
  })

  it.prop("takes any JSON and keeps it", { json: Schema.Json }, ({ json }) => {
    assert.deepStrictEqual(claudeMessageFromJson(json).raw, json)
  })

  it.prop(
    "takes any JSON in the place of a block, and of any field",
    {
      json: Schema.Json,
      field: Schema.Literals(["message", "type", "uuid", "parent_tool_use_id", "subtype", "usage"])
    },
    ({ field, json }) => {
      for (const base of [assistant([json]), user([json]), { ...result }]) {
        const raw = { ...base, [field]: json }
        assert.deepStrictEqual(decode(raw).raw, raw)
      }
      const { _tag } = decode(assistant([json]))
      assert.strictEqual(_tag, "Assistant")
    }
  )
})

describe("ClaudeMessage", () => {
  it.effect.prop("encodes to the JSON that it came from", { json: Schema.Json }, ({ json }) =>
    Effect.gen(function*() {
      for (const raw of [json, { ...assistant("x"), extra: json }, { ...result, extra: json }]) {
        const message = yield* Schema.decodeEffect(ClaudeMessage)(raw)
        assert.deepStrictEqual(yield* Schema.encodeEffect(ClaudeMessage)(message), raw)
      }
    }))
})
