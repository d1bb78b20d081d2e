/**
 * A runner: one process of three that run the runs of `main.ts`. It takes the database from `DATABASE_URL`, the Ash server from
 * `ASH_SERVER_URL` and `ASH_API_KEY`, and its own port from `RUNNER_PORT`.
 */
import { NodeClusterSocket, NodeRuntime } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Console, Effect, Layer } from "effect"
import { AshNode } from "effect-ash/node"
import { AshWorkflow } from "effect-ash/workflow"

const runner = Layer.unwrap(Effect.gen(function*() {
  const seconds = (name: string, fallback: number) =>
    Effect.map(Config.Number(name).pipe(Config.withDefault(fallback)), (value) => `${value} seconds` as const)
  return AshWorkflow.layerRunner({
    transport: NodeClusterSocket.layer,
    cluster: "example",
    host: "127.0.0.1",
    port: yield* Config.Port("RUNNER_PORT"),
    // Short, so that the example does not take long. In production the defaults survive longer stalls.
    lease: yield* seconds("LEASE", 12),
    longestStall: yield* seconds("LONGEST_STALL", 4),
    longestTurn: yield* seconds("LONGEST_TURN", 30),
    settleTime: yield* seconds("SETTLE_TIME", 5),
    orphans: { agents: ["worker"], olderThan: "20 seconds", every: "5 seconds" }
  })
}))

const database = PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") })

const program = Layer.build(runner).pipe(
  Effect.andThen(Console.log("ready")),
  Effect.andThen(Effect.never),
  Effect.scoped,
  Effect.provide([AshNode.layerConfig(), database])
)

NodeRuntime.runMain(program)
