/**
 * Runs of agents that survive the death of a machine. One command starts a PostgreSQL of its own, an embedded Ash server and
 * three runners, starts 50 runs of three turns, kills a runner in the middle, and prints what became of all:
 *
 *     npm run start:durable -- --runs 50
 *
 * Without PostgreSQL the runs are run by this process alone, in memory, and nothing is killed.
 */
import { NodeClusterSocket, NodeRuntime, NodeServices } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Clock, Console, Effect, Layer, Redacted } from "effect"
import { Sessions } from "effect-ash"
import { AshEmbedded } from "effect-ash/embedded"
import { AgentRuns, AshWorkflow } from "effect-ash/workflow"
import { Command, Flag } from "effect/cli"
import { SqlClient } from "effect/sql"
import { makeTurnCounter, startRunner } from "./cluster.ts"
import * as Postgres from "./postgres.ts"

const turnsOfRun = ["Read the report.", "Write a summary.", "Check the summary."]

const counter = makeTurnCounter(() => 300 + 400 * Math.random())
const server = AshEmbedded.layerHttp({ agents: { worker: { script: counter.script } } })

/** Starts so many runs, and answers their ids. */
const startRuns = Effect.fn(function*(count: number) {
  const runs = yield* AgentRuns
  const ids = Array.from({ length: count }, (_, index) => `run-${index}`)
  yield* Effect.forEach(ids, (id) =>
    runs.start({
      id,
      agent: "worker",
      steps: turnsOfRun.map((prompt) => `${id}: ${prompt}`),
      collect: ["answer.txt"],
      whenUnknown: "repeatRun"
    }), { concurrency: 8 })
  return ids
})

/** What became of the runs, as a table. */
const report = Effect.fn(function*(ids: ReadonlyArray<string>, takeOver: string) {
  const runs = yield* AgentRuns
  const results = yield* Effect.forEach(ids, (id) => Effect.result(runs.result(id)), { concurrency: 8 })
  const ledger = yield* Effect.forEach(ids, runs.turns, { concurrency: 8 })
  const sessions = yield* Sessions
  const alive = Effect.map(sessions.list(), (all) => all.filter(({ status }) => status !== "ended").length)
  // A session whose runner died before it was written down is swept.
  for (let looks = 0; looks < 60 && (yield* alive) > 0; looks++) yield* Effect.sleep("1 second")
  return {
    "runs": ids.length,
    "runs that succeeded": results.filter(({ _tag }) => _tag === "Success").length,
    "sessions beyond one for each run": results.reduce(
      (sum, result) => sum + (result._tag === "Success" ? result.success.generations - 1 : 0),
      0
    ),
    "turns sent, by the ledger": ledger.flat().length,
    "turns that the server saw": counter.turns(),
    "turns twice in one session": counter.twice(),
    "sessions alive at the end": yield* alive,
    "time to take over": takeOver
  }
})

/** Kills a runner when all runs and so many turns have begun, and waits until another one has begun its runs again. */
const killOne = Effect.fn(function*(turns: number, kill: () => void) {
  const runs = yield* AgentRuns
  const list = runs.list({ limit: 1000 })
  const isEarly = Effect.map(list, (all) => counter.turns() < turns || all.some(({ state }) => state === "queued"))
  while (yield* isEarly) yield* Effect.sleep("50 millis")
  kill()
  const killedAt = yield* Clock.currentTimeMillis
  const before = new Map((yield* list).map((run) => [run.id, run]))
  while (true) {
    yield* Effect.sleep("200 millis")
    const all = yield* list
    // A run that is taken over is begun again at the step that it was at.
    const taken = all.find(({ attempts, id, state, step }) => {
      const run = before.get(id)
      return run?.state === "running" && state === "running" && step === run.step && attempts > run.attempts
    })
    if (taken !== undefined) return `${(((yield* Clock.currentTimeMillis) - killedAt) / 1000).toFixed(1)} s`
    if (all.every(({ endedAt }) => endedAt !== undefined)) return "none was needed"
  }
})

/** Waits until so many runners have shared the shards among themselves, each of which holds a lock in the database. */
const shared = Effect.fn(function*(runners: number) {
  const sql = yield* SqlClient.SqlClient
  const locks = sql<
    { count: number }
  >`SELECT count(*)::int AS count FROM pg_locks WHERE locktype = 'advisory' GROUP BY pid`
  const isShared = (rows: ReadonlyArray<{ count: number }>) =>
    rows.length === runners && rows.every(({ count }) => count > 50)
  while (!isShared(yield* locks)) yield* Effect.sleep("200 millis")
})

const withCluster = Effect.fn(function*(count: number) {
  const { url } = yield* Postgres.start
  const address = yield* AshEmbedded.EmbeddedAddress
  const environment = {
    DATABASE_URL: Redacted.value(url),
    ASH_SERVER_URL: address.url,
    ASH_API_KEY: Redacted.value(address.apiKey)
  }
  const runners = yield* Effect.forEach(
    [1, 2, 3],
    () => Effect.flatMap(Postgres.freePort, (port) => startRunner({ ...environment, RUNNER_PORT: `${port}` }))
  )
  yield* Effect.forEach(runners, ({ ready }) => ready)
  yield* Console.log(`PostgreSQL: psql ${Redacted.value(url)}`)
  yield* Console.log(`Ash: ${address.url}; runners: ${runners.map(({ process }) => process.pid).join(", ")}`)

  const client = AshWorkflow.layerClient({ cluster: "example", transport: NodeClusterSocket.layer }).pipe(
    Layer.provideMerge(PgClient.layer({ url }))
  )
  return yield* Effect.gen(function*() {
    yield* shared(runners.length)
    const ids = yield* startRuns(count)
    const victim = runners[0]?.process
    const takeOver = yield* killOne(count, () => {
      victim?.kill("SIGKILL")
    })
    yield* Console.log(`Killed the runner ${victim?.pid}`)
    return yield* report(ids, takeOver)
  }).pipe(Effect.provide(client))
})

const inMemory = Effect.fn(function*(count: number) {
  yield* Console.log("PostgreSQL is not installed: the runs are run by this process alone, and nothing is killed")
  return yield* Effect.flatMap(startRuns(count), (ids) => report(ids, "nothing was killed")).pipe(
    Effect.provide(AshWorkflow.layerTest())
  )
})

const command = Command.make("durable", {
  runs: Flag.Int("runs").pipe(Flag.withDescription("How many runs are started"), Flag.withDefault(50))
}, ({ runs }) =>
  Effect.gen(function*() {
    const table = Postgres.installed === undefined ? yield* inMemory(runs) : yield* withCluster(runs)
    for (const [name, value] of Object.entries(table)) yield* Console.log(`${name.padEnd(34)}${value}`)
  }).pipe(Effect.scoped, Effect.provide(server)))

// A reader that closes the pipe, as `head` does, ends the program as Ctrl-C does: PostgreSQL and the runners end, too.
process.stdout.on("error", () => process.emit("SIGINT"))

Command.run(command, { version: "1" }).pipe(Effect.provide(NodeServices.layer), NodeRuntime.runMain)
