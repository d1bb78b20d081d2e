import { describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { AshApiClient } from "../../src/client/AshApiClient.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import type { SessionHandleOptions } from "../../src/services/SessionHandle.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { otherId, session, sessionId } from "../support/fixtures.ts"
import { accidents, make } from "../support/mortalServer.ts"
import { chance, promise } from "../support/promise.ts"
import * as Server from "../support/ScriptedServer.ts"

const oneLoop = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** Lets the clock go on until all fibers have ended. */
const patiently = (fibers: ReadonlyArray<Fiber.Fiber<unknown, unknown>>) =>
  Effect.gen(function*() {
    while (fibers.some((fiber) => fiber.pollUnsafe() === undefined)) yield* TestClock.adjust("1 second")
  })

/** A server that is slow, refuses creations, and limits them; and the sessions that live there. */
const busyServer = (random: () => number) => {
  const alive = new Set<string>()
  let count = 0
  const server = Server.make(({ method, path }) =>
    Effect.gen(function*() {
      yield* Effect.sleep(Duration.millis(random() * 2000))
      if (method === "DELETE") {
        alive.delete(path.split("/").at(-1) ?? "")
        return Server.json({ session: { ...session, status: "ended" } })()
      }
      if (random() < 0.3) {
        return Server.json({ error: "Too Many Requests" }, 429, { "retry-after": "5", "x-ratelimit-reset": "5" })()
      }
      const id = `${otherId.slice(0, -4)}${String(++count).padStart(4, "0")}`
      alive.add(id)
      const headers = { "x-ratelimit-remaining": random() < 0.5 ? "0" : "3", "x-ratelimit-reset": "5" }
      return Server.json({ session: { ...session, id } }, 201, headers)()
    }), { maxSessions: 2 })
  return { ...server, alive }
}

describe("waits", () => {
  promise(
    "P24",
    "a wait ends when it is interrupted, no session is left, and the next one is not held up",
    { fast: 40, full: 1000 },
    (size) =>
      Effect.gen(function*() {
        const random = chance(24)
        const failures: Array<string> = []
        const open = Effect.scoped(
          Effect.flatMap(Sessions, ({ open }) =>
            Effect.andThen(open({ agent: "demo" }), Effect.suspend(() => Effect.sleep(random() * 1000))))
        )
        for (let round = 0; round < size; round++) {
          const { alive, layer } = busyServer(random)
          yield* Effect.gen(function*() {
            const fibers = yield* Effect.forEach(Array.from({ length: 6 }), () =>
              Effect.forkChild(open))
            for (const fiber of fibers) {
              yield* TestClock.adjust(random() * 4000)
              if (random() < 0.7) fiber.interruptUnsafe()
            }
            yield* patiently(fibers)
            yield* TestClock.adjust("1 minute")
            if (alive.size > 0) failures.push(`round ${round}: ${[...alive].join()} alive`)
            yield* patiently([yield* Effect.forkChild(open)])
            if (alive.size > 0) failures.push(`round ${round}: ${[...alive].join()} alive at the end`)
          }).pipe(Effect.provide(layer))
        }
        return { cases: size * 6, failures, note: "opens at once, interrupted at random points" }
      }),
    it.effect
  )

  const recoveries: ReadonlyArray<SessionHandleOptions> = [
    {},
    { recovery: "restart" },
    { recovery: "restart", onInterrupt: "stop" },
    { recovery: "restart", keepWorkspace: true },
    { onInterrupt: "stop" }
  ]
  promise(
    "P28",
    "whatever happens to a session between turns, and is done to it, no turn mixes, and a recovery makes it usable",
    { fast: 100, full: 3000 },
    (size) =>
      Effect.gen(function*() {
        const random = chance(28)
        const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(random() * from.length)] as A
        const failures: Array<string> = []
        for (let round = 0; round < size; round++) {
          const server = make({ retry: { times: 0 }, timeouts: { idle: "1 minute" } })
          const log: Array<string> = []
          yield* Effect.gen(function*() {
            const { messages, sessions } = yield* AshClient
            const api = yield* AshApiClient
            const handles = recoveries.map((options) => sessions.attach(sessionId, options))
            const acts: ReadonlyArray<readonly [string, () => Effect.Effect<unknown, AshError>]> = [
              ["ask", () => pick(handles).ask("one")],
              ["break", () => pick(handles).ask("break")],
              ["send", () => Stream.runDrain(messages.send(sessionId, pick(["one", "break"])))],
              ["exec", () => pick(handles).exec("ls")],
              ["cancel", () => pick(handles).cancel()],
              ["recover", () => pick(handles).recover()],
              ["pause", () => pick(handles).pause()],
              ["resume", () => pick(handles).resume()],
              ["stop", () => sessions.stop(sessionId)],
              ["reconcile", () => pick(handles).reconcile()],
              ["stopped by another", () => api.sessions.stop({ params: { id: sessionId } })],
              ["accident", () => Effect.sync(() => server.happen(pick(accidents)))]
            ]
            const fibers: Array<Fiber.Fiber<unknown, AshError>> = []
            for (let step = 0; step < 12; step++) {
              const [name, act] = pick(acts)
              log.push(name)
              const fiber = yield* Effect.forkChild(act())
              fibers.push(fiber)
              if (random() < 0.6) yield* oneLoop
              if (random() < 0.2) fiber.interruptUnsafe()
            }
            yield* patiently(fibers)
            for (const fiber of fibers) {
              const exit = yield* Fiber.await(fiber)
              if (exit._tag === "Failure" && exit.cause.reasons.some(({ _tag }) => _tag === "Die")) {
                failures.push(`round ${round}: a defect in ${log.join()}`)
              }
            }
            const handle = sessions.attach(sessionId, { recovery: "restart" })
            const last = yield* Effect.forkChild(Effect.andThen(handle.recover(), handle.ask("last")))
            yield* patiently([last])
            const exit = yield* Fiber.await(last)
            if (exit._tag === "Failure" || exit.value.text !== "You said: last") {
              failures.push(`round ${round}: not usable behind ${log.join()}`)
            }
            if (server.mixed.length > 0) failures.push(`round ${round}: mixed in ${log.join()}`)
          }).pipe(Effect.provide(server.layer))
        }
        return { cases: size, failures, note: "12 acts and accidents at once each, five kinds of handles" }
      }),
    it.effect
  )
})
