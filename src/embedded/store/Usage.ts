/** What turns used, as the results of agents report it (docs/ash.md 3.12). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Session } from "../../schema/Session.ts"
import type { UsageEvent, UsageFilter } from "../../schema/Usage.ts"
import { field } from "../wire/Json.ts"
import * as Tables from "./Tables.ts"

export const make = () => {
  const table = Tables.make<UsageEvent>()
  const list = ({ after, agentName, before, sessionId }: UsageFilter) =>
    Effect.map(
      table.where((row) =>
        (sessionId === undefined || row.sessionId === sessionId) &&
        (agentName === undefined || row.agentName === agentName) &&
        (after === undefined || DateTime.isGreaterThanOrEqualTo(row.createdAt, after)) &&
        (before === undefined || DateTime.isLessThanOrEqualTo(row.createdAt, before))
      ),
      (rows) => rows.toReversed()
    )
  return {
    count: Effect.fnUntraced(function*({ agentName, id: sessionId }: Session, result: Schema.JsonObject) {
      const row = yield* Tables.newRow
      for (const [eventType, value] of countsOf(result).toReversed()) {
        yield* table.put({ ...row, id: yield* Tables.newId, sessionId, agentName, eventType, value })
      }
    }),
    /** Newest first. */
    list,
    stats: (filter: UsageFilter) =>
      Effect.map(list(filter), (rows) => {
        const total = (type: string) =>
          rows.filter(({ eventType }) => eventType === type).reduce((sum, { value }) => sum + value, 0)
        return {
          totalInputTokens: total("input_tokens"),
          totalOutputTokens: total("output_tokens"),
          totalCacheCreationTokens: total("cache_creation_tokens"),
          totalCacheReadTokens: total("cache_read_tokens"),
          totalToolCalls: total("tool_call"),
          totalMessages: total("message"),
          totalComputeSeconds: total("compute_seconds")
        }
      })
  }
}

const tokenFields = [
  ["input_tokens", "input_tokens"],
  ["output_tokens", "output_tokens"],
  ["cache_creation_tokens", "cache_creation_input_tokens"],
  ["cache_read_tokens", "cache_read_input_tokens"]
] as const

const isCount = Schema.is(Schema.Finite.check(Schema.isGreaterThan(0)))

/** One message, and the tokens that the result reports. */
const countsOf = (
  result: Schema.JsonObject
): ReadonlyArray<readonly [type: UsageEvent["eventType"], value: number]> => [
  ...tokenFields.flatMap(([type, name]) => {
    const value = field(result["usage"], name)
    return isCount(value) ? [[type, value] as const] : []
  }),
  ["message", 1]
]
