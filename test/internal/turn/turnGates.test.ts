import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import type { Gate } from "../../../src/internal/turn/gate.ts"
import * as TurnGates from "../../../src/internal/turn/turnGates.ts"
import { nothingBefore } from "../../../src/internal/turn/turnUsage.ts"
import { AshError } from "../../../src/schema/AshError.ts"
import { TurnCancelled } from "../../../src/schema/Reasons.ts"
import { chance } from "../../support/promise.ts"

const enter = (gates: TurnGates.TurnGates, id: string) => gates.enter("test", id, {})
const visit = (gates: TurnGates.TurnGates, id: string, change: (gate: Gate) => void = () => {}) =>
  Effect.scoped(Effect.map(enter(gates, id), change))

const error = new AshError({ operation: "test", reason: new TurnCancelled({ message: "test", sessionId: "s" }) })

/** Changes whether a session is fenced. */
const setFence = (why: string | undefined) => (gate: Gate) => {
  gate.halted("ended", error)
  if (why === undefined) return
  const holder = gate.enter("turn")
  gate.sent(holder)
  gate.broke(holder, why)
  gate.leave(holder)
}

describe("the gates of sessions", () => {
  it.effect("that are not in use take no memory, but for those that must not be entered", () =>
    Effect.gen(function*() {
      const gates = TurnGates.make()
      for (let session = 0; session < 10_000; session++) yield* visit(gates, `s${session}`)
      assert.strictEqual(gates.size(), 0)
      yield* visit(gates, "fenced", setFence("x"))
      yield* visit(gates, "paused", (gate) => gate.remember({ halted: "paused" }))
      for (let session = 0; session < 100; session++) yield* visit(gates, `s${session}`)
      assert.strictEqual(gates.size(), 2)
      assert.strictEqual(gates.find("fenced")?.fence?.why, "x")
      assert.strictEqual(gates.find("paused")?.halted, "paused")
      yield* Effect.scoped(Effect.map(gates.use("fenced"), setFence(undefined)))
      assert.strictEqual(gates.size(), 1)
    }))

  it.effect("keep what turns have used, of so many sessions as were used last", () =>
    Effect.gen(function*() {
      const gates = TurnGates.make()
      for (let session = 0; session < 1500; session++) {
        yield* visit(gates, `s${session}`, (gate) => gate.remember({ usageBefore: nothingBefore }))
        yield* visit(gates, "s0")
      }
      assert.strictEqual(gates.size(), 1000)
      assert.isUndefined(gates.find("s1"))
      yield* Effect.scoped(Effect.gen(function*() {
        for (const known of ["s0", "s1499"]) {
          const gate = yield* enter(gates, known)
          assert.strictEqual(gate.memory.usageBefore, nothingBefore)
          gate.halted("ended", error)
        }
      }))
      assert.strictEqual(gates.size(), 998)
    }))

  it.effect("are kept while a session rests, and forgotten behind that", () =>
    Effect.gen(function*() {
      const gates = TurnGates.make()
      for (let session = 0; session < 100; session++) {
        yield* visit(gates, `s${session}`, (gate) => gate.remember({ quietUntil: 200_000_000n }))
      }
      assert.strictEqual(gates.size(), 100)
      const next = yield* Effect.forkChild(visit(gates, "s1"))
      yield* Effect.yieldNow
      assert.isUndefined(next.pollUnsafe())
      yield* TestClock.adjust("200 millis")
      yield* Fiber.join(next)
      assert.strictEqual(gates.size(), 0)
    }))

  it.effect("let in the one behind one that has waited too long, though its scope is still open", () =>
    Effect.gen(function*() {
      const gates = TurnGates.make()
      const [first, late, next] = yield* Effect.all([Scope.make(), Scope.make(), Scope.make()])
      yield* Scope.provide(enter(gates, "s"), first)
      const waiting = yield* Effect.forkChild(
        Effect.flip(Scope.provide(gates.enter("test", "s", { waitAtMost: "1 minute" }), late)),
        { startImmediately: true }
      )
      const behind = yield* Effect.forkChild(Scope.provide(enter(gates, "s"), next), { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "SessionBusy")
      yield* Scope.close(first, Exit.void)
      yield* Fiber.join(behind)
      yield* Scope.close(next, Exit.void)
      yield* Effect.scoped(gates.enter("test", "s", { whenBusy: "fail" }))
      yield* Scope.close(late, Exit.void)
      assert.strictEqual(gates.size(), 0)
    }))

  it.effect.each([["before it waits"], ["while it waits"]])(
    "let in none whose scope closes %s, and end its waiting",
    ([when]) =>
      Effect.gen(function*() {
        const gates = TurnGates.make()
        const [first, closing, next] = yield* Effect.all([Scope.make(), Scope.make(), Scope.make()])
        yield* Scope.provide(enter(gates, "s"), first)
        const close = Scope.close(closing, Exit.void)
        if (when === "before it waits") yield* close
        const waiting = yield* Effect.forkChild(Scope.provide(enter(gates, "s"), closing), { startImmediately: true })
        const behind = yield* Effect.forkChild(Scope.provide(enter(gates, "s"), next), { startImmediately: true })
        yield* close
        for (let turn = 0; turn < 5; turn++) yield* Effect.yieldNow
        const exit = waiting.pollUnsafe()
        assert.isTrue(exit !== undefined && Exit.hasInterrupts(exit))
        yield* Scope.close(first, Exit.void)
        yield* Fiber.join(behind)
        yield* Scope.close(next, Exit.void)
        assert.strictEqual(gates.size(), 0)
      })
  )

  const moments = [0, 1, 2, 3].flatMap((turns) => [[turns, 0n], [turns, 200_000_000n]] as const)
  it.effect.each(moments)("let in none whose scope closes %s turns after its turn has come, in a session at rest too", (
    [turns, quietUntil]
  ) =>
    Effect.gen(function*() {
      const gates = TurnGates.make()
      const [kept, first, closing, next] = yield* Effect.all([Scope.make(), Scope.make(), Scope.make(), Scope.make()])
      const gate = yield* Scope.provide(gates.use("s"), kept)
      yield* Scope.provide(enter(gates, "s"), first)
      const turn = Effect.map(enter(gates, "s"), (gate) => gate.enter("turn"))
      const waiting = yield* Effect.forkChild(Scope.provide(turn, closing), { startImmediately: true })
      gate.remember({ quietUntil })
      yield* Scope.close(first, Exit.void)
      for (let left = turns; left > 0; left--) yield* Effect.yieldNow
      const wasIn = waiting.pollUnsafe() !== undefined
      yield* Scope.close(closing, Exit.void)
      gate.remember({ quietUntil: 0n })
      const holder = yield* Scope.provide(turn, next)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual(Exit.hasInterrupts(yield* Fiber.await(waiting)), !wasIn)
      assert.strictEqual(gate.holder, holder)
    }))

  it.effect("let in thousands of which each fails at once", () =>
    Effect.gen(function*() {
      const gates = TurnGates.make()
      const first = yield* Scope.make()
      yield* Scope.provide(enter(gates, "s"), first)
      const failing = Effect.exit(Effect.scoped(Effect.andThen(enter(gates, "s"), Effect.fail("x"))))
      const waiting = yield* Effect.replicateEffect(Effect.forkChild(failing, { startImmediately: true }), 3_000)
      yield* Scope.close(first, Exit.void)
      for (const exit of yield* Fiber.joinAll(waiting)) assert.deepStrictEqual(exit, Exit.fail("x"))
      assert.strictEqual(gates.size(), 0)
    }))

  /** A model of one gate: who is inside, who waits in which order, and whether it is fenced. */
  it.effect("let one in at a time, in the order in which they came, whichever is interrupted, and forget no fence", () =>
    Effect.gen(function*() {
      const random = chance(30)
      for (let round = 0; round < 500; round++) {
        const gates = TurnGates.make()
        let inside: { readonly scope: Scope.Closeable; readonly name: number } | undefined
        let waiting: Array<{ readonly name: number; readonly fiber: Fiber.Fiber<unknown, unknown> }> = []
        const entered: Array<{ readonly scope: Scope.Closeable; readonly name: number }> = []
        let fence: string | undefined
        let name = 0
        const settle = Effect.gen(function*() {
          for (let turn = 0; turn < 5; turn++) yield* Effect.yieldNow
          if (inside === undefined && waiting.length > 0) {
            const next = waiting.shift()
            const who = entered.shift()
            assert.strictEqual(who?.name, next?.name, `round ${round}`)
            inside = who
          }
          assert.strictEqual(entered.length, 0, `round ${round}: two are inside`)
        })
        for (let step = 0; step < 30; step++) {
          const act = random()
          if (act < 0.4) {
            const mine = ++name
            const scope = yield* Scope.make()
            const fiber = yield* Effect.forkChild(
              Effect.map(Scope.provide(enter(gates, "s"), scope), () => entered.push({ scope, name: mine })).pipe(
                Effect.onInterrupt(() => Scope.close(scope, Exit.void))
              ),
              { startImmediately: true }
            )
            waiting.push({ name: mine, fiber })
          } else if (act < 0.6 && waiting.length > 0) {
            const [gone] = waiting.splice(Math.floor(random() * waiting.length), 1)
            if (gone !== undefined) yield* Fiber.interrupt(gone.fiber)
          } else if (inside !== undefined) {
            if (random() < 0.3) {
              const why = fence = random() < 0.5 ? `fence ${step}` : undefined
              yield* Effect.scoped(Effect.map(gates.use("s"), setFence(why)))
            }
            yield* Scope.close(inside.scope, Exit.void)
            inside = undefined
          }
          yield* settle
          assert.strictEqual(gates.find("s")?.fence?.why, fence, `round ${round}`)
        }
        if (inside !== undefined) yield* Scope.close(inside.scope, Exit.void)
        for (const { fiber } of waiting) yield* Fiber.interrupt(fiber)
        for (const { scope } of entered) yield* Scope.close(scope, Exit.void)
        waiting = []
        assert.strictEqual(gates.size(), fence === undefined ? 0 : 1)
      }
    }))
})
