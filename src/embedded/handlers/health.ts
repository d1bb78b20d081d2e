/** The handlers of the group `health` (docs/ash.md 3.1). */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Struct from "effect/Struct"
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

const metrics = Effect.fnUntraced(function*(start: number) {
  return HttpServerResponse.text(format(yield* health(start)), {
    contentType: "text/plain; version=0.0.4; charset=utf-8"
  })
})

type Health = Effect.Success<ReturnType<typeof health>>

/** The health as Prometheus reads it. */
const format = ({ activeSandboxes, activeSessions, pool, uptime }: Health): string =>
  [
    ...metric("ash_up", "gauge", [[`{coordinator="${coordinatorId}"}`, 1]]),
    ...metric("ash_uptime_seconds", "gauge", [["", uptime]]),
    ...metric("ash_active_sessions", "gauge", [["", activeSessions]]),
    ...metric("ash_active_sandboxes", "gauge", [["", activeSandboxes]]),
    ...metric(
      "ash_pool_sandboxes",
      "gauge",
      Object.entries(Struct.pick(pool, ["cold", "warming", "warm", "waiting", "running"])).map((
        [state, count]
      ) => [`{state="${state}"}`, count])
    ),
    ...metric("ash_pool_max_capacity", "gauge", [["", pool.maxCapacity]]),
    ...metric("ash_resume_total", "counter", [
      ["{path=\"warm\"}", pool.resumeWarmHits],
      ["{path=\"cold\"}", pool.resumeColdHits],
      ["{path=\"prewarm\"}", pool.preWarmHits]
    ]),
    ...metric("ash_resume_cold_total", "counter", [
      ["{source=\"local\"}", pool.resumeColdHits],
      ["{source=\"cloud\"}", 0],
      ["{source=\"fresh\"}", 0]
    ])
  ].join("\n") + "\n"

const metric = (
  name: string,
  type: "gauge" | "counter",
  values: ReadonlyArray<readonly [labels: string, value: number]>
) => [`# TYPE ${name} ${type}`, ...values.map(([labels, value]) => `${name}${labels} ${value}`)]
