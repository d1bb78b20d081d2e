/** A world of durable runs, for fault tests and the benchmark: a PostgreSQL, an embedded server and three runners of its own. */
import { NodeClusterSocket } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import { join } from "node:path"
import { makeTurnCounter, type Runner, startRunner } from "../examples/durable/cluster.ts"
import * as Postgres from "../examples/durable/postgres.ts"
import { AshEmbedded } from "../src/embedded.ts"
import type { Sessions } from "../src/services/Sessions.ts"
import { type AgentRuns, AshWorkflow } from "../src/workflow.ts"

/** What a fault acts on. */
export interface World {
  readonly runners: ReadonlyArray<Runner>
  /** Starts another runner, and waits until it is there. */
  readonly join: Effect.Effect<Runner, never, Scope.Scope>
  readonly postgres: Postgres.Postgres
  readonly sql: SqlClient.SqlClient
}

/** Waits until three runners have shared the shards. */
const shared = Effect.fn(function*(sql: SqlClient.SqlClient) {
  const locks = sql<
    { count: number }
  >`SELECT count(*)::int AS count FROM pg_locks WHERE locktype = 'advisory' GROUP BY pid`
  const isShared = (rows: ReadonlyArray<{ count: number }>) =>
    rows.length === 3 && rows.every(({ count }) => count > 50)
  while (!isShared(yield* locks)) yield* Effect.sleep("200 millis")
})

/** Makes a world, and does something in it as a client of its runners. */
export const withWorld = <A, E>(
  counter: ReturnType<typeof makeTurnCounter>,
  environment: Record<string, string>,
  act: (world: World) => Effect.Effect<A, E, AgentRuns | Sessions | Scope.Scope>
) =>
  Effect.gen(function*() {
    const postgres = yield* Postgres.start
    const address = yield* AshEmbedded.EmbeddedAddress
    const own = { LEASE: "12", LONGEST_STALL: "4", LONGEST_TURN: "30", SETTLE_TIME: "5", ...environment }
    const start = Effect.flatMap(Postgres.freePort, (port) =>
      startRunner({
        ...own,
        DATABASE_URL: Redacted.value(postgres.url),
        ASH_SERVER_URL: address.url,
        ASH_API_KEY: Redacted.value(address.apiKey),
        RUNNER_PORT: `${port}`
      }, join(import.meta.dirname, "durable-runner.ts")))
    const runners = yield* Effect.forEach([1, 2, 3], () => start)
    yield* Effect.forEach(runners, ({ ready }) => ready)
    const client = AshWorkflow.layerClient({ cluster: "faults", transport: NodeClusterSocket.layer }).pipe(
      Layer.provideMerge(PgClient.layer({ url: postgres.url }))
    )
    return yield* Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* shared(sql)
      return yield* act({ runners, join: Effect.tap(start, ({ ready }) => ready), postgres, sql })
    }).pipe(Effect.provide(client))
  }).pipe(
    Effect.provide(AshEmbedded.layerHttp({ agents: { worker: { script: counter.script } } })),
    Effect.scoped
  )
