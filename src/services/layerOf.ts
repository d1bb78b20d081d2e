/** The layers of services that have nothing but the API and the policy of its calls. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AshApiClient } from "../client/AshApiClient.ts"
import { RequestPolicy } from "../client/RequestPolicy.ts"

/** Makes a service of the low-level methods, and of the policy by which they are called. */
export const layerOf = <Self, Service>(
  service: Context.Key<Self, Service>,
  make: (api: AshApiClient["Service"], policy: RequestPolicy["Service"]) => NoInfer<Service>
): Layer.Layer<Self, never, AshApiClient | RequestPolicy> =>
  Layer.effect(service, Effect.zipWith(AshApiClient, RequestPolicy, make))
