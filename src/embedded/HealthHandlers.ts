/** The handlers of the group `health` (contract 10, HealthResponse). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { AshApi } from "../schema/AshApi.ts"
import { Settings } from "./EmbeddedOptions.ts"
import { Resumptions } from "./Resumptions.ts"
import { Sandboxes } from "./Sandboxes.ts"
import { Store } from "./Store.ts"

/** The version of the server that this one behaves like. */
export const serverVersion = "0.2.0"

export const HealthHandlers = HttpApiBuilder.group(
  AshApi,
  "health",
  Effect.fnUntraced(function*(handlers) {
    const { maxSandboxes } = yield* Settings
    const sandboxes = yield* Sandboxes
    const store = yield* Store
    const resumptions = yield* Resumptions
    const start = yield* Clock.currentTimeMillis
    return handlers.handleAll({
      get: Effect.fnUntraced(function*() {
        const all = yield* sandboxes.all
        const running = (yield* Effect.filter(all, (sandbox) => sandbox.isRunning)).length
        const sessions = yield* store.sessions
        return {
          status: "ok",
          version: serverVersion,
          coordinatorId: "embedded-1",
          activeSessions: sessions.filter(({ session }) => session.status === "active").length,
          activeSandboxes: all.length,
          remoteRunners: 0,
          uptime: Math.floor(((yield* Clock.currentTimeMillis) - start) / 1000),
          pool: {
            total: all.length,
            cold: 0,
            warming: 0,
            warm: 0,
            waiting: all.length - running,
            running,
            maxCapacity: maxSandboxes,
            ...(yield* resumptions.counts),
            preWarmHits: 0
          }
        }
      })
    })
  })
)
