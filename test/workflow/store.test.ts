import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as Postgres from "../../examples/durable/postgres.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { AshError } from "../../src/schema/AshError.ts"
import type { Messages } from "../../src/services/Messages.ts"
import { AgentRuns } from "../../src/workflow/AgentRuns.ts"
import * as Engine from "../../src/workflow/engine.ts"
import * as MemoryRunStore from "../../src/workflow/store/MemoryRunStore.ts"
import { RunStore } from "../../src/workflow/store/RunStore.ts"
import * as SqlRunStore from "../../src/workflow/store/SqlRunStore.ts"
import * as Sqlite from "../support/sqlite.ts"

const sql = SqlRunStore.layerStorage("ash").pipe(Layer.provide(SqlRunStore.layerMigrations("ash")))
const postgres = Layer.unwrap(Effect.map(Postgres.start, ({ url }) => PgClient.layer({ url })))

const stores: ReadonlyArray<readonly [string, Layer.Layer<RunStore, unknown>]> = [
  ["memory", MemoryRunStore.layer],
  ["SQLite", Layer.provide(sql, Sqlite.layer())],
  ...(Postgres.installed === undefined ? [] : [["PostgreSQL", Layer.provide(sql, postgres)] as const])
]

const run = (id: string) => ({ id, executionId: `execution of ${id}`, payloadHash: "hash", agent: "worker" })
const forget = Effect.fnUntraced(function*(store: RunStore["Service"], id: string) {
  const run = yield* store.endRun(id, "why", "cancelled")
  return run !== undefined && (yield* store.deleteRun(run, Effect.void))
})
const key = (runId: string) => ({ runId, step: 2, generation: 1 })
const turn = (runId: string, owner: string) => ({
  ...key(runId),
  sessionId: `session of ${runId}`,
  afterSequence: 3,
  owner
})

/** Sees that something was refused by the name of its field. */
const refusal = (error: { readonly _tag: string }, operation: string, field: string) => {
  assert.instanceOf(error, AshError)
  assert.deepInclude(error, { operation })
  assert.deepInclude(error.reason, { _tag: "InvalidRequest", field })
}

describe.each(stores)("runs over tables in %s", (_, layer) => {
  const runs = AgentRuns.layer.pipe(
    Layer.provide(Layer.provide(Engine.layerAlone(MessageStorage.layerMemory), ShardingConfig.layer())),
    Layer.provide(Layer.fresh(layer)),
    Layer.provideMerge(AshEmbedded.layer())
  )

  it.layer(runs, { excludeTestServices: true })((it) => {
    it.effect.each(["\"a\\u0000b\"", "\"\"", "null", "5", "{}"])(
      "have none of the id or the token %s",
      (json) =>
        Effect.gen(function*() {
          const id: string = JSON.parse(json)
          const { approve, cancel, reject, result, status, turns, watch } = yield* AgentRuns
          const calls = [status(id), result(id), cancel(id), Stream.runDrain(watch(id)), approve(id), reject(id, "no")]
          const errors = yield* Effect.forEach(
            calls,
            (call) => Effect.flip<unknown, { readonly _tag: string }, Messages>(call)
          )
          assert.deepStrictEqual(errors.map(({ _tag }) => _tag), [
            ...Array.from({ length: 4 }, () => "RunNotFound"),
            ...Array.from({ length: 2 }, () => "ApprovalClosed")
          ])
          assert.deepStrictEqual(yield* turns(id), [])
        })
    )

    const refused: ReadonlyArray<readonly [string, ReadonlyArray<unknown>]> = [
      ["limit", [0, -1, 0.5, NaN, Infinity, 1001, "5"]],
      ["before", ["a\0b", "\ud800", "", "x".repeat(201), 5]],
      ["agent", ["a\0b", "\ud800", "", "x".repeat(256), 5]],
      ["state", ["a\0b", "", "done", 5]]
    ]

    it.effect.each(refused)("are not listed by what is no %s", ([field, values]) =>
      Effect.gen(function*() {
        const { list } = yield* AgentRuns
        for (const value of values) refusal(yield* Effect.flip(list({ [field]: value })), "AgentRuns.list", field)
        assert.strictEqual((yield* Effect.flip(list({ before: "none" })))._tag, "RunNotFound")
      }))

    it.effect("are purged in a number and of an age that a database can name", () =>
      Effect.gen(function*() {
        const { purge } = yield* AgentRuns
        for (const limit of [0, -1, 0.5, NaN, Infinity, 2 ** 60]) {
          refusal(yield* Effect.flip(purge({ olderThan: 0, limit })), "AgentRuns.purge", "limit")
        }
        for (const olderThan of [Infinity, 1e300, 0.5, 1n, Number.MAX_VALUE]) {
          assert.strictEqual(yield* purge({ olderThan, limit: Number.MAX_SAFE_INTEGER }), 0)
        }
      }))

    it.effect("are not decided on with what a database does not give back", () =>
      Effect.gen(function*() {
        const { approve, reject } = yield* AgentRuns
        for (const remark of ["x".repeat(100_001), 5, {}, null]) {
          const text: string = JSON.parse(JSON.stringify(remark))
          refusal(yield* Effect.flip(approve("token", text)), "AgentRuns.approve", "note")
          refusal(yield* Effect.flip(reject("token", text)), "AgentRuns.reject", "reason")
        }
      }))
  })
})

describe.each(stores)("the tables of runs in %s", (_, layer) => {
  it.layer(Layer.fresh(layer), { excludeTestServices: true })((it) => {
    it.effect("remember a run once, and change it as it goes on", () =>
      Effect.gen(function*() {
        const store = yield* RunStore
        const created = yield* store.insertRun(run("a"))
        assert.deepStrictEqual(yield* store.insertRun({ ...run("a"), agent: "other" }), created)
        assert.deepStrictEqual(yield* store.findRun("a"), created)
        assert.deepInclude(created, {
          id: "a",
          agent: "worker",
          state: "queued",
          attempts: 0,
          startedAt: null,
          costUsd: 0
        })
        assert.deepInclude(yield* store.beginRun("a"), { attempts: 1 })
        assert.isNotNull((yield* store.findRun("a"))?.startedAt)
        yield* store.updateRun({ runId: "a", generation: 0, step: 3 }, {
          state: "running",
          step: 3,
          sessionId: "s",
          costUsd: 0.5,
          attempts: 0
        })
        assert.deepInclude(yield* store.findRun("a"), {
          state: "running",
          step: 3,
          sessionId: "s",
          costUsd: 0.5,
          attempts: 0
        })
        // What is behind that changes nothing, nor does what comes before the first step.
        const changed = yield* store.findRun("a")
        yield* store.updateRun({ runId: "a", generation: 0, step: 2 }, { state: "waiting" })
        yield* store.updateRun({ runId: "a", generation: 0 }, { sessionId: "t" })
        assert.deepStrictEqual(yield* store.findRun("a"), changed)
        yield* store.updateRun({ runId: "a", generation: 1 }, { sessionId: "t", generation: 1 })
        yield* store.updateRun({ runId: "a", generation: 0, step: 9 }, { state: "waiting" })
        assert.deepInclude(yield* store.findRun("a"), { state: "running", sessionId: "t", generation: 1 })
        yield* store.beginRun("a")
        yield* store.resetAttempts("a")
        assert.deepInclude(yield* store.findRun("a"), { attempts: 0 })
        assert.strictEqual(yield* store.findRun("none"), undefined)
        assert.isUndefined(yield* store.beginRun("b"))
        assert.isUndefined(yield* store.findRun("b"))
      }))

    it.effect("end a run once, and none by success that was cancelled", () =>
      Effect.gen(function*() {
        const store = yield* RunStore
        yield* store.insertRun(run("c"))
        assert.deepInclude(yield* store.endRun("c", null, "cancelled"), { state: "succeeded" })
        assert.deepInclude(yield* store.endRun("c", "why", "cancelled"), { state: "succeeded", failure: null })
        assert.deepInclude(yield* store.cancelRun("c"), { state: "succeeded", cancelledAt: null })
        yield* store.insertRun(run("d"))
        assert.isNotNull((yield* store.cancelRun("d"))?.cancelledAt)
        assert.deepStrictEqual(yield* store.cancelled(["c", "d", "none"]), ["d"])
        assert.deepStrictEqual(yield* store.cancelled([]), [])
        assert.deepInclude(yield* store.endRun("d", null, "cancelled"), { state: "cancelled", failure: "cancelled" })
        assert.strictEqual(yield* store.cancelRun("none"), undefined)
      }))

    it.effect("keep the first decision on an approval, as long as it is waited for", () =>
      Effect.gen(function*() {
        const store = yield* RunStore
        yield* store.insertRun(run("e"))
        yield* store.updateRun({ ...key("e"), generation: 0 }, {
          state: "waiting",
          step: 2,
          token: "t1",
          waitsFor: "may it?"
        })
        assert.deepInclude(yield* store.waitingRun("t1"), { id: "e", decision: null })
        assert.deepInclude(yield* store.decide("t1", "approved"), {
          id: "e",
          decision: "approved",
          waitsFor: "may it?"
        })
        assert.deepInclude(yield* store.decide("t1", "rejected"), { decision: "approved" })
        yield* store.updateRun({ ...key("e"), generation: 0 }, { state: "waiting", token: "t2", decision: null })
        assert.deepInclude(yield* store.waitingRun("t1"), { decision: "approved" })
        yield* store.updateRun({ ...key("e"), generation: 0 }, { state: "running", token: null })
        assert.strictEqual(yield* store.decide("t1", "approved"), undefined)
        assert.strictEqual(yield* store.waitingRun("t1"), undefined)
      }))

    it.effect("list runs, the newest first, page by page", () =>
      Effect.gen(function*() {
        const store = yield* RunStore
        for (const id of ["f1", "f2", "f3"]) yield* store.insertRun({ ...run(id), agent: "lister" })
        yield* store.updateRun(key("f2"), { state: "running" })
        const list = (filter: object) =>
          Effect.map(store.listRuns({ agent: "lister", limit: 10, ...filter }), (runs) => runs.map(({ id }) => id))
        assert.deepStrictEqual(yield* list({}), ["f3", "f2", "f1"])
        assert.deepStrictEqual(yield* list({ limit: 2 }), ["f3", "f2"])
        const before = yield* store.findRun("f2")
        assert.deepStrictEqual(yield* list({ before }), ["f1"])
        assert.deepStrictEqual(yield* list({ state: "running" }), ["f2"])
        // By where it was, also once it is gone.
        yield* forget(store, "f2")
        assert.deepStrictEqual(yield* list({ before }), ["f1"])
      }))

    it.effect("give the claim on a turn to one of many that ask at once", () =>
      Effect.gen(function*() {
        const store = yield* RunStore
        const owners = Array.from({ length: 20 }, (_, index) => `owner ${index}`)
        const claims = yield* Effect.forEach(owners, (owner) => store.claimTurn(turn("g", owner)), { concurrency: 20 })
        assert.strictEqual(claims.filter((isMine) => isMine).length, 1)
        const first = owners[claims.indexOf(true)]!
        // Asked again by the same claim, after a connection that broke, it is the same claim.
        assert.isTrue(yield* store.claimTurn(turn("g", first)))
        assert.deepInclude(yield* store.findTurn(key("g")), {
          owner: first,
          claim: 1,
          status: "intent",
          afterSequence: 3
        })
        const takes = yield* Effect.forEach(owners, (owner) => store.takeOverTurn(key("g"), first, `new ${owner}`), {
          concurrency: 20
        })
        assert.strictEqual(takes.filter((isMine) => isMine).length, 1)
        assert.deepInclude(yield* store.findTurn(key("g")), { claim: 2 })
      }))

    it.effect("keep the first outcome of a turn, and take back no claim of another", () =>
      Effect.gen(function*() {
        const store = yield* RunStore
        yield* store.claimTurn(turn("h", "one"))
        yield* store.releaseTurn(key("h"), "other")
        assert.isDefined(yield* store.findTurn(key("h")))
        yield* store.releaseTurn(key("h"), "one")
        assert.isUndefined(yield* store.findTurn(key("h")))
        yield* store.claimTurn(turn("h", "two"))
        yield* store.settleTurn(key("h"), { status: "done", outcome: "first" })
        yield* store.settleTurn(key("h"), { status: "unknown", outcome: null })
        assert.deepInclude(yield* store.findTurn(key("h")), { status: "done", outcome: "first" })
        assert.isFalse(yield* store.takeOverTurn(key("h"), "two", "three"))
        assert.isFalse(yield* store.claimTurn(turn("h", "two")))
        yield* store.releaseTurn(key("h"), "two")
        assert.strictEqual((yield* store.turnsOf("h")).length, 1)
      }))

    it.effect("know sessions, and which are left of runs that have ended", () =>
      Effect.gen(function*() {
        const store = yield* RunStore
        yield* store.recordSession({ sessionId: "s1", runId: "i", generation: 0 })
        yield* store.recordSession({ sessionId: "s1", runId: "i", generation: 0 })
        yield* store.recordSession({ sessionId: "s2", runId: "i", generation: 1 })
        yield* store.endSession("s1")
        assert.deepStrictEqual((yield* store.sessionsOf("i")).map(({ isEnded, sessionId }) => [sessionId, isEnded]), [
          ["s1", true],
          ["s2", false]
        ])
        assert.sameMembers([...(yield* store.known(["s1", "s2", "s3"]))], ["s1", "s2"])
        assert.deepStrictEqual(yield* store.known([]), [])
        assert.deepStrictEqual((yield* store.leftSessions(10)).map(({ sessionId }) => sessionId), ["s2"])
        yield* store.insertRun(run("i"))
        assert.deepStrictEqual(yield* store.leftSessions(10), [])
      }))

    it.effect("have places for so many runs, and no more", () =>
      Effect.gen(function*() {
        const store = yield* RunStore
        const ids = Array.from({ length: 10 }, (_, index) => `place ${index}`)
        for (const id of [...ids, "late", "later"]) yield* store.insertRun(run(id))
        const taken = yield* Effect.forEach(ids, (id) => store.takePlace(id, 3), { concurrency: 10 })
        assert.strictEqual(taken.filter((isTaken) => isTaken).length, 3)
        const holder = ids[taken.indexOf(true)]!
        assert.isTrue(yield* store.takePlace(holder, 3))
        yield* store.freePlace(holder)
        assert.isTrue(yield* store.takePlace("late", 3))
        assert.isFalse(yield* store.takePlace("later", 3))
        // Its runner gives the place back within the minute; that of a run which has been purged is given back by none.
        yield* store.endRun("late", "why", "cancelled")
        assert.isFalse(yield* store.takePlace("later", 3))
        yield* forget(store, "late")
        assert.isTrue(yield* store.takePlace("later", 3))
      }))

    it.effect("forget a run with its turns and sessions", () =>
      Effect.gen(function*() {
        const store = yield* RunStore
        yield* store.insertRun(run("k"))
        yield* store.claimTurn(turn("k", "one"))
        yield* store.recordSession({ sessionId: "sk", runId: "k", generation: 0 })
        assert.notInclude((yield* store.endedRuns(0, 100)).map(({ id }) => id), "k")
        yield* store.endRun("k", "why", "cancelled")
        // A session that has not ended is not forgotten: the sweep has yet to end it.
        assert.notInclude((yield* store.endedRuns(0, 100)).map(({ id }) => id), "k")
        yield* store.endSession("sk")
        assert.include((yield* store.endedRuns(0, 100)).map(({ id }) => id), "k")
        // Another of its id is not forgotten in its place, nor is one that goes on.
        const ended = (yield* store.findRun("k"))!
        const none = Effect.die("forgets the other")
        assert.isFalse(yield* store.deleteRun({ ...ended, createdAt: ended.createdAt - 1 }, none))
        yield* store.insertRun(run("l"))
        assert.isFalse(yield* store.deleteRun((yield* store.findRun("l"))!, none))
        assert.deepStrictEqual(yield* store.endedRuns(3_600_000, 100), [])
        yield* forget(store, "k")
        assert.isUndefined(yield* store.findRun("k"))
        assert.deepStrictEqual(yield* store.turnsOf("k"), [])
        assert.deepStrictEqual(yield* store.sessionsOf("k"), [])
      }))

    it.effect("remember whose they are", () =>
      Effect.gen(function*() {
        const store = yield* RunStore
        assert.strictEqual(yield* store.owner("production"), "production")
        assert.strictEqual(yield* store.owner("staging"), "production")
      }))
  })
})

describe("the place of a run", () => {
  it.effect("that a runner took behind the end of the run is given to another", () =>
    Effect.gen(function*() {
      const store = yield* RunStore
      const statement = yield* SqlClient.SqlClient
      for (const id of ["one", "two"]) yield* store.insertRun(run(id))
      yield* store.endRun("one", "why", "cancelled")
      assert.isTrue(yield* store.takePlace("one", 1))
      assert.isFalse(yield* store.takePlace("two", 1))
      yield* statement`UPDATE ash_runs SET ended_at = ended_at - 60001 WHERE id = 'one'`
      assert.isTrue(yield* store.takePlace("two", 1))
    }).pipe(Effect.provide(Layer.provideMerge(sql, Sqlite.layer()))))
})
