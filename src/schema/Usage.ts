/** Usage: what turns took in tokens and messages. Turns of the queue and of evals are not counted. */
import * as Schema from "effect/Schema"
import { SessionId } from "./Ids.ts"
import { omittable, open, rowFields } from "./Wire.ts"

/** One count of one turn. */
export interface UsageEvent extends Schema.Schema.Type<typeof UsageEvent> {}
export const UsageEvent = Schema.Struct({
  ...rowFields,
  sessionId: Schema.String,
  agentName: Schema.String,
  /** The last two are declared, and written by no known server. */
  eventType: open([
    "input_tokens",
    "output_tokens",
    "cache_creation_tokens",
    "cache_read_tokens",
    "message",
    "tool_call",
    "compute_seconds"
  ]),
  value: Schema.Finite
}).annotate({ identifier: "UsageEvent" })

/** Sums over turns. The server has no figure for cost. */
export interface UsageStats extends Schema.Schema.Type<typeof UsageStats> {}
export const UsageStats = Schema.Struct({
  totalInputTokens: Schema.Finite,
  totalOutputTokens: Schema.Finite,
  totalCacheCreationTokens: Schema.Finite,
  totalCacheReadTokens: Schema.Finite,
  /** Always 0 on known servers. */
  totalToolCalls: Schema.Finite,
  totalMessages: Schema.Finite,
  /** Always 0 on known servers. */
  totalComputeSeconds: Schema.Finite
}).annotate({ identifier: "UsageStats" })

/** A span of time; both ends belong to it. */
export const timeSpan = {
  after: omittable(Schema.DateTimeUtcFromString),
  before: omittable(Schema.DateTimeUtcFromString)
}

/** Which turns to count. */
export interface UsageFilter extends Schema.Schema.Type<typeof UsageFilter> {}
export const UsageFilter = Schema.Struct({
  sessionId: omittable(SessionId),
  agentName: omittable(Schema.String),
  ...timeSpan
}).annotate({ identifier: "UsageFilter" })
