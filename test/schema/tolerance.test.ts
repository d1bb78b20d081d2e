/** A message, a block, an event or a row is known by what it is for: no other field of another type hides it, or each other. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { claudeMessageFromJson } from "../../src/schema/ClaudeMessage.ts"
import { StoredMessage } from "../../src/schema/Message.ts"
import { SessionEvent } from "../../src/schema/SessionEvent.ts"
import { streamEventFromText } from "../../src/schema/StreamEvent.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { assistant, result, session, sessionEvent, sessionId, storedMessage } from "../support/fixtures.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

type Json = Schema.Json
type Path = ReadonlyArray<string | number>

const wrong: ReadonlyArray<Json> = [
  null,
  true,
  "",
  "6",
  "0.01",
  "NaN",
  0,
  -1.5,
  [],
  [null],
  {},
  { type: "text", text: 5 },
  { _tag: "Text" }
]

const isObject = (json: unknown): json is Readonly<Record<string, Json>> =>
  typeof json === "object" && json !== null && !Array.isArray(json)

const paths = function*(json: Json, path: Path = []): Generator<Path> {
  if (path.length > 0) yield path
  const entries = Array.isArray(json) ? [...json.entries()] : isObject(json) ? Object.entries(json) : []
  for (const [key, value] of entries) yield* paths(value, [...path, key])
}

const absent = Symbol()

const change = (json: unknown, [key, ...path]: Path, value: unknown): unknown => {
  if (key === undefined) return value
  if (Array.isArray(json)) return json.map((item, index) => index === key ? change(item, path, value) : item)
  if (!isObject(json)) return json
  const changed = change(json[key], path, value)
  const { [key]: _, ...others } = json
  return changed === absent ? others : { ...others, [key]: changed }
}

const at = (json: unknown, path: Path): unknown => path.reduce((part: any, key) => part?.[key], json)

const kindOf = (json: unknown) => json === null ? "null" : Array.isArray(json) ? "array" : typeof json

interface Kind {
  readonly name: string
  readonly json: Json
  readonly decode: (json: Json) => unknown
  /** What it is for. */
  readonly needs: ReadonlyArray<string>
  /** Fields of any JSON. */
  readonly any?: ReadonlyArray<string>
}

const withoutRaw = (value: object) => {
  const { raw: _, ...others } = { raw: null, ...value }
  return others
}

const message = (name: string, json: Json, needs: ReadonlyArray<string>, any: ReadonlyArray<string> = []): Kind => ({
  name,
  json,
  decode: (json) => withoutRaw(claudeMessageFromJson(json)),
  needs: ["type", ...needs],
  any
})

const block = (name: string, block: Json, needs: ReadonlyArray<string>, any: ReadonlyArray<string> = []): Kind => ({
  name,
  json: block,
  decode: (json) => {
    const text = { type: "text", text: "beside" }
    const message = claudeMessageFromJson(assistant([text, json, text]))
    const content = message._tag === "Assistant" ? message.message.content : ""
    assert.deepStrictEqual([content[0], content[2]], [{ _tag: "Text", ...text }, { _tag: "Text", ...text }] as never)
    return content[1]
  },
  needs: ["type", ...needs],
  any
})

const event = (name: string, json: Json, needs: ReadonlyArray<string> = [], any: ReadonlyArray<string> = []): Kind => ({
  name: `the event ${name}`,
  json,
  decode: (json) => streamEventFromText(name, JSON.stringify(json)),
  needs,
  any
})

const timeline = (
  type: string,
  json: Json,
  needs: ReadonlyArray<string> = [],
  any: ReadonlyArray<string> = []
): Kind => ({
  name: `the row ${type}`,
  json,
  decode: (json) => Schema.decodeSync(SessionEvent)(sessionEvent(1, type, JSON.stringify(json))).data,
  needs,
  any
})

const usage = {
  input_tokens: 3,
  output_tokens: 4,
  cache_creation_input_tokens: 1,
  cache_read_input_tokens: 2
}

const kinds: ReadonlyArray<Kind> = [
  message(
    "system init",
    {
      type: "system",
      subtype: "init",
      session_id: "sdk",
      cwd: "/w",
      model: "claude",
      tools: ["Bash"],
      permissionMode: "default",
      mcp_servers: [{ name: "m" }]
    },
    ["subtype"],
    ["mcp_servers.0"]
  ),
  message(
    "assistant",
    {
      type: "assistant",
      message: {
        id: "m",
        model: "claude",
        content: [{ type: "text", text: "Hi." }],
        stop_reason: "end_turn",
        usage
      },
      parent_tool_use_id: "t",
      session_id: "sdk",
      uuid: "u"
    },
    ["message", "message.content"]
  ),
  message(
    "user",
    {
      type: "user",
      message: { content: "Hi." },
      parent_tool_use_id: "t",
      session_id: "sdk",
      uuid: "u",
      tool_use_result: { stdout: "a" }
    },
    ["message", "message.content"],
    ["tool_use_result"]
  ),
  message(
    "result",
    {
      ...result,
      structured_output: { a: 1 },
      duration_ms: 4,
      usage,
      modelUsage: {
        claude: {
          inputTokens: 1,
          outputTokens: 2,
          cacheReadInputTokens: 3,
          cacheCreationInputTokens: 4,
          webSearchRequests: 5,
          costUSD: 6
        },
        other: { costUSD: 7 }
      },
      errors: ["e"],
      session_id: "sdk",
      uuid: "u"
    },
    [],
    ["structured_output", "errors.0"]
  ),
  message(
    "partial",
    { type: "stream_event", event: { type: "message_stop" }, parent_tool_use_id: "t", session_id: "sdk", uuid: "u" },
    ["event"]
  ),
  block("text", { type: "text", text: "Hi." }, ["text"]),
  block("thinking", { type: "thinking", thinking: "Hm", signature: "s" }, ["thinking"]),
  block("tool use", { type: "tool_use", id: "t", name: "Bash", input: { command: "ls" } }, [], ["input"]),
  block("tool result", { type: "tool_result", tool_use_id: "t", content: "ok", is_error: true }, [], ["content"]),
  event("session_start", { sessionId, version: "0.2.0" }),
  event("text_delta", { delta: "Hi" }, ["delta"]),
  event("thinking_delta", { delta: "Hm" }, ["delta"]),
  event("tool_use", { id: "t", name: "Bash", input: { command: "ls" } }, [], ["input"]),
  event("tool_result", { tool_use_id: "t", content: "ok", is_error: true }, [], ["content"]),
  event("turn_complete", { numTurns: 2, result: "Hi." }),
  event("done", { sessionId }),
  event("session_end", { sessionId }),
  timeline("text", { text: "Hi." }, ["text"]),
  timeline("tool_start", { toolName: "Bash", toolId: "t", input: { command: "ls" } }, [], ["input"]),
  timeline("tool_result", { toolName: "Bash", toolId: "t", stdout: "a", stderr: "b" }, [], ["stdout", "stderr"]),
  timeline("reasoning", { thinking: "Hm" }, ["thinking"]),
  timeline("turn_complete", { numTurns: 2, result: "Hi." }),
  timeline(
    "lifecycle",
    { action: "resumed", agentName: "a", model: "m", path: "warm", source: "local", parentSessionId: "p" },
    ["action"]
  ),
  timeline("mcp_status", { action: "error", servers: [{ name: "m" }], error: "e" }, ["action"], ["servers.0"])
]

describe("a field that does not fit is absent, and hides nothing", () => {
  it.each(kinds)("$name", ({ any = [], decode, json, needs }) => {
    const whole = decode(json)
    assert.notStrictEqual(at(whole, ["_tag"]), "Unknown")
    for (const path of paths(json)) {
      const name = path.join(".")
      if (needs.some((need) => name === need || name.startsWith(`${need}.`))) continue
      if (any.some((field) => name.startsWith(`${field}.`))) continue
      // A list with an item that does not fit does not fit.
      const field = path.slice(0, path.findLastIndex((key) => typeof key === "string") + 1)
      const others = change(whole, field, absent)
      for (const value of wrong) {
        const decoded = decode(change(json, path, value) as Json)
        assert.deepStrictEqual(change(decoded, field, absent), others, `${name}: ${JSON.stringify(value)}`)
        const kept = at(decoded, path)
        if (any.includes(name)) {
          assert.deepStrictEqual(kept, value)
        } else if (value !== null && kindOf(value) !== kindOf(at(json, path))) {
          assert.isUndefined(kept, `${name}: ${JSON.stringify(value)}`)
        }
      }
      assert.deepStrictEqual(change(decode(change(json, field, absent) as Json), field, absent), others)
    }
  })

  it("numbers that JSON has and JavaScript has not", () => {
    const decoded = claudeMessageFromJson({ ...result, total_cost_usd: JSON.parse("1e999"), num_turns: 2 })
    assert.isTrue(decoded._tag === "Result" && !("total_cost_usd" in decoded) && decoded.num_turns === 2)
  })

  it.prop("of any JSON, in any place", { json: Schema.Json, tag: Schema.String }, ({ json, tag }) => {
    for (const kind of kinds) {
      const { _tag } = kind.decode(kind.json) as { readonly _tag: string }
      for (const field of Object.keys(kind.json as object)) {
        if (kind.needs.includes(field)) continue
        const decoded = kind.decode({ ...(kind.json as object), _tag: tag, more: json, [field]: json })
        assert.strictEqual(at(decoded, ["_tag"]), _tag)
      }
    }
  })

  it("what a message is for is not made of something else", () => {
    assert.strictEqual(claudeMessageFromJson({ type: "assistant", message: { content: 5 } })._tag, "Unknown")
    assert.strictEqual(claudeMessageFromJson({ type: "assistant" })._tag, "Unknown")
    assert.strictEqual(claudeMessageFromJson({ type: ["assistant"], message: { content: "Hi." } })._tag, "Unknown")
  })

  it("models whose names are those of the prototype", () => {
    const modelUsage = JSON.parse("{\"__proto__\":{\"costUSD\":1},\"constructor\":{\"costUSD\":2},\"b\":null}")
    const decoded = claudeMessageFromJson({ ...result, modelUsage })
    const entries = decoded._tag === "Result" ? Object.entries(decoded.modelUsage ?? {}) : []
    assert.deepStrictEqual(entries, [["__proto__", { costUSD: 1 }], ["constructor", { costUSD: 2 }]])
  })
})

describe("rows", () => {
  const decode = Schema.decodeUnknownSync(Schema.Array(StoredMessage))

  it("content and data that are no text", () => {
    const content = { type: "user", content: "Hi." }
    const [row] = decode([{ ...storedMessage(1, "user", ""), content, tenantId: 5 }])
    assert.deepStrictEqual(row?.content.raw, content)
    assert.isFalse("tenantId" in (row ?? {}))
    const event = Schema.decodeSync(SessionEvent)({ ...sessionEvent(1, "text", null), data: { text: "Hi." } })
    assert.deepStrictEqual(event.data, { _tag: "Text", text: "Hi." })
  })

  it("a document of a prompt with a title that is none", () => {
    const document = { type: "document", source: { type: "text", media_type: "text/plain", data: "x" } }
    for (const title of wrong) {
      const content = JSON.stringify({ type: "user", content: [{ ...document, title, context: title }, "bare"] })
      const [row] = decode([storedMessage(1, "user", content)])
      const [block] = row?.content._tag === "UserPrompt" ? row.content.content : []
      assert.strictEqual(typeof block === "object" && "type" in block ? block.type : undefined, "document")
    }
  })

  it("without what they are known by are refused", () => {
    for (const field of ["id", "sessionId", "sequence", "createdAt"]) {
      assert.throws(() =>
        decode([storedMessage(1, "user", "{}"), { ...storedMessage(2, "user", "{}"), [field]: null }])
      )
    }
  })
})

describe("answers", () => {
  const list = (sessions: ReadonlyArray<unknown>) => {
    const { layer } = ScriptedServer.make(ScriptedServer.json({ sessions }))
    return Effect.provide(Effect.flatMap(Sessions, (sessions) => sessions.list()), layer)
  }

  it.effect("side fields of another type are absent", () =>
    Effect.gen(function*() {
      for (const value of [5, true, [], {}]) {
        const odd = { ...session, tenantId: value, runnerId: value, parentSessionId: value }
        const [first, second] = yield* list([odd, session])
        assert.strictEqual(first?.id, sessionId)
        assert.deepStrictEqual([first?.tenantId, first?.runnerId, first?.parentSessionId], [
          undefined,
          undefined,
          undefined
        ])
        assert.strictEqual(second?.tenantId, "default")
      }
    }))

  it.effect("times are of ISO 8601, and of UTC without a zone", () =>
    Effect.gen(function*() {
      const milliseconds = Date.UTC(2026, 10, 30, 10, 40, 59, 772)
      for (
        const time of [
          "2026-11-30T10:40:59.772Z",
          "2026-11-30t10:40:59.772z",
          "2026-11-30T10:40:59.772",
          "2026-11-30 10:40:59.772",
          "2026-11-30 10:40:59.772123+00",
          "2026-11-30T02:40:59.772-08:00",
          "2026-11-30T16:10:59.772000+0530"
        ]
      ) {
        const [first] = yield* list([{ ...session, createdAt: time }])
        assert.strictEqual(first?.createdAt.epochMilliseconds, milliseconds, time)
      }
      // Of each of these the platform makes a date, of some of them in the zone of the machine, or another than they name.
      for (
        const time of [
          "2026-1-22",
          "11-22-26",
          "11/22/2026 10:40",
          "2026-11-22 10:40:59 -08:00 (PST)",
          "2026-11-22 10:40:59 (GMT)",
          "Sun Nov 22 2026 10:40:59",
          "session 12",
          "1",
          "2026-02-30T10:40:59.772Z",
          "2026-11-31T10:40:59Z"
        ]
      ) {
        assert.isFalse(Number.isNaN(Date.parse(time)), time)
        const { message, reason } = yield* Effect.flip(list([session, { ...session, lastActiveAt: time }]))
        assert.strictEqual(reason._tag, "Undecodable")
        assert.include(message, "sessions[1].lastActiveAt in the response should be a time")
      }
    }))

  it.effect("what a session is known by must fit", () =>
    Effect.gen(function*() {
      for (const field of ["id", "agentName", "sandboxId", "status", "createdAt"]) {
        const error = yield* Effect.flip(list([session, { ...session, [field]: 5 }]))
        assert.strictEqual(error.reason._tag, "Undecodable")
        assert.include(error.message, field)
      }
    }))
})
