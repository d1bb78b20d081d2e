import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import * as AshNode from "../../src/layers/AshNode.ts"
import { Agents } from "../../src/services/Agents.ts"

const keyOf = Effect.map(AshEmbedded.EmbeddedAddress, ({ apiKey }) => Redacted.value(apiKey))
const list = Effect.flatMap(Agents, (agents) => agents.list)

describe("an embedded server on a port", () => {
  it.live("has a key of its own at each start, which no other server takes", () =>
    Effect.gen(function*() {
      const layer = AshEmbedded.layerHttp()
      const first = yield* Effect.provide(keyOf, layer)
      assert.match(first, /^ash_[\w-]{32}$/)
      const status = yield* Effect.gen(function*() {
        const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
        assert.notStrictEqual(Redacted.value(apiKey), first)
        assert.deepStrictEqual(yield* list, [])
        return yield* Effect.flip(Effect.provide(list, AshNode.layer({ url, apiKey: first })))
      }).pipe(Effect.provide(layer))
      assert.strictEqual(status.reason._tag, "Unauthorized")
    }))

  it.live.each<readonly [string]>([["0.0.0.0"], ["::"], ["192.0.2.1"], [""], ["example.test"], ["128.0.0.1"]])(
    "is not made on %j without a key",
    ([host]) =>
      Effect.gen(function*() {
        const { reason } = yield* Effect.flip(Effect.provide(list, AshEmbedded.layerHttp({ host })))
        assert(reason._tag === "InvalidRequest")
        assert.strictEqual(reason.field, "apiKey")
      })
  )

  it.live("is made on every interface with a key", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* keyOf, "a-key")
      assert.deepStrictEqual(yield* list, [])
    }).pipe(Effect.provide(AshEmbedded.layerHttp({ host: "0.0.0.0", apiKey: "a-key" }))))
})

describe.each([["text", "a-key"], ["redacted", Redacted.make("a-key")]] as const)("a key that is %s", (_, apiKey) => {
  it.effect("is taken without a socket", () =>
    Effect.map(list, (agents) => assert.deepStrictEqual(agents, [])).pipe(
      Effect.provide(AshEmbedded.layer({ apiKey }))
    ))

  it.live("is taken on a port, by both sides", () =>
    Effect.gen(function*() {
      const { url } = yield* AshEmbedded.EmbeddedAddress
      assert.deepStrictEqual(yield* Effect.provide(list, AshNode.layer({ url, apiKey })), [])
    }).pipe(Effect.provide(AshEmbedded.layerHttp({ apiKey }))))
})
