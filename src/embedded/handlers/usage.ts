/** The handlers of the group `usage` (docs/ash.md 3.12). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Usage } from "../store/Usage.ts"
import { ServerApi } from "./ServerApi.ts"

const defaultLimit = 100

export const UsageHandlers = HttpApiBuilder.group(ServerApi, "usage", (handlers) =>
  handlers
    .handle("listEvents", ({ query: { limit = defaultLimit, ...filter } }) =>
      Effect.map(
        Usage.use(({ list }) => list(filter)),
        (rows) => ({ events: rows.slice(0, limit) })
      ))
    .handle("stats", ({ query }) => Effect.bindTo(Usage.use(({ stats }) => stats(query)), "stats")))
