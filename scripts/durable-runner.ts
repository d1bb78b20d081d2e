/** A runner for the fault tests of durable runs: its key comes late where `KEY_DELAY` is set, between a claim and its message. */
import { NodeClusterSocket, NodeRuntime } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Console, Effect, Layer } from "effect"
import { AshNode } from "../src/node.ts"
import { AshWorkflow } from "../src/workflow.ts"

const seconds = (name: string) => Effect.map(Config.Number(name), (value) => `${value} seconds` as const)

const runner = Layer.unwrap(Effect.gen(function*() {
  return AshWorkflow.layerRunner({
    transport: NodeClusterSocket.layer,
    cluster: "faults",
    host: "127.0.0.1",
    port: yield* Config.Port("RUNNER_PORT"),
    lease: yield* seconds("LEASE"),
    longestStall: yield* seconds("LONGEST_STALL"),
    longestTurn: yield* seconds("LONGEST_TURN"),
    settleTime: yield* seconds("SETTLE_TIME"),
    orphans: { agents: ["worker"], olderThan: "30 seconds", every: "5 seconds" }
  })
}))

const server = Layer.unwrap(Effect.gen(function*() {
  const key = yield* Config.Redacted("ASH_API_KEY")
  const delay = yield* Config.Number("KEY_DELAY").pipe(Config.withDefault(0))
  return AshNode.layer({
    url: yield* Config.String("ASH_SERVER_URL"),
    apiKey: Effect.delay(Effect.succeed(key), delay)
  })
}))

Layer.build(runner).pipe(
  Effect.andThen(Console.log("ready")),
  Effect.andThen(Effect.never),
  Effect.scoped,
  Effect.provide([server, PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") })]),
  NodeRuntime.runMain
)
