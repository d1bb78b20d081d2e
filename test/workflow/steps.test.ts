import { assert, describe, it } from "@effect/vitest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import { AshEmbedded } from "../../src/embedded.ts"
import { Messages } from "../../src/services/Messages.ts"
import { SessionFiles } from "../../src/services/SessionFiles.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { approval, ask } from "../../src/workflow/AgentRun.ts"
import * as Cancellations from "../../src/workflow/Cancellations.ts"
import { readRunSettings, type RunSettings } from "../../src/workflow/RunnerSettings.ts"
import * as RunSteps from "../../src/workflow/RunSteps.ts"
import * as MemoryRunStore from "../../src/workflow/store/MemoryRunStore.ts"
import { RunStore } from "../../src/workflow/store/RunStore.ts"

/** The steps as a runner does them, over the tables that it sees. */
const runner = Effect.fnUntraced(function*(own: RunSettings = {}, tables: Partial<RunStore["Service"]> = {}) {
  const store = { ...(yield* RunStore), ...tables }
  const settings = readRunSettings(own)
  return RunSteps.make({
    store,
    settings,
    sessions: yield* Sessions,
    messages: yield* Messages,
    files: yield* SessionFiles,
    random: yield* SecureRandom.SecureRandom,
    orCancelled: yield* Cancellations.make(store, settings.cancelInterval),
    secrets: () => Effect.succeed({})
  })
})

const world = Layer.mergeAll(
  AshEmbedded.layer({ agents: { worker: {} } }),
  MemoryRunStore.layer,
  SecureRandom.layerWebCrypto
)

const run = (id: string) => ({ id, executionId: `execution of ${id}`, payloadHash: "hash", agent: "worker" })

describe("a place", () => {
  it.effect("that a run has, of a runner that died, is not waited for behind those that wait for it", () =>
    Effect.gen(function*() {
      const store = yield* RunStore
      for (const id of ["one", "two"]) yield* store.insertRun(run(id))
      yield* store.takePlace("one", 1)
      const { takePlace } = yield* runner({ maxRunning: 1 })
      const waiting = yield* Effect.forkChild(takePlace("two"))
      yield* TestClock.adjust("10 seconds")
      const going = yield* Effect.forkChild(takePlace("one"))
      yield* TestClock.adjust("10 seconds")
      assert.isDefined(going.pollUnsafe())
      assert.isUndefined(waiting.pollUnsafe())
      yield* store.freePlace("one")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(waiting)
    }).pipe(Effect.provide(world)))
})

describe("the session of a run", () => {
  it.effect("is left alone by a runner that was out of touch while another one opened it, and is answered there too", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const store = yield* RunStore
      yield* store.insertRun(run("one"))
      const there = yield* Deferred.make<void>()
      const frozen = yield* runner({}, {
        sessionsOf: (id) => Effect.andThen(Deferred.await(there), store.sessionsOf(id))
      })
      const payload = { id: "one", agent: "worker", steps: ["go"] }
      const late = yield* Effect.forkChild(frozen.open(payload, 0))
      const sessionId = yield* (yield* runner()).open(payload, 0)
      yield* Deferred.succeed(there, undefined)
      assert.strictEqual(yield* Fiber.join(late), sessionId)
      assert.strictEqual((yield* sessions.get(sessionId)).status, "active")
      assert.lengthOf(yield* sessions.list(), 1)
      // Behind a turn of which it is not known what became, there is a fresh one, and the one before has ended.
      const fresh = yield* (yield* runner()).open(payload, 1)
      assert.notStrictEqual(fresh, sessionId)
      assert.strictEqual((yield* sessions.get(sessionId)).status, "ended")
    }).pipe(Effect.provide(world)))
})

describe("what a run waits for", () => {
  const key = { runId: "one", generation: 0, step: 0 }
  const payload = { id: "one", agent: "worker", steps: ["go", approval("go on?")] }
  type Steps = Effect.Success<ReturnType<typeof runner>>
  const late: ReadonlyArray<readonly [string, (steps: Steps, sessionId: string) => Effect.Effect<unknown, unknown>]> = [
    ["the session of the run", (steps) => steps.open(payload, 0)],
    ["a turn", (steps, sessionId) => steps.turn(key, sessionId, 0, ask("go"), 0)],
    ["a wait", (steps) => steps.wait(key, "before?", true)],
    ["the end of a wait", (steps) => steps.goOn(key)]
  ]

  it.live.each(late)(
    "stands when a runner that was out of touch comes back behind %s",
    ([, step]) =>
      Effect.gen(function*() {
        const store = yield* RunStore
        yield* store.insertRun(run("one"))
        const there = yield* Deferred.make<void>()
        const frozen = yield* runner({}, {
          updateRun: (...change) => Effect.andThen(Deferred.await(there), store.updateRun(...change))
        })
        const steps = yield* runner()
        const sessionId = yield* steps.open(payload, 0)
        const fiber = yield* Effect.forkChild(step(frozen, sessionId))
        yield* step(steps, sessionId)
        yield* steps.wait({ ...key, step: 1 }, "go on?", true)
        const { updatedAt: _, ...waiting } = (yield* store.findRun("one"))!
        assert.deepInclude(waiting, { state: "waiting", step: 1, waitsFor: "go on?" })
        yield* Deferred.succeed(there, undefined)
        yield* Fiber.join(fiber)
        assert.deepInclude(yield* store.findRun("one"), waiting)
      }).pipe(Effect.provide(world))
  )

  it.live.each(["wait", "go on"])(
    "keeps its token and its decision where a runner that was out of touch begins the wait again, when others %s",
    (others) =>
      Effect.gen(function*() {
        const store = yield* RunStore
        yield* store.insertRun(run("one"))
        const [asked, there] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const late = Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(there))
        const frozen = yield* runner({}, {
          updateRun: (...change) => Effect.andThen(late, store.updateRun(...change))
        })
        const steps = yield* runner()
        yield* steps.open(payload, 0)
        const fiber = yield* Effect.forkChild(frozen.wait(key, "go on?", true))
        yield* Deferred.await(asked)
        yield* steps.wait(key, "go on?", true)
        yield* store.decide((yield* store.findRun("one"))?.token ?? "", "approved")
        if (others === "go on") yield* steps.goOn(key)
        const { updatedAt: _, ...before } = (yield* store.findRun("one"))!
        yield* Deferred.succeed(there, undefined)
        yield* Fiber.join(fiber)
        assert.deepInclude(yield* store.findRun("one"), before)
      }).pipe(Effect.provide(world))
  )

  it.live("is seen behind a beginning anew, however far the run had come before", () =>
    Effect.gen(function*() {
      const store = yield* RunStore
      yield* store.insertRun(run("one"))
      const steps = yield* runner()
      yield* steps.open(payload, 0)
      yield* steps.wait({ ...key, step: 6 }, "before?", true)
      yield* steps.goOn({ ...key, step: 6 })
      yield* steps.open(payload, 1)
      yield* steps.wait({ ...key, generation: 1, step: 1 }, "go on?", true)
      const waiting = yield* store.findRun("one")
      assert.deepInclude(waiting, { state: "waiting", generation: 1, step: 1, waitsFor: "go on?" })
      assert.isNotNull(waiting?.token)
    }).pipe(Effect.provide(world)))

  it.live("keeps its token and what was decided where the wait is begun again, as its runner has died", () =>
    Effect.gen(function*() {
      const store = yield* RunStore
      yield* store.insertRun(run("one"))
      yield* (yield* runner()).wait(key, "go on?", true)
      const token = (yield* store.findRun("one"))?.token ?? ""
      yield* store.decide(token, "approved")
      yield* (yield* runner()).wait(key, "go on?", true)
      assert.deepInclude(yield* store.findRun("one"), { token, decision: "approved", state: "waiting" })
      yield* (yield* runner()).wait({ ...key, step: 1 }, "and now?", true)
      const next = yield* store.findRun("one")
      assert.notStrictEqual(next?.token, token)
      assert.deepInclude(next, { decision: null, waitsFor: "and now?" })
    }).pipe(Effect.provide(world)))
})

describe("what a run holds", () => {
  it.effect("is given back when the run has ended by its row, and not where the engine cuts it off that goes on", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const store = yield* RunStore
      for (const id of ["one", "two"]) yield* store.insertRun(run(id))
      const { end, open, release, takePlace } = yield* runner({ maxRunning: 1 })
      yield* takePlace("one")
      const sessionId = yield* open({ id: "one", agent: "worker", steps: ["go"] }, 0)
      yield* release("one")
      assert.strictEqual((yield* sessions.get(sessionId)).status, "active")
      assert.isFalse(yield* store.takePlace("two", 1))
      yield* end("one", "why")
      yield* release("one")
      yield* release("one")
      assert.strictEqual((yield* sessions.get(sessionId)).status, "ended")
      assert.isTrue(yield* store.takePlace("two", 1))
    }).pipe(Effect.provide(world)))
})

describe("a cancellation", () => {
  it.effect("is seen however many runs are queued here", () =>
    Effect.gen(function*() {
      const cancelled = new Set<string>()
      const store: RunStore["Service"] = {
        ...(yield* RunStore),
        cancelled: (ids) =>
          ids.length > 1000
            ? Effect.die("too many variables")
            : Effect.succeed(ids.filter((id) => cancelled.has(id)))
      }
      const orCancelled = yield* Cancellations.make(store, Duration.seconds(1))
      const fibers = yield* Effect.forEach(Array.from({ length: 2500 }, (_, index) => `${index}`), (id) =>
        Effect.forkChild(orCancelled(id)(Effect.never)))
      yield* TestClock.adjust("1 second")
      for (const id of ["0", "2499"]) {
        cancelled.add(id)
      }
      yield* TestClock.adjust("1 second")
      const ended = fibers.flatMap((fiber, index) =>
        fiber.pollUnsafe() === undefined ? [] : [index]
      )
      assert.deepStrictEqual(ended, [0, 2499])
      yield* Fiber.interruptAll(fibers)
    }).pipe(Effect.provide(world)))
})
