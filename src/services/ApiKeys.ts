/** The keys that a server takes. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { ApiKey, NewApiKey } from "../schema/ApiKey.ts"
import type { AshError } from "../schema/AshError.ts"
import { layerOf } from "./layerOf.ts"

/** Manages the keys of the tenant of the key in use. */
export class ApiKeys extends Context.Service<ApiKeys, {
  /** Creates a key with the permissions of the key in use. The server returns it only once. */
  readonly create: (options?: { readonly label?: string | undefined }) => Effect.Effect<NewApiKey, AshError>
  /** Lists keys, without what opens the server. The one with the id `env` is what the server was started with. */
  readonly list: () => Effect.Effect<ReadonlyArray<ApiKey>, AshError>
  /** Deletes a key; it is refused at once. The server does not check whose key it is. */
  readonly delete: (id: string) => Effect.Effect<void, AshError>
}>()("effect-ash/services/ApiKeys") {
  static readonly layer = layerOf(ApiKeys, ({ apiKeys: api }, { call, field, remove }) => ({
    create: (payload = {}) => call(api.create, { payload }),
    list: () => field(api.list, {}, "keys"),
    delete: (id) => remove(api.delete, { params: { id } })
  }))
}
