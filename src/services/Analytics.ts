/** Analytics: the numbers of a server at a glance. */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AshApiClient } from "../client/AshApiClient.ts"
import { RequestPolicy } from "../client/RequestPolicy.ts"
import type { AnalyticsSummary } from "../schema/Analytics.ts"
import type { AshError } from "../schema/AshError.ts"

/** The span of time of the usage; both ends belong to it. The other numbers are of all time. */
export interface AnalyticsOptions {
  readonly after?: DateTime.Utc | undefined
  readonly before?: DateTime.Utc | undefined
}

/** Reads the numbers of a server. */
export class Analytics extends Context.Service<Analytics, {
  /** Counts agents, sessions, usage and evals. */
  readonly get: (options?: AnalyticsOptions) => Effect.Effect<AnalyticsSummary, AshError>
}>()("effect-ash/services/Analytics") {
  static readonly layer: Layer.Layer<Analytics, never, AshApiClient | RequestPolicy> = Layer.effect(
    Analytics,
    Effect.gen(function*() {
      const { analytics: api } = yield* AshApiClient
      const { call } = yield* RequestPolicy
      return Analytics.of({
        get: (query = {}) => call(api.get, { query })
      })
    })
  )
}
