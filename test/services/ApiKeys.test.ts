import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Ash from "../../src/layers/Ash.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import * as AshNode from "../../src/layers/AshNode.ts"
import { ApiKeys } from "../../src/services/ApiKeys.ts"
import { Health } from "../../src/services/Health.ts"
import * as Server from "../support/ScriptedServer.ts"

describe("ApiKeys", () => {
  it.live("makes a key that the server accepts until it is deleted, and prints it nowhere", () =>
    Effect.gen(function*() {
      const keys = yield* ApiKeys
      const { url } = yield* AshEmbedded.EmbeddedAddress
      const { id, key } = yield* keys.create({ label: "ci" })
      assert.match(Redacted.value(key), /^ash_/)
      assert.notInclude(`${JSON.stringify({ key })} ${key}`, Redacted.value(key))
      const listed = yield* keys.list()
      assert.deepStrictEqual(listed.map(({ createdAt, id, label }) => [id, label, createdAt === null]), [
        ["env", "ASH_API_KEY (environment variable)", true],
        [id, "ci", false]
      ])
      const metrics = Effect.flatMap(Health, ({ metrics }) => metrics()).pipe(
        Effect.provide(AshNode.layer({ url, apiKey: key }))
      )
      assert.include(yield* metrics, "ash_up")
      yield* keys.delete(id)
      assert.strictEqual((yield* Effect.flip(metrics)).reason._tag, "Unauthorized")
      const unknown = yield* Effect.flip(keys.delete(id))
      assert.strictEqual(unknown.reason._tag, "NotFound")
      const document = yield* Effect.flatMap(Health, ({ openApi }) => openApi()).pipe(
        Effect.provide(Ash.layer({ url }))
      )
      assert.isObject(document["paths"])
    }).pipe(Effect.provide(AshEmbedded.layerHttp()), Effect.scoped))

  it.effect.each([["", true], [null, true], ["2026-11-22T10:40:59.772Z", false]] as const)(
    "lists a key that was made at %j",
    ([createdAt, isNone]) =>
      Effect.gen(function*() {
        const [key] = yield* Effect.flatMap(ApiKeys, ({ list }) => list())
        assert.strictEqual(key?.createdAt === null, isNone)
      }).pipe(
        Effect.provide(Server.make(Server.json({ keys: [{ id: "env", label: "of the server", createdAt }] })).layer)
      )
  )
})
