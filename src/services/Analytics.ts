/** Analytics: the numbers of a server at a glance. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { AnalyticsSummary } from "../schema/Analytics.ts"
import type { AshError } from "../schema/AshError.ts"
import type { UsageFilter } from "../schema/Usage.ts"
import { layerOf } from "./layerOf.ts"

/** The span of time of the usage; both ends belong to it. The other numbers are of all time. */
export interface AnalyticsOptions extends Pick<UsageFilter, "after" | "before"> {}

/** Reads the numbers of a server. */
export class Analytics extends Context.Service<Analytics, {
  /** Counts agents, sessions, usage and evals. */
  readonly get: (options?: AnalyticsOptions) => Effect.Effect<AnalyticsSummary, AshError>
}>()("effect-ash/services/Analytics") {
  static readonly layer = layerOf(Analytics, ({ analytics: api }, { call }) => ({
    get: (query = {}) => call(api.get, { query })
  }))
}
