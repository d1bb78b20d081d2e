import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { AgentScript, AshEmbedded } from "../../src/embedded.ts"
import { Messages } from "../../src/services/Messages.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { ask } from "../../src/workflow/AgentRun.ts"
import { readRunSettings } from "../../src/workflow/RunnerSettings.ts"
import * as MemoryRunStore from "../../src/workflow/store/MemoryRunStore.ts"
import { RunStore } from "../../src/workflow/store/RunStore.ts"
import * as SqlRunStore from "../../src/workflow/store/SqlRunStore.ts"
import { turnOnce } from "../../src/workflow/turnOnce.ts"
import * as Sqlite from "../support/sqlite.ts"

const key = { runId: "one", step: 0, generation: 0 }
/** Lets what waits for the disk of the server go on, which no clock of a test drives. */
const loops = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 5)))

/** Lets the clock run until a fiber has ended. */
const ended = Effect.fnUntraced(function*<A, E>(fiber: Fiber.Fiber<A, E>) {
  while (fiber.pollUnsafe() === undefined) {
    yield* loops
    yield* TestClock.adjust("250 millis")
  }
  return yield* Fiber.join(fiber)
})

/** A server with a session whose turns are counted, and end when they are let; and a ledger. */
const withTurn = (
  test: (world: {
    readonly sessionId: string
    readonly sent: () => number
    readonly begun: Effect.Effect<void>
    readonly end: Effect.Effect<unknown>
    readonly store: RunStore["Service"]
    readonly run: Effect.Effect<{ readonly text: string; readonly how: string }, { readonly _tag: string }>
    /** The same by a process that has opened a session of its own. */
    readonly runElsewhere: Effect.Effect<{ readonly how: string }, { readonly _tag: string }>
    /** The same over another ledger. */
    readonly runWith: (store: RunStore["Service"]) => Effect.Effect<unknown, { readonly _tag: string }>
    readonly send: Effect.Effect<unknown, unknown>
  }) => Effect.Effect<void, unknown>,
  { isHeld = false } = {}
) => {
  let sent = 0
  const begun = Deferred.makeUnsafe<void>()
  const end = Deferred.makeUnsafe<void>()
  const script: AgentScript.AgentScript = ({ prompt }) =>
    Stream.fromEffect(Effect.gen(function*() {
      sent += 1
      yield* Deferred.succeed(begun, undefined)
      if (isHeld) yield* Deferred.await(end)
      return AgentScript.say(`done: ${prompt}`)
    }))
  return Effect.gen(function*() {
    const sessions = yield* Sessions
    const messages = yield* Messages
    const store = yield* RunStore
    const settings = readRunSettings({})
    const { id } = yield* sessions.create({ agent: "worker" })
    const { id: other } = yield* sessions.create({ agent: "worker" })
    const turn = { ...key, sessionId: id, known: 0, ask: ask("go") }
    yield* test({
      sessionId: id,
      sent: () => sent,
      begun: Deferred.await(begun),
      end: Deferred.succeed(end, undefined),
      store,
      run: turnOnce({ store, sessions, messages, settings }, turn),
      runElsewhere: turnOnce({ store, sessions, messages, settings }, { ...turn, sessionId: other }),
      runWith: (store) => turnOnce({ store, sessions, messages, settings }, turn),
      send: Stream.runDrain(messages.send(id, "go"))
    })
  }).pipe(
    Effect.provide(Layer.mergeAll(AshEmbedded.layer({ agents: { worker: { script } } }), MemoryRunStore.layer)),
    Effect.scoped
  )
}

/** Sees that nothing is sent as long as the owner of a claim might send it: for twice the send window. */
const unsent = Effect.fnUntraced(function*(sent: () => number) {
  for (let millis = 0; millis < 4000; millis += 500) {
    yield* loops
    assert.strictEqual(sent(), 0)
    yield* TestClock.adjust("500 millis")
  }
})

const tables = Layer.provideMerge(
  SqlRunStore.layerStorage("ash").pipe(Layer.provide(SqlRunStore.layerMigrations("ash"))),
  Sqlite.layer()
)

/** A claim that another process has made. */
const claimed = (store: RunStore["Service"], sessionId: string) =>
  store.claimTurn({ ...key, sessionId, afterSequence: 0, owner: "another" })

describe("a turn", () => {
  it.effect("that nothing has claimed is sent, and its outcome answered again without sending", () =>
    withTurn(({ run, sent }) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(run)
        assert.deepInclude(yield* ended(fiber), { text: "done: go", how: "received" })
        assert.deepInclude(yield* run, { text: "done: go", how: "received" })
        assert.strictEqual(sent(), 1)
      })
    ))

  it.effect("that two processes run at once is sent by one of them, and answered by both", () =>
    withTurn(({ run, sent }) =>
      Effect.gen(function*() {
        const fibers = [yield* Effect.forkChild(run), yield* Effect.forkChild(run)]
        for (const fiber of fibers) assert.strictEqual((yield* ended(fiber)).text, "done: go")
        assert.strictEqual(sent(), 1)
      })
    ))

  it.effect("that its owner has sent, and of which the server has the end, is not sent again", () =>
    withTurn(({ run, send, sent, sessionId, store }) =>
      Effect.gen(function*() {
        yield* claimed(store, sessionId)
        yield* send
        assert.deepInclude(yield* run, { text: "done: go", how: "reconciled" })
        assert.strictEqual(sent(), 1)
      })
    ))

  it.effect("that its owner has sent in another session than the next process has is not sent again", () =>
    withTurn(({ runElsewhere, send, sent, sessionId, store }) =>
      Effect.gen(function*() {
        yield* claimed(store, sessionId)
        yield* send
        assert.deepInclude(yield* ended(yield* Effect.forkChild(runElsewhere)), { how: "reconciled" })
        assert.strictEqual(sent(), 1)
      })
    ))

  it.effect("that its owner has not sent is taken over, but not before the owner can no longer send it", () =>
    withTurn(({ run, sent, sessionId, store }) =>
      Effect.gen(function*() {
        yield* claimed(store, sessionId)
        const fiber = yield* Effect.forkChild(run)
        yield* unsent(sent)
        assert.deepInclude(yield* ended(fiber), { how: "received" })
        assert.strictEqual(sent(), 1)
        assert.deepInclude(yield* store.findTurn(key), { claim: 2 })
      })
    ))

  const jumps: ReadonlyArray<readonly [string, number]> = [["ahead", -3_600_000], ["back", 3_600_000]]

  it.effect.each(jumps)(
    "that its owner has not sent is taken over in time where the database's clock jumps %s",
    ([, moved]) =>
      withTurn(({ runWith, sent, sessionId }) =>
        Effect.gen(function*() {
          const store = yield* RunStore
          const sql = yield* SqlClient.SqlClient
          yield* claimed(store, sessionId)
          yield* sql`UPDATE ash_turns SET claimed_at = claimed_at + ${moved}`
          const fiber = yield* Effect.forkChild(runWith(store))
          yield* unsent(sent)
          yield* ended(fiber)
          assert.strictEqual(sent(), 1)
        }).pipe(Effect.provide(tables))
      )
  )

  it.effect("that its owner claims anew is taken over no sooner than if that claim were its first", () =>
    withTurn(({ run, sent, sessionId, store }) =>
      Effect.gen(function*() {
        yield* claimed(store, sessionId)
        const fiber = yield* Effect.forkChild(run)
        yield* loops
        yield* TestClock.adjust("3 seconds")
        yield* store.takeOverTurn(key, "another", "another, later")
        yield* unsent(sent)
        yield* ended(fiber)
        assert.strictEqual(sent(), 1)
      })
    ))

  it.effect("whose owner died while it ran is unknown after the settle time, and never sent again", () =>
    withTurn(({ begun, run, send, sent, sessionId, store }) =>
      Effect.gen(function*() {
        yield* claimed(store, sessionId)
        const owner = yield* Effect.forkChild(send)
        yield* begun
        yield* Fiber.interrupt(owner)
        const fiber = yield* Effect.forkChild(Effect.flip(run))
        assert.strictEqual((yield* ended(fiber))._tag, "TurnOutcomeUnknown")
        assert.strictEqual((yield* Effect.flip(run))._tag, "TurnOutcomeUnknown")
        assert.strictEqual(sent(), 1)
      }), { isHeld: true }))

  it.effect("whose owner was only frozen, and gets its end, is that turn", () =>
    withTurn(({ begun, end, run, send, sent, sessionId, store }) =>
      Effect.gen(function*() {
        yield* claimed(store, sessionId)
        const owner = yield* Effect.forkChild(send)
        yield* begun
        const fiber = yield* Effect.forkChild(run)
        yield* loops
        yield* TestClock.adjust(Duration.seconds(10))
        yield* end
        yield* ended(owner)
        assert.deepInclude(yield* ended(fiber), { text: "done: go", how: "reconciled" })
        assert.strictEqual(sent(), 1)
      }), { isHeld: true }))

  it.effect("whose claim another process takes over before its message goes out is not sent by the first", () =>
    withTurn(({ runWith, sent, store }) =>
      Effect.gen(function*() {
        const taken = Deferred.makeUnsafe<void>()
        // Between the claim and the message the process is frozen, and another one takes the turn over.
        const slow: RunStore["Service"] = {
          ...store,
          claimTurn: (turn) =>
            store.claimTurn(turn).pipe(
              Effect.tap(TestClock.adjust("1 minute")),
              Effect.tap(store.takeOverTurn(key, turn.owner, "another")),
              Effect.tap(Deferred.succeed(taken, undefined))
            )
        }
        const fiber = yield* Effect.forkChild(runWith(slow))
        yield* Deferred.await(taken)
        yield* loops
        assert.strictEqual(sent(), 0)
        assert.deepInclude(yield* store.findTurn(key), { owner: "another", claim: 2 })
        // Nothing came of that one either: the turn is sent by a third claim, and by none before.
        yield* ended(fiber)
        assert.strictEqual(sent(), 1)
        assert.deepInclude(yield* store.findTurn(key), { claim: 3, status: "done" })
      })
    ))

  it.effect("whose claim grew old before its message could go out is sent once it is claimed anew", () =>
    withTurn(({ runWith, sent, store }) =>
      Effect.gen(function*() {
        const slow: RunStore["Service"] = {
          ...store,
          claimTurn: (turn) => Effect.tap(store.claimTurn(turn), TestClock.adjust("1 minute"))
        }
        yield* ended(yield* Effect.forkChild(runWith(slow)))
        assert.strictEqual(sent(), 1)
        assert.deepInclude(yield* store.findTurn(key), { claim: 2, status: "done" })
      })
    ))
})
