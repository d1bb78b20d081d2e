/** The keys that the server takes, each with its tenant (docs/ash.md 2.1 and 3.13). */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Redacted from "effect/Redacted"
import * as Struct from "effect/Struct"
import { createHash, timingSafeEqual } from "node:crypto"
import type { ApiKey } from "../../schema/ApiKey.ts"
import { Settings } from "../EmbeddedOptions.ts"
import * as Tables from "./Tables.ts"

interface KeyRow extends ApiKey {
  readonly digest: Uint8Array
}

/** Digests have one length, so that the time of a comparison depends on no key. */
const digestOf = (key: string): Uint8Array => createHash("sha256").update(key).digest()

/** A key that cannot be guessed. */
export const randomKey: Effect.Effect<string, never, SecureRandom.SecureRandom> = Effect.flatMap(
  SecureRandom.SecureRandom,
  (random) => Effect.map(random.randomBytes(24), (bytes) => `ash_${Base64Url.encode(bytes)}`)
)

export const make = Effect.gen(function*() {
  const { apiKey, tenants } = yield* Settings
  const table = Tables.make<KeyRow>()
  const text = Redacted.value(apiKey)
  const given = [[text, Tables.defaultTenant] as const, ...tenants].map(([key, tenantId]) => ({
    digest: digestOf(key),
    tenantId
  }))
  const first: ApiKey = {
    id: "env",
    label: "ASH_API_KEY (environment variable)",
    keyPrefix: `${text.slice(0, 8)}${"•".repeat(4)}`,
    createdAt: null
  }
  return {
    /** The tenant of a key; absent where the server does not take the key. */
    tenantOf: (key: string) =>
      Effect.map(table.everyones, (rows) => {
        const digest = digestOf(key)
        return [...given, ...rows].filter((row) => timingSafeEqual(row.digest, digest))[0]?.tenantId
      }),
    /** Makes a key of the current tenant. It is shown here alone. */
    create: Effect.fnUntraced(function*(label: string) {
      const key = yield* randomKey
      const row = yield* Tables.newRow
      yield* table.put({ ...row, label, keyPrefix: "•".repeat(8), digest: digestOf(key) })
      return { id: row.id, key: Redacted.make(key) }
    }),
    /** The keys of the current tenant, oldest first. */
    list: Effect.gen(function*() {
      const tenantId = yield* Tables.Tenant
      const rows = yield* table.all
      return [
        ...(tenantId === Tables.defaultTenant ? [first] : []),
        ...rows.map((row): ApiKey => Struct.omit(row, ["digest", "tenantId"]))
      ]
    }),
    remove: table.remove
  }
})
