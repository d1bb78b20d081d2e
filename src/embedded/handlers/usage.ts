/** The handlers of the group `usage` (docs/ash.md 3.12). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { UsageFilter } from "../../schema/Usage.ts"
import { Usage } from "../store/Usage.ts"
import { ServerApi } from "./ServerApi.ts"

export const UsageHandlers = HttpApiBuilder.group(ServerApi, "usage", (handlers) =>
  handlers
    .handle("listEvents", ({ query }) => listEvents(query))
    .handle("stats", ({ query }) => stats(query)))

const defaultLimit = 100

const listEvents = Effect.fnUntraced(function*(
  { limit = defaultLimit, ...filter }: UsageFilter & { readonly limit?: number | undefined }
) {
  const usage = yield* Usage
  const rows = yield* usage.list(filter)
  return { events: rows.slice(0, limit) }
})

const stats = Effect.fnUntraced(function*(filter: UsageFilter) {
  const usage = yield* Usage
  return { stats: yield* usage.stats(filter) }
})
