import { describe } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import type { SessionHandle } from "../../src/services/SessionHandle.ts"
import { chance, promise } from "../support/promise.ts"

/** An agent that takes its time: a step each millisecond. */
const slow: AgentScript.AgentScript = () =>
  Stream.fromIterable(Array.from({ length: 20 }, (_, index) => `step ${index}`)).pipe(
    Stream.mapEffect((text) => Effect.as(Effect.sleep("1 millis"), AgentScript.say(text)))
  )

describe("sessions", () => {
  promise("P9", "leaving the scope ends the session", { fast: 60, full: 1000 }, (size) =>
    Effect.gen(function*() {
      const random = chance(9)
      const { agents, sessions } = yield* AshClient
      yield* agents.create({ name: "demo" })
      const program = Effect.scoped(Effect.gen(function*() {
        const session = yield* sessions.open({ agent: "demo" }, { onInterrupt: random() < 0.3 ? "stop" : "detach" })
        yield* Stream.runDrain(session.stream("go"))
      }))
      yield* Effect.forEach(Array.from({ length: size }), () =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(program)
          yield* Effect.sleep(random() * 60)
          fiber.interruptUnsafe()
          // Once more, while it cleans up.
          if (random() < 0.5) yield* Effect.sleep(random() * 5)
          fiber.interruptUnsafe()
          yield* Fiber.await(fiber)
        }), { concurrency: 10, discard: true })
      const isAlive = Effect.map(sessions.list(), (all) => all.filter(({ status }) => status !== "ended"))
      // What was interrupted twice is ended behind the program.
      const alive = yield* isAlive.pipe(Effect.repeat({
        until: ({ length }) => length === 0,
        schedule: Schedule.upTo(Schedule.spaced("100 millis"), { duration: "2 minutes" })
      }))
      return {
        cases: size,
        failures: alive.map(({ id, status }) => `${id} is ${status}`),
        note: "interrupted at random points, half of them twice"
      }
    }).pipe(Effect.provide(AshEmbedded.layerHttp({ script: slow }))))

  promise(
    "handles",
    "whatever is done to a session at once, it is usable behind a recovery",
    { fast: 12, full: 300 },
    (size) =>
      Effect.gen(function*() {
        const random = chance(10)
        const failures: Array<string> = []
        const { agents, sessions } = yield* AshClient
        yield* agents.create({ name: "demo" })
        const acts = [
          (handle: SessionHandle) => handle.ask("go"),
          (handle: SessionHandle) => Stream.runDrain(Stream.take(handle.stream("go"), 3)),
          (handle: SessionHandle) => handle.exec("true"),
          (handle: SessionHandle) => handle.cancel(),
          (handle: SessionHandle) => handle.recover(),
          (handle: SessionHandle) => handle.reconcile()
        ]
        const whole = Array.from({ length: 20 }, (_, index) => `step ${index}`).join("")
        const act = Effect.fnUntraced(function*(round: number, handles: ReadonlyArray<SessionHandle>) {
          const run = acts[Math.floor(random() * acts.length)]
          const handle = handles[random() < 0.5 ? 0 : 1]
          if (run === undefined || handle === undefined) return
          const fiber = yield* Effect.forkChild(run(handle))
          yield* Effect.sleep(random() * 30)
          if (random() < 0.5) yield* Fiber.interrupt(fiber)
          const exit = yield* Fiber.await(fiber)
          if (exit._tag === "Failure" && Cause.hasDies(exit.cause)) {
            failures.push(`round ${round}: ${Cause.pretty(exit.cause)}`)
          }
        })
        yield* Effect.forEach(Array.from({ length: size }, (_, round) => round), (round) =>
          Effect.scoped(Effect.gen(function*() {
            const session = yield* sessions.open({ agent: "demo" })
            const handles = [session, sessions.attach(session.id, { recovery: "restart", onInterrupt: "stop" })]
            yield* Effect.replicateEffect(act(round, handles), 8, { concurrency: "unbounded", discard: true })
            yield* session.recover()
            const outcome = yield* Effect.result(session.ask("go"))
            if (Result.isFailure(outcome)) {
              failures.push(`round ${round}: ${outcome.failure}`)
            } else if (outcome.success.text !== whole) {
              failures.push(`round ${round}: ${outcome.success.text}`)
            }
          })), { concurrency: 4, discard: true })
        return { cases: size, failures, note: "8 at once: turns, commands, cancellations, recoveries, interruptions" }
      }).pipe(Effect.provide(AshEmbedded.layer({ script: slow })))
  )

  promise(
    "capacity",
    "sessions beyond what a server has room for fail, and none is left behind",
    { fast: 60, full: 1000 },
    (size) => {
      // Those that found room keep it until another found none.
      const refused = Latch.makeUnsafe()
      const waiting: AgentScript.AgentScript = (turn) =>
        Stream.concat(Stream.drain(Stream.fromEffect(refused.await)), slow(turn))
      return Effect.gen(function*() {
        const { agents, sessions } = yield* AshClient
        yield* agents.create({ name: "demo" })
        const seen = new Map<string, number>()
        yield* Effect.forEach(
          Array.from({ length: size }),
          () =>
            Effect.scoped(Effect.andThen(sessions.open({ agent: "demo" }), (session) => session.ask("hello"))).pipe(
              Effect.match({
                onSuccess: ({ text }) => text.endsWith("step 19") ? "answered" : `answered ${text}`,
                onFailure: ({ reason }) => reason._tag
              }),
              Effect.tap((outcome) => outcome === "AtCapacity" ? refused.open : Effect.void),
              Effect.map((outcome) => seen.set(outcome, (seen.get(outcome) ?? 0) + 1))
            ),
          { concurrency: "unbounded", discard: true }
        )
        const alive = (yield* sessions.list()).filter(({ status }) => status !== "ended")
        const { answered, AtCapacity, ...others } = Object.fromEntries(seen)
        return {
          cases: size,
          failures: [
            ...alive.map(({ id, status }) => `${id} is ${status}`),
            ...Object.keys(others),
            ...answered === undefined || AtCapacity === undefined ? ["nothing was answered, or there was room"] : []
          ],
          note: `a capacity of 10, no repetition: ${answered} answered, ${AtCapacity} had no room`
        }
      }).pipe(Effect.provide(AshEmbedded.layer({ script: waiting, maxSandboxes: 10, retry: { times: 0 } })))
    }
  )

  promise(
    "capacity",
    "many sessions at once find room one after the other",
    { fast: 60, full: 1000 },
    (size) =>
      Effect.gen(function*() {
        const { agents, sessions } = yield* AshClient
        yield* agents.create({ name: "demo" })
        let answered = 0
        yield* Effect.forEach(Array.from({ length: size }), () =>
          Effect.scoped(Effect.gen(function*() {
            const session = yield* sessions.open({ agent: "demo" })
            const turn = yield* session.ask("hello")
            if (turn.text.endsWith("step 19")) answered += 1
          })), { concurrency: "unbounded", discard: true })
        return { cases: size, failures: answered === size ? [] : [`${answered} answered`], note: "a capacity of 10" }
      }).pipe(Effect.provide(AshEmbedded.layer({ script: slow, maxSandboxes: 10, maxSessions: 10 })))
  )
})
