/** The handlers of the group `health` (docs/ash.md 3.1). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import { Store } from "../store/Store.ts"
import { ServerApi } from "./ServerApi.ts"

/** The version of the server that this one behaves like. */
export const serverVersion = "0.2.0"

export const HealthHandlers = HttpApiBuilder.group(ServerApi, "health", (handlers) =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    return handlers
      .handle("get", () => health(start))
      .handleRaw("metrics", () => metrics(start))
  }))

const coordinatorId = "embedded-1"

const health = Effect.fnUntraced(function*(start: number) {
  const sandboxes = yield* Sandboxes
  const store = yield* Store
  const pool = yield* sandboxes.stats
  const sessions = yield* store.sessions
  return {
    status: "ok",
    version: serverVersion,
    coordinatorId,
    activeSessions: sessions.filter(({ status }) => status === "active").length,
    activeSandboxes: pool.total - pool.cold,
    remoteRunners: 0,
    uptime: Math.floor(((yield* Clock.currentTimeMillis) - start) / 1000),
    pool
  }
})

const metrics = (start: number) =>
  Effect.map(
    health(start),
    (health) => HttpServerResponse.text(format(health), { contentType: "text/plain; version=0.0.4; charset=utf-8" })
  )

type Health = Effect.Success<ReturnType<typeof health>>

/** The health as Prometheus reads it. */
const format = ({ activeSandboxes, activeSessions, pool, uptime }: Health): string =>
  `# TYPE ash_up gauge
ash_up{coordinator="${coordinatorId}"} 1
# TYPE ash_uptime_seconds gauge
ash_uptime_seconds ${uptime}
# TYPE ash_active_sessions gauge
ash_active_sessions ${activeSessions}
# TYPE ash_active_sandboxes gauge
ash_active_sandboxes ${activeSandboxes}
# TYPE ash_pool_sandboxes gauge
ash_pool_sandboxes{state="cold"} ${pool.cold}
ash_pool_sandboxes{state="warming"} ${pool.warming}
ash_pool_sandboxes{state="warm"} ${pool.warm}
ash_pool_sandboxes{state="waiting"} ${pool.waiting}
ash_pool_sandboxes{state="running"} ${pool.running}
# TYPE ash_pool_max_capacity gauge
ash_pool_max_capacity ${pool.maxCapacity}
# TYPE ash_resume_total counter
ash_resume_total{path="warm"} ${pool.resumeWarmHits}
ash_resume_total{path="cold"} ${pool.resumeColdHits}
ash_resume_total{path="prewarm"} ${pool.preWarmHits}
# TYPE ash_resume_cold_total counter
ash_resume_cold_total{source="local"} ${pool.resumeColdHits}
ash_resume_cold_total{source="cloud"} 0
ash_resume_cold_total{source="fresh"} 0
`
