/** The handlers of the group `usage` (docs/ash.md 3.12). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Store } from "../store/Store.ts"
import { ServerApi } from "./ServerApi.ts"

const defaultLimit = 100

export const UsageHandlers = HttpApiBuilder.group(ServerApi, "usage", (handlers) =>
  Effect.gen(function*() {
    const { usage } = yield* Store
    return handlers.handleAll({
      listEvents: ({ query: { limit = defaultLimit, ...filter } }) =>
        Effect.map(usage.list(filter), (rows) => ({ events: rows.slice(0, limit) })),
      stats: ({ query }) => Effect.bindTo(usage.stats(query), "stats")
    })
  }))
