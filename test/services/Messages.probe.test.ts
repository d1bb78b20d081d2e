import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { MessageContent } from "../../src/schema/Message.ts"
import { Messages } from "../../src/services/Messages.ts"
import { clockOf } from "../support/clock.ts"
import { noSession, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const send = (content: MessageContent = "hello world", id = sessionId) =>
  Effect.flatMap(Messages, ({ send }) => Stream.runCollect(send(id, content)))

/** Sessions of their own, as turns of one session wait for each other. */
const sessionIds = ["1", "2", "3"].map((digit) => sessionId.replace(/.$/, digit))

const contentOf = (request: Server.Received) => (Server.jsonOf(request) as { content: MessageContent }).content

const formOf = (request: Server.Received) => {
  const content = contentOf(request)
  return typeof content === "string" ? "text" : content.length > 1 ? "blocks" : "block"
}

const isProbe = ({ path }: Server.Received) => path.includes(noSession)

const answerOf = (sessionId: string) =>
  Server.sse(Server.frames(["session_start", { sessionId }], ["done", { sessionId }]))()

const turn: Server.Script = ({ path }) => answerOf(path.split("/")[3] ?? "")
const noSuchSession = Server.json({ error: "Session not found", statusCode: 404 }, 404)
const refusedBody = Server.json({ error: "Bad Request", statusCode: 400 }, 400)

const cut = (status: number, start: string): Server.Script => () =>
  new Response(Server.breaking(start)().body, { status, headers: { "content-type": "application/json" } })

/** A server that answers questions for the form of content by one script, and turns. */
const serving = (probe: Server.Script, answer: Server.Script = turn, times = 0) => {
  const server = Server.make((request) => (isProbe(request) ? probe : answer)(request), { retry: { times } })
  const counted = () => ({
    probes: server.requests.filter(isProbe).length,
    turns: server.requests.filter((request) => !isProbe(request)).length
  })
  return { ...server, counted }
}

describe("the question for the form of content", () => {
  it.effect("goes to no session, by messages of one and of two blocks, with the key", () => {
    const server = serving(refusedBody)
    return Effect.gen(function*() {
      yield* send("hello")
      const [one, two, message] = server.requests
      for (const request of [one, two]) {
        assert.strictEqual(request?.method, "POST")
        assert.strictEqual(request?.path, `/api/sessions/${noSession}/messages`)
        assert.strictEqual(request?.headers["authorization"], `Bearer ${Server.apiKey}`)
      }
      const blocksOf = (request: Server.Received | undefined) =>
        (Server.jsonOf(request as Server.Received) as { content: ReadonlyArray<unknown> }).content.length
      assert.deepStrictEqual([blocksOf(one), blocksOf(two)], [1, 2])
      assert.strictEqual(message?.path, `/api/sessions/${sessionId}/messages`)
      assert.strictEqual(server.requests.length, 3)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("is not asked before a stream is run, nor for reading", () => {
    const server = serving(noSuchSession, Server.json({ messages: [] }))
    return Effect.gen(function*() {
      const messages = yield* Messages
      assert.isTrue(Stream.isStream(messages.send(sessionId, "hello")))
      yield* messages.list(sessionId)
      assert.deepStrictEqual(server.counted(), { probes: 0, turns: 1 })
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("is asked once by several that begin together, and they wait for the answer", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<void>()
      const answer = yield* Deferred.make<void>()
      const server = serving(() =>
        Deferred.succeed(asked, undefined).pipe(
          Effect.andThen(Deferred.await(answer)),
          Effect.map(() => new Response("{\"error\":\"Session not found\"}", { status: 404 }))
        )
      )
      const fiber = yield* Effect.forkChild(
        Effect.forEach(sessionIds, (id) => send("hello", id), { concurrency: "unbounded" }).pipe(
          Effect.provide(server.layer)
        )
      )
      yield* Deferred.await(asked)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(server.counted(), { probes: 1, turns: 0 })
      yield* Deferred.succeed(answer, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(server.counted(), { probes: 1, turns: 3 })
    }))

  /** Several sends that wait for one answer, and what gives it. */
  const waitingSends = Effect.fnUntraced(function*(response: () => Response) {
    const asked = yield* Deferred.make<void>()
    const answer = yield* Deferred.make<void>()
    const server = serving(Server.inOrder(
      () => Effect.andThen(Deferred.succeed(asked, undefined), Effect.map(Deferred.await(answer), response)),
      noSuchSession
    ))
    const context = yield* Layer.build(server.layer)
    const start = (id: string | undefined) =>
      Effect.forkChild(Effect.exit(send("hello", id)).pipe(Effect.provide(context)))
    const [firstId, ...otherIds] = sessionIds
    const first = yield* start(firstId)
    yield* Deferred.await(asked)
    const others = yield* Effect.forEach(otherIds, start)
    yield* TestClock.adjust("1 second")
    const next = Effect.provide(send(), context)
    return { server, first, others, next, answer: Deferred.succeed(answer, undefined) }
  })

  it.effect("goes on for those that wait when the first caller is interrupted", () =>
    Effect.gen(function*() {
      const { answer, first, others, server } = yield* waitingSends(noSuchSession)
      yield* Fiber.interrupt(first)
      yield* answer
      const exits = yield* Fiber.joinAll(others)
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, true])
      assert.deepStrictEqual(server.counted(), { probes: 1, turns: 2 })
    }).pipe(Effect.scoped))

  it.effect("fails all that wait for it, as each would have failed, and the next one asks again", () =>
    Effect.gen(function*() {
      const { answer, first, next, others, server } = yield* waitingSends(Server.json({ error: "x" }, 500))
      yield* answer
      const exits = yield* Fiber.joinAll([first, ...others])
      assert.deepStrictEqual(exits.map(Exit.isFailure), [true, true, true])
      assert.deepStrictEqual(server.counted(), { probes: 1, turns: 0 })
      yield* next
      assert.deepStrictEqual(server.counted(), { probes: 2, turns: 1 })
    }).pipe(Effect.scoped))

  it.effect("is asked anew when all that waited for it are interrupted", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<void>()
      const server = serving(Server.inOrder(
        () => Effect.andThen(Deferred.succeed(asked, undefined), Effect.never),
        noSuchSession
      ))
      yield* Effect.gen(function*() {
        const first = yield* Effect.forkChild(send())
        yield* Deferred.await(asked)
        const second = yield* Effect.forkChild(send())
        yield* Fiber.interrupt(first)
        yield* Fiber.join(second)
        yield* send()
      }).pipe(Effect.provide(server.layer))
      assert.deepStrictEqual(server.counted(), { probes: 2, turns: 2 })
    }))

  it.effect("is asked anew by each layer", () =>
    Effect.gen(function*() {
      const server = serving(noSuchSession)
      yield* Effect.andThen(send(), send()).pipe(Effect.provide(server.layer))
      yield* send().pipe(Effect.provide(server.layer))
      assert.deepStrictEqual(server.counted(), { probes: 2, turns: 3 })
    }))

  it.effect.each<readonly [what: string, script: Server.Script, tag: string]>([
    ["a failing server", Server.json({ error: "x" }, 500), "ServerFailure"],
    ["a refused key", Server.json({ error: "Invalid API key" }, 401), "Unauthorized"],
    ["a lost connection", Server.lost, "ConnectionLost"],
    ["no server", Server.refused, "NotReached"],
    ["a rate limit", Server.json({ error: "x" }, 429), "RateLimited"],
    ["a refusal of something else", Server.json({ error: "x" }, 409), "InvalidRequest"],
    ["a redirection", Server.text("", 302, { location: "https://x.test/" }), "Undecodable"],
    ["an answer that is cut off", cut(404, "{\"error\":\"Sess"), "ConnectionLost"],
    ["an answer that is cut off at once", cut(400, ""), "ConnectionLost"],
    ["no answer in time", Server.silent, "TimedOut"]
  ])("without an answer nothing is sent, and the next one asks again: %s", ([, script, tag]) => {
    const server = serving(Server.inOrder(script, noSuchSession))
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.flip(send()))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag, tag)
      assert.strictEqual(error.operation, "Messages.send")
      assert.isTrue(error.nothingHappened)
      assert.strictEqual(error.isRetryable, !["Unauthorized", "InvalidRequest", "Undecodable"].includes(tag))
      assert.deepStrictEqual(server.counted(), { probes: 1, turns: 0 })
      yield* send()
      assert.deepStrictEqual(server.counted(), { probes: 2, turns: 1 })
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("is repeated on a failing server, unlike the message", () =>
    Effect.gen(function*() {
      const server = serving(
        Server.inOrder(Server.json({ error: "x" }, 500), noSuchSession),
        Server.json({ error: "x" }, 500),
        2
      )
      const fiber = yield* Effect.forkChild(
        Effect.flip(send()).pipe(Effect.provide(server.layer))
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "ServerFailure")
      assert.deepStrictEqual(server.counted(), { probes: 2, turns: 1 })
    }))

  it.effect("a page of a proxy is no answer to it", () => {
    const server = serving(Server.text("<html>Bad Request</html>", 400, { "content-type": "text/html" }))
    return Effect.gen(function*() {
      yield* Effect.exit(send())
      assert.deepStrictEqual(server.counted(), { probes: 1, turns: 0 })
    }).pipe(Effect.provide(server.layer))
  })

  it.effect.each<readonly [what: string, before: string, behind: string, isPaused: boolean]>([
    ["rolled back to one that takes texts only", "blocks", "text", false],
    ["replaced by one that takes blocks, and has paused the session", "text", "blocks", true]
  ])("is asked again where a server refuses what it took: it was %s", ([, before, behind, isPaused]) => {
    let takes = before
    let status = "active"
    const answer: Server.Script = (request) => {
      if (formOf(request) !== takes) return refusedBody()
      if (isProbe(request)) return noSuchSession()
      return turn(request)
    }
    const server = serving(
      answer,
      (request) => status === "active" ? answer(request) : Server.json({ error: `Session is ${status}` }, 400)()
    )
    return Effect.gen(function*() {
      yield* send()
      yield* send()
      takes = behind
      if (isPaused) {
        status = "paused"
        assert.strictEqual((yield* Effect.flip(send())).reason._tag, "WrongState")
        status = "active"
      }
      yield* send()
      const last = server.requests.at(-1)
      assert.strictEqual(last?.path, `/api/sessions/${sessionId}/messages`)
      assert.strictEqual(typeof contentOf(last as Server.Received) === "string", behind === "text")
      assert.strictEqual(server.counted().probes, 4)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("is asked for each message that went out before it, and was refused behind it", () =>
    Effect.gen(function*() {
      const isSentAgain = yield* Deferred.make<void>()
      const isOver = yield* Deferred.make<void>()
      const [early = "", late = ""] = sessionIds
      let takes = "text"
      const server = serving(
        (request) => formOf(request) === takes ? noSuchSession() : refusedBody(),
        (request) => {
          const { path } = request
          if (formOf(request) !== takes) {
            return path.includes(late) ? Effect.map(Deferred.await(isSentAgain), refusedBody) : refusedBody()
          }
          return path.includes(early)
            ? Effect.andThen(
              Deferred.succeed(isSentAgain, undefined),
              Effect.as(Deferred.await(isOver), answerOf(early))
            )
            : turn(request)
        }
      )
      yield* Effect.gen(function*() {
        yield* send()
        takes = "blocks"
        const first = yield* Effect.forkChild(send("hello world", early))
        const exit = yield* Effect.exit(send("hello world", late))
        yield* Deferred.succeed(isOver, undefined)
        yield* Fiber.join(first)
        assert.isTrue(Exit.isSuccess(exit))
      }).pipe(Effect.provide(server.layer))
    }))

  it.effect("is asked again behind a failure though the clock of the machine is set back", () => {
    const time = { wall: 3_600_000, monotonic: 0n }
    const server = serving(Server.inOrder(Server.json({}, 500), noSuchSession))
    return Effect.gen(function*() {
      yield* Effect.flip(send())
      time.wall = 0
      yield* send()
      assert.deepStrictEqual(server.counted(), { probes: 2, turns: 1 })
    }).pipe(Effect.provide(server.layer), Effect.provideService(Clock.Clock, clockOf(time)))
  })
})
