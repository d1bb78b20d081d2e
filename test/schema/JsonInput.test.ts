/** JSON of a request, in which a caller may have `undefined`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { CreateEvalCaseRequest, UpdateEvalCaseRequest } from "../../src/schema/Eval.ts"
import {
  CreateSessionRequest,
  type JsonInput,
  SendMessageRequest,
  UpdateAgentRequest,
  UpdateSessionConfigRequest
} from "../../src/schema/index.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Messages } from "../../src/services/Messages.ts"
import { agent, noSession, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

type Input = { readonly [key: string]: JsonInput | undefined }

const input: Input = {
  type: "object",
  description: undefined,
  properties: { a: { enum: [1, undefined, null], default: undefined }, b: undefined },
  empty: { only: undefined }
}
const sent = {
  type: "object",
  properties: { a: { enum: [1, null, null] } },
  empty: {}
}

const fields: ReadonlyArray<readonly [name: string, schema: Schema.Codec<any, any>, make: (json: unknown) => unknown]> =
  [
    ["outputFormat", SendMessageRequest, (schema) => ({ content: "x", outputFormat: { type: "json_schema", schema } })],
    ["subagents", CreateSessionRequest, (subagents) => ({ agent: "a", subagents })],
    ["mcpServers", CreateSessionRequest, (more) => ({ agent: "a", mcpServers: { m: { url: "http://m", more } } })],
    ["subagents of a session that is there", UpdateSessionConfigRequest, (subagents) => ({ subagents })],
    ["config", UpdateAgentRequest, (config) => ({ config })],
    ["chatHistory", CreateEvalCaseRequest, (more) => ({
      question: "q",
      chatHistory: [{ role: "user", content: "x", more }]
    })],
    ["chatHistory of a case that is there", UpdateEvalCaseRequest, (more) => ({
      chatHistory: [{ role: "user", content: "x", more }]
    })]
  ]

/** Any JSON with `undefined` here and there. */
const Input: Schema.Codec<any> = Schema.Record(
  Schema.String,
  Schema.Union([
    Schema.Json,
    Schema.Undefined,
    Schema.Array(Schema.UndefinedOr(Schema.Json)),
    Schema.Record(Schema.String, Schema.UndefinedOr(Schema.Json))
  ])
)

const throwing = {
  get a() {
    throw new Error("no")
  }
}
const round: { a?: unknown } = {}
round.a = [round, round]

describe("what is undefined in JSON that a caller gives is left out, as JSON does", () => {
  it.each(fields)("%s", (_, schema, make) => {
    const encode = Schema.encodeUnknownSync(Schema.toCodecJson(schema))
    assert.deepStrictEqual(encode(make(input)), make(sent))
  })

  it.prop("any JSON", { json: Input }, ({ json }) => {
    for (const [, schema, make] of fields) {
      const encoded = Schema.encodeUnknownSync(Schema.toCodecJson(schema))(make(json))
      assert.deepStrictEqual(JSON.parse(JSON.stringify(encoded)), JSON.parse(JSON.stringify(make(json))))
    }
  })

  it.each(fields)("%s: what is no JSON is refused, with its place", (name, schema, make) => {
    const encode = Schema.encodeUnknownExit(Schema.toCodecJson(schema))
    for (const value of [new Date(), Number.NaN, () => 1, Symbol("s"), 1n, new Map(), round, throwing]) {
      const exit = encode(make({ a: { b: value } }))
      assert.isTrue(Exit.hasFails(exit), String(exit))
      assert.include(String(exit), name.replace(/ .*/, ""))
    }
  })
})

describe("what is sent", () => {
  it.effect("by Messages.send", () => {
    const server = Server.forTurns(Server.sse(Server.frames(["done", { sessionId }])))
    return Effect.gen(function*() {
      const { send } = yield* Messages
      yield* Stream.runDrain(send(sessionId, "x", { outputFormat: { type: "json_schema", schema: input } }))
      const body = server.requests.filter(({ path }) => !path.includes(noSession)).map(Server.jsonOf)
      assert.deepStrictEqual(body, [{ content: "x", outputFormat: { type: "json_schema", schema: sent } }])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("by Agents.updateConfig and Agents.update", () => {
    const server = Server.make(({ path }) => Server.json(path.endsWith("/config") ? { config: {} } : { agent })())
    return Effect.gen(function*() {
      const agents = yield* Agents
      yield* agents.updateConfig("demo", input)
      yield* agents.update("demo", { config: input })
      assert.deepStrictEqual(server.requests.map(Server.jsonOf), [sent, { config: sent }])
    }).pipe(Effect.provide(server.layer))
  })
})
