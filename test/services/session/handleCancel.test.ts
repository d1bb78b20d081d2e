import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { AshApiClient } from "../../../src/client/AshApiClient.ts"
import * as RequestOptions from "../../../src/client/RequestOptions.ts"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../../src/layers/AshEmbedded.ts"
import type { AshError } from "../../../src/schema/AshError.ts"
import { AshClient } from "../../../src/services/AshClient.ts"
import { SessionGates } from "../../../src/services/SessionGates.ts"
import { Sessions } from "../../../src/services/Sessions.ts"
import { session, sessionId } from "../../support/fixtures.ts"
import { accidents, make } from "../../support/mortalServer.ts"
import * as Server from "../../support/ScriptedServer.ts"

const each = accidents.map((accident) => [accident] as const)

const use = <A, E>(
  test: (server: ReturnType<typeof make>, ash: AshClient["Service"]) => Effect.Effect<A, E, AshApiClient>
) => {
  const server = make({ retry: { times: 0 } })
  return Effect.flatMap(AshClient, (ash) => test(server, ash)).pipe(Effect.provide(server.layer))
}

describe("between turns, a session", () => {
  it.effect.each(each)(
    "that is %s: a handle recovers where that is chosen, and reports what is lost",
    ([accident]) =>
      use((server, { sessions }) =>
        Effect.gen(function*() {
          const handle = sessions.attach(sessionId, { recovery: "restart" })
          yield* handle.ask("one")
          server.happen(accident)
          const events = yield* Stream.runCollect(handle.stream("two"))
          const restarts = events.flatMap((event) => event._tag === "SessionRestarted" ? [event] : [])
          assert.isAtLeast(restarts.length, 1)
          const lost = restarts.flatMap(({ lost }) => lost)
          assert.strictEqual(lost.includes("memory"), accident !== "paused")
          assert.strictEqual(events.at(-1)?._tag, "Done")
          assert.strictEqual((yield* handle.ask("three")).text, "You said: three")
          server.happen(accident)
          assert.strictEqual((yield* handle.exec("ls")).stdout, "ok\n")
          assert.deepStrictEqual(yield* handle.fence, Option.none())
        })
      )
  )

  it.effect.each(each)(
    "that is %s: the error has what to do where it is not, and recover does it",
    ([accident]) =>
      use((server, { messages, sessions }) =>
        Effect.gen(function*() {
          const handle = sessions.attach(sessionId)
          yield* handle.ask("one")
          const calls: ReadonlyArray<Effect.Effect<unknown, AshError>> = [
            handle.ask("two"),
            Stream.runDrain(messages.send(sessionId, "two"))
          ]
          for (const call of calls) {
            server.happen(accident)
            const error = yield* Effect.flip(call)
            assert.match(error.message, /resume it|recover it/)
            assert.isTrue(Option.isSome(yield* handle.fence))
            assert.isTrue(Option.isSome(yield* handle.recover()))
            assert.deepStrictEqual(yield* handle.fence, Option.none())
            assert.strictEqual((yield* handle.ask("three")).text, "You said: three")
          }
        })
      )
  )

  it.effect.each(each)(
    "that is %s recovers also where the prompt repeats what the server answers then",
    ([accident]) =>
      use((server, { sessions }) =>
        Effect.gen(function*() {
          const handle = sessions.attach(sessionId, { recovery: "restart" })
          const answers = ["Not connected", "Sandbox not found", "Runner not available"]
          const states = ["paused", "stopped", "error"].map((status) => `Session is ${status}`)
          const prompt = `Why this: ${[...answers, ...states].join(", ")}?`
          server.happen(accident)
          assert.strictEqual((yield* handle.ask(prompt)).text, `You said: ${prompt}`)
          server.happen(accident)
          assert.strictEqual((yield* handle.exec(prompt)).stdout, "ok\n")
        })
      )
  )

  it.effect.each(each.filter(([accident]) => !/^(?:sandbox|runner)/.test(accident)))(
    "that is %s: recover finds it out by itself",
    ([accident]) =>
      use((server, { sessions }) =>
        Effect.gen(function*() {
          server.happen(accident)
          assert.isTrue(Option.isSome(yield* sessions.attach(sessionId).recover()))
          assert.isTrue(Option.isNone(yield* sessions.attach(sessionId).recover()))
        })
      )
  )
})

describe("a session that this program", () => {
  const halts = [
    ["paused", ({ sessions }: AshClient["Service"]) => sessions.pause(sessionId)],
    ["paused by a handle", ({ sessions }: AshClient["Service"]) => sessions.attach(sessionId).pause()],
    ["stopped", ({ sessions }: AshClient["Service"]) => sessions.stop(sessionId)]
  ] as const
  it.effect.each(halts)(
    "has %s is not restarted behind its back",
    ([, halt]) =>
      use((server, ash) =>
        Effect.gen(function*() {
          const handle = ash.sessions.attach(sessionId, { recovery: "restart" })
          yield* handle.ask("one")
          yield* halt(ash)
          const status = server.status()
          for (const call of [handle.ask("two"), handle.exec("ls")]) {
            const error = yield* Effect.flip<unknown, AshError, never>(call)
            assert.strictEqual(error.reason._tag, "WrongState")
            assert.include(error.message, "this program has")
          }
          assert.strictEqual(server.status(), status)
          yield* handle.resume()
          assert.strictEqual((yield* handle.ask("two")).text, "You said: two")
        })
      )
  )

  it.effect("has ended is not resumed", () =>
    use((_, { sessions }) =>
      Effect.gen(function*() {
        const handle = sessions.attach(sessionId, { recovery: "restart" })
        yield* sessions.end(sessionId)
        const { reason } = yield* Effect.flip(handle.ask("two"))
        assert.strictEqual(reason._tag === "WrongState" ? reason.status : reason._tag, "ended")
      })
    ))
})

describe("a restart that cannot save the workspace", () => {
  it.effect("reports why", () =>
    use((server, { sessions }) =>
      Effect.gen(function*() {
        const handle = sessions.attach(sessionId, { recovery: "restart", keepWorkspace: true })
        server.happen("server restarted")
        const [restarted] = yield* Stream.runCollect(handle.stream("one"))
        assert.deepInclude(restarted, { _tag: "SessionRestarted", lost: ["memory"], mayBeLost: ["workspace"] })
        assert.include(restarted?._tag === "SessionRestarted" ? restarted.notSaved : "", "No workspace")
      })
    ))

  const gzip = { "content-type": "application/gzip" }
  it.effect.each<readonly [name: string, download: Server.Script, reason: string]>([
    ["as the server fails", Server.json({ error: "no" }, 500), "ServerFailure"],
    ["as the connection breaks", Server.lost, "ConnectionLost"],
    ["as it breaks off", Server.breaking(new Uint8Array([1, 2, 3]), gzip), "ConnectionLost"],
    ["as it does not end", () => new Response(new ReadableStream(), { headers: gzip }), "TimedOut"]
  ])("is not done where a turn may still run, %s, and is by the next try", ([, download, reason]) => {
    let isDown = true
    const server = Server.forTurns((request) => {
      const { method, path } = request
      if (path.endsWith("/messages")) return Server.sse("")()
      if (!path.endsWith("/workspace")) return Server.json({ session })()
      if (method === "POST") return Server.json({ message: "restored" })()
      return isDown ? download(request) : new Response(new Uint8Array([1, 2, 3]), { headers: gzip })
    }, { retry: { times: 0 } })
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId, { recovery: "restart", keepWorkspace: true })
      yield* Effect.flip(handle.ask("one"))
      const before = server.requests.length
      const refused = yield* Effect.forkChild(Effect.flip(handle.ask("two")))
      yield* TestClock.adjust("5 minutes")
      assert.strictEqual((yield* Fiber.join(refused)).reason._tag, reason)
      assert.deepStrictEqual(
        server.requests.slice(before).map(({ method, path }) => [method, path]),
        [["GET", `/api/sessions/${sessionId}/workspace`]]
      )
      isDown = false
      assert.deepInclude(Option.getOrUndefined(yield* handle.recover()), { lost: ["memory"], mayBeLost: [] })
    }).pipe(Effect.provide(server.layer))
  })
})

describe("a restart of a session that another program has ended meanwhile", () => {
  it.effect("fails, and sends nothing", () => {
    const server = Server.forTurns(
      ({ path }) =>
        path.endsWith("/messages")
          ? Server.sse("")()
          : Server.json({ session: { ...session, status: path.endsWith("/resume") ? "ended" : "active" } })(),
      { retry: { times: 0 } }
    )
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId, { recovery: "restart" })
      yield* Effect.flip(handle.ask("one"))
      const { reason } = yield* Effect.flip(handle.ask("two"))
      assert.strictEqual(reason._tag === "WrongState" ? reason.status : reason._tag, "ended")
      assert.strictEqual(server.requests.filter(({ path }) => path.endsWith(`${sessionId}/messages`)).length, 1)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("an interrupted turn that is to be stopped", () => {
  it.effect("is stopped at once, and its session is resumed when it is next used", () => {
    let isStopped = false
    const server = Server.forTurns(({ method, path }) => {
      if (path.endsWith("/messages") && method === "POST") {
        return isStopped
          ? Server.sse(Server.frames(["session_start", { sessionId }], ["message", {
            type: "result",
            subtype: "success",
            is_error: false,
            result: "Hi."
          }], ["done", { sessionId }]))()
          : Effect.never
      }
      if (path.endsWith("/stop")) isStopped = true
      return Server.json({ session })()
    })
    const lines = () => server.requests.map(({ path }) => path.split("/").at(-1))
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId, { onInterrupt: "stop" })
      const fiber = yield* Effect.forkChild(handle.ask("one"))
      while (!server.requests.some(({ path }) => path.includes(`${sessionId}/messages`))) yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(lines().at(-1), "stop")
      assert.deepStrictEqual(yield* handle.fence, Option.none())
      const [first] = yield* Stream.runCollect(handle.stream("two"))
      assert.strictEqual(first?._tag, "SessionRestarted")
      assert.strictEqual(lines().filter((line) => line === "resume").length, 1)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("a stop by this program of a session whose turn is interrupted, and stopped with it,", () => {
  const orders = [
    ["comes first", ["ask", "stop", "interrupt", "first", "second"]],
    ["comes first, and is answered before the interruption", ["ask", "stop", "first", "interrupt", "second"]],
    ["comes second", ["ask", "interrupt", "stop", "first", "second"]],
    ["comes second, and is answered first", ["ask", "interrupt", "stop", "second", "first"]],
    ["comes before the turn", ["stop", "first", "ask", "interrupt", "second"]]
  ] as const
  it.effect.each(orders)("holds where it %s: nothing resumes the session", ([, order]) => {
    const answers = { first: Deferred.makeUnsafe<void>(), second: Deferred.makeUnsafe<void>() }
    let stops = 0
    const refused = (error: string) => Server.json({ error, statusCode: 400 }, 400)()
    const server = Server.forTurns(({ body, method, path }) => {
      if (path.endsWith("/messages") && method === "POST") {
        return body.includes("two") ? refused("Session is stopped") : Effect.never
      }
      const stopped = Server.json({ session: { ...session, status: stops > 0 ? "stopped" : "active" } })
      if (!path.endsWith("/stop")) return stopped()
      stops += 1
      return stops === 1
        ? Effect.as(Deferred.await(answers.first), Server.json({ session: { ...session, status: "stopped" } })())
        : Effect.as(Deferred.await(answers.second), refused("Cannot stop session with status \"stopped\""))
    })
    return Effect.gen(function*() {
      const sessions = yield* Sessions
      const handle = sessions.attach(sessionId, { onInterrupt: "stop", recovery: "restart" })
      const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
      let turn: Fiber.Fiber<unknown, unknown> | undefined
      const steps = {
        ask: Effect.map(Effect.forkChild(handle.ask("one")), (fiber) => fibers.push(turn = fiber)),
        stop: Effect.map(Effect.forkChild(Effect.exit(sessions.stop(sessionId))), (fiber) => fibers.push(fiber)),
        interrupt: Effect.sync(() => turn?.interruptUnsafe()),
        first: Deferred.succeed(answers.first, undefined),
        second: Deferred.succeed(answers.second, undefined)
      }
      for (const step of order) {
        yield* steps[step]
        yield* Effect.repeat(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), { times: 5 })
      }
      for (const fiber of fibers) yield* Fiber.await(fiber)
      assert.strictEqual((yield* Effect.flip(handle.ask("two"))).reason._tag, "WrongState")
      assert.lengthOf(server.requests.filter(({ path }) => path.endsWith("/resume")), 0)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("a turn that is cancelled when its session was restarted for it", () => {
  it.effect.each([[true], [false]])("ends at once and is not sent, be there room for its stream: %s", ([hasRoom]) => {
    const server = make({ retry: { times: 0 }, maxStreams: hasRoom ? 2 : 1 })
    return Effect.gen(function*() {
      const { messages, sessions } = yield* AshClient
      const handle = sessions.attach(sessionId, { recovery: "restart" })
      const other = yield* Stream.toPull(
        messages.send(sessionId, "another").pipe(
          Stream.updateService(RequestOptions.RequestOptions, RequestOptions.merge({ exclusive: false }))
        )
      )
      yield* other
      server.happen("paused")
      yield* Effect.flip(sessions.attach(sessionId).exec("ls"))
      const before = server.sent().length
      const turn = Stream.runForEach(
        handle.stream("one"),
        ({ _tag }) => _tag === "SessionRestarted" ? handle.cancel() : Effect.void
      )
      const fiber = yield* Effect.forkChild(Effect.flip(turn))
      yield* Effect.repeat(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), { times: 10 })
      assert.isDefined(fiber.pollUnsafe(), "it waits for room")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "TurnCancelled")
      assert.strictEqual(server.sent().length, before)
    }).pipe(Effect.scoped, Effect.provide(server.layer))
  })
})

describe("a handle that is made for each request", () => {
  it.effect("sends one request for a turn", () =>
    use((server, { sessions }) =>
      Effect.gen(function*() {
        yield* sessions.attach(sessionId).ask("one")
        const before = server.requests.length
        yield* sessions.attach(sessionId).ask("two")
        assert.strictEqual(server.requests.length, before + 1)
      })
    ))
})

describe("Messages.send", () => {
  it.effect("goes through the gate of its session, unless exclusive is false", () =>
    use((server, { messages, sessions }) =>
      Effect.gen(function*() {
        const send = Stream.runDrain(messages.send(sessionId, "break"))
        assert.strictEqual((yield* Effect.flip(send))._tag, "AshError")
        const handle = sessions.attach(sessionId)
        assert.isTrue(Option.isSome(yield* handle.fence))
        for (const call of [send, handle.ask("two"), sessions.exec(sessionId, "ls")]) {
          const error = yield* Effect.flip<unknown, AshError, never>(call)
          assert.strictEqual(error.reason._tag, "SessionFenced")
        }
        const before = server.sent().length
        yield* Effect.updateService(send, RequestOptions.RequestOptions, RequestOptions.merge({ exclusive: false }))
          .pipe(Effect.flip)
        assert.strictEqual(server.sent().length, before + 1)
      })
    ))
})

describe("QueueItems.enqueue", () => {
  it.effect("refuses a session in which a turn may still run", () => {
    const server = Server.forTurns(Server.sse(""))
    return Effect.gen(function*() {
      const { queueItems, sessions } = yield* AshClient
      yield* Effect.flip(sessions.attach(sessionId).ask("one"))
      const sent = server.requests.length
      const { reason } = yield* Effect.flip(queueItems.enqueue({ agentName: "demo", prompt: "two", sessionId }))
      assert.strictEqual(reason._tag, "SessionFenced")
      assert.strictEqual(server.requests.length, sent)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("refuses a session that a handle has open, unless exclusive is false", () => {
    const item = {
      id: sessionId,
      agentName: "demo",
      prompt: "p",
      status: "pending",
      priority: 0,
      retryCount: 0,
      maxRetries: 3,
      createdAt: "2026-11-22T10:40:59.772Z"
    }
    const server = Server.make(({ path }) =>
      path.endsWith("/queue") ? Server.json({ item }, 201)() : Server.json({ session }, 201)()
    )
    return Effect.gen(function*() {
      const { queueItems, sessions } = yield* AshClient
      const enqueue = queueItems.enqueue({ agentName: "demo", prompt: "p", sessionId })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* sessions.open({ agent: "demo" })
        assert.strictEqual((yield* Effect.flip(enqueue)).reason._tag, "SessionBusy")
        yield* queueItems.enqueue({ agentName: "demo", prompt: "p" })
        yield* Effect.updateService(enqueue, RequestOptions.RequestOptions, RequestOptions.merge({ exclusive: false }))
      }))
      yield* enqueue
    }).pipe(Effect.provide(server.layer))
  })
})

describe("an error of the agent whose text has a connection in it", () => {
  it.effect("is not a sandbox that is gone: the turn is sent once, and the session is left as it is", () => {
    const server = Server.forTurns(({ path }) =>
      path.endsWith("/messages")
        ? Server.sse(
          Server.frames(["session_start", { sessionId }], ["error", { error: "Not connected to MCP server github" }])
        )()
        : Server.json({ session })()
    )
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId, { recovery: "restart" })
      const error = yield* Effect.flip(handle.ask("one"))
      assert.strictEqual(error.reason._tag, "TurnFailed")
      assert.notInclude(error.message, "sandbox")
      const lines = server.requests.map(({ path }) => path.split("/").at(-1))
      assert.deepStrictEqual(lines.filter((line) => line === "stop" || line === "resume"), [])
      assert.strictEqual(server.requests.filter(({ path }) => path.endsWith(`${sessionId}/messages`)).length, 1)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("a command that fails", () => {
  it.effect.each([[500, { error: "Internal Server Error" }], [502, { error: "Bad Gateway" }]] as const)(
    "with %d reports nothing of its sandbox",
    ([status, body]) => {
      const server = Server.make(Server.json(body, status), { retry: { times: 0 } })
      return Effect.gen(function*() {
        const { sessions } = yield* AshClient
        for (const call of [sessions.exec(sessionId, "ls"), sessions.attach(sessionId).exec("ls")]) {
          const error = yield* Effect.flip(call)
          assert.notInclude(error.message, "sandbox")
          assert.strictEqual(error.message.includes("10 MiB"), status === 500)
          yield* sessions.end(sessionId).pipe(Effect.ignore)
          const gate = yield* Effect.scoped((yield* SessionGates).use(sessionId))
          gate.halted("ended", error)
          gate.remember({ quietUntil: 0n })
        }
      }).pipe(Effect.provide(server.layer), Effect.provide(Layer.fresh(SessionGates.layer)))
    }
  )

  it.effect("but works again takes the word back that its session is unusable", () =>
    use((server, { sessions }) =>
      Effect.gen(function*() {
        const handle = sessions.attach(sessionId)
        server.happen("sandbox gone")
        yield* Effect.flip(handle.exec("ls"))
        assert.isTrue(Option.isSome(yield* handle.fence))
        yield* handle.resume()
        yield* handle.exec("ls")
        assert.deepStrictEqual(yield* handle.fence, Option.none())
        yield* TestClock.adjust("1 second")
        assert.isTrue(Option.isNone(yield* handle.recover()))
      })
    ))
})

describe("a session that a handle has stopped with its turn", () => {
  const users = [
    ["Messages.send", ({ messages }: AshClient["Service"], id: string) => Stream.runDrain(messages.send(id, "two"))],
    ["Sessions.exec", ({ sessions }: AshClient["Service"], id: string) => sessions.exec(id, "true")],
    ["Sessions.resume", ({ sessions }: AshClient["Service"], id: string) => sessions.resume(id)],
    [
      "the recovery of another handle",
      ({ sessions }: AshClient["Service"], id: string) => sessions.attach(id).recover()
    ],
    ["another handle", ({ sessions }: AshClient["Service"], id: string) => sessions.attach(id).ask("two")]
  ] as const
  const slowly = Effect.provide(AshEmbedded.layer({
    script: ({ prompt }) =>
      prompt === "slow"
        ? Stream.concat(Stream.make(AgentScript.say("I begin.")), Stream.never)
        : Stream.make(AgentScript.say("Hi."))
  }))
  /** A handle whose turn runs. */
  const running = Effect.gen(function*() {
    const ash = yield* AshClient
    yield* ash.agents.create({ name: "demo" })
    const handle = yield* ash.sessions.open({ agent: "demo" }, { onInterrupt: "stop", keepWorkspace: true })
    yield* handle.exec("echo one > f.txt")
    const begun = yield* Latch.make()
    const fiber = yield* Effect.forkChild(Stream.runForEach(handle.stream("slow"), () => begun.open))
    yield* begun.await
    return { ash, handle, interrupt: Fiber.interrupt(fiber) }
  })
  it.live.each(users)("is resumed by %s, with what the handle keeps", ([, use]) =>
    Effect.gen(function*() {
      const { ash, handle, interrupt } = yield* running
      yield* interrupt
      yield* use(ash, handle.id)
      assert.strictEqual(yield* handle.files.readText("f.txt"), "one\n")
      yield* handle.exec("echo two > f.txt")
      const { lost, mayBeLost } = yield* handle.cancel()
      assert.deepStrictEqual([lost, mayBeLost], [["memory"], []])
      assert.strictEqual(yield* handle.files.readText("f.txt"), "two\n")
    }).pipe(Effect.scoped, slowly))

  const resumes: ReadonlySet<string> = new Set(["Sessions.resume", "the recovery of another handle"])
  it.live.each([[true], [false]])(
    "is not where this program has paused it, too, before: %s",
    ([isBefore]) =>
      Effect.gen(function*() {
        const { ash, handle, interrupt } = yield* running
        if (isBefore) yield* handle.pause()
        yield* interrupt
        const api = (yield* AshApiClient).sessions
        if (!isBefore) {
          // As another program does it.
          yield* api.resume({ params: { id: handle.id } })
          yield* handle.pause()
        }
        const { status } = yield* handle.get()
        for (const [name, use] of users) {
          if (resumes.has(name)) continue
          const error = yield* Effect.flip<unknown, AshError, never>(use(ash, handle.id))
          assert.strictEqual(error.reason._tag, "WrongState")
          assert.include(error.message, "this program has paused it")
        }
        assert.strictEqual((yield* handle.get()).status, status)
        yield* handle.resume()
        // That of the other program was another one.
        if (isBefore) assert.strictEqual(yield* handle.files.readText("f.txt"), "one\n")
        yield* handle.ask("two")
      }).pipe(Effect.scoped, slowly)
  )
})
