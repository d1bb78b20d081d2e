import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { AshOptions } from "../../src/layers/Ash.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { AshApiClient } from "../../src/services/AshApiClient.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { RequestOptions } from "../../src/services/RequestOptions.ts"
import type { SessionHandleOptions } from "../../src/services/SessionHandle.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { noSession, session, sessionId } from "../support/fixtures.ts"
import { chance } from "../support/promise.ts"
import * as Server from "../support/ScriptedServer.ts"

/** What may happen to a session while nobody of this program uses it. */
type Accident = "server restarted" | "sandbox killed" | "sandbox gone" | "paused" | "stopped" | "in error"

/**
 * A server with one session, as a real one behaves: a restart of the server leaves it paused, a killed sandbox leaves it
 * active and answers "Not connected" until it is stopped and resumed, or "Sandbox not found" (observed.md, section 6).
 */
const make = (options: Partial<AshOptions> = {}) => {
  let status = "active"
  let sandbox = 0
  let lives = true
  let found = true
  let running = false
  const mixed: Array<string> = []
  const sandboxId = () => `00000000-0000-4000-8000-${String(sandbox).padStart(12, "0")}`
  const describeSession = () => ({ session: { ...session, sandboxId: sandboxId(), status } })
  const wrong = (error: string) => Server.json({ error, statusCode: 400 }, 400)()
  const fresh = () => {
    sandbox += 1
    lives = true
    found = true
    running = false
  }
  const turn = (text: string) =>
    [
      ["session_start", { sessionId }],
      ["message", { type: "assistant", message: { content: [{ type: "text", text }] } }],
      ["message", { type: "result", subtype: "success", is_error: false, result: text }],
      ["done", { sessionId }]
    ] as const
  const server = Server.make(({ body, method, path }) => {
    if (path.includes(noSession)) return Server.json({ error: "Session not found" }, 404)()
    const action = path.split("/").at(-1) ?? ""
    switch (`${method} ${action}`) {
      case "POST pause":
        if (status !== "active") return wrong(`Cannot pause session with status "${status}"`)
        status = "paused"
        return Server.json(describeSession())()
      case "POST stop":
        if (status !== "active") return wrong(`Cannot stop session with status "${status}"`)
        status = "stopped"
        running = false
        found = false
        return Server.json(describeSession())()
      case "POST resume":
        if (status === "ended") return Server.json({ error: "Session has ended" }, 410)()
        if (status !== "active" && !found) fresh()
        status = "active"
        return Server.json(describeSession())()
      case "DELETE " + sessionId:
        status = "ended"
        return Server.json(describeSession())()
      case "POST exec":
        if (status !== "active") return wrong(`Session is ${status}`)
        if (!found) {
          status = "error"
          return Server.json({ error: "Sandbox not found", statusCode: 500 }, 500)()
        }
        return Server.json({ exitCode: 0, stdout: "ok\n", stderr: "" })()
      case "POST messages": {
        if (status !== "active") return wrong(`Session is ${status}`)
        if (!found) {
          status = "error"
          return Server.json({ error: "Sandbox not found", statusCode: 500 }, 500)()
        }
        if (!lives) {
          return Server.sse(
            Server.frames(["session_start", { sessionId }], ["error", { error: "Not connected" }], ["done", {
              sessionId
            }])
          )()
        }
        if (running) mixed.push(body)
        const { content } = JSON.parse(body)
        if (content === "break") {
          running = true
          return Server.breaking(Server.frames(["session_start", { sessionId }]))()
        }
        return Server.sse(Server.frames(...turn(`You said: ${content}`)))()
      }
      default:
        if (path.includes("/messages?")) return Server.json({ messages: [] })()
        if (path.includes("/events?")) return Server.json({ events: [] })()
        return action === "workspace" && method === "GET"
          ? Server.json({ error: "No workspace" }, 404)()
          : Server.json(describeSession())()
    }
  }, options)
  const happen = (accident: Accident) => {
    switch (accident) {
      case "server restarted":
        status = "paused"
        found = false
        running = false
        break
      case "sandbox killed":
        lives = false
        running = false
        break
      case "sandbox gone":
        found = false
        running = false
        break
      case "paused":
        status = "paused"
        break
      case "stopped":
        status = "stopped"
        found = false
        running = false
        break
      case "in error":
        status = "error"
        found = false
        running = false
    }
  }
  const sent = () =>
    server.requests.filter(({ method, path }) => method === "POST" && path.endsWith(`${sessionId}/messages`))
  return { ...server, happen, mixed, sent, status: () => status }
}

const accidents: ReadonlyArray<Accident> = [
  "server restarted",
  "sandbox killed",
  "sandbox gone",
  "paused",
  "stopped",
  "in error"
]
const each = accidents.map((accident) => [accident] as const)

const use = <A, E>(
  test: (server: ReturnType<typeof make>, ash: AshClient["Service"]) => Effect.Effect<A, E, AshApiClient>
) => {
  const server = make({ retry: { times: 0 } })
  return Effect.flatMap(AshClient, (ash) => test(server, ash)).pipe(Effect.provide(server.layer))
}

describe("between turns, behind a session whose trouble is: %s", () => {
  it.effect.each(each)(
    "%s, a handle recovers where that is chosen, and says what is lost",
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
    "%s, the error says what to do where it is not, and recover does it",
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
            assert.isTrue(Option.isSome(yield* handle.recover))
            assert.deepStrictEqual(yield* handle.fence, Option.none())
            assert.strictEqual((yield* handle.ask("three")).text, "You said: three")
          }
        })
      )
  )

  it.effect.each(each.filter(([accident]) => accident !== "sandbox killed" && accident !== "sandbox gone"))(
    "%s, recover finds it out by itself",
    ([accident]) =>
      use((server, { sessions }) =>
        Effect.gen(function*() {
          server.happen(accident)
          assert.isTrue(Option.isSome(yield* sessions.attach(sessionId).recover))
          assert.isTrue(Option.isNone(yield* sessions.attach(sessionId).recover))
        })
      )
  )
})

describe("a session that this program", () => {
  const halts = [
    ["paused", ({ sessions }: AshClient["Service"]) => sessions.pause(sessionId)],
    ["paused by a handle", ({ sessions }: AshClient["Service"]) => sessions.attach(sessionId).pause],
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
          yield* handle.resume
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
  it.effect("says so", () =>
    use((server, { sessions }) =>
      Effect.gen(function*() {
        const handle = sessions.attach(sessionId, { recovery: "restart", keepWorkspace: true })
        server.happen("server restarted")
        const [restarted] = yield* Stream.runCollect(handle.stream("one"))
        assert.deepInclude(restarted, { _tag: "SessionRestarted", lost: ["memory"], mayBeLost: ["workspace"] })
        assert.include(restarted?._tag === "SessionRestarted" ? restarted.notSaved : "", "No workspace")
      })
    ))
})

describe("an interrupted turn that is to be stopped", () => {
  it.effect("is stopped at once, and its session is resumed when it is next used", () => {
    let isStopped = false
    const server = Server.make(({ method, path }) => {
      if (path.includes(noSession)) return Server.json({ error: "Session not found" }, 404)()
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
  it.effect("goes through the gate of its session, unless it is told otherwise", () =>
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
        yield* Effect.updateService(send, RequestOptions, RequestOptions.merge({ exclusive: false })).pipe(Effect.flip)
        assert.strictEqual(server.sent().length, before + 1)
      })
    ))
})

describe("QueueItems.enqueue", () => {
  it.effect("refuses a session that a handle has open, unless it is told otherwise", () => {
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
        yield* Effect.updateService(enqueue, RequestOptions, RequestOptions.merge({ exclusive: false }))
      }))
      yield* enqueue
    }).pipe(Effect.provide(server.layer))
  })
})

describe("whatever is done to a session, in any order", () => {
  const recoveries: ReadonlyArray<SessionHandleOptions> = [
    {},
    { recovery: "restart" },
    { recovery: "restart", onInterrupt: "stop" },
    { recovery: "restart", keepWorkspace: true },
    { onInterrupt: "stop" }
  ]
  it.effect(
    "no turn mixes with another, every failure is typed, and a recovery makes it usable",
    () =>
      Effect.gen(function*() {
        const random = chance(28)
        for (let round = 0; round < 300; round++) {
          const server = make({ retry: { times: 0 }, timeouts: { idle: "1 minute" } })
          const log: Array<string> = []
          yield* Effect.gen(function*() {
            const { messages, sessions } = yield* AshClient
            const api = yield* AshApiClient
            const handles = recoveries.map((options) => sessions.attach(sessionId, options))
            const pick = <A>(from: ReadonlyArray<A>): A => from[Math.floor(random() * from.length)] as A
            const acts: ReadonlyArray<readonly [string, () => Effect.Effect<unknown, AshError>]> = [
              ["ask", () => pick(handles).ask("one")],
              ["break", () => pick(handles).ask("break")],
              ["send", () => Stream.runDrain(messages.send(sessionId, pick(["one", "break"])))],
              ["exec", () => pick(handles).exec("ls")],
              ["cancel", () => pick(handles).cancel],
              ["recover", () => pick(handles).recover],
              ["pause", () => pick(handles).pause],
              ["resume", () => pick(handles).resume],
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
              if (random() < 0.6) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
              if (random() < 0.2) fiber.interruptUnsafe()
            }
            while (fibers.some((fiber) => fiber.pollUnsafe() === undefined)) yield* TestClock.adjust("1 second")
            for (const fiber of fibers) {
              const exit = yield* Fiber.await(fiber)
              if (exit._tag === "Failure") {
                for (const reason of exit.cause.reasons) {
                  assert.notStrictEqual(reason._tag, "Die", `round ${round}: ${log.join()}`)
                }
              }
            }
            const handle = sessions.attach(sessionId, { recovery: "restart" })
            const last = yield* Effect.forkChild(Effect.andThen(handle.recover, handle.ask("last")))
            while (last.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
            assert.strictEqual((yield* Fiber.join(last)).text, "You said: last", `round ${round}: ${log.join()}`)
            assert.deepStrictEqual(server.mixed, [], `round ${round}: ${log.join()}`)
          }).pipe(Effect.provide(server.layer))
        }
      }),
    120_000
  )
})
