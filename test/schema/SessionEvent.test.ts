import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { SessionEvent } from "../../src/schema/index.ts"
import { sessionEvent } from "../support/fixtures.ts"
import { AnyJson } from "../support/json.ts"

const decode = Schema.decodeUnknownEffect(SessionEvent)

describe("SessionEvent", () => {
  it.effect.each<readonly [type: string, data: unknown, expected: unknown]>([
    ["text", { text: "Hi." }, { _tag: "Text", text: "Hi." }],
    [
      "tool_start",
      { toolName: "Bash", toolId: "toolu_1", input: { command: "ls" } },
      { _tag: "ToolStart", toolName: "Bash", toolId: "toolu_1", input: { command: "ls" } }
    ],
    ["tool_result", {}, { _tag: "ToolResult" }],
    ["tool_result", { stdout: "one", stderr: null }, { _tag: "ToolResult", stdout: "one", stderr: null }],
    ["reasoning", { thinking: "Hm" }, { _tag: "Reasoning", thinking: "Hm" }],
    ["turn_complete", { numTurns: 2 }, { _tag: "TurnComplete", numTurns: 2 }],
    ["error", { error: "boom" }, { _tag: "Error", error: "boom" }],
    [
      "lifecycle",
      { action: "resumed", path: "cold", source: "fresh" },
      { _tag: "Lifecycle", action: "resumed", path: "cold", source: "fresh" }
    ],
    ["lifecycle", { action: "migrated", to: "eu" }, { _tag: "Lifecycle", action: "migrated" }],
    [
      "mcp_status",
      { action: "configured", servers: [{ name: "m", transport: "sse" }] },
      { _tag: "McpStatus", action: "configured", servers: [{ name: "m", transport: "sse" }] }
    ]
  ])("%j", ([type, data, expected]) =>
    Effect.gen(function*() {
      const event = yield* decode(sessionEvent(4, type, JSON.stringify(data)))
      assert.deepStrictEqual(event.data, expected as never)
      assert.deepStrictEqual(event.raw, data as never)
      assert.strictEqual(event.sequence, 4)
    }))

  it.effect("a kind that a newer server adds, and data that is not as expected", () =>
    Effect.gen(function*() {
      const added = yield* decode(sessionEvent(1, "compaction", "{\"tokens\":4}"))
      assert.strictEqual(added.type, "compaction")
      assert.deepStrictEqual(added.data, { _tag: "Unknown", raw: { tokens: 4 } })
      assert.deepStrictEqual((yield* decode(sessionEvent(1, "text", "{\"text\":4}"))).data, {
        _tag: "Unknown",
        raw: { text: 4 }
      })
      assert.deepStrictEqual((yield* decode(sessionEvent(1, "text", "not json"))).data, {
        _tag: "Unknown",
        raw: "not json"
      })
    }))

  it.effect("no data", () =>
    Effect.gen(function*() {
      const { data: _, ...row } = sessionEvent(1, "text", null)
      assert.deepStrictEqual((yield* decode(row)).data, { _tag: "Unknown", raw: null })
      assert.deepStrictEqual((yield* decode({ ...row, data: null })).data, { _tag: "Unknown", raw: null })
    }))

  it.effect.prop(
    "any kind with any data decodes, and encodes to the same",
    {
      type: Schema.Union([Schema.Literals(["text", "lifecycle", "tool_result", "mcp_status"]), Schema.String]),
      json: AnyJson
    },
    ({ json, type }) =>
      Effect.gen(function*() {
        const row = sessionEvent(1, type, JSON.stringify(json))
        assert.deepStrictEqual(yield* Schema.encodeEffect(SessionEvent)(yield* decode(row)), row)
      })
  )
})
