import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as RequestOptions from "../../../src/client/RequestOptions.ts"
import type { AshError } from "../../../src/schema/AshError.ts"
import type { SessionHandle } from "../../../src/services/SessionHandle.ts"
import { Sessions } from "../../../src/services/Sessions.ts"
import { session, sessionId } from "../../support/fixtures.ts"
import { chance } from "../../support/promise.ts"
import * as Server from "../../support/ScriptedServer.ts"

const turnsOfTheLoop = Effect.repeat(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), {
  times: 20
})

describe.each(["stop", "pause", "end"] as const)(
  "a call of %s by this program, while another call stops or resumes the session,",
  (how) => {
    type Call = (sessions: Sessions["Service"]) => Effect.Effect<unknown, AshError>
    const attached = (use: (handle: SessionHandle) => Effect.Effect<unknown, AshError>): Call => (sessions) =>
      use(sessions.attach(sessionId, { recovery: "restart" }))
    /** With the state that the session is in before, and how many requests of the call are answered before. */
    const calls: ReadonlyArray<readonly [what: string, before: string, answered: number, call: Call]> = [
      ["a cancellation that stops", "active", 0, attached((handle) => handle.cancel())],
      ["a cancellation that resumes", "active", 1, attached((handle) => handle.cancel())],
      ["a recovery", "stopped", 0, attached((handle) => handle.recover())],
      ["a turn that restarts", "stopped", 0, attached((handle) => handle.ask("one"))],
      ["a command that restarts", "stopped", 0, attached((handle) => handle.exec("ls"))],
      ["a resumption", "stopped", 0, (sessions) => sessions.resume(sessionId)]
    ]
    const stateAfter: Readonly<Record<string, string>> = {
      stop: "stopped",
      pause: "paused",
      resume: "active",
      end: "ended"
    }
    const check = ([, before, answered, call]: typeof calls[number], isInterrupted: boolean) => {
      let status = before
      let arrived = 0
      const free = Latch.makeUnsafe()
      const server = Server.forTurns(({ method, path }) => {
        const action = method === "DELETE" ? "end" : method === "POST" ? path.split("/").at(-1) : undefined
        if (action === "resume" && status === "ended") return Server.json({ error: "Session has ended" }, 410)()
        const answer = Effect.sync(() => {
          if (action === "messages" || action === "exec" || (action === how && how !== "end" && status !== "active")) {
            return Server.json({ error: `Session is ${status}`, statusCode: 400 }, 400)()
          }
          if (action !== undefined) status = stateAfter[action] ?? status
          return Server.json({ session: { ...session, status } })()
        })
        if (action !== "stop" && action !== "resume") return answer
        // What comes next would overtake it. A server does it also for a client that has gone.
        return arrived++ === answered
          ? Effect.flatMap(Effect.forkDetach(Effect.andThen(free.await, answer)), Fiber.join)
          : answer
      })
      return Effect.gen(function*() {
        const sessions = yield* Sessions
        const other = yield* Effect.forkChild(Effect.exit(call(sessions)))
        yield* turnsOfTheLoop
        assert.strictEqual(arrived, answered + 1)
        if (isInterrupted) other.interruptUnsafe()
        const last = yield* Effect.forkChild(sessions[how](sessionId))
        yield* turnsOfTheLoop
        yield* free.open
        yield* Fiber.await(other)
        yield* Effect.ignore(Fiber.join(last))
        yield* turnsOfTheLoop
        assert.strictEqual(status, stateAfter[how])
        const error = yield* Effect.flip(sessions.attach(sessionId, { recovery: "restart" }).ask("two"))
        assert.strictEqual(error.reason._tag, "WrongState")
      }).pipe(Effect.provide(server.layer))
    }
    it.effect.each(calls)("holds: %s", (call) => check(call, false))
    it.effect.each(calls.filter(([, before]) => before === "stopped"))(
      "holds, also where that is interrupted: %s",
      (call) => check(call, true)
    )
  }
)

describe("an interrupted turn whose stop is not answered", () => {
  it.effect("ends within 30 seconds", () => {
    const turn = Server.frames(["session_start", { sessionId }])
    const { layer, requests } = Server.forTurns((request) =>
      request.path.endsWith("/messages") ? Server.endless(turn)() : Effect.never
    )
    return Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const handle = (yield* Sessions).attach(sessionId, { onInterrupt: "stop" })
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(handle.stream("Hello!"), () => Deferred.succeed(begun, undefined))
      )
      yield* Deferred.await(begun)
      const end = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* Effect.yieldNow
      while (end.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
      assert.strictEqual(requests.at(-1)?.path, `/api/sessions/${sessionId}/stop`)
      assert.isAtMost(yield* Clock.currentTimeMillis, 30_000)
    }).pipe(Effect.provide(layer))
  })
})

describe.each(["stop", "pause"] as const)("a call of %s that is interrupted, and answered then,", (how) => {
  it.effect("counts as one that is not", () => {
    const answer = Latch.makeUnsafe()
    const { layer } = Server.forTurns(({ path }) => {
      const action = path.split("/").at(-1)
      return action === how
        ? Effect.as(answer.await, Server.json({ session })())
        : Effect.sync(Server.json({ error: `Session is ${how}`, statusCode: 400 }, 400))
    })
    return Effect.gen(function*() {
      const sessions = yield* Sessions
      const fiber = yield* Effect.forkChild(sessions[how](sessionId))
      yield* turnsOfTheLoop
      const interrupted = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* turnsOfTheLoop
      yield* answer.open
      yield* Fiber.join(interrupted)
      const handle = sessions.attach(sessionId, { recovery: "restart" })
      assert.deepStrictEqual(yield* handle.fence, Option.none())
      const error = yield* Effect.flip(handle.ask("two"))
      assert.include(error.message, "this program has")
    }).pipe(Effect.provide(layer))
  })
})

describe.each(["stop", "pause", "resume"] as const)(
  "a call of %s that a server needs longer for than an end waits,",
  (how) => {
    const stateAfter = { stop: "stopped", pause: "paused", resume: "active" }
    it.effect("is followed by another end", () => {
      let status = how === "resume" ? "paused" : "active"
      const { layer } = Server.forTurns(({ method, path }) => {
        const answer = (next = status) =>
          Effect.sync(() => {
            status = next
            return Server.json({ session: { ...session, status } })()
          })
        if (method === "DELETE") return answer("ended")
        if (!path.endsWith(`/${how}`)) return answer()
        return Effect.flatMap(Effect.forkDetach(Effect.delay(answer(stateAfter[how]), "20 seconds")), Fiber.join)
      })
      return Effect.gen(function*() {
        const sessions = yield* Sessions
        const scope = yield* Scope.make()
        yield* Scope.provide(sessions.open({ agent: "demo" }), scope)
        const change = yield* Effect.forkChild(sessions[how](sessionId))
        yield* turnsOfTheLoop
        const close = yield* Effect.forkChild(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(close)
        assert.strictEqual(status, "ended")
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(change)
        assert.strictEqual(status, "ended")
      }).pipe(Effect.provide(layer))
    })
  }
)

/** A second, and what comes of it. */
const second = Effect.andThen(
  TestClock.adjust("1 second"),
  Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
)

describe("changes of a session that a server is long at, and that are given up,", () => {
  /** A server that decides when a request arrives, does it later, for a client that has gone too, and answers then. */
  const slowServer = (delay: () => number) => {
    let status = "active"
    const { layer } = Server.forTurns(({ method, path }) => {
      const action = method === "DELETE" ? "end" : path.split("/").at(-1)
      const answer = Server.json({ error: `Session is ${status}`, statusCode: 400 }, 400)
      if (action === "resume" && status === "ended") return Server.json({ error: "Session has ended" }, 410)()
      if (action === "messages" || action === "exec") return answer()
      if (method === "GET") return Server.json({ session: { ...session, status } })()
      const isDone = (action !== "stop" || status !== "ended") && (action !== "pause" || status === "active")
      const change = Effect.sync(() => {
        if (isDone) {
          status = { end: "ended", resume: "active", stop: "stopped", pause: "paused" }[action ?? ""] ?? status
        }
        return Server.json({ session: { ...session, status } }, path === "/api/sessions" ? 201 : 200)()
      })
      return Effect.flatMap(Effect.forkDetach(Effect.delay(change, Duration.seconds(delay()))), Fiber.join)
    })
    return { layer, status: () => status }
  }
  const calls: ReadonlyArray<(handle: SessionHandle) => Effect.Effect<unknown, AshError>> = [
    (handle) => handle.stop(),
    (handle) => handle.pause(),
    (handle) => handle.resume(),
    (handle) => handle.recover(),
    (handle) => handle.cancel(),
    (handle) => handle.ask("one"),
    (handle) => handle.exec("ls"),
    (handle) => handle.end()
  ]

  it.effect("do not outlive its end, in whatever order", () =>
    Effect.gen(function*() {
      for (let seed = 0; seed < 120; seed++) {
        const random = chance(seed)
        const pick = <A>(first: A, ...others: ReadonlyArray<A>): A =>
          others[Math.floor(random() * (others.length + 1)) - 1] ?? first
        const { layer, status } = slowServer(() => pick(0, 0, 1, 4, 9, 13, 20))
        yield* Effect.gen(function*() {
          const sessions = yield* Sessions
          const scope = yield* Scope.make()
          const opening = yield* Effect.forkChild(
            Scope.provide(sessions.open({ agent: "demo" }, { recovery: "restart" }), scope)
          )
          while (opening.pollUnsafe() === undefined) yield* second
          const handles = [yield* Fiber.join(opening), sessions.attach(sessionId, { recovery: "restart" })]
          for (let left = pick(1, 2, 3, 4); left > 0; left--) {
            const call = Effect.forEach(
              handles.slice(pick(0, 1)).slice(0, 1),
              pick<(typeof calls)[number]>((handle) => handle.stop(), ...calls.slice(1))
            )
            yield* call.pipe(
              Effect.timeout(Duration.seconds(pick(1, 3, 11, 30))),
              RequestOptions.withTimeout(Duration.seconds(pick(2, 60))),
              RequestOptions.withRetry({ times: pick(0, 1) }),
              Effect.exit,
              Effect.delay(Duration.seconds(random() * 25)),
              Effect.forkChild
            )
          }
          const closing = Effect.delay(Scope.close(scope, Exit.void), Duration.seconds(random() * 25))
          const close = yield* Effect.forkChild(closing)
          for (let left = 150; left > 0; left--) yield* second
          assert.isDefined(close.pollUnsafe(), `seed ${seed}`)
          assert.strictEqual(status(), "ended", `seed ${seed}`)
        }).pipe(Effect.provide(layer))
      }
    }))

  it.effect.each([["stop"], ["pause"], ["resume"]] as const)(
    "hold up nothing of a session that does not end, not the end of the layer either: %s",
    ([how]) => {
      let isAborted = false
      const aborted = Effect.sync(() => {
        isAborted = true
      })
      const { layer } = Server.forTurns(() => Effect.onInterrupt(Effect.never, () => aborted))
      return Effect.gen(function*() {
        const call = Effect.flatMap(Sessions, (sessions) => sessions[how](sessionId)).pipe(
          RequestOptions.withTimeout("1 second"),
          RequestOptions.withRetry({ times: 0 }),
          Effect.flip,
          Effect.tap(() => Effect.sync(() => assert.isFalse(isAborted)))
        )
        const fiber = yield* Effect.forkChild(Effect.provide(call, layer))
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "TimedOut")
        assert.isTrue(isAborted)
      })
    }
  )

  it.effect("are awaited no longer where a repetition was answered", () => {
    const aborted = Deferred.makeUnsafe<void>()
    let isFirst = true
    const { layer } = Server.forTurns(() => {
      if (!isFirst) return Server.json({ session })()
      isFirst = false
      return Effect.onInterrupt(Effect.never, () => Deferred.succeed(aborted, undefined))
    })
    return Effect.gen(function*() {
      const sessions = yield* Sessions
      const call = sessions.resume(sessionId).pipe(
        RequestOptions.withTimeout("1 second"),
        RequestOptions.withRetry({ times: 1 })
      )
      const fiber = yield* Effect.forkChild(call)
      while (fiber.pollUnsafe() === undefined) yield* second
      yield* Fiber.join(fiber)
      yield* TestClock.adjust("5 minutes")
      yield* Deferred.await(aborted)
    }).pipe(Effect.provide(layer))
  })
})

describe("a session whose scope has closed, and whose end takes a server longer than that waits,", () => {
  type Use = (sessions: Sessions["Service"], handle: SessionHandle) => Effect.Effect<unknown, AshError>
  const uses: ReadonlyArray<readonly [string, Use]> = [
    ["a turn", (_, handle) => handle.ask("one")],
    ["a command", (_, handle) => handle.exec("ls")],
    ["recover", (_, handle) => handle.recover()],
    ["cancel", (_, handle) => handle.cancel()],
    ["Sessions.resume", (sessions) => sessions.resume(sessionId)]
  ]
  it.effect.each(uses)("is not made usable again by another handle: %s", ([, use]) => {
    const { layer, requests } = Server.forTurns(({ method, path }) =>
      method === "DELETE" ? Effect.never : Server.json({ session }, path === "/api/sessions" ? 201 : 200)()
    )
    return Effect.gen(function*() {
      const sessions = yield* Sessions
      const handle = sessions.attach(sessionId, { recovery: "restart" })
      const scope = yield* Scope.make()
      yield* Scope.provide(sessions.open({ agent: "demo" }), scope)
      const close = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* turnsOfTheLoop
      const early = yield* Effect.forkChild(Effect.flip(use(sessions, handle)))
      yield* turnsOfTheLoop
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(close)
      for (const error of [yield* Fiber.join(early), yield* Effect.flip(use(sessions, handle))]) {
        assert.deepInclude(error.reason, { _tag: "WrongState", status: "ended" })
      }
      const changes = requests.filter(({ method }) => method !== "GET")
      assert.deepStrictEqual(changes.map(({ method }) => method), ["POST", "DELETE"])
    }).pipe(Effect.provide(layer))
  })
})

describe("a turn that waits while the scope of its session closes, whose end the server does not answer,", () => {
  it.effect("restarts nothing", () => {
    const turn = Server.frames(["session_start", { sessionId }])
    const { layer, requests } = Server.forTurns(
      ({ method, path }) =>
        method === "DELETE" ? Server.json({ error: "boom" }, 500)() : path.endsWith("/messages")
          ? Server.endless(turn)()
          : Server.json({ session }, path === "/api/sessions" ? 201 : 200)(),
      { retry: { times: 0 } }
    )
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const handle = yield* Scope.provide(
        Effect.flatMap(Sessions, (sessions) => sessions.open({ agent: "demo" }, { recovery: "restart" })),
        scope
      )
      const first = yield* Effect.forkChild(Effect.flip(handle.ask("one")))
      yield* turnsOfTheLoop
      const second = yield* Effect.forkChild(Effect.flip(handle.ask("two")))
      yield* turnsOfTheLoop
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Fiber.join(first)).reason._tag, "TurnCancelled")
      assert.include((yield* Fiber.join(second)).message, "nothing was sent. Open another one")
      assert.deepStrictEqual(requests.filter(({ path }) => /stop|resume/.test(path)), [])
    }).pipe(Effect.provide(layer))
  })
})

describe.each(["stop", "pause", "resume"] as const)("a call of %s while the session ends", (how) => {
  it.effect("waits for that", () => {
    const answer = Latch.makeUnsafe()
    const { layer, requests } = Server.forTurns(({ method }) =>
      method === "DELETE" ? Effect.as(answer.await, Server.json({ session })()) : Server.json({ session })()
    )
    return Effect.gen(function*() {
      const sessions = yield* Sessions
      const end = yield* Effect.forkChild(sessions.end(sessionId))
      yield* turnsOfTheLoop
      const change = yield* Effect.forkChild(sessions[how](sessionId))
      yield* turnsOfTheLoop
      assert.deepStrictEqual(requests.map(({ method }) => method), ["DELETE"])
      yield* answer.open
      yield* Fiber.join(end)
      yield* Fiber.join(change)
    }).pipe(Effect.provide(layer))
  })
})

describe("a cursor that is none", () => {
  it.effect.each([[Number.NaN], [Infinity], [-1], [0.5]])("is refused by its name: %s", ([after]) => {
    const { layer, requests } = Server.forTurns(Server.lost)
    return Effect.gen(function*() {
      const sessions = yield* Sessions
      const calls = [
        sessions.attach(sessionId, { after }).ask("one"),
        sessions.attach(sessionId, { after }).reconcile(),
        sessions.attach(sessionId).reconcile({ after })
      ]
      for (const call of calls) {
        const { reason } = yield* Effect.flip<unknown, AshError, never>(call)
        assert.deepInclude(reason, { _tag: "InvalidRequest", field: "after" })
      }
      assert.deepStrictEqual(requests, [])
    }).pipe(Effect.provide(layer))
  })
})
