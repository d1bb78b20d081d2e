import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as Stream from "effect/Stream"
import { AshApiClient } from "../../src/client/AshApiClient.ts"
import * as AshApiModule from "../../src/schema/AshApi.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { HostedApi } from "../../src/schema/HostedApi.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { session, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const invalidField = (error: AshError) =>
  error.reason._tag === "InvalidRequest" ? error.reason.field : error.reason._tag

const halves = ["\ud800", "a\udfff", "\udc00\ud800", "x\ud83d", "\ude00y", "\ud83dz\ude00"]

/** Values that are in order, by the name of their field. */
const inOrder = (name: string) =>
  /^(?:id|run[AB]|sessionId)$/.test(name)
    ? sessionId
    : name === "versionNumber"
    ? 1
    : name === "includeTotal"
    ? true
    : "demo"

const fields: Array<
  readonly [name: string, call: (api: AshApiClient["Service"], half: string) => Effect.Effect<unknown, AshError>]
> = []
for (const groups of [AshApiModule.AshApi.groups, HostedApi.groups]) {
  for (const [group, { endpoints }] of Object.entries(groups)) {
    for (const [name, endpoint] of Object.entries(endpoints as Record<string, HttpApiEndpoint.Top>)) {
      const namesOf = (schema: unknown) =>
        ((schema as { ast?: { propertySignatures?: ReadonlyArray<{ name: string }> } } | undefined)?.ast
          ?.propertySignatures ?? [])
          .map(({ name }) => name)
      const params = namesOf(endpoint.params)
      for (const [part, names] of [["params", params], ["query", namesOf(endpoint.query)]] as const) {
        for (const field of names) {
          fields.push([`${group}.${name}, ${part}.${field}`, (api, half) => {
            const request = {
              params: Object.fromEntries(params.map((name) => [name, inOrder(name)])),
              query: {},
              payload: {}
            }
            return Reflect.get(Reflect.get(api, group), name)({
              ...request,
              [part]: { ...request[part], [field]: half }
            })
          }])
        }
      }
    }
  }
}

describe("text that is not well-formed", () => {
  it("could stand in many a place", () => assert.isAbove(fields.length, 60))

  it.effect.each(fields)("is refused by its field in %s, and nothing is sent", ([name, call]) => {
    const server = Server.make(Server.json({ session }))
    return Effect.gen(function*() {
      const api = yield* AshApiClient
      for (const half of halves) {
        const error = yield* Effect.flip(call(api, half))
        assert.strictEqual(invalidField(error), name.split(".").at(-1))
      }
      assert.deepStrictEqual(server.requests, [])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect.each(halves)("is refused in names and ids that a body carries: %j", (half) => {
    const server = Server.make(Server.json({ session }))
    return Effect.gen(function*() {
      const ash = yield* AshClient
      const file = { path: `a/${half}.txt`, content: "x" }
      for (
        const [field, call] of [
          ["files[0].path", ash.sessionFiles.write(sessionId, [file])],
          ["targetPath", ash.sessionFiles.write(sessionId, [{ path: "a", content: "x" }], { targetPath: half })],
          ["files[0].path", ash.agents.writeFiles("demo", [file])],
          ["files[0].path", ash.agents.create({ name: "demo", files: [file] })],
          ["filename", ash.attachments.upload(sessionId, { filename: half, content: "x" })],
          ["agent", ash.sessions.create({ agent: half })],
          ["credentialId", ash.sessions.create({ agent: "demo", credentialId: half })],
          ["model", ash.sessions.create({ agent: "demo", model: half })],
          ["initialAgent", ash.sessions.create({ agent: "demo", initialAgent: half })],
          ["model", ash.sessions.updateConfig(sessionId, { model: half })],
          ["model", Stream.runDrain(ash.messages.send(sessionId, "x", { model: half }))],
          ["agentName", ash.queueItems.enqueue({ agentName: half, prompt: "x" })],
          ["name", ash.agents.create({ name: half })],
          ["name", ash.agentVersions.create("demo", { name: half })],
          ["label", ash.apiKeys.create({ label: half })]
        ] as const
      ) {
        assert.strictEqual(invalidField(yield* Effect.flip(call as Effect.Effect<unknown, AshError>)), field)
      }
      assert.deepStrictEqual(server.requests, [])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("is escaped in the texts of a body, and whole pairs pass everywhere", () => {
    const server = Server.make(Server.json({ agents: [], files: [], sessions: [], session }))
    return Effect.gen(function*() {
      const ash = yield* AshClient
      yield* ash.sessions.list({ agent: "\ud83d\ude00" })
      assert.strictEqual(server.requests[0]?.path, "/api/sessions?agent=%F0%9F%98%80")
      yield* Effect.exit(ash.sessions.create({ agent: "demo", systemPrompt: "cut \ud83d" }))
      assert.include(server.requests[1]?.body, "cut \\ud83d")
    }).pipe(Effect.provide(server.layer))
  })
})
