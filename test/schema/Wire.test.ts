import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import {
  Agent,
  CreateSessionRequest,
  McpServer,
  PoolStats,
  ServerHealth,
  Session,
  UpdateSessionConfigRequest
} from "../../src/schema/index.ts"
import { omittable, parseJson, Unknown } from "../../src/schema/Wire.ts"
import { agent, health, session } from "../support/fixtures.ts"

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
      const decoded = yield* Schema.decodeEffect(Unknown)(json)
      assert.deepStrictEqual(decoded, { _tag: "Unknown", raw: json })
      assert.deepStrictEqual(yield* Schema.encodeEffect(Unknown)(decoded), json)
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
