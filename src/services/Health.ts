/** The health of a server. Needs no key. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { AshError } from "../schema/AshError.ts"
import type { ServerHealth } from "../schema/Health.ts"
import { AshApiClient } from "./AshApiClient.ts"
import { makeCall } from "./RequestOptions.ts"

/** Asks a server how it is. */
export class Health extends Context.Service<Health, {
  /** The server's version, sessions and sandboxes. */
  readonly get: Effect.Effect<ServerHealth, AshError>
}>()("effect-ash/services/Health") {
  static readonly layer: Layer.Layer<Health, never, AshApiClient> = Layer.effect(
    Health,
    Effect.gen(function*() {
      const { health: api } = yield* AshApiClient
      const call = yield* makeCall
      return Health.of({
        get: call.repeatable("Health.get", api.get({}))
      })
    })
  )
}
