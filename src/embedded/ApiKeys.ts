/** The keys that the server takes, each with its tenant (contract 2.2 and 3.8). */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Struct from "effect/Struct"
import type { ApiKey, NewApiKey } from "../schema/ApiKey.ts"
import { Settings } from "./EmbeddedOptions.ts"
import * as Tables from "./Tables.ts"

interface KeyRow extends ApiKey {
  readonly tenantId: string
  readonly key: string
}

export class ApiKeys extends Context.Service<ApiKeys, {
  /** The tenant of a key, if the server takes it. */
  readonly tenantOf: (key: string) => Effect.Effect<string | undefined>
  readonly create: (label: string) => Effect.Effect<NewApiKey>
  readonly list: Effect.Effect<ReadonlyArray<ApiKey>>
  /** Removes a key, whosever it is, and tells whether there was one. */
  readonly remove: (id: string) => Effect.Effect<boolean>
}>()("effect-ash/embedded/ApiKeys") {
  static readonly layer: Layer.Layer<ApiKeys, never, SecureRandom.SecureRandom | Settings> = Layer.effect(
    ApiKeys,
    Effect.gen(function*() {
      const { apiKey, tenants } = yield* Settings
      const random = yield* SecureRandom.SecureRandom
      const table = Tables.make<KeyRow>()
      const first: ApiKey = {
        id: "env",
        label: "ASH_API_KEY (environment variable)",
        keyPrefix: `${apiKey.slice(0, 8)}${"•".repeat(4)}`,
        createdAt: null
      }
      return ApiKeys.of({
        tenantOf: (key) =>
          Effect.map(
            table.everyones,
            (rows) =>
              key === apiKey ? Tables.defaultTenant : tenants[key] ?? rows.find((row) => row.key === key)?.tenantId
          ),
        create: Effect.fnUntraced(function*(label) {
          const id = yield* random.uuidV4()
          const key = `ash_${Base64Url.encode(yield* random.randomBytes(24))}`
          const createdAt = yield* DateTime.now
          yield* table.put({ id, label, keyPrefix: "•".repeat(8), createdAt, tenantId: yield* Tables.Tenant, key })
          return { id, key: Redacted.make(key) }
        }),
        list: Effect.gen(function*() {
          const tenantId = yield* Tables.Tenant
          const rows = yield* table.all
          return [
            ...(tenantId === Tables.defaultTenant ? [first] : []),
            ...rows.map((row): ApiKey => Struct.omit(row, ["key", "tenantId"]))
          ]
        }),
        remove: Effect.fnUntraced(function*(id) {
          const found = (yield* table.everyones).some((row) => row.id === id)
          yield* table.remove(id)
          return found
        })
      })
    })
  )
}
