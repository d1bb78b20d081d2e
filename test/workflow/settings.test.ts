import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import { PersistenceError } from "effect/cluster/ClusterError"
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as Reply from "effect/cluster/Reply"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Snowflake from "effect/cluster/Snowflake"
import * as TestRunner from "effect/cluster/TestRunner"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SchemaBinary from "effect/encoding/SchemaBinary"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Rpc from "effect/rpc/Rpc"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Workflow from "effect/workflow/Workflow"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { join } from "node:path"
import { AgentScript, AshEmbedded } from "../../src/embedded.ts"
import { optionsOf } from "../../src/internal/request/options.ts"
import { AshError } from "../../src/schema/AshError.ts"
import { NotFound, NotReached, RateLimited } from "../../src/schema/Reasons.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import {
  AgentRun,
  AgentRunPayload,
  approval,
  Decision,
  RunFailure,
  RunResult,
  sleep
} from "../../src/workflow/AgentRun.ts"
import { AgentRuns } from "../../src/workflow/AgentRuns.ts"
import * as AshWorkflow from "../../src/workflow/AshWorkflow.ts"
import * as Claim from "../../src/workflow/Claim.ts"
import * as Engine from "../../src/workflow/engine.ts"
import * as Handover from "../../src/workflow/handover.ts"
import * as Orphans from "../../src/workflow/orphans.ts"
import * as Patience from "../../src/workflow/patience.ts"
import { StoredPayload } from "../../src/workflow/payloadHash.ts"
import {
  checked,
  clusterRules,
  readClusterSettings,
  readRunSettings,
  runRules
} from "../../src/workflow/RunnerSettings.ts"
import type { RunStatus } from "../../src/workflow/RunStatus.ts"
import * as MemoryRunStore from "../../src/workflow/store/MemoryRunStore.ts"
import { RunStore } from "../../src/workflow/store/RunStore.ts"
import { clockOf } from "../support/clock.ts"
import { folder } from "../support/shell.ts"
import * as Sqlite from "../support/sqlite.ts"

describe("settings of runners", () => {
  const read = (settings: AshWorkflow.ClusterSettings & AshWorkflow.RunSettings) =>
    Effect.flatMap(
      checked(optionsOf({ ...runRules, ...clusterRules }), settings),
      (checked) => readClusterSettings(checked, readRunSettings(checked))
    )

  it.effect("have defaults by which nothing is lost", () =>
    Effect.gen(function*() {
      const { lease, terminationTimeout } = yield* read({})
      assert.strictEqual(Duration.format(lease), "35s")
      assert.strictEqual(Duration.format(terminationTimeout), "10m 30s")
    }))

  const refused: ReadonlyArray<readonly [string, AshWorkflow.ClusterSettings & AshWorkflow.RunSettings, string]> = [
    [
      "a lease that is shorter than three stalls",
      { lease: "12 seconds" },
      "lease is 12s, less than three times longestStall"
    ],
    ["a long stall", { longestStall: "20 seconds" }, "make it at least 1m"],
    [
      "a termination time-out below the longest turn",
      { terminationTimeout: "1 minute" },
      "a runner that is stopped would lose"
    ],
    ["a turn without an end", { longestTurn: "Infinity" }, "longestTurn must be a finite duration"],
    ["no send window", { sendWindow: 0 }, "sendWindow must be"],
    ["a unit that there is not", { settleTime: "5 bananas" as "5 seconds" }, "settleTime must be"],
    ["half a run", { maxRunning: 0.5 }, "maxRunning must be an integer"],
    ["no attempt", { maxAttempts: 0 }, "maxAttempts must be an integer"],
    ["results that drivers do not read back", { maxStored: 20_000_000 }, "maxStored must be an integer of 1 to 4194304"]
  ]

  it.effect.each(refused)("are refused with the reason: %s", ([, settings, message]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(read(settings))
      assert.strictEqual(error._tag, "SettingsRefused")
      assert.include(error.message, message)
    }))
})

describe("a claim", () => {
  const moves: ReadonlyArray<readonly [string, number, number, number]> = [
    ["holds while it is young", 1000, 1000, 0],
    ["is renewed when its window is over", 3000, 3000, 1],
    ["is renewed when the wall clock jumps ahead, as behind the sleep of a machine", 3_600_000, 0, 1],
    ["is renewed when the wall clock jumps back", -3_600_000, 500, 1],
    ["is renewed when the monotonic clock has gone on alone", 0, 3000, 1]
  ]

  it.effect.each(moves)("%s", ([, wall, monotonic, renewals]) => {
    const time = { wall: 1_000_000_000, monotonic: 5_000_000_000n }
    let renewed = 0
    return Effect.gen(function*() {
      const claim = yield* Claim.make(Duration.seconds(2), () => Effect.succeed(true), () =>
        Effect.sync(() => {
          renewed += 1
          return true
        }))
      time.wall += wall
      time.monotonic += BigInt(monotonic) * 1_000_000n
      assert.isTrue(yield* claim?.holds ?? Effect.succeed(false))
      assert.strictEqual(renewed, renewals)
    }).pipe(Effect.provideService(Clock.Clock, clockOf(time)))
  })

  it.effect("that cannot be renewed does not hold", () => {
    const time = { wall: 0, monotonic: 0n }
    return Effect.gen(function*() {
      const claim = yield* Claim.make(Duration.seconds(2), () => Effect.succeed(true), () => Effect.succeed(false))
      time.wall = 10_000
      assert.isFalse(yield* claim?.holds ?? Effect.succeed(true))
    }).pipe(Effect.provideService(Clock.Clock, clockOf(time)))
  })
})

describe("a payload", () => {
  const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(AgentRunPayload))

  it.effect("of the first version, with nothing but what must be there, is read, and so is one of a later one", () =>
    Effect.gen(function*() {
      const first = { id: "one", agent: "worker", steps: ["go", { _tag: "Ask", content: "on" }] }
      assert.deepStrictEqual((yield* decode(first)).id, "one")
      assert.deepStrictEqual((yield* decode({ ...first, added: { later: true } })).id, "one")
    }))

  it.effect("and a decision that an earlier version let in are read, whatever is refused by now", () =>
    Effect.gen(function*() {
      const long = "x".repeat(100_001)
      const steps = [{ _tag: "Approval", message: long }, { _tag: "Sleep", duration: { _tag: "Millis", value: -1 } }]
      const stored = { id: "one", agent: "worker", steps }
      const payload = yield* Schema.decodeUnknownEffect(Schema.toCodecJson(StoredPayload))(stored)
      assert.strictEqual(payload.steps?.length, 2)
      const decisions: ReadonlyArray<Decision> = [{ _tag: "Approved", note: long }, { _tag: "Rejected", reason: long }]
      for (const decision of decisions) {
        assert.deepStrictEqual(yield* Schema.decodeUnknownEffect(Schema.toCodecJson(Decision))(decision), decision)
      }
      yield* Effect.flip(decode(stored))
    }))

  it.effect("has waits of whole milliseconds, as nothing else can be written down", () =>
    Effect.gen(function*() {
      const third = Duration.divideUnsafe(Duration.seconds(1), 3)
      for (const [duration, millis] of [[third, 334], [0.5, 1], [5n, 1], ["1 minute", 60_000]] as const) {
        const payload = AgentRunPayload.make({ id: "one", agent: "worker", steps: [sleep(duration)] })
        const encoded = yield* Schema.encodeEffect(Schema.toCodecJson(AgentRunPayload))(payload)
        assert.deepStrictEqual((yield* decode(encoded)).steps, [sleep(millis)])
      }
      for (const duration of [NaN, -1, Infinity, "5 bananas" as "5 seconds", "36501 days"] as const) {
        assert.throws(() => sleep(duration), "36,500 days")
      }
      assert.throws(() => approval("x".repeat(100_001)), "100,000 characters")
    }))

  it.effect("is the same behind the database", () =>
    Effect.gen(function*() {
      const payload = AgentRunPayload.make({
        id: "one",
        agent: "worker",
        steps: ["go", [{
          type: "image",
          source: { type: "base64", media_type: "image/png", data: new Uint8Array([1]) }
        }]],
        files: [{ path: "a", content: "AQI=" }, { path: "b", bytes: new Uint8Array([1, 2]) }],
        input: { a: [1, null] },
        session: { systemPrompt: "x" }
      })
      const encoded = yield* Schema.encodeEffect(Schema.toCodecJson(AgentRunPayload))(payload)
      assert.deepStrictEqual(yield* decode(JSON.parse(JSON.stringify(encoded))), payload)
      // Runners talk in binary, which knows fewer unions.
      const [received] = yield* Stream.make(payload).pipe(
        Stream.pipeThroughChannel(SchemaBinary.encode(AgentRunPayload)()),
        Stream.pipeThroughChannel(SchemaBinary.decode(AgentRunPayload)()),
        Stream.runCollect
      )
      assert.deepStrictEqual(received, payload)
      assert.doesNotThrow(() => SchemaBinary.encode(Schema.Union([RunResult, RunFailure]))())
    }))
})

describe("patience", () => {
  const failure = (retryAfter?: Duration.Duration) =>
    new AshError({ operation: "Sessions.create", reason: new RateLimited({ message: "too many", retryAfter }) })

  it.effect("outlasts a rate limit of ten minutes", () =>
    Effect.gen(function*() {
      let attempts = 0
      const attempt = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        attempts += 1
        return now < 600_000 ? Effect.fail(failure()) : Effect.succeed("there")
      })
      const fiber = yield* Effect.forkChild(Patience.patiently(Duration.hours(1), attempt))
      yield* TestClock.adjust("11 minutes")
      assert.strictEqual(yield* Fiber.join(fiber), "there")
      assert.isBelow(attempts, 60)
    }))

  it.effect("waits as long as it is asked to", () =>
    Effect.gen(function*() {
      let attempts = 0
      const attempt = Effect.suspend(() => {
        attempts += 1
        return attempts > 1 ? Effect.void : Effect.fail(failure(Duration.minutes(5)))
      })
      const fiber = yield* Effect.forkChild(Patience.patiently(Duration.hours(1), attempt))
      yield* TestClock.adjust("299 seconds")
      assert.strictEqual(attempts, 1)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
    }))

  it.effect("has an end, and does not begin where it would not help", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Effect.flip(Patience.patiently(Duration.minutes(1), Effect.fail(failure())))
      )
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "RateLimited")
      const missing = new AshError({ operation: "Sessions.create", reason: new NotFound({ message: "no agent" }) })
      assert.strictEqual(yield* Effect.flip(Patience.patiently(Duration.hours(1), Effect.fail(missing))), missing)
    }))
})

describe("one machine with a database of its own", () => {
  const single = (file: string, cluster: string) =>
    AshWorkflow.layerSingle({ cluster, cancelInterval: 20 }).pipe(
      Layer.provideMerge(Sqlite.layer(file)),
      Layer.provide(AshEmbedded.layer({ agents: { worker: {} } }))
    )

  it.live("keeps its runs beyond the end of the process, and belongs to one cluster", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "runs.db")
      const sessionId = yield* Effect.gen(function*() {
        const runs = yield* AgentRuns
        yield* runs.start({ id: "one", agent: "worker", steps: ["go"] })
        return (yield* runs.result("one", { every: 10 })).sessionId
      }).pipe(Effect.provide(single(file, "a")))
      const again = yield* Effect.gen(function*() {
        const runs = yield* AgentRuns
        const sql = yield* SqlClient.SqlClient
        yield* runs.start({ id: "one", agent: "worker", steps: ["go"] })
        const result = yield* runs.result("one", { every: 10 })
        const rows = sql<{ count: number }>`SELECT
          (SELECT count(*) FROM ash_runs) + (SELECT count(*) FROM ash_turns) + (SELECT count(*) FROM ash_sessions) +
          (SELECT count(*) FROM ash_cluster_messages) + (SELECT count(*) FROM ash_cluster_replies) AS count`
        assert.isAbove((yield* rows)[0]?.count ?? 0, 5)
        yield* runs.purge({ olderThan: 0 })
        assert.deepStrictEqual(yield* rows, [{ count: 0 }])
        return result.sessionId
      }).pipe(Effect.provide(single(file, "a")))
      assert.strictEqual(again, sessionId)
      for (const name of ["", "a\0b", "x".repeat(201)]) {
        const error = yield* Effect.flip(Effect.provide(AgentRuns, single(file, name)))
        assert.deepInclude(error, { _tag: "SettingsRefused", setting: "cluster" })
      }
      const error = yield* Effect.flip(Effect.provide(AgentRuns, single(file, "b")))
      assert.strictEqual(error._tag, "SettingsRefused")
      assert.include(error.message, "belong to the cluster a, and this is a process of b")
    }))

  it.effect("waits for a turn that is under way where it is closed", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const end = yield* Deferred.make<void>()
      const script: AgentScript.AgentScript = () =>
        Stream.fromEffect(
          Deferred.succeed(begun, undefined).pipe(
            Effect.andThen(Deferred.await(end)),
            Effect.as(AgentScript.say("done"))
          )
        )
      const shared = yield* Layer.build(
        Layer.merge(Sqlite.layer(), AshEmbedded.layer({ agents: { worker: { script } } }))
      )
      const closed = yield* Effect.gen(function*() {
        const { start } = yield* AgentRuns
        yield* start({ id: "one", agent: "worker", steps: ["go"] })
        yield* Deferred.await(begun)
      }).pipe(
        Effect.provide(AshWorkflow.layerSingle()),
        Effect.provideContext(shared),
        Effect.forkChild
      )
      /** Lets the clock run, and whatever waits for the disk. */
      const tick = Effect.andThen(
        TestClock.adjust("10 millis"),
        Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      )
      while (!Deferred.isDoneUnsafe(begun)) yield* tick
      // The engine would cut it off after 15 seconds.
      yield* TestClock.adjust("20 seconds")
      yield* Deferred.succeed(end, undefined)
      while (closed.pollUnsafe() === undefined) yield* tick
      const sql = Context.get(shared, SqlClient.SqlClient)
      assert.deepStrictEqual(yield* sql`SELECT status FROM ash_turns`, [{ status: "done" }])
    }))

  it.live("is closed while its runs wait for a place, or for the server, which go on behind that", () =>
    Effect.gen(function*() {
      const shared = yield* Layer.build(Layer.merge(Sqlite.layer(), AshEmbedded.layer({ agents: { worker: {} } })))
      let isDown = false
      const failed = new AshError({ operation: "Sessions.create", reason: new NotReached({ message: "down" }) })
      const refused = yield* Deferred.make<void>()
      const sessions = Context.get(shared, Sessions)
      const own = Context.add(shared, Sessions, {
        ...sessions,
        create: (session) =>
          isDown
            ? Effect.andThen(Deferred.succeed(refused, undefined), Effect.fail(failed))
            : sessions.create(session)
      })
      const inProcess = <A, E>(program: Effect.Effect<A, E, AgentRuns>) =>
        program.pipe(
          Effect.provide(AshWorkflow.layerSingle({ cancelInterval: 20, maxRunning: 2, longestTurn: "30 seconds" })),
          Effect.provideContext(own)
        )
      const until = (id: string, is: (status: RunStatus) => boolean) =>
        Effect.flatMap(AgentRuns, ({ status }) => Effect.repeat(Effect.delay(status(id), 10), { until: is }))
      yield* inProcess(Effect.gen(function*() {
        const { start } = yield* AgentRuns
        yield* start({ id: "one", agent: "worker", steps: [approval("go on?")] })
        yield* until("one", ({ state }) => state === "waiting")
        isDown = true
        yield* start({ id: "two", agent: "worker", steps: ["go"] })
        yield* Deferred.await(refused)
        yield* start({ id: "three", agent: "worker", steps: ["go"] })
        yield* until("three", ({ startedAt }) => startedAt !== undefined)
      }))
      isDown = false
      yield* inProcess(Effect.gen(function*() {
        const { approve, result, status } = yield* AgentRuns
        yield* approve((yield* status("one")).token ?? "")
        for (const id of ["one", "two", "three"]) yield* result(id, { every: 10 })
      }))
    }))

  it.live("begins no run again that was begun too often without a step forward", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "runs.db")
      yield* Effect.gen(function*() {
        const runs = yield* AgentRuns
        const sql = yield* SqlClient.SqlClient
        yield* runs.start({ id: "one", agent: "worker", steps: [approval("go on?"), "go"] })
        const waiting = Effect.flatMap(runs.status("one"), ({ token }) =>
          token === undefined ? Effect.fail("not yet") : Effect.succeed(token))
        const token = yield* Effect.eventually(Effect.tapError(waiting, () =>
          Effect.sleep(10)))
        // As if five runners had died of it.
        yield* sql`UPDATE ash_runs SET attempts = 5`
        yield* runs.approve(token)
        const error = yield* Effect.flip(runs.result("one", { every: 10 }))
        assert.strictEqual(error._tag, "TooManyAttempts")
        assert.deepInclude(yield* runs.status("one"), { state: "failed" })
      }).pipe(Effect.provide(
        AshWorkflow.layerSingle({ cancelInterval: 20 }).pipe(
          Layer.provideMerge(Sqlite.layer(file)),
          Layer.provide(AshEmbedded.layer({ agents: { worker: {} } }))
        )
      ))
    }))

  it.live("comes to the end that it came to before, however often it was begun since", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "runs.db")
      const failed = Effect.flatMap(AgentRuns, (runs) => Effect.flip(runs.result("one", { every: 10 })))
      const first = yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* (yield* AgentRuns).start({ id: "one", agent: "worker", steps: ["go"], collect: ["none"] })
        const error = yield* failed
        // As if five runners had died before the engine knew of it.
        yield* sql`DELETE FROM ash_cluster_replies
          WHERE request_id IN (SELECT id FROM ash_cluster_messages WHERE tag = 'run')`
        yield* sql`UPDATE ash_cluster_messages SET processed = 0, last_reply_id = NULL WHERE tag = 'run'`
        yield* sql`UPDATE ash_runs SET attempts = 5`
        return error
      }).pipe(Effect.provide(single(file, "a")))
      const again = yield* Effect.provide(failed, single(file, "a"))
      assert.deepStrictEqual([again._tag, again.message], [first._tag, first.message])
    }))

  it.live.each([
    {
      what: "its answer, and who was to give it",
      lose: `UPDATE ash_cluster_messages SET processed = 0, last_reply_id = NULL, last_read = CURRENT_TIMESTAMP
        WHERE tag = 'run'`
    },
    {
      what: "that it went on behind a wait",
      lose: `INSERT INTO ash_cluster_replies (id, kind, request_id, payload)
        SELECT last_reply_id, 0, id, '{"_tag":"Success","value":{"_tag":"Suspended"}}' FROM ash_cluster_messages
        WHERE tag = 'run'`
    }
  ])("answers the end that a row has, though the engine has lost $what", ({ lose }) =>
    Effect.gen(function*() {
      const file = join(yield* folder, "runs.db")
      yield* Effect.gen(function*() {
        const runs = yield* AgentRuns
        const sql = yield* SqlClient.SqlClient
        yield* runs.start({ id: "one", agent: "worker", steps: ["go"] })
        const first = yield* runs.result("one", { every: 10 })
        yield* sql`DELETE FROM ash_cluster_replies
          WHERE request_id IN (SELECT id FROM ash_cluster_messages WHERE tag = 'run')`
        yield* sql.unsafe(lose)
        assert.deepStrictEqual(yield* runs.result("one", { every: 10 }), first)
      }).pipe(Effect.provide(single(file, "a")))
    }))

  it.live("ends a run by itself whose payload a later build does not read", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "runs.db")
      yield* Effect.gen(function*() {
        const runs = yield* AgentRuns
        const sql = yield* SqlClient.SqlClient
        yield* runs.start({ id: "one", agent: "worker", steps: [sleep("1 hour")] })
        while ((yield* runs.status("one")).state !== "waiting") yield* Effect.sleep(10)
        yield* sql`DELETE FROM ash_cluster_replies
          WHERE request_id IN (SELECT id FROM ash_cluster_messages WHERE tag = 'run')`
        yield* sql`UPDATE ash_cluster_messages SET processed = 0, last_reply_id = NULL,
          payload = replace(payload, '"Sleep"', '"Nap"') WHERE tag = 'run'`
      }).pipe(Effect.provide(single(file, "a")))
      yield* Effect.gen(function*() {
        const runs = yield* AgentRuns
        while ((yield* runs.status("one")).endedAt === undefined) yield* Effect.sleep(10)
        const { failure, state } = yield* runs.status("one")
        assert.strictEqual(state, "failed")
        assert.include(failure, "payload cannot be read")
        assert.strictEqual((yield* Effect.flip(runs.result("one", { every: 10 })))._tag, "RunDied")
      }).pipe(Effect.provide(single(file, "a")))
    }))

  it.live("forgets a run as a whole, or keeps it as it is", () =>
    Effect.gen(function*() {
      const { purge, result, start } = yield* AgentRuns
      const sql = yield* SqlClient.SqlClient
      const run = { id: "one", agent: "worker", steps: ["go"] }
      yield* start(run)
      const { sessionId } = yield* result("one", { every: 10 })
      for (const table of ["ash_runs", "ash_cluster_messages"]) {
        yield* sql.unsafe(`CREATE TRIGGER keep BEFORE DELETE ON ${table} BEGIN SELECT RAISE(ABORT, 'not now'); END`)
        assert.strictEqual((yield* Effect.flip(purge({ olderThan: 0 })))._tag, "SqlError")
        assert.strictEqual((yield* result("one")).sessionId, sessionId)
        yield* sql`DROP TRIGGER keep`
      }
      assert.strictEqual(yield* purge({ olderThan: 0 }), 1)
      yield* start(run)
      assert.notStrictEqual((yield* result("one", { every: 10 })).sessionId, sessionId)
    }).pipe(Effect.provide(single(":memory:", "a"))))

  it.live("keeps of a defect its message alone, as it may hold what no driver reads back", () => {
    const broken = () => Effect.die(new Error("broken", { cause: { data: "x".repeat(1_000_000) } }))
    return Effect.gen(function*() {
      const { result, start } = yield* AgentRuns
      const sql = yield* SqlClient.SqlClient
      yield* start({ id: "one", agent: "worker", plan: "broken" })
      assert.include((yield* Effect.flip(result("one", { every: 10 }))).message, "broken")
      const [row] = yield* sql`SELECT max(length(payload)) AS size FROM ash_cluster_replies`
      assert.isBelow(Number(row?.["size"]), 1000)
    }).pipe(Effect.provide(
      AshWorkflow.layerSingle({ plans: { broken } }).pipe(
        Layer.provideMerge(Sqlite.layer()),
        Layer.provide(AshEmbedded.layer({ agents: { worker: {} } }))
      )
    ))
  })

  it.effect("is asked again for a result where it did not answer", () =>
    Effect.gen(function*() {
      const store = yield* RunStore
      const asked = yield* Deferred.make<void>()
      const lost = new SqlError({ reason: new ConnectionError({ cause: "lost" }) })
      let looks = 0
      const found: RunStore["Service"]["findRun"] = (id) =>
        Effect.suspend(() => {
          looks += 1
          return looks === 2 ? Effect.andThen(Deferred.succeed(asked, undefined), Effect.fail(lost)) : store.findRun(id)
        })
      yield* Effect.gen(function*() {
        yield* store.insertRun({ id: "one", executionId: "none", payloadHash: "", agent: "worker" })
        const waiting = yield* Effect.forkChild(Effect.flip((yield* AgentRuns).result("one", { every: 10 })))
        yield* Effect.raceFirst(Deferred.await(asked), Effect.forever(TestClock.adjust(10)))
        yield* store.endRun("one", "why", "cancelled")
        yield* store.deleteRun((yield* store.findRun("one"))!, Effect.void)
        const end = yield* Effect.raceFirst(Fiber.join(waiting), Effect.forever(TestClock.adjust(1000)))
        assert.strictEqual(end._tag, "RunNotFound")
      }).pipe(Effect.provide(
        AgentRuns.layer.pipe(
          Layer.provide([
            Engine.layerAlone(MessageStorage.layerMemory),
            Layer.succeed(RunStore, { ...store, findRun: found })
          ]),
          Layer.provide(ShardingConfig.layer())
        )
      ))
    }).pipe(Effect.provide(MemoryRunStore.layer)))

  it.effect("begins a run again that waits, where it has failed twice to write that down", () => {
    const lost = new PersistenceError({ cause: new SqlError({ reason: new ConnectionError({ cause: "lost" }) }) })
    const id = Snowflake.Snowflake(1n)
    const requestId = Snowflake.Snowflake(2n)
    const there: Array<Reply.Encoded> = []
    const calls: Array<"save" | "clear"> = []
    const failing = (call: "save" | "clear", act: () => void) =>
      Effect.suspend(() => {
        calls.push(call)
        if (calls.indexOf(call) === calls.length - 1) return Effect.fail(lost)
        act()
        return Effect.void
      })
    const storage = MessageStorage.MessageStorage.of({
      ...MessageStorage.noop,
      saveReply: (reply) =>
        Effect.as(
          failing("save", () =>
            there.push({
              _tag: "WithExit",
              id: String(id),
              requestId: String(requestId),
              exit: { _tag: "Success", value: { _tag: "Suspended" } }
            })),
          reply
        ),
      repliesForUnfiltered: () => Effect.sync(() => [...there]),
      clearReplies: () => failing("clear", () => there.pop())
    })
    return Effect.gen(function*() {
      const { saveReply } = yield* MessageStorage.MessageStorage
      const rpc = Rpc.make("run", { success: Schema.Unknown })
      const reply = new Reply.ReplyWithContext<typeof rpc>({
        reply: new Reply.WithExit({ id, requestId, exit: Exit.succeed(new Workflow.Suspended({})) }),
        context: Context.empty(),
        rpc
      })
      yield* Effect.raceFirst(saveReply(reply), Effect.forever(TestClock.adjust(1000)))
      assert.deepStrictEqual(calls, ["save", "save", "clear", "clear"])
    }).pipe(Effect.provide(Layer.provide(Engine.layerStorage, Layer.succeed(MessageStorage.MessageStorage, storage))))
  })

  it.effect.each(["{}", "\"5 bananas\"", "-1", "0"])(
    "ends no session by an age or a time of %s",
    (json) =>
      Effect.gen(function*() {
        const time: number = JSON.parse(json)
        for (const setting of ["olderThan", "every"]) {
          const runs = AshWorkflow.layerSingle({ orphans: { agents: ["worker"], [setting]: time } })
          const error = yield* Effect.flip(Effect.provide(AgentRuns, runs))
          assert.deepInclude(error, { _tag: "SettingsRefused", setting: `orphans.${setting}` })
        }
      }).pipe(Effect.provide(Layer.merge(Sqlite.layer(), AshEmbedded.layer({ agents: { worker: {} } }))))
  )

  it.live("are told of tables that are not there, and what makes them", () =>
    Effect.gen(function*() {
      const runs = AshWorkflow.layerSingle({ migrate: false })
      const error = yield* Effect.flip(Effect.provide(AgentRuns, runs))
      assert.deepInclude(error, { _tag: "SettingsRefused", setting: "migrate" })
      assert.include(error.message, "run layerMigrations")
    }).pipe(Effect.provide(Layer.merge(Sqlite.layer(), AshEmbedded.layer({ agents: { worker: {} } })))))

  it.live("ends sessions of its agents that no run knows, and no others", () =>
    Effect.gen(function*() {
      const file = join(yield* folder, "runs.db")
      yield* Effect.gen(function*() {
        const runs = yield* AgentRuns
        const sessions = yield* Sessions
        yield* (yield* Agents).create({ name: "other" })
        yield* runs.start({ id: "one", agent: "worker", steps: [approval("go on?"), "go"] })
        const orphan = yield* sessions.create({ agent: "worker" })
        const another = yield* sessions.create({ agent: "other" })
        const statusOf = (id: string) => Effect.map(sessions.get(id), ({ status }) => status)
        while ((yield* statusOf(orphan.id)) !== "ended") yield* Effect.sleep(10)
        while ((yield* runs.status("one")).token === undefined) yield* Effect.sleep(10)
        const { sessionId = "", token = "" } = yield* runs.status("one")
        assert.strictEqual(yield* statusOf(sessionId), "active")
        assert.strictEqual(yield* statusOf(another.id), "active")
        yield* runs.approve(token)
        assert.strictEqual((yield* runs.result("one", { every: 10 })).sessionId, sessionId)
      }).pipe(Effect.provide(
        AshWorkflow.layerSingle({
          cancelInterval: 20,
          orphans: { agents: ["worker", ""], olderThan: "2 seconds", every: 20 }
        })
          .pipe(
            Layer.provide(Sqlite.layer(file)),
            Layer.provideMerge(AshEmbedded.layer({ agents: { worker: {} } }))
          )
      ))
    }))

  it.live("ends no session that a runner wrote down only when the database answered it again", () =>
    Effect.gen(function*() {
      const store = yield* RunStore
      const sessions = yield* Sessions
      const { id } = yield* sessions.create({ agent: "worker" })
      yield* store.insertRun({ id: "one", executionId: "one", payloadHash: "", agent: "worker" })
      const looks = { count: 0 }
      const known: typeof store.known = (ids) =>
        Effect.tap(store.known(ids), () => {
          looks.count += 1
          return store.recordSession({ sessionId: id, runId: "one", generation: 0 })
        })
      const statusOf = Effect.map(sessions.get(id), ({ status }) => status)
      const sweep = Orphans.layer({ agents: ["worker"], olderThan: 1, every: 10 })
      yield* Layer.build(Layer.provide(sweep, Layer.succeed(RunStore, { ...store, known })))
      while (looks.count < 3 && (yield* statusOf) === "active") yield* Effect.sleep(10)
      assert.strictEqual(yield* statusOf, "active")
    }).pipe(Effect.provide([
      MemoryRunStore.layer,
      TestRunner.layer,
      AshEmbedded.layer({ agents: { worker: {} } })
    ])))
})

describe("a run whose shard has moved", () => {
  /** A runner that has the shard as long as it is let. */
  const sharding = Effect.map(Sharding.Sharding, (real) => {
    let isOwned = true
    return {
      lose: () => {
        isOwned = false
      },
      sharding: { ...real, hasShardId: () => isOwned }
    }
  }).pipe(Effect.provide(TestRunner.layer))

  it.effect("is given up where none of its steps is being done, and not before", () =>
    Effect.gen(function*() {
      const { lose, sharding: own } = yield* sharding
      const handover = Handover.make(own, "execution")
      const step = yield* Deferred.make<void>()
      const run = handover.whileOwned(Effect.andThen(handover.during(Deferred.await(step)), Effect.never))
      const instance = WorkflowEngine.WorkflowInstance.initial(AgentRun, "execution")
      const fiber = yield* Effect.forkChild(
        Effect.provideService(run, WorkflowEngine.WorkflowInstance, instance)
      )
      lose()
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(fiber.pollUnsafe())
      yield* Deferred.succeed(step, undefined)
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.hasInterrupts(exit))
      const reasons = Exit.isFailure(exit) ? exit.cause.reasons : []
      assert.isTrue(reasons.some((reason) => reason.annotations.has(ClusterSchema.Abandon.key)))
    }))

  it.effect("goes on where it is this runner's", () =>
    Effect.gen(function*() {
      const handover = Handover.make((yield* sharding).sharding, "execution")
      const fiber = yield* Effect.forkChild(handover.whileOwned(Effect.delay(Effect.succeed("done"), "1 hour")))
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* Fiber.join(fiber), "done")
    }))
})
