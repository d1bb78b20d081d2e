import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Health } from "../../src/services/Health.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { health } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const get = Effect.flatMap(Health, ({ get }) => get())
const metrics = Effect.flatMap(Health, ({ metrics }) => metrics())

describe("openApi", () => {
  it.effect("has null where the server has a number that none is, as all JSON of a server", () =>
    Effect.flatMap(Health, ({ openApi }) => openApi()).pipe(
      Effect.map((description) => assert.deepStrictEqual(description, { most: null, all: [1, null] })),
      Effect.provide(
        Server.make(Server.text("{\"most\":1e999,\"all\":[1,-1e999]}", 200, { "content-type": "application/json" }))
          .layer
      )
    ))
})

describe("get", () => {
  it.effect("asks without a query, and decodes", () => {
    const server = Server.make(Server.json(health))
    return Effect.gen(function*() {
      const answer = yield* get
      assert.strictEqual(answer.version, "0.2.0")
      assert.strictEqual(answer.pool.maxCapacity, 1000)
      assert.deepStrictEqual(server.requests.map(({ method, path }) => [method, path]), [["GET", "/health"]])
      assert.strictEqual(server.requests[0]?.headers["authorization"], `Bearer ${Server.apiKey}`)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("works without a key, where all else is refused by the server", () => {
    const server = Server.make(
      ({ headers, path }) =>
        path === "/health"
          ? Server.json(health)()
          : Server.json({ error: `Missing Authorization header ${headers["authorization"] ?? ""}` }, 401)(),
      { apiKey: undefined }
    )
    return Effect.gen(function*() {
      assert.strictEqual((yield* get).status, "ok")
      assert.notProperty(server.requests[0]?.headers, "authorization")
      const error = yield* Effect.flip(Effect.flatMap(Sessions, ({ list }) => list()))
      assert.strictEqual(error.reason._tag, "Unauthorized")
      assert.notProperty(server.requests[1]?.headers, "authorization")
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("something else than a server", () =>
    Effect.gen(function*() {
      const calls = { "Health.get": Effect.asVoid(get), "Health.metrics": Effect.asVoid(metrics) }
      for (const [operation, call] of Object.entries(calls)) {
        const error = yield* Effect.flip(call)
        assert.strictEqual(error.reason._tag, "Undecodable")
        assert.strictEqual(error.operation, operation)
        assert.match(error.message, /HTML/)
      }
    }).pipe(
      Effect.provide(Server.make(Server.text("<html></html>", 200, { "content-type": "text/html" })).layer)
    ))
})
