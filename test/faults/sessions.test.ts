import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { AshClient } from "../../src/services/AshClient.ts"
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
      const isOver = Effect.map(sessions.list(), (all) => all.filter(({ status }) => status !== "ended"))
      let alive = yield* isOver
      for (let waited = 0; alive.length > 0 && waited < 50; waited++) {
        yield* Effect.sleep("100 millis")
        alive = yield* isOver
      }
      return {
        cases: size,
        failures: alive.map(({ id, status }) => `${id} is ${status}`),
        note: "interrupted at random points, half of them twice"
      }
    }).pipe(Effect.provide(AshEmbedded.layerHttp({ script: slow }))))

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
