/** Usage: what turns took in tokens and messages. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { AshError } from "../schema/AshError.ts"
import type { UsageEvent, UsageFilter, UsageStats } from "../schema/Usage.ts"
import { layerOf } from "./layerOf.ts"

/** Which counts to list. */
export interface ListUsageEventsOptions extends UsageFilter {
  /** At most so many rows, 1 to 1,000. @default 100 */
  readonly limit?: number | undefined
}

/** Reads the usage of turns. A span of time includes both of its ends. */
export class Usage extends Context.Service<Usage, {
  /** Lists counts, the newest first. There are no pages: narrow the span of time to see more. */
  readonly listEvents: (options?: ListUsageEventsOptions) => Effect.Effect<ReadonlyArray<UsageEvent>, AshError>
  /** Sums up counts. */
  readonly stats: (filter?: UsageFilter) => Effect.Effect<UsageStats, AshError>
}>()("effect-ash/services/Usage") {
  static readonly layer = layerOf(Usage, ({ usage: api }, { field }) => ({
    listEvents: (query = {}) => field(api.listEvents, { query }, "events"),
    stats: (query = {}) => field(api.stats, { query }, "stats")
  }))
}
