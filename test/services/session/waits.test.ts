import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as RequestOptions from "../../../src/client/RequestOptions.ts"
import type { AshOptions, AshServices } from "../../../src/layers/Ash.ts"
import type { AshError } from "../../../src/schema/AshError.ts"
import { AshClient } from "../../../src/services/AshClient.ts"
import { SessionGates } from "../../../src/services/SessionGates.ts"
import type { SessionHandleOptions } from "../../../src/services/SessionHandle.ts"
import { type OpenSessionOptions, Sessions } from "../../../src/services/Sessions.ts"
import { noSession, otherId, session, sessionId } from "../../support/fixtures.ts"
import * as Server from "../../support/ScriptedServer.ts"
import { saying } from "../../support/turns.ts"

const limited = (seconds: number) =>
  Server.json({ error: "Too Many Requests", message: "Rate limit exceeded" }, 429, {
    "retry-after": String(seconds),
    "x-ratelimit-limit": "20",
    "x-ratelimit-remaining": "0",
    "x-ratelimit-reset": String(seconds)
  })
const created = Server.json({ session }, 201)
const ended = Server.json({ session: { ...session, status: "ended" } })
const begun = Server.frames(["session_start", { sessionId }])

/** A stream that begins and goes on for ever. */
const endless = Server.endless(begun)

/** A stream that has begun, and in which there is nothing yet. */
const opened: Server.Script = () =>
  new Response(new ReadableStream({}), { status: 200, headers: { "content-type": "text/event-stream" } })

interface Answers {
  readonly create?: Server.Script
  readonly send?: Server.Script
  readonly label?: Server.Script
}

/** A server that creates, ends and restarts sessions, and answers what else by scripts. */
const serverOf = (
  { create = created, label = Server.json({}, 500), send = saying("Hi.") }: Answers,
  options: Partial<AshOptions> = {}
) => {
  const asked = Latch.makeUnsafe()
  const watched = (script: Server.Script): Server.Script => (request) => {
    asked.openUnsafe()
    return script(request)
  }
  const server = Server.forTurns((request) => {
    const { method, path } = request
    if (method === "DELETE") return ended()
    if (path === "/api/sessions") return watched(create)(request)
    if (path.endsWith("/messages") && method === "POST") return watched(send)(request)
    if (path.endsWith("/attachments")) return watched(label)(request)
    if (method === "GET" && path.includes("/messages")) return Server.json({ messages: [] })()
    return Server.json({ session })()
  }, options)
  const lines = () =>
    server.requests.filter(({ path }) => !path.includes(noSession)).map(({ method, path }) =>
      `${method} ${path.replace(/^\/api\/sessions\/[^/]+/, "/api/sessions/*")}`
    )
  return { ...server, asked, lines }
}

const turnsOfTheLoop = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))

/** Interrupts a fiber once it waits, and holds that it has gone without the clock. */
const letsGo = (fiber: Fiber.Fiber<unknown, unknown>) =>
  Effect.gen(function*() {
    yield* turnsOfTheLoop
    assert.isUndefined(fiber.pollUnsafe())
    fiber.interruptUnsafe()
    yield* turnsOfTheLoop
    assert.isDefined(fiber.pollUnsafe(), "it holds on")
  })

const open = (options?: OpenSessionOptions) =>
  Effect.flatMap(Sessions, (sessions) => sessions.open({ agent: "demo" }, options))

describe("an open that is interrupted", () => {
  const waits: ReadonlyArray<readonly [name: string, answers: Answers, options: Partial<AshOptions>]> = [
    ["for the server's limit", { create: limited(600) }, {}],
    ["for Retry-After", { create: limited(30) }, { whenRateLimited: "fail" }],
    ["for a repetition", { create: Server.refused }, { retry: { delay: "1 minute" } }],
    ["for a server without room", { create: Server.json({ error: "Sandbox capacity reached" }, 503) }, {
      retry: { delay: "1 minute" }
    }]
  ]
  it.effect.each(waits)(
    "while it waits %s ends at once, and nothing is sent for it later",
    ([, answers, options]) => {
      const server = serverOf(answers, options)
      return Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Effect.scoped(open()))
        yield* server.asked.await
        yield* letsGo(fiber)
        const sent = server.requests.length
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(server.requests.length, sent)
      }).pipe(Effect.provide(server.layer))
    }
  )

  it.effect("while it waits for one of maxSessions takes none of them", () => {
    const server = serverOf({}, { maxSessions: 1 })
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      yield* Scope.provide(open(), scope)
      yield* letsGo(yield* Effect.forkChild(Effect.scoped(open())))
      assert.deepStrictEqual(server.lines(), ["POST /api/sessions"])
      yield* Scope.close(scope, Exit.void)
      yield* Effect.scoped(open())
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("on the wire is awaited for 10 seconds, and what comes of it is ended", () => {
    const answer = Deferred.makeUnsafe<void>()
    const server = serverOf({ create: () => Effect.as(Deferred.await(answer), created()) })
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.scoped(open()))
      yield* server.asked.await
      fiber.interruptUnsafe()
      yield* turnsOfTheLoop
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("10 seconds")
      yield* turnsOfTheLoop
      assert.isDefined(fiber.pollUnsafe())
      yield* Deferred.succeed(answer, undefined)
      yield* turnsOfTheLoop
      assert.deepStrictEqual(server.lines(), ["POST /api/sessions", "DELETE /api/sessions/*"])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("while its label is on the wire ends its session", () => {
    const server = serverOf({ label: Server.silent })
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.scoped(open({ label: "worker" })))
      yield* server.asked.await
      while (!server.lines().some((line) => line.endsWith("/attachments"))) yield* turnsOfTheLoop
      yield* letsGo(fiber)
      assert.strictEqual(server.lines().at(-1), "DELETE /api/sessions/*")
    }).pipe(Effect.provide(server.layer))
  })
})

describe("an open that fails", () => {
  it.effect("gives back its place among maxSessions, in whatever scope", () => {
    const server = serverOf({ create: Server.inOrder(Server.json({ error: "no" }, 500), created) }, { maxSessions: 1 })
    return Effect.scoped(Effect.retry(open(), { times: 1 })).pipe(Effect.provide(server.layer))
  })

  it.effect("for its label ends its session, and reports what it was doing", () => {
    const server = serverOf({ label: Server.json({ error: "boom" }, 500) })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(open({ label: "worker" }))
      assert.deepStrictEqual(server.lines(), [
        "POST /api/sessions",
        "POST /api/sessions/*/attachments",
        "DELETE /api/sessions/*"
      ])
      assert.strictEqual(error.message, "Sessions.open: Attachments.upload: boom (500)")
    }).pipe(Effect.scoped, Effect.provide(server.layer))
  })

  it.effect("by its own time-out leaves the session to be ended when it comes", () => {
    const answer = Deferred.makeUnsafe<void>()
    const server = serverOf({ create: () => Effect.as(Deferred.await(answer), created()) }, { timeout: "1 minute" })
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.flip(Effect.scoped(open())))
      yield* server.asked.await
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "TimedOut")
      yield* Deferred.succeed(answer, undefined)
      yield* turnsOfTheLoop
      assert.strictEqual(server.lines().at(-1), "DELETE /api/sessions/*")
    }).pipe(Effect.provide(server.layer))
  })
})

describe("a fresh sandbox that is required", () => {
  const cold = Server.json({ session: { ...session, id: otherId } }, 201)
  const settings = { agent: "demo", systemPrompt: "x" }
  const openFresh = Effect.flatMap(Sessions, ({ open }) => open(settings, { requireFreshSandbox: true }))

  it.effect("is looked for before the session that lacks one is ended", () => {
    const server = serverOf({ create: Server.inOrder(created, created, cold) })
    return Effect.gen(function*() {
      yield* openFresh
      assert.deepStrictEqual(server.lines(), [
        "POST /api/sessions",
        "POST /api/sessions",
        "DELETE /api/sessions/*",
        "POST /api/sessions",
        "DELETE /api/sessions/*"
      ])
    }).pipe(Effect.scoped, Effect.provide(server.layer))
  })

  it.effect("takes one place among maxSessions, and the room of the last one where there is no other", () => {
    const full = Server.json({ error: "Sandbox capacity reached" }, 503)
    const server = serverOf({ create: Server.inOrder(created, full, cold) }, { maxSessions: 1, retry: { times: 0 } })
    return Effect.gen(function*() {
      yield* openFresh
      assert.deepStrictEqual(server.lines(), [
        "POST /api/sessions",
        "POST /api/sessions",
        "DELETE /api/sessions/*",
        "POST /api/sessions"
      ])
    }).pipe(Effect.scoped, Effect.provide(server.layer))
  })
})

describe("the server's limit of creations", () => {
  const create = Effect.flatMap(Sessions, ({ create }) => create({ agent: "demo" }))
  const patiently = <A, E>(fiber: Fiber.Fiber<A, E>) =>
    Effect.gen(function*() {
      while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
      return yield* Fiber.await(fiber)
    })

  it.effect("is waited for also by the first call of a program, whatever its repetitions", () => {
    const server = serverOf({ create: Server.inOrder(limited(840), created) }, { retry: { times: 0 } })
    return Effect.gen(function*() {
      const exit = yield* patiently(yield* Effect.forkChild(create))
      assert.isTrue(Exit.isSuccess(exit))
      const [first = 0, second = 0] = server.requests.map(({ at }) => at)
      assert.isTrue(second - first >= 840_000 && second - first <= 842_000)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("is not waited for beyond a bound, which is an option", () => {
    const server = serverOf({ create: limited(840) }, { maxRateLimitWait: "10 minutes" })
    return Effect.gen(function*() {
      const error = yield* Effect.flip(create)
      assert.strictEqual(error.reason._tag, "RateLimited")
      assert.deepStrictEqual(error.retryAfter, Duration.seconds(840))
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("is waited for three times, and no more", () => {
    const server = serverOf({ create: limited(60) }, { retry: { times: 0 } })
    return Effect.gen(function*() {
      const exit = yield* patiently(yield* Effect.forkChild(Effect.flip(create)))
      assert.strictEqual(Exit.isSuccess(exit) ? exit.value.reason._tag : "", "RateLimited")
      assert.strictEqual(server.requests.length, 4)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("counts the requests that are on their way, which the server has not counted yet", () => {
    const [second, third] = [Deferred.makeUnsafe<void>(), Deferred.makeUnsafe<void>()]
    const told = (left: number) =>
      Server.json({ session }, 201, { "x-ratelimit-remaining": String(left), "x-ratelimit-reset": "900" })
    const held = (left: number, until: Deferred.Deferred<void>): Server.Script => () =>
      Effect.as(Deferred.await(until), told(left)())
    const server = serverOf({ create: Server.inOrder(told(2), held(1, second), held(0, third), told(0)) })
    return Effect.gen(function*() {
      yield* create
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(create))
      for (const answer of [second, third]) {
        yield* Effect.repeat(turnsOfTheLoop, { times: 10 })
        assert.strictEqual(server.requests.length, 3)
        yield* Deferred.succeed(answer, undefined)
      }
      yield* Effect.repeat(turnsOfTheLoop, { times: 10 })
      assert.strictEqual(server.requests.length, 3)
      for (const fiber of fibers) fiber.interruptUnsafe()
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("is logged once by each that waits, in whole seconds", () => {
    const lines: Array<string> = []
    const logger = Logger.layer([Logger.make(({ message }) => {
      lines.push(String(message))
    })])
    let left = 20
    let reset = 0
    const server = Server.make(({ at }) => {
      if (at >= reset) {
        left = 20
        reset = at + 900_000
      }
      left -= 1
      const seconds = Math.ceil((reset - at) / 1000)
      return left < 0 ? limited(seconds)() : Server.json({ session }, 201, {
        "x-ratelimit-remaining": String(left),
        "x-ratelimit-reset": String(seconds)
      })()
    })
    return Effect.gen(function*() {
      yield* patiently(yield* Effect.forkChild(Effect.replicateEffect(create, 120, { concurrency: "unbounded" })))
      assert.isAtMost(lines.length, 100)
      assert.isAtLeast(lines.length, 90)
      for (const line of lines) {
        assert.match(line, /^Sessions\.create waits (?:\d+m ?)?(?:\d+s)? for the server's limit of new sessions$/)
      }
    }).pipe(Effect.provide(server.layer), Effect.provide(logger))
  })
})

describe("a turn that waits to be sent again", () => {
  const attempts: ReadonlyArray<readonly [string, Server.Script]> = [
    ["behind a 429", Server.json({ error: "Too Many Requests" }, 429, { "retry-after": "30" })],
    ["behind a refused connection", Server.refused]
  ]
  const use = <A, E>(
    refusal: Server.Script,
    options: SessionHandleOptions,
    test: (
      server: ReturnType<typeof serverOf>,
      handle: ReturnType<Sessions["Service"]["attach"]>
    ) => Effect.Effect<A, E, AshServices>
  ) => {
    const server = serverOf({ send: Server.inOrder(refusal, saying("Hi.")) }, { retry: { delay: "10 seconds" } })
    return Effect.gen(function*() {
      yield* test(server, (yield* Sessions).attach(sessionId, options))
      // Nothing ran, so nothing was lost.
      assert.deepStrictEqual(server.lines().filter((line) => /stop|resume/.test(line)), [])
      assert.deepStrictEqual(yield* (yield* Sessions).attach(sessionId).fence, Option.none())
    }).pipe(Effect.provide(server.layer))
  }

  it.effect.each(attempts)(
    "%s does not run: interrupted, it fences nothing",
    ([, refusal]) =>
      Effect.forEach(
        ["detach", "stop"] as const,
        (onInterrupt) =>
          use(refusal, { onInterrupt }, ({ asked }, handle) =>
            Effect.gen(function*() {
              const fiber = yield* Effect.forkChild(handle.ask("one"))
              yield* asked.await
              yield* letsGo(fiber)
              assert.strictEqual((yield* handle.ask("two")).text, "Hi.")
            }))
      )
  )

  it.effect.each(attempts)(
    "%s does not run: cancelled, it loses nothing",
    ([, refusal]) =>
      use(refusal, {}, ({ asked }, handle) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Effect.flip(handle.ask("one")))
          yield* asked.await
          yield* turnsOfTheLoop
          assert.deepInclude(yield* handle.cancel(), { lost: [], mayBeLost: [] })
          assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "TurnCancelled")
          assert.strictEqual((yield* handle.ask("two")).text, "Hi.")
        }))
  )

  it.effect.each(attempts)(
    "%s does not run, and neither does its turn timer",
    ([, refusal]) =>
      use(refusal, { timeouts: { turn: "3 seconds" } }, ({ asked }, handle) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(handle.ask("one"))
          yield* asked.await
          yield* turnsOfTheLoop
          yield* TestClock.adjust("1 minute")
          assert.strictEqual((yield* Fiber.join(fiber)).text, "Hi.")
        }))
  )
})

describe("the turn timer", () => {
  it.effect("counts from the sending, not from the wait for room or for the turn before", () => {
    const answer = Deferred.makeUnsafe<void>()
    const slow: Server.Script = () => Effect.as(Deferred.await(answer), saying("one")())
    const server = serverOf({ send: Server.inOrder(slow, saying("two")) }, {
      maxStreams: 1,
      timeouts: { headers: "off" }
    })
    return Effect.gen(function*() {
      const sessions = yield* Sessions
      const first = yield* Effect.forkChild(sessions.attach(sessionId).ask("one"))
      yield* server.asked.await
      const second = yield* Effect.forkChild(
        sessions.attach(otherId).ask("two").pipe(RequestOptions.withTimeouts({ turn: "1 minute" }))
      )
      yield* TestClock.adjust("5 minutes")
      yield* Deferred.succeed(answer, undefined)
      yield* Fiber.join(first)
      assert.strictEqual((yield* Fiber.await(second))._tag, "Failure")
    }).pipe(Effect.provide(server.layer))
  })
})

const ways: ReadonlyArray<readonly [string, (ash: AshClient["Service"]) => Effect.Effect<unknown, AshError>]> = [
  ["SessionHandle.ask", ({ sessions }) => sessions.attach(sessionId).ask("one")],
  ["SessionHandle.stream", ({ sessions }) => Stream.runDrain(sessions.attach(sessionId).stream("one"))],
  ["Messages.send", ({ messages }) => Stream.runDrain(messages.send(sessionId, "one"))],
  ["Messages.sendWithErrors", ({ messages }) => Stream.runDrain(messages.sendWithErrors(sessionId, "one"))]
]

describe.each(ways)("a turn of %s that is interrupted", (_, way) => {
  const fence = Effect.flatMap(AshClient, ({ sessions }) => sessions.attach(sessionId).fence)

  it.effect("while it waits for the turn before it ends at once, and fences nothing", () => {
    const answer = Deferred.makeUnsafe<void>()
    const slow: Server.Script = () => Effect.as(Deferred.await(answer), saying("Hi.")())
    const server = serverOf({ send: Server.inOrder(slow, saying("Hi.")) })
    return Effect.gen(function*() {
      const ash = yield* AshClient
      const first = yield* Effect.forkChild(ash.sessions.attach(sessionId).ask("zero"))
      yield* server.asked.await
      yield* letsGo(yield* Effect.forkChild(way(ash)))
      yield* Deferred.succeed(answer, undefined)
      assert.strictEqual((yield* Fiber.join(first)).text, "Hi.")
      assert.deepStrictEqual(yield* fence, Option.none())
      yield* way(ash)
    }).pipe(Effect.provide(server.layer))
  })

  const points: ReadonlyArray<readonly [name: string, send: Server.Script, runs: boolean]> = [
    ["its answer", Server.silent, true],
    ["its first event", opened, true],
    ["its next event", endless, true],
    ["a repetition", Server.refused, false]
  ]
  it.effect.each(points)("while it waits for %s ends at once, and is known for what it is", ([, send, runs]) => {
    const server = serverOf({ send: Server.inOrder(send, saying("Hi.")) }, { retry: { delay: "1 minute" } })
    return Effect.gen(function*() {
      const ash = yield* AshClient
      const fiber = yield* Effect.forkChild(way(ash))
      yield* server.asked.await
      yield* letsGo(fiber)
      assert.strictEqual(Option.isSome(yield* fence), runs)
      const next = yield* Effect.exit(way(ash))
      assert.strictEqual(Exit.isFailure(next), runs)
      yield* TestClock.adjust("1 hour")
      const sent = server.lines().filter((line) => line === "POST /api/sessions/*/messages").length
      assert.strictEqual(sent, runs ? 1 : 2)
    }).pipe(Effect.provide(server.layer))
  })
})

describe.each(
  [
    ...ways,
    ["SessionHandle.exec", ({ sessions }) => sessions.attach(sessionId).exec("ls")],
    ["Sessions.exec", ({ sessions }) => sessions.exec(sessionId, "ls")]
  ] satisfies typeof ways
)("%s while the session is resumed", (_, way) => {
  it.effect("waits for that, also where nothing kept it out before", () => {
    const answer = Deferred.makeUnsafe<void>()
    const server = Server.forTurns(({ path }) =>
      path.endsWith("/resume")
        ? Effect.as(Deferred.await(answer), Server.json({ session })())
        : path.endsWith("/exec")
        ? Server.json({ exitCode: 0, stdout: "", stderr: "" })()
        : saying("Hi.")()
    )
    const actions = () =>
      server.requests.flatMap(({ path }) => path.includes(sessionId) ? path.split("/").slice(-1) : [])
    return Effect.gen(function*() {
      const ash = yield* AshClient
      const resuming = yield* Effect.forkChild(ash.sessions.resume(sessionId))
      yield* turnsOfTheLoop
      const fiber = yield* Effect.forkChild(way(ash))
      yield* Effect.repeat(turnsOfTheLoop, { times: 10 })
      assert.deepStrictEqual(actions(), ["resume"])
      yield* Deferred.succeed(answer, undefined)
      yield* Fiber.join(resuming)
      yield* Fiber.join(fiber)
      assert.strictEqual(actions().length, 2)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("durations that cannot be read", () => {
  const bad: ReadonlyArray<unknown> = ["banana", "5 parsecs", Number.NaN, -1, "-1 second", [Number.NaN, 1], {
    minute: 5
  }, {}]
  const options: ReadonlyArray<readonly [field: string, options: (duration: never) => Partial<AshOptions>]> = [
    ["timeout", (timeout) => ({ timeout })],
    ["retry.delay", (delay) => ({ retry: { delay } })],
    ["retry.maxDelay", (maxDelay) => ({ retry: { maxDelay } })],
    ["retry.maxRetryAfter", (maxRetryAfter) => ({ retry: { maxRetryAfter } })],
    ["timeouts.headers", (headers) => ({ timeouts: { headers } })],
    ["timeouts.firstEvent", (firstEvent) => ({ timeouts: { firstEvent } })],
    ["timeouts.idle", (idle) => ({ timeouts: { idle } })],
    ["timeouts.turn", (turn) => ({ timeouts: { turn } })]
  ]
  const fieldOf = ({ reason }: AshError) => reason._tag === "InvalidRequest" ? reason.field : reason._tag

  it.effect.each(bad.map((duration) => [duration] as const))(
    "%j are refused with their name, and nothing is sent",
    ([input]) =>
      Effect.gen(function*() {
        const duration = input as never
        const server = serverOf({})
        const get = Effect.flatMap(Sessions, (sessions) => sessions.get(sessionId))
        for (const [field, optionsOf] of options) {
          const ofLayer = Effect.flip(Effect.provide(get, serverOf({}, optionsOf(duration)).layer))
          assert.strictEqual(fieldOf(yield* ofLayer), field)
          const ofCall = get.pipe(
            Effect.updateService(RequestOptions.RequestOptions, RequestOptions.merge(optionsOf(duration))),
            Effect.provide(server.layer),
            Effect.flip
          )
          assert.strictEqual(fieldOf(yield* ofCall), field)
        }
        const calls: ReadonlyArray<readonly [string, Effect.Effect<unknown, AshError, AshClient>]> = [
          [
            "timeout",
            Effect.flatMap(AshClient, ({ sessions }) => sessions.exec(sessionId, "ls", { timeout: duration }))
          ],
          [
            "timeout",
            Effect.flatMap(AshClient, ({ sessions }) => sessions.attach(sessionId).exec("ls", { timeout: duration }))
          ],
          [
            "waitAtMost",
            Effect.flatMap(AshClient, ({ sessions }) => sessions.attach(sessionId, { waitAtMost: duration }).ask("a"))
          ],
          [
            "every",
            Effect.flatMap(AshClient, ({ sessions }) => Stream.runDrain(sessions.tail(sessionId, { every: duration })))
          ],
          ["every", Effect.flatMap(AshClient, ({ queueItems }) => queueItems.await(sessionId, { every: duration }))],
          [
            "olderThan",
            Effect.flatMap(AshClient, ({ sessions }) => sessions.sweep({ label: "a", olderThan: duration }))
          ]
        ]
        for (const [field, call] of calls) {
          assert.strictEqual(fieldOf(yield* Effect.flip(Effect.provide(call, server.layer))), field)
        }
        const handles = { waitAtMost: { waitAtMost: duration }, "timeouts.idle": { timeouts: { idle: duration } } }
        for (const [field, options] of Object.entries(handles)) {
          const call = Effect.flatMap(Sessions, ({ open }) => Effect.scoped(open({ agent: "a" }, options)))
          assert.strictEqual(fieldOf(yield* Effect.flip(Effect.provide(call, server.layer))), field)
        }
        assert.deepStrictEqual(server.requests, [])
        const layer = serverOf({}, { maxRateLimitWait: duration }).layer
        assert.strictEqual(fieldOf(yield* Effect.flip(Effect.provide(get, layer))), "maxRateLimitWait")
      })
  )
})

describe("repetitions", () => {
  it.effect("have a delay that does not grow beyond a maximum", () => {
    const server = Server.make(Server.json({ error: "boom" }, 500), { retry: { times: 14, maxDelay: "5 seconds" } })
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Effect.flip(Effect.flatMap(Sessions, ({ get }) => get(sessionId))).pipe(Effect.provide(server.layer))
      )
      while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
      const times = server.requests.map(({ at }) => at)
      assert.strictEqual(times.length, 15)
      for (const [index, at] of times.slice(1).entries()) assert.isAtMost(at - (times[index] ?? 0), 7000)
    })
  })

  it.effect("of many callers that were given one time do not come at one time", () => {
    let count = 0
    const server = Server.make(() =>
      count++ < 20 ? Server.json({ error: "x" }, 429, { "retry-after": "30" })() : Server.json({ session })()
    )
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Effect.replicateEffect(Effect.flatMap(Sessions, ({ get }) => get(sessionId)), 20, { concurrency: "unbounded" })
      )
      while (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("10 millis")
      const again = server.requests.slice(20).map(({ at }) => at)
      assert.isAbove(new Set(again).size, 10)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("two layers of one server", () => {
  const turns = (server: ReturnType<typeof serverOf>) =>
    Effect.gen(function*() {
      const ask = Effect.flatMap(Sessions, (sessions) => sessions.attach(sessionId).ask("one")).pipe(
        Effect.provide(server.layer)
      )
      const fibers = [yield* Effect.forkChild(ask), yield* Effect.forkChild(ask)]
      yield* turnsOfTheLoop
      const sent = server.lines().filter((line) => line.endsWith("/messages")).length
      for (const fiber of fibers) fiber.interruptUnsafe()
      return sent
    })

  it.effect("keep their turns apart where they are built inside the gates of a program, and only there", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* turns(serverOf({ send: Server.silent })), 2)
      const shared = Effect.provide(turns(serverOf({ send: Server.silent })), Layer.fresh(SessionGates.layer))
      assert.strictEqual(yield* shared, 1)
    }))
})
