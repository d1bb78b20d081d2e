/** The state of a server, its metrics and its documents. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { AshError } from "../schema/AshError.ts"
import type { ServerHealth } from "../schema/Health.ts"
import { layerOf } from "./layerOf.ts"

/** Asks a server how it is. */
export class Health extends Context.Service<Health, {
  /** The server's version, sessions and sandboxes. Needs no key. */
  readonly get: () => Effect.Effect<ServerHealth, AshError>
  /** The server's gauges and counters as Prometheus reads them. Needs a key, although the server's documents deny it. */
  readonly metrics: () => Effect.Effect<string, AshError>
  /** The server's own description of its API, in OpenAPI 3; a server in production has none. */
  readonly openApi: () => Effect.Effect<Schema.JsonObject, AshError>
}>()("effect-ash/services/Health") {
  static readonly layer = layerOf(Health, ({ health: api, meta }, { call }) => ({
    get: () => call(api.get, {}),
    metrics: () => call(api.metrics, {}),
    openApi: () => call(meta.openApi, {})
  }))
}
