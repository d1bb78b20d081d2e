import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import { Sessions } from "../../src/services/Sessions.ts"
import { otherId, session, sessionEvent, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const exchange = <A, E>(answer: Server.Script, call: (sessions: Sessions["Service"]) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const { layer, requests } = Server.make(answer, { retry: { times: 0 } })
    const result = yield* Effect.provide(Effect.flatMap(Sessions, call), layer)
    const [request] = requests
    const body = request === undefined || request.body === "" ? undefined : Server.jsonOf(request)
    return { result, line: `${request?.method} ${request?.path}`, body, request }
  })

const full = {
  agent: "helper",
  credentialId: "c",
  extraEnv: { A: "b" },
  model: "m",
  mcpServers: { tools: { url: "http://127.0.0.1/mcp" }, local: { command: "x", args: ["-y"], env: { K: "v" } } },
  systemPrompt: "p",
  permissionMode: "default",
  allowedTools: ["Read"],
  disallowedTools: ["Bash"],
  betas: ["b"],
  subagents: { helper: { description: "d" } },
  initialAgent: "helper"
} as const

describe("Sessions", () => {
  it.effect("create sends every option", () =>
    Effect.gen(function*() {
      const { body, line, result } = yield* exchange(Server.json({ session }, 201), (_) => _.create(full))
      assert.strictEqual(line, "POST /api/sessions")
      assert.deepStrictEqual(body, full)
      assert.strictEqual(result.id, sessionId)
    }))

  const lifecycle = [
    ["get", "GET", "", 200],
    ["pause", "POST", "/pause", 200],
    ["resume", "POST", "/resume", 200],
    ["stop", "POST", "/stop", 200],
    ["fork", "POST", "/fork", 201],
    ["end", "DELETE", "", 200]
  ] as const
  it.effect.each(lifecycle)(
    "%s sends no body, and so no type of one",
    ([name, method, suffix, status]) =>
      Effect.gen(function*() {
        const { line, request, result } = yield* exchange(
          Server.json({ session: { ...session, status: "a-new-status", added: 1 } }, status),
          (sessions) => sessions[name](sessionId)
        )
        assert.strictEqual(line, `${method} /api/sessions/${sessionId}${suffix}`)
        assert.strictEqual(request?.body, "")
        assert.notProperty(request?.headers, "content-type")
        assert.strictEqual(result.status, "a-new-status")
      })
  )

  const noIds: ReadonlyArray<unknown> = [undefined, null, "", "no-uuid", 7, {}, []]
  it.effect.each(lifecycle)("%s refuses an id that is none, and sends nothing", ([name]) =>
    Effect.gen(function*() {
      for (const id of noIds) {
        const { request, result } = yield* exchange(
          Server.json({ session }),
          (sessions) => Effect.flip(sessions[name](id as string))
        )
        assert.strictEqual(result.reason._tag, "InvalidRequest")
        assert.isUndefined(request)
      }
    }))

  it.effect.each(lifecycle)("%s works as before where its layer has closed", ([name, method, suffix, status]) => {
    const { layer, requests } = Server.make(Server.json({ session }, status))
    return Effect.gen(function*() {
      const sessions = yield* Effect.provide(Sessions, layer)
      yield* sessions[name](sessionId)
      assert.deepStrictEqual(requests.map(({ method, path }) => [method, path]), [
        [method, `/api/sessions/${sessionId}${suffix}`]
      ])
    })
  })

  it.effect("list and updateConfig", () =>
    Effect.gen(function*() {
      const all = yield* exchange(Server.json({ sessions: [session] }), (_) => _.list())
      assert.strictEqual(all.line, "GET /api/sessions")
      const some = yield* exchange(Server.json({ sessions: [] }), (_) => _.list({ agent: "a b" }))
      assert.strictEqual(some.line, "GET /api/sessions?agent=a+b")
      const config = yield* exchange(Server.json({ session }), (_) =>
        _.updateConfig(sessionId, { model: "m", betas: [], initialAgent: undefined }))
      assert.strictEqual(config.line, `PATCH /api/sessions/${sessionId}/config`)
      assert.deepStrictEqual(config.body, { model: "m", betas: [] })
    }))

  it.effect("exec sends its time-out in milliseconds", () =>
    Effect.gen(function*() {
      const answer = Server.json({ exitCode: 7, stdout: "out", stderr: "err" })
      const { body, line, result } = yield* exchange(answer, (_) => _.exec(sessionId, "ls", { timeout: "2 minutes" }))
      assert.strictEqual(line, `POST /api/sessions/${sessionId}/exec`)
      assert.deepStrictEqual(body, { command: "ls", timeout: 120_000 })
      assert.deepStrictEqual({ ...result }, { exitCode: 7, stdout: "out", stderr: "err" })
      assert.deepStrictEqual((yield* exchange(answer, (_) => _.exec(sessionId, "ls"))).body, { command: "ls" })
    }))

  it.effect("listEvents and logs", () =>
    Effect.gen(function*() {
      const events = yield* exchange(
        Server.json({ events: [sessionEvent(4, "text", "{\"text\":\"hi\"}"), sessionEvent(5, "novel", "5")] }),
        (_) => _.listEvents(sessionId, { limit: 10, after: 3, type: "text" })
      )
      assert.strictEqual(events.line, `GET /api/sessions/${sessionId}/events?limit=10&after=3&type=text`)
      assert.deepStrictEqual(events.result.map(({ data }) => data), [
        { _tag: "Text", text: "hi" },
        { _tag: "Unknown", raw: 5 }
      ])
      const logs = yield* exchange(
        Server.json({
          logs: [{ index: 0, level: "stdout", text: "l", ts: "2026-11-22T10:41:00.009Z" }],
          source: "sandbox"
        }),
        (_) => _.logs(sessionId, { after: -1 })
      )
      assert.strictEqual(logs.line, `GET /api/sessions/${sessionId}/logs?after=-1`)
      assert.strictEqual(logs.result.logs[0]?.text, "l")
    }))

  it.effect("reports the state that a session is in", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(exchange(
        Server.json({ error: "Cannot stop session with status \"paused\"", statusCode: 400 }, 400),
        (_) => _.stop(sessionId)
      ))
      assert.deepInclude(error.reason, { _tag: "WrongState", status: "paused" })
    }))
})

/** A server that creates and ends sessions, and counts those that live. */
const counting = (options: {
  readonly create?: Effect.Effect<unknown> | undefined
  readonly end?: Effect.Effect<Response> | undefined
} = {}) => {
  const alive = new Set<string>()
  const server = Server.make(({ method, path }) =>
    Effect.gen(function*() {
      if (method === "POST") {
        yield* options.create ?? Effect.void
        alive.add(sessionId)
        return Server.json({ session }, 201)()
      }
      if (options.end !== undefined) return yield* options.end
      alive.delete(path.split("/").at(-1) ?? "")
      return endedSession()
    }), { retry: { times: 0 } })
  return { ...server, alive }
}

const endedSession = Server.json({ session: { ...session, status: "ended" } })

const scoped = Effect.flatMap(Sessions, (sessions) => sessions.scoped({ agent: "helper" }))

describe("Sessions.scoped", () => {
  const outcomes = [
    ["success", Effect.succeed("done")],
    ["failure", Effect.fail("mine")],
    ["defect", Effect.die("mine")],
    ["interruption", Effect.interrupt]
  ] as const
  it.effect.each(outcomes)("ends the session on %s", ([, outcome]) =>
    Effect.gen(function*() {
      const { alive, layer, requests } = counting()
      const exit = yield* Effect.exit(
        Effect.scoped(Effect.gen(function*() {
          yield* scoped
          assert.strictEqual(alive.size, 1)
          return yield* outcome
        })).pipe(Effect.provide(layer))
      )
      assert.deepStrictEqual(exit, yield* Effect.exit(outcome))
      assert.strictEqual(alive.size, 0)
      assert.deepStrictEqual(requests.map(({ method }) => method), ["POST", "DELETE"])
    }))

  it.effect("ends a session whose creation is interrupted on its way", () =>
    Effect.gen(function*() {
      const arrived = yield* Deferred.make<void>()
      const answer = yield* Deferred.make<void>()
      const { alive, layer, requests } = counting({
        create: Effect.andThen(Deferred.succeed(arrived, undefined), Deferred.await(answer))
      })
      const fiber = yield* Effect.forkChild(Effect.scoped(scoped).pipe(Effect.provide(layer)))
      yield* Deferred.await(arrived)
      const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* Effect.yieldNow
      yield* Deferred.succeed(answer, undefined)
      yield* Fiber.join(interruption)
      assert.strictEqual(alive.size, 0)
      assert.deepStrictEqual(requests.map(({ method }) => method), ["POST", "DELETE"])
    }))

  it.effect("waits 10 seconds for such a creation, and ends the session in the background when it comes", () =>
    Effect.gen(function*() {
      const arrived = yield* Deferred.make<void>()
      const answer = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const { layer } = counting({
        create: Effect.andThen(Deferred.succeed(arrived, undefined), Deferred.await(answer)),
        end: Effect.as(Deferred.succeed(ended, undefined), endedSession())
      })
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Effect.scoped(scoped))
        yield* Deferred.await(arrived)
        const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(interruption)
        assert.isFalse(yield* Deferred.isDone(ended))
        yield* Deferred.succeed(answer, undefined)
        yield* Deferred.await(ended)
      }).pipe(Effect.provide(layer))
    }))

  it.effect("waits once, and no longer than its layer, where both close at once", () =>
    Effect.gen(function*() {
      const arrived = yield* Deferred.make<void>()
      const { alive, layer } = counting({ create: Effect.andThen(Deferred.succeed(arrived, undefined), Effect.never) })
      const lines: Array<string> = []
      const logger = Logger.layer([Logger.make(({ message }) => {
        lines.push([message].flat().map(String).join(" "))
      })])
      const fiber = yield* Effect.forkChild(Effect.scoped(scoped).pipe(Effect.provide(layer), Effect.provide(logger)))
      yield* Deferred.await(arrived)
      const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(interruption)
      assert.strictEqual(alive.size, 0)
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "may be alive")
      assert.notInclude(lines[0], "minutes", "it was awaited for 10 seconds")
    }))

  const ends = [
    ["fails", Effect.sync(Server.json({ error: "x", statusCode: 500 }, 500))],
    ["hangs", Effect.never],
    ["dies", Effect.die("x")]
  ] as const
  it.effect.each(ends)("keeps the program's own failure when the end %s", ([, end]) =>
    Effect.gen(function*() {
      const { layer } = counting({ end })
      const fiber = yield* Effect.forkChild(
        Effect.exit(Effect.scoped(Effect.andThen(scoped, Effect.fail("mine"))).pipe(Effect.provide(layer)))
      )
      yield* TestClock.adjust("10 seconds")
      const exit = yield* Fiber.join(fiber)
      assert.deepStrictEqual(Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined, "mine")
    }))

  it.effect.each(ends)(
    "reports in one line that the session may be alive when the end %s",
    ([, end]) =>
      Effect.gen(function*() {
        const lines: Array<string> = []
        const logger = Logger.layer([Logger.make(({ message }) => {
          lines.push([message].flat().map(String).join(" "))
        })])
        const { layer } = counting({ end })
        const fiber = yield* Effect.forkChild(Effect.scoped(scoped).pipe(Effect.provide(layer), Effect.provide(logger)))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(fiber)
        assert.strictEqual(lines.length, 1)
        assert.include(lines[0], `the session ${sessionId} could not be ended, and may be alive`)
        assert.notMatch(lines[0] ?? "", /\n|\bat .*:\d+/)
      })
  )

  it.effect("ends its session where its layer has closed before", () => {
    const { layer, requests } = Server.make(({ method }) => Server.json({ session }, method === "POST" ? 201 : 200)())
    return Effect.gen(function*() {
      const sessions = yield* Effect.provide(Sessions, layer)
      assert.strictEqual((yield* Effect.scoped(sessions.scoped({ agent: "demo" }))).id, sessionId)
      assert.deepStrictEqual(requests.map(({ method }) => method), ["POST", "DELETE"])
    })
  })

  it.effect("ends its session where it begins while its layer waits for another to close", () =>
    Effect.gen(function*() {
      const created = yield* Queue.unbounded<Deferred.Deferred<void>>()
      const { alive, layer, requests } = counting({
        create: Effect.flatMap(
          Deferred.make<void>(),
          (answer) => Effect.andThen(Queue.offer(created, answer), Deferred.await(answer))
        )
      })
      const layerScope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, layerScope)
      const fork = Effect.flatMap(Sessions, (sessions) => sessions.fork(sessionId))
      yield* Effect.forkChild(Effect.provide(fork, context))
      const forked = yield* Queue.take(created)
      const closing = yield* Effect.forkChild(Scope.close(layerScope, Exit.void), { startImmediately: true })
      const fiber = yield* Effect.forkChild(Effect.provide(Effect.scoped(scoped), context))
      const answer = yield* Queue.take(created)
      yield* Deferred.succeed(forked, undefined)
      yield* Fiber.join(closing)
      yield* Deferred.succeed(answer, undefined)
      yield* Fiber.join(fiber)
      assert.strictEqual(alive.size, 0)
      assert.deepStrictEqual(requests.map(({ method }) => method), ["POST", "POST", "DELETE"])
    }))

  it.live("ends the sessions of the layer side by side", () =>
    Effect.gen(function*() {
      const all = yield* Deferred.make<void>()
      const ids = [sessionId, otherId]
      let ends = 0
      let answered = 0
      const { layer } = Server.make(({ method }) => {
        if (method === "POST") return Server.json({ session: { ...session, id: ids.pop() } }, 201)()
        return Effect.map(++ends === 2 ? Deferred.succeed(all, undefined) : Deferred.await(all), () => {
          answered += 1
          return endedSession()
        })
      })
      yield* Effect.gen(function*() {
        const { layerScope, open } = yield* Sessions
        yield* Scope.provide(open({ agent: "demo" }), layerScope)
        yield* Scope.provide(open({ agent: "demo" }), layerScope)
      }).pipe(Effect.provide(layer))
      assert.strictEqual(answered, 2)
    }))

  it.effect("leaves nothing behind when the creation fails", () =>
    Effect.gen(function*() {
      const { layer, requests } = Server.make(
        Server.json({ error: "Agent \"helper\" not found", statusCode: 404 }, 404)
      )
      const error = yield* Effect.flip(Effect.scoped(scoped).pipe(Effect.provide(layer)))
      assert.strictEqual(error.reason._tag, "NotFound")
      assert.strictEqual(requests.length, 1)
    }))
})
