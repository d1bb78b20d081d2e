/** The state of a server: the response of `GET /health`, which needs no key. */
import * as Schema from "effect/Schema"
import { nullish } from "./Wire.ts"

/** How many sandboxes the server holds, by state, and how sessions were resumed since it started. */
export interface PoolStats extends Schema.Schema.Type<typeof PoolStats> {}
export const PoolStats = Schema.Struct({
  total: Schema.Finite,
  cold: Schema.Finite,
  warming: Schema.Finite,
  warm: Schema.Finite,
  waiting: Schema.Finite,
  running: Schema.Finite,
  maxCapacity: Schema.Finite,
  resumeWarmHits: Schema.Finite,
  resumeColdHits: Schema.Finite,
  preWarmHits: nullish(Schema.Finite)
}).annotate({ identifier: "PoolStats" })

/** The state of a server. */
export interface ServerHealth extends Schema.Schema.Type<typeof ServerHealth> {}
export const ServerHealth = Schema.Struct({
  status: Schema.String,
  version: nullish(Schema.String),
  coordinatorId: nullish(Schema.String),
  /** Active sessions of the tenant `default`. */
  activeSessions: Schema.Finite,
  activeSandboxes: Schema.Finite,
  remoteRunners: nullish(Schema.Finite),
  /** Seconds since the server started. */
  uptime: Schema.Finite,
  pool: PoolStats
}).annotate({ identifier: "ServerHealth" })
