import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { fromMessages } from "../../src/internal/turn/turnFold.ts"
import {
  Agent,
  CreateSessionRequest,
  McpServer,
  PoolStats,
  ServerHealth,
  Session,
  UpdateSessionConfigRequest
} from "../../src/schema/index.ts"
import { StoredMessage } from "../../src/schema/Message.ts"
import { StreamEvent, streamEventFromText } from "../../src/schema/StreamEvent.ts"
import { Turn } from "../../src/schema/Turn.ts"
import { omittable, parseJson, UnknownJson } from "../../src/schema/Wire.ts"
import { agent, health, session, storedMessage } from "../support/fixtures.ts"

describe("omittable", () => {
  const Row = Schema.Struct({ model: omittable(Schema.String), note: omittable(Schema.NullOr(Schema.String)) })
  const encode = Schema.encodeUnknownEffect(Row)
  const decode = Schema.decodeUnknownEffect(Row)

  it.effect("leaves an absent and an undefined field out, where JSON would have null", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(Object.keys(yield* encode({})), [])
      assert.deepStrictEqual(Object.keys(yield* encode({ model: undefined, note: undefined })), [])
    }))

  it.effect("sends null where the schema knows null, and nowhere else", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* encode({ note: null }), { note: null })
      assert.isTrue(Schema.isSchemaError(yield* Effect.flip(encode({ model: null }))))
      assert.isTrue(Schema.isSchemaError(yield* Effect.flip(decode({ model: null }))))
    }))

  it.effect("decodes what is there", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* decode({ model: "m" }), { model: "m" })
      assert.deepStrictEqual(yield* decode({}), {})
    }))

  it.effect("keeps the requests that are made of it free of nulls", () =>
    Effect.gen(function*() {
      const request = yield* Schema.encodeEffect(CreateSessionRequest)({
        agent: "demo",
        model: undefined,
        extraEnv: undefined,
        allowedTools: ["Read"]
      })
      assert.deepStrictEqual(request, { agent: "demo", allowedTools: ["Read"] })
      assert.deepStrictEqual(yield* Schema.encodeEffect(UpdateSessionConfigRequest)({ model: undefined }), {})
    }))
})

describe("tolerance of responses", () => {
  const decodeSession = Schema.decodeUnknownEffect(Session)

  it.effect("a status that a newer server adds decodes, one that is no text does not", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* decodeSession({ ...session, status: "hibernating" })).status, "hibernating")
      assert.isTrue(Schema.isSchemaError(yield* Effect.flip(decodeSession({ ...session, status: 3 }))))
    }))

  it.effect("fields that a newer server adds are ignored", () =>
    Effect.gen(function*() {
      const decoded = yield* decodeSession({ ...session, region: "eu", nested: { deep: [1] } })
      assert.strictEqual(decoded.id, session.id)
      assert.notProperty(decoded, "region")
    }))

  it.effect("optional fields may be absent or null", () =>
    Effect.gen(function*() {
      const { parentSessionId: _p, runnerId: _r, tenantId: _t, ...bare } = session
      assert.notProperty(yield* decodeSession(bare), "runnerId")
      assert.isNull((yield* decodeSession({ ...bare, runnerId: null, tenantId: null, parentSessionId: null })).runnerId)
      const { env: _e, tenantId: _at, ...bareAgent } = agent
      assert.notProperty(yield* Schema.decodeEffect(Agent)(bareAgent), "env")
      assert.isNull((yield* Schema.decodeEffect(Agent)({ ...agent, env: null })).env)
    }))

  it.effect("a server may leave out what its schema does not require of its health", () =>
    Effect.gen(function*() {
      const { coordinatorId: _c, remoteRunners: _r, version: _v, ...bare } = health
      const { preWarmHits: _p, ...pool } = health.pool
      const decoded = yield* Schema.decodeEffect(ServerHealth)({ ...bare, pool })
      assert.strictEqual(decoded.uptime, 17)
      assert.strictEqual((yield* Schema.decodeEffect(PoolStats)({ ...pool, preWarmHits: null })).warm, 1)
    }))

  it.effect("times are instants", () =>
    Effect.gen(function*() {
      const { createdAt } = yield* decodeSession(session)
      assert.strictEqual(createdAt.epochMilliseconds, 1_795_344_059_772)
      assert.isTrue(Schema.isSchemaError(yield* Effect.flip(decodeSession({ ...session, createdAt: "yesterday" }))))
    }))

  it.effect("an MCP server keeps the settings that are not known here", () =>
    Effect.gen(function*() {
      const server = { command: "npx", args: ["-y", "x"], headers: { a: "b" } }
      assert.deepStrictEqual(yield* Schema.encodeEffect(McpServer)(server), server)
    }))
})

describe("Unknown", () => {
  it.effect.prop("keeps any JSON, and gives it back", { json: Schema.Json }, ({ json }) =>
    Effect.gen(function*() {
      const decoded = yield* Schema.decodeEffect(UnknownJson)(json)
      assert.deepStrictEqual(decoded, { _tag: "Unknown", raw: json })
      assert.deepStrictEqual(yield* Schema.encodeEffect(UnknownJson)(decoded), json)
    }))
})

describe("parseJson", () => {
  it("reads JSON, and takes any other text as the value", () => {
    assert.deepStrictEqual(parseJson("{\"a\":[1,null]}"), { a: [1, null] })
    assert.strictEqual(parseJson("null"), null)
    assert.strictEqual(parseJson("not json"), "not json")
    assert.strictEqual(parseJson(""), "")
  })
})

describe("a number beyond a double", () => {
  const digits = (count: number) => "9".repeat(count)
  const beyond = ["1e999", "-1E+999", "1.5e0309", "9e308", digits(309), `-${digits(400)}.5`, `${digits(230)}e99`]
  const within = ["1e300", "-1.5E+307", "1e-999", digits(300), "0.5", `0.${digits(400)}`, "12345678901234567890"]
  const places = (number: string) => [
    `{"type":"x","a":${number}}`,
    `[${number},1]`,
    `{"a":[1, ${number} ,{"b":\t${number}\n}]}`,
    number,
    ` ${number}`,
    `${"[".repeat(500)}${number}${"]".repeat(500)}`,
    ...[0, 1, 99, 150, 199, 200].map((shift) => `{"t":"${"x".repeat(shift)}","a":${number}}`)
  ]

  it.each(beyond)("is null wherever it is: %s", (number) => {
    for (const text of places(number)) {
      assert.deepStrictEqual(parseJson(text), JSON.parse(JSON.stringify(JSON.parse(text))), text)
    }
  })

  it("is nothing else: other numbers and texts are as they are", () => {
    const texts = [...beyond, ...within].map((text) => JSON.stringify({ text: `: ${text}`, [text]: "4e123-1e999" }))
    for (const text of [...within.flatMap(places), ...texts]) assert.deepStrictEqual(parseJson(text), JSON.parse(text))
  })

  it.each(beyond)("spoils no message, no row and no turn: %s", (number) => {
    const texts = [
      `{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t","name":"n","input":{"n":${number}}}]}}`,
      `{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t","content":[${number}]}]}}`,
      `{"type":"result","subtype":"success","structured_output":{"n":${number}},"total_cost_usd":${number}}`
    ]
    const messages = texts.map((text) => {
      const event = streamEventFromText("message", text)
      assert.isTrue(Schema.is(StreamEvent)(event))
      return event._tag === "Message" ? event.message : assert.fail("no message")
    })
    const turn = fromMessages(messages)
    assert.deepStrictEqual(turn.structuredOutput, { n: null })
    assert.deepStrictEqual(turn.toolCalls[0]?.input, { n: null })
    const codec = Schema.toCodecJson(Turn)
    assert.deepStrictEqual(Schema.decodeUnknownSync(codec)(Schema.encodeSync(codec)(turn)), turn)
    for (const text of texts) {
      const carried: unknown = JSON.parse(text)
      for (const content of [text, carried]) {
        const row = Schema.decodeUnknownSync(StoredMessage)({ ...storedMessage(1, "assistant", ""), content })
        assert.notStrictEqual(row.content._tag, "Unknown")
      }
    }
  })
})
