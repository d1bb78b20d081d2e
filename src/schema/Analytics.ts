/** Analytics: the numbers of a whole server at a glance. */
import * as Schema from "effect/Schema"
import { UsageStats } from "./Usage.ts"

/** A count for each status that occurs. */
const ByStatus = Schema.Record(Schema.String, Schema.Finite)

/** The numbers of a server, those of the key's tenant. */
export interface AnalyticsSummary extends Schema.Schema.Type<typeof AnalyticsSummary> {}
export const AnalyticsSummary = Schema.Struct({
  agents: Schema.Struct({ total: Schema.Finite }),
  sessions: Schema.Struct({ total: Schema.Finite, byStatus: ByStatus }),
  /** The only part that a span of time narrows. */
  usage: UsageStats,
  evals: Schema.Struct({ totalRuns: Schema.Finite, byStatus: ByStatus })
}).annotate({ identifier: "AnalyticsSummary" })
