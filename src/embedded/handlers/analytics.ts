/** The handler of the group `analytics` (docs/ash.md 3.12). */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Record from "effect/Record"
import { Store } from "../store/Store.ts"
import { Evals } from "../work/Evals.ts"
import { ServerApi } from "./ServerApi.ts"

export const AnalyticsHandlers = HttpApiBuilder.group(ServerApi, "analytics", (handlers) =>
  Effect.gen(function*() {
    const store = yield* Store
    const evals = yield* Evals
    return handlers.handleAll({
      get: Effect.fnUntraced(function*({ query }) {
        const agents = yield* store.agents
        const sessions = yield* store.sessions
        const runs = yield* evals.runs.all
        return {
          agents: { total: agents.length },
          sessions: { total: sessions.length, byStatus: countByStatus(sessions) },
          usage: yield* store.usage.stats(query),
          evals: { totalRuns: runs.length, byStatus: countByStatus(runs) }
        }
      })
    })
  }))

const countByStatus = (rows: ReadonlyArray<{ readonly status: string }>) =>
  Record.map(Arr.groupBy(rows, ({ status }) => status), ({ length }) => length)
