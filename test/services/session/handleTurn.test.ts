import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { FileDownload } from "../../../src/client/FileDownload.ts"
import { BeforeTurn } from "../../../src/internal/turn/turnControl.ts"
import type { AshOptions } from "../../../src/layers/Ash.ts"
import type { AshError } from "../../../src/schema/AshError.ts"
import { InvalidRequest } from "../../../src/schema/Reasons.ts"
import { AshClient } from "../../../src/services/AshClient.ts"
import { noSession, session, sessionId } from "../../support/fixtures.ts"
import * as Server from "../../support/ScriptedServer.ts"

const turn = Server.sse(Server.frames(
  ["session_start", { sessionId }],
  ["message", { type: "result", subtype: "success", is_error: false, result: "Hi." }],
  ["done", { sessionId }]
))
const done = Server.json({ exitCode: 0, stdout: "ok\n", stderr: "" })
const busy = Server.json({ error: "Too Many Requests" }, 429, { "retry-after": "30" })

const serverOf = (answers: Partial<Record<string, Server.Script>>, options: Partial<AshOptions> = {}) => {
  const server = Server.forTurns((request) => {
    const { method, path } = request
    const script = answers[`${method} ${path.split(/[/?]/).at(-1)}`] ?? answers[method]
    return script === undefined
      ? Server.json({ session }, method === "POST" && path === "/api/sessions" ? 201 : 200)()
      : script(request)
  }, options)
  const count = (end: string) =>
    server.requests.filter(({ method, path }) => `${method} ${path}`.endsWith(end) && !path.includes(noSession)).length
  return { ...server, count }
}

const loops = Effect.repeat(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), { times: 5 })

describe("a command between two attempts", () => {
  const waiting = (
    then: (ash: AshClient["Service"], fiber: Fiber.Fiber<unknown, AshError>) => Effect.Effect<unknown, unknown>
  ) => {
    const server = serverOf({ "POST exec": Server.inOrder(busy, done) })
    return Effect.gen(function*() {
      const ash = yield* AshClient
      const fiber = yield* Effect.forkChild(ash.sessions.attach(sessionId).exec("ls"))
      yield* loops
      yield* then(ash, fiber)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(server.count("/exec"), 1)
      assert.strictEqual(server.count("/stop"), 0)
      assert.deepStrictEqual(yield* ash.sessions.attach(sessionId).fence, Option.none())
    }).pipe(Effect.provide(server.layer))
  }

  it.effect("does not run: interrupted, it fences nothing", () => waiting((_, fiber) => Fiber.interrupt(fiber)))

  it.effect("does not run: cancelled, it is not sent, and nothing is lost", () =>
    waiting((ash, fiber) =>
      Effect.gen(function*() {
        assert.deepInclude(yield* ash.sessions.attach(sessionId).cancel(), { lost: [], mayBeLost: [] })
        const exit = yield* Fiber.await(fiber)
        assert.isTrue(Exit.isFailure(exit))
      })
    ))
})

describe("what waits for a key", () => {
  const slow = {
    apiKey: Effect.delay(Effect.succeed(Redacted.make("ash_key")), "1 minute")
  }
  it.effect("is not on its way: interrupted, it is gone at once, and fences nothing", () => {
    const server = serverOf({ "POST messages": turn, "POST exec": done }, slow)
    return Effect.gen(function*() {
      const { messages, sessions } = yield* AshClient
      const calls: ReadonlyArray<Effect.Effect<unknown, AshError, Scope.Scope>> = [
        sessions.open({ agent: "demo" }),
        sessions.create({ agent: "demo" }),
        sessions.attach(sessionId).exec("ls"),
        sessions.attach(sessionId).ask("one"),
        Stream.runDrain(messages.send(sessionId, "one"))
      ]
      for (const call of calls) {
        const fiber = yield* Effect.forkChild(Effect.scoped(call))
        yield* loops
        fiber.interruptUnsafe()
        yield* loops
        assert.isDefined(fiber.pollUnsafe())
      }
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(server.requests, [])
      assert.deepStrictEqual(yield* sessions.attach(sessionId).fence, Option.none())
    }).pipe(Effect.provide(server.layer))
  })
})

describe("cancel", () => {
  it.effect("ends a turn that waits for the restart before it, and it is not sent", () => {
    const resumed = Deferred.makeUnsafe<void>()
    const server = serverOf({
      "POST messages": Server.inOrder(Server.breaking(Server.frames(["session_start", { sessionId }])), turn),
      "POST resume": Server.inOrder(
        () => Effect.as(Deferred.await(resumed), Server.json({ session })()),
        Server.json({ session })
      )
    })
    return Effect.gen(function*() {
      const handle = (yield* AshClient).sessions.attach(sessionId, { recovery: "restart" })
      yield* Effect.flip(handle.ask("one"))
      const fiber = yield* Effect.forkChild(Effect.flip(handle.ask("two")))
      yield* loops
      const cancelling = yield* Effect.forkChild(handle.cancel())
      yield* loops
      yield* Deferred.succeed(resumed, undefined)
      yield* Fiber.join(cancelling)
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "TurnCancelled")
      assert.strictEqual(server.count("/messages"), 1)
      assert.strictEqual((yield* handle.ask("three")).outcome._tag, "Success")
    }).pipe(Effect.provide(server.layer))
  })
})

describe("the end of a session by this program", () => {
  const running: ReadonlyArray<readonly [string, (ash: AshClient["Service"]) => Effect.Effect<unknown, AshError>]> = [
    ["a turn of Messages.send", ({ messages }) => Stream.runDrain(messages.send(sessionId, "one"))],
    ["a turn of a handle", ({ sessions }) => sessions.attach(sessionId).ask("one")],
    ["a command", ({ sessions }) => sessions.exec(sessionId, "sleep 100")],
    ["a command of a handle", ({ sessions }) => sessions.attach(sessionId).exec("sleep 100")]
  ]
  const ends: ReadonlyArray<
    readonly [string, (ash: AshClient["Service"], scope: Scope.Closeable) => Effect.Effect<unknown, AshError>]
  > = [
    ["stop", ({ sessions }) => sessions.stop(sessionId)],
    ["end", ({ sessions }) => sessions.end(sessionId)],
    ["the end of its scope", (_, scope) => Scope.close(scope, Exit.void)]
  ]
  const all = running.flatMap(([what, run]) => ends.map(([how, end]) => [what, how, run, end] as const))
  it.effect.each(all)("ends %s at once, by %s, and fences nothing", ([, , run, end]) => {
    const server = serverOf({ "POST messages": Server.silent, "POST exec": Server.silent })
    return Effect.forEach(["open", "scoped"] as const, (opening) =>
      Effect.gen(function*() {
        const ash = yield* AshClient
        const scope = yield* Scope.make()
        yield* Scope.provide(
          opening === "open"
            ? Effect.asVoid(ash.sessions.open({ agent: "demo" }))
            : Effect.asVoid(ash.sessions.scoped({ agent: "demo" })),
          scope
        )
        const fiber = yield* Effect.forkChild(Effect.flip(run(ash)))
        yield* loops
        yield* end(ash, scope)
        assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "TurnCancelled")
        assert.deepStrictEqual(yield* ash.sessions.attach(sessionId).fence, Option.none())
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust("1 second")
      }).pipe(Effect.provide(server.layer)))
  })
})

/** What a program does to a session, with the scope that it was opened in. */
type Halt = (ash: AshClient["Service"], scope: Scope.Closeable) => Effect.Effect<unknown, AshError>

describe("a session that this program stops or ends", () => {
  const uses: ReadonlyArray<readonly [string, (ash: AshClient["Service"]) => Effect.Effect<unknown, AshError>]> = [
    ["Messages.send", ({ messages }) => Stream.runDrain(messages.send(sessionId, "one"))],
    ["a turn of a handle", ({ sessions }) => sessions.attach(sessionId, { recovery: "restart" }).ask("one")],
    ["Sessions.exec", ({ sessions }) => sessions.exec(sessionId, "ls")],
    ["a command of a handle", ({ sessions }) => sessions.attach(sessionId).exec("ls")]
  ]
  const halts: ReadonlyArray<readonly [string, request: string, Halt]> = [
    ["stop", "POST stop", ({ sessions }) => sessions.stop(sessionId)],
    ["end", "DELETE", ({ sessions }) => sessions.end(sessionId)],
    ["the end of its scope", "DELETE", (_, scope) => Scope.close(scope, Exit.void)]
  ]
  const all = uses.flatMap(([what, run]) =>
    halts.map(([how, request, halt]) => [what, how, run, request, halt] as const)
  )

  /** With a session that is open, and a server whose messages and commands are answered so. */
  const using = <A, E>(
    script: Server.Script,
    answers: Partial<Record<string, Server.Script>>,
    test: (
      ash: AshClient["Service"],
      scope: Scope.Closeable,
      count: () => number
    ) => Effect.Effect<A, E>
  ) => {
    const server = serverOf({ ...answers, "POST messages": script, "POST exec": script }, {
      retry: { delay: "1 second" }
    })
    return Effect.gen(function*() {
      const ash = yield* AshClient
      const scope = yield* Scope.make()
      yield* Scope.provide(ash.sessions.open({ agent: "demo" }), scope)
      yield* test(ash, scope, () => server.count("/messages") + server.count("/exec"))
    }).pipe(Effect.provide(server.layer))
  }
  const fence = ({ sessions }: AshClient["Service"]) => sessions.attach(sessionId).fence

  it.effect.each(all)("is sent nothing before that is answered: %s, %s", ([, , run, request, halt]) => {
    const answer = Deferred.makeUnsafe<void>()
    const halted = Server.json({ error: "Session is ended", statusCode: 400 }, 400)
    return using(
      halted,
      { [request]: () => Effect.as(Deferred.await(answer), Server.json({ session })()) },
      (ash, scope, count) =>
        Effect.gen(function*() {
          const halting = yield* Effect.forkChild(halt(ash, scope))
          yield* loops
          const fiber = yield* Effect.forkChild(Effect.flip(run(ash)))
          yield* loops
          assert.strictEqual(count(), 0)
          yield* Deferred.succeed(answer, undefined)
          yield* Fiber.join(halting)
          assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "WrongState")
          assert.strictEqual(count(), 1)
        })
    )
  })

  it.effect.each(all)(
    "is not sent what waits to be sent again: %s, %s",
    ([, , run, , halt]) =>
      using(busy, {}, (ash, scope, count) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Effect.flip(run(ash)))
          yield* loops
          yield* halt(ash, scope)
          const error = yield* Fiber.join(fiber)
          assert.deepStrictEqual([error.reason._tag, error.nothingHappened], ["TurnCancelled", true])
          assert.deepStrictEqual(yield* fence(ash), Option.none())
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(count(), 1)
        }))
  )

  it.effect.each(all)(
    "is not sent again what is refused before that is answered: %s, %s",
    ([, , run, request, halt]) => {
      const refusal = Deferred.makeUnsafe<void>()
      const answer = Deferred.makeUnsafe<void>()
      return using(
        Server.inOrder(() => Effect.map(Deferred.await(refusal), busy), turn),
        { [request]: () => Effect.as(Deferred.await(answer), Server.json({ session })()) },
        (ash, scope, count) =>
          Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(Effect.flip(run(ash)))
            yield* loops
            const halting = yield* Effect.forkChild(halt(ash, scope))
            yield* loops
            yield* Deferred.succeed(refusal, undefined)
            yield* loops
            yield* Deferred.succeed(answer, undefined)
            yield* Fiber.join(halting)
            yield* TestClock.adjust("1 minute")
            assert.strictEqual(count(), 1)
            assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "TurnCancelled")
            assert.deepStrictEqual(yield* fence(ash), Option.none())
          })
      )
    }
  )

  const unanswered: ReadonlyArray<readonly [string, Server.Script]> = [
    ["breaks", Server.lost],
    ["is interrupted", Server.silent]
  ]
  it.effect.each(
    all.flatMap(([what, how, run, request, halt]) =>
      unanswered.map(([why, script]) => [what, how, why, run, request, halt, script] as const)
    )
  )(
    "may be silent from then on, where that %3$s: %s ends, %s, and leaves a fence",
    ([, , , run, request, halt, script]) =>
      using(Server.silent, { [request]: script }, (ash, scope) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Effect.flip(run(ash)))
          yield* loops
          const halting = yield* Effect.forkChild(Effect.exit(halt(ash, scope)))
          yield* loops
          if (script === Server.silent) yield* Effect.forkChild(Fiber.interrupt(halting))
          yield* TestClock.adjust("10 seconds")
          const error = yield* Fiber.join(fiber)
          assert.deepStrictEqual([error.reason._tag, error.nothingHappened], ["TurnCancelled", false])
          assert.isTrue(Option.isSome(yield* fence(ash)))
        }))
  )

  it.effect.each(
    halts.flatMap(([how, request, halt]) =>
      unanswered.map(([why, script]) => [how, why, request, halt, script] as const)
    )
  )(
    "may be so while a later turn runs, which is kept out: %s that %s",
    ([how, , request, halt, script]) =>
      using(turn, { [request]: script }, (ash, scope, count) =>
        Effect.gen(function*() {
          const halting = yield* Effect.forkChild(Effect.exit(halt(ash, scope)))
          yield* loops
          if (script === Server.silent) yield* Effect.forkChild(Fiber.interrupt(halting))
          yield* TestClock.adjust("10 seconds")
          yield* Fiber.await(halting)
          const error = yield* Effect.flip(ash.sessions.attach(sessionId).ask("one"))
          // With its scope it is over.
          const tag = how === "the end of its scope" ? "WrongState" : "SessionFenced"
          assert.deepStrictEqual([error.reason._tag, count()], [tag, 0])
        }))
  )

  it.effect("may be silent where an end breaks, and certainly does nothing when it is repeated", () =>
    using(Server.silent, { DELETE: Server.inOrder(Server.lost, Server.refused) }, (ash) =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Effect.flip(ash.sessions.attach(sessionId).ask("one")))
        yield* loops
        const ending = yield* Effect.forkChild(Effect.exit(ash.sessions.end(sessionId)))
        yield* loops
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(ending)
        assert.isDefined(fiber.pollUnsafe())
        assert.isTrue(Option.isSome(yield* fence(ash)))
      })))

  it.effect.each(all)(
    "goes on where that certainly did nothing: %s, %s",
    ([, how, run, request, halt]) =>
      using(Server.silent, { [request]: Server.refused }, (ash, scope) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Effect.flip(run(ash)))
          yield* loops
          const halting = yield* Effect.forkChild(Effect.exit(halt(ash, scope)))
          yield* loops
          yield* TestClock.adjust("10 seconds")
          yield* Fiber.join(halting)
          // With its scope it is over, whatever the server has done.
          const isOver = how === "the end of its scope"
          assert.strictEqual(fiber.pollUnsafe() !== undefined, isOver)
          assert.strictEqual(Option.isSome(yield* fence(ash)), isOver)
        }))
  )
})

describe("the wait for a limit", () => {
  const limited = Server.json({ error: "Too Many Requests" }, 429, { "retry-after": "660", "x-ratelimit-reset": "660" })
  const create = Effect.flatMap(AshClient, ({ sessions }) => sessions.create({ agent: "demo" }))
  const patiently = <A, E>(fiber: Fiber.Fiber<A, E>) =>
    Effect.gen(function*() {
      while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("10 seconds")
      return yield* Fiber.await(fiber)
    })

  it.effect("is logged once, also for the one that was refused first", () => {
    const lines: Array<string> = []
    const logger = Logger.layer([Logger.make(({ message }) => {
      lines.push(String(message))
    })])
    const server = serverOf({ "POST sessions": Server.inOrder(limited, limited, Server.json({ session }, 201)) })
    return Effect.gen(function*() {
      yield* patiently(yield* Effect.forkChild(create))
      assert.deepStrictEqual(lines, ["Sessions.create waits 11m for the server's limit of new sessions"])
    }).pipe(Effect.provide(server.layer), Effect.provide(logger))
  })

  it.effect("ends after three refusals, whatever the repetitions", () => {
    const server = serverOf({ "POST sessions": limited })
    return Effect.gen(function*() {
      const exit = yield* patiently(yield* Effect.forkChild(Effect.flip(create)))
      assert.strictEqual(Exit.isSuccess(exit) ? exit.value.reason._tag : "", "RateLimited")
      assert.strictEqual(server.requests.length, 4)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("also for a time that is given as a date", () => {
    const date = Server.json({ error: "x" }, 429, {
      date: "Mon, 23 Nov 2026 12:00:00 GMT",
      "retry-after": "Mon, 23 Nov 2026 12:10:00 GMT"
    })
    const server = serverOf({ "POST sessions": Server.inOrder(date, Server.json({ session }, 201)) })
    return Effect.gen(function*() {
      assert.isTrue(Exit.isSuccess(yield* patiently(yield* Effect.forkChild(create))))
      const [first = 0, second = 0] = server.requests.map(({ at }) => at)
      assert.isTrue(second - first >= 600_000 && second - first < 602_000)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("does not hold others up behind a first call that is not answered", () => {
    const late = Deferred.makeUnsafe<void>()
    const created = Server.json({ session }, 201)
    const server = serverOf({
      "POST sessions": Server.inOrder(() => Effect.as(Deferred.await(late), created()), created)
    }, {
      timeout: "2 minutes"
    })
    return Effect.gen(function*() {
      const first = yield* Effect.forkChild(Effect.flip(create))
      yield* loops
      const second = yield* Effect.forkChild(create)
      yield* loops
      yield* TestClock.adjust("1 minute")
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(second)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(first)).reason._tag, "TimedOut")
      yield* Deferred.succeed(late, undefined)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("takes no word of an answer that another has overtaken", () => {
    const slow = Deferred.makeUnsafe<void>()
    const told = (left: number) =>
      Server.json({ session }, 201, { "x-ratelimit-remaining": String(left), "x-ratelimit-reset": "900" })
    const server = serverOf({
      "POST sessions": Server.inOrder(told(3), () => Effect.as(Deferred.await(slow), told(2)()), told(0))
    })
    return Effect.gen(function*() {
      yield* create
      const overtaken = yield* Effect.forkChild(create)
      yield* loops
      yield* create
      yield* Deferred.succeed(slow, undefined)
      yield* Fiber.join(overtaken)
      const next = yield* Effect.forkChild(create)
      yield* loops
      assert.strictEqual(server.requests.length, 3)
      next.interruptUnsafe()
    }).pipe(Effect.provide(server.layer))
  })
})

describe("a window of the server's limit", () => {
  const create = Effect.flatMap(AshClient, ({ sessions }) => sessions.create({ agent: "demo" }))
  const told = (left: number) =>
    Server.json({ session }, 201, { "x-ratelimit-remaining": String(left), "x-ratelimit-reset": "900" })
  const orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
  const all = orders.flatMap((counted) => orders.map((answered) => [counted, answered] as const))

  it.effect.each(all)(
    "has no more room where it counts what was sent as %j, and answers as %j",
    ([counted, answered]) => {
      const answers = counted.map((left) => ({ left, isDue: Deferred.makeUnsafe<void>() }))
      const waits = answers.map(({ isDue, left }): Server.Script => () =>
        Effect.as(Deferred.await(isDue), told(left)())
      )
      const server = serverOf({ "POST sessions": Server.inOrder(told(3), ...waits, told(5)) })
      return Effect.gen(function*() {
        yield* create
        const fibers = yield* Effect.replicateEffect(Effect.forkChild(create), 3)
        yield* loops
        for (const index of answered) {
          const answer = answers[index]
          if (answer !== undefined) yield* Deferred.succeed(answer.isDue, undefined)
          yield* loops
        }
        for (const fiber of fibers) yield* Fiber.join(fiber)
        const next = yield* Effect.forkChild(create)
        yield* loops
        assert.strictEqual(server.requests.length, 4)
        next.interruptUnsafe()
      }).pipe(Effect.provide(server.layer))
    }
  )

  it.effect("is another one where the server has begun it before this program expects that", () => {
    const last = Server.json({ session }, 201, { "x-ratelimit-remaining": "1", "x-ratelimit-reset": "10" })
    const server = serverOf({ "POST sessions": Server.inOrder(last, told(1), told(0)) })
    return Effect.gen(function*() {
      yield* create
      yield* TestClock.adjust("9500 millis")
      yield* create
      const next = yield* Effect.forkChild(create)
      yield* loops
      assert.strictEqual(server.requests.length, 3)
      next.interruptUnsafe()
    }).pipe(Effect.provide(server.layer))
  })

  const date = new Date(600_000).toUTCString()
  const refusals: ReadonlyArray<readonly [string, Record<string, string>]> = [
    ["in seconds", { "retry-after": "600" }],
    ["as a date", { date: new Date(0).toUTCString(), "retry-after": date }],
    ["as a date by the clock of this program", { "retry-after": date }]
  ]
  it.effect.each(refusals)("that is refused with the time %s lets the others wait, too", ([, headers]) => {
    const server = serverOf({
      "POST sessions": Server.inOrder(told(1), Server.json({ error: "x" }, 429, headers), told(9))
    })
    return Effect.gen(function*() {
      yield* create
      const fibers = yield* Effect.replicateEffect(Effect.forkChild(create), 6)
      yield* loops
      assert.strictEqual(server.requests.length, 2)
      yield* TestClock.adjust("11 minutes")
      for (const fiber of fibers) yield* Fiber.join(fiber)
      assert.strictEqual(server.requests.length, 8)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("timeouts.done", () => {
  it.effect("that cannot be read is refused as the others are", () => {
    const server = serverOf({ "POST messages": turn })
    return Effect.gen(function*() {
      const { sessions } = yield* AshClient
      for (const done of ["foo", -1, Number.NaN, { second: 5 }]) {
        const { reason } = yield* Effect.flip(
          sessions.attach(sessionId, { timeouts: { done: done as never } }).ask("one")
        )
        assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : reason._tag, "timeouts.done")
      }
    }).pipe(Effect.provide(server.layer))
  })
})

describe("an error", () => {
  type Called = (ash: AshClient["Service"]) => Effect.Effect<unknown, AshError, Scope.Scope>
  const handleOf = ({ sessions }: AshClient["Service"]) => sessions.attach(sessionId)
  const methods: Readonly<Record<string, Called>> = {
    "Sessions.open": ({ sessions }) => sessions.open({ agent: "demo" }),
    "Sessions.scoped": ({ sessions }) => sessions.scoped({ agent: "demo" }),
    "Sessions.create": ({ sessions }) => sessions.create({ agent: "demo" }),
    "Sessions.exec": ({ sessions }) => sessions.exec(sessionId, "ls"),
    "Sessions.stop": ({ sessions }) => sessions.stop(sessionId),
    "Sessions.resume": ({ sessions }) => sessions.resume(sessionId),
    "Sessions.end": ({ sessions }) => sessions.end(sessionId),
    "Sessions.sweep": ({ sessions }) => sessions.sweep({ label: "a", olderThan: 0 }),
    "Sessions.events": ({ sessions }) => Stream.runDrain(sessions.events(sessionId)),
    "Sessions.tail": ({ sessions }) => Stream.runDrain(sessions.tail(sessionId)),
    "Messages.send": ({ messages }) => Stream.runDrain(messages.send(sessionId, "one")),
    "Messages.sendWithErrors": ({ messages }) => Stream.runDrain(messages.sendWithErrors(sessionId, "one")),
    "Messages.history": ({ messages }) => Stream.runDrain(messages.history(sessionId)),
    "QueueItems.await": ({ queueItems }) => queueItems.await(sessionId),
    "SessionHandle.ask": (ash) => handleOf(ash).ask("one"),
    "SessionHandle.stream": (ash) => Stream.runDrain(handleOf(ash).stream("one")),
    "SessionHandle.exec": (ash) => handleOf(ash).exec("ls"),
    "SessionHandle.history": (ash) => Stream.runDrain(handleOf(ash).history()),
    "SessionHandle.usage": (ash) => handleOf(ash).usage(),
    "SessionHandle.get": (ash) => handleOf(ash).get(),
    "SessionHandle.pause": (ash) => handleOf(ash).pause(),
    "SessionHandle.resume": (ash) => handleOf(ash).resume(),
    "SessionHandle.stop": (ash) => handleOf(ash).stop(),
    "SessionHandle.end": (ash) => handleOf(ash).end(),
    "SessionHandle.fork": (ash) => handleOf(ash).fork(),
    "SessionHandle.updateConfig": (ash) => handleOf(ash).updateConfig({ model: "m" }),
    "SessionHandle.listEvents": (ash) => handleOf(ash).listEvents(),
    "SessionHandle.events": (ash) => Stream.runDrain(handleOf(ash).events()),
    "SessionHandle.tail": (ash) => Stream.runDrain(handleOf(ash).tail()),
    "SessionHandle.logs": (ash) => handleOf(ash).logs(),
    "SessionHandle.cancel": (ash) => handleOf(ash).cancel(),
    "SessionHandle.recover": (ash) => handleOf(ash).recover(),
    "SessionHandle.reconcile": (ash) => handleOf(ash).reconcile(),
    "SessionHandle.files.list": (ash) => handleOf(ash).files.list(),
    "SessionHandle.files.readText": (ash) => handleOf(ash).files.readText("a"),
    "SessionHandle.files.write": (ash) => handleOf(ash).files.write([{ path: "a", content: "x" }]),
    "SessionHandle.files.delete": (ash) => handleOf(ash).files.delete("a")
  }
  const downloads: Record<
    string,
    (ash: AshClient["Service"]) => Effect.Effect<FileDownload, AshError, Scope.Scope>
  > = {
    "Agents.readFile": ({ agents }) => agents.readFile("demo", "a"),
    "Attachments.download": ({ attachments }) => attachments.download(sessionId),
    "SessionFiles.read": ({ sessionFiles }) => sessionFiles.read(sessionId, "a"),
    "Workspaces.download": ({ workspaces }) => workspaces.download(sessionId),
    "SessionHandle.attachments.download": (ash) => handleOf(ash).attachments.download(sessionId),
    "SessionHandle.files.read": (ash) => handleOf(ash).files.read("a"),
    "SessionHandle.workspace.download": (ash) => handleOf(ash).workspace.download()
  }
  it.effect.each(Object.entries(downloads))("names it where the content breaks off: %s", ([name, call]) => {
    const { layer } = Server.make(Server.breaking("a", {}))
    return Effect.gen(function*() {
      const { content } = yield* Effect.flatMap(AshClient, call)
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(content))).operation, name)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect.each(Object.entries(methods))("names the method that was called: %s", ([name, call]) => {
    const server = Server.make(Server.json({ error: "boom" }, 500), { retry: { times: 0 } })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.flatMap(AshClient, call))
      assert.strictEqual(error.operation, name)
      assert.isTrue(error.message.startsWith(`${name}: `))
    }).pipe(Effect.scoped, Effect.provide(server.layer))
  })
})

describe("the options of a handle", () => {
  it.effect("are those that it was opened with, though another was opened with the same object before", () => {
    const server = serverOf({ "POST messages": Server.silent })
    const options: { timeouts: { headers: "1 minute" | "5 minutes" } } = { timeouts: { headers: "1 minute" } }
    const outcome = Effect.gen(function*() {
      const { sessions } = yield* AshClient
      const handle = yield* sessions.open({ agent: "demo" }, options)
      const fiber = yield* Effect.forkChild(Effect.flip(handle.ask("one")))
      yield* loops
      yield* TestClock.adjust("2 minutes")
      yield* loops
      return fiber.pollUnsafe()
    }).pipe(Effect.scoped)
    return Effect.gen(function*() {
      assert.isDefined(yield* outcome)
      options.timeouts.headers = "5 minutes"
      assert.isUndefined(yield* outcome)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("what is run before a turn goes out", () => {
  const open = Effect.flatMap(AshClient, (ash) => ash.sessions.open({ agent: "demo" }))

  it.effect("is run once, behind all that the turn waits for, and not for other requests", () => {
    const order: Array<string> = []
    const server = serverOf({
      "POST messages": () => {
        order.push("sent")
        return turn()
      }
    }, {
      apiKey: Effect.sync(() => {
        order.push("key")
        return Redacted.make("secret")
      })
    })
    return Effect.gen(function*() {
      const opened = yield* open
      order.splice(0)
      yield* opened.ask("Hello!").pipe(Effect.provideService(BeforeTurn, Effect.sync(() => order.push("before"))))
      assert.deepStrictEqual(order.slice(-3), ["key", "before", "sent"])
      assert.strictEqual(order.filter((what) => what === "before").length, 1)
    }).pipe(Effect.scoped, Effect.provide(server.layer))
  })

  it.effect("sends nothing where it fails, and fences nothing", () => {
    const server = serverOf({ "POST messages": turn })
    return Effect.gen(function*() {
      const opened = yield* open
      const refusal = Effect.fail(new InvalidRequest({ message: "the claim is too old" }))
      const error = yield* opened.ask("Hello!").pipe(Effect.provideService(BeforeTurn, refusal), Effect.flip)
      assert.strictEqual(error.message, "SessionHandle.ask: the claim is too old")
      assert.isTrue(error.nothingHappened)
      assert.strictEqual(server.count("/messages"), 0)
      yield* opened.ask("Hello!")
      assert.strictEqual(server.count("/messages"), 1)
    }).pipe(Effect.scoped, Effect.provide(server.layer))
  })
})
