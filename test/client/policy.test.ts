import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as RequestOptions from "../../src/client/RequestOptions.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { Agents } from "../../src/services/Agents.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { Messages } from "../../src/services/Messages.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { clientNames, clients } from "../support/clients.ts"
import { agent, noSession, session, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

type Services = Agents | AshClient | Messages | Sessions

/** Runs a call for an hour of the clock, and tells when each request went out and how the call ended. */
const run = Effect.fnUntraced(function*<A>(
  script: Server.Script,
  call: Effect.Effect<A, AshError, Services>,
  options: Parameters<typeof Server.make>[1] = {}
) {
  // The question for the form of content is not what these tests are about.
  const server = Server.forTurns(script, options)
  const fiber = yield* Effect.forkChild(Effect.result(call).pipe(Effect.provide(server.layer)))
  // The clock goes on when what it woke has come to rest, and does not see what the platform's promises have yet to bring.
  yield* Effect.replicateEffect(TestClock.adjust("1 minute"), 60, { discard: true })
  const exit = fiber.pollUnsafe()
  yield* Fiber.interrupt(fiber)
  const result = exit !== undefined && Exit.isSuccess(exit) ? exit.value : undefined
  const requests = server.requests.filter(({ path }) => !path.includes(noSession))
  return {
    requests,
    times: requests.map(({ at }) => at),
    answer: result !== undefined && Result.isSuccess(result) ? result.success : undefined,
    error: result !== undefined && Result.isFailure(result) ? result.failure : undefined
  }
})

const get = Effect.flatMap(Sessions, ({ get }) => get(sessionId))
const create = Effect.flatMap(Sessions, ({ create }) => create({ agent: "demo" }))
const exec = Effect.flatMap(Sessions, ({ exec }) => exec(sessionId, "ls"))
const send = Effect.flatMap(Messages, ({ send }) => Stream.runCollect(send(sessionId, "hello")))

const failing = Server.json({ error: "boom" }, 500)
const found = Server.json({ session })
const created = Server.json({ session }, 201)

const repeatable: ReadonlyArray<readonly [name: string, call: Effect.Effect<unknown, AshError, Services>]> = [
  ["Sessions.get", get],
  ["Sessions.list", Effect.flatMap(Sessions, ({ list }) => list())],
  ["Sessions.end", Effect.flatMap(Sessions, ({ end }) => end(sessionId))],
  ["Sessions.resume", Effect.flatMap(Sessions, ({ resume }) => resume(sessionId))],
  ["Sessions.updateConfig", Effect.flatMap(Sessions, ({ updateConfig }) => updateConfig(sessionId, {}))],
  ["Sessions.listEvents", Effect.flatMap(Sessions, ({ listEvents }) => listEvents(sessionId))],
  ["Sessions.logs", Effect.flatMap(Sessions, ({ logs }) => logs(sessionId))],
  ["Messages.list", Effect.flatMap(Messages, ({ list }) => list(sessionId))],
  ["Agents.list", Effect.flatMap(Agents, ({ list }) => list())],
  ["Agents.get", Effect.flatMap(Agents, (agents) => agents.get("demo"))],
  ["Agents.update", Effect.flatMap(Agents, ({ update }) => update("demo", {}))],
  ["Agents.delete", Effect.flatMap(Agents, (agents) => agents.delete("demo"))],
  ["Agents.writeFiles", Effect.flatMap(Agents, ({ writeFiles }) => writeFiles("demo", []))],
  ["Agents.deleteFile", Effect.flatMap(Agents, ({ deleteFile }) => deleteFile("demo", "a"))],
  ["Agents.readFile", Effect.flatMap(Agents, ({ readFile }) => Effect.scoped(readFile("demo", "a")))],
  ["AgentVersions.update", Effect.flatMap(AshClient, (_) => _.agentVersions.update("demo", 1, {}))],
  ["AgentVersions.delete", Effect.flatMap(AshClient, (_) => _.agentVersions.delete("demo", 1))],
  ["AgentVersions.activate", Effect.flatMap(AshClient, (_) => _.agentVersions.activate("demo", 1))],
  ["Evals.updateCase", Effect.flatMap(AshClient, (_) => _.evals.updateCase("demo", sessionId, {}))],
  ["Evals.scoreRun", Effect.flatMap(AshClient, (_) => _.evals.scoreRun("demo", sessionId, { humanScore: 1 }))],
  [
    "SessionFiles.write",
    Effect.flatMap(AshClient, (_) => _.sessionFiles.write(sessionId, [{ path: "a", content: "" }]))
  ],
  ["Workspaces.upload", Effect.flatMap(AshClient, (_) => _.workspaces.upload(sessionId, new Uint8Array(1)))],
  ["Attachments.delete", Effect.flatMap(AshClient, (_) => _.attachments.delete(sessionId))],
  ["Credentials.delete", Effect.flatMap(AshClient, (_) => _.credentials.delete("a"))],
  ["QueueItems.get", Effect.flatMap(AshClient, (_) => _.queueItems.get(sessionId))],
  ["Usage.stats", Effect.flatMap(AshClient, (_) => _.usage.stats())],
  ["Analytics.get", Effect.flatMap(AshClient, (_) => _.analytics.get())],
  ["ApiKeys.delete", Effect.flatMap(AshClient, (_) => _.apiKeys.delete("a"))]
]

const once: ReadonlyArray<readonly [name: string, call: Effect.Effect<unknown, AshError, Services>]> = [
  ["Sessions.create", create],
  ["Sessions.fork", Effect.flatMap(Sessions, ({ fork }) => fork(sessionId))],
  ["Sessions.pause", Effect.flatMap(Sessions, ({ pause }) => pause(sessionId))],
  ["Sessions.stop", Effect.flatMap(Sessions, ({ stop }) => stop(sessionId))],
  ["Sessions.exec", exec],
  ["Agents.create", Effect.flatMap(Agents, (agents) => agents.create({ name: "demo" }))],
  ["AgentVersions.create", Effect.flatMap(AshClient, (_) => _.agentVersions.create("demo"))],
  ["Evals.createCase", Effect.flatMap(AshClient, (_) => _.evals.createCase("demo", { question: "q" }))],
  ["Evals.importCases", Effect.flatMap(AshClient, (_) => _.evals.importCases("demo", []))],
  ["Evals.startRun", Effect.flatMap(AshClient, (_) => _.evals.startRun("demo"))],
  [
    "Attachments.upload",
    Effect.flatMap(AshClient, (_) => _.attachments.upload(sessionId, { filename: "a", content: "a" }))
  ],
  ["Credentials.createCustom", Effect.flatMap(AshClient, (_) => _.credentials.createCustom(Redacted.make("k")))],
  ["QueueItems.enqueue", Effect.flatMap(AshClient, (_) => _.queueItems.enqueue({ agentName: "a", prompt: "p" }))],
  ["QueueItems.cancel", Effect.flatMap(AshClient, (_) => _.queueItems.cancel(sessionId))],
  ["ApiKeys.create", Effect.flatMap(AshClient, (_) => _.apiKeys.create())],
  ["Messages.send", send],
  ["Messages.sendWithErrors", Effect.flatMap(Messages, (_) => Stream.runCollect(_.sendWithErrors(sessionId, "hello")))]
]

describe("a call that may be repeated", () => {
  it.effect.each(repeatable)(
    "%s: twice at most, on a failing server and on a lost connection",
    ([, call]) =>
      Effect.gen(function*() {
        const failed = yield* run(failing, call)
        assert.strictEqual(failed.error?.reason._tag, "ServerFailure")
        assert.strictEqual(failed.times.length, 3)
        const broken = yield* run(Server.lost, call)
        assert.strictEqual(broken.error?.reason._tag, "ConnectionLost")
        assert.strictEqual(broken.times.length, 3)
      })
  )

  it.effect("after delays that grow", () =>
    Effect.gen(function*() {
      const { times: [first = 0, second = 0, third = 0] } = yield* run(failing, get)
      assert.strictEqual(first, 0)
      assert.isTrue(second - first >= 100 && second - first <= 300, String(second - first))
      assert.isAbove(third - second, second - first)
      const slow = yield* run(failing, get, { retry: { delay: "10 seconds", times: 1 } })
      const from = slow.times[0] ?? 0
      assert.isTrue((slow.times[1] ?? 0) - from >= 5000 && (slow.times[1] ?? 0) - from <= 15_000)
      assert.strictEqual(slow.times.length, 2)
    }))

  it.effect("until it succeeds", () =>
    Effect.gen(function*() {
      const { answer, times } = yield* run(Server.inOrder(failing, Server.lost, found), get)
      assert.strictEqual(times.length, 3)
      assert.strictEqual(answer?.id, sessionId)
    }))

  it.effect.each([400, 401, 403, 404, 410, 422])("not on %i, which stays so", (status) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* run(Server.json({ error: "x" }, status), get)).times.length, 1)
    }))

  it.effect("not on an answer that is none", () =>
    Effect.gen(function*() {
      const { error, times } = yield* run(Server.text("<html>"), get)
      assert.strictEqual(error?.reason._tag, "Undecodable")
      assert.strictEqual(times.length, 1)
    }))

  it.effect("each attempt has the whole time-out", () =>
    Effect.gen(function*() {
      const { error, times } = yield* run(Server.silent, get)
      assert.strictEqual(error?.reason._tag, "TimedOut")
      assert.strictEqual(times.length, 3)
      assert.isAtLeast((times[1] ?? 0) - (times[0] ?? 0), 60_000)
      assert.isBelow((times[1] ?? 0) - (times[0] ?? 0), 61_000)
    }))

  it.effect("a deletion whose first answer was lost is done when the second finds nothing", () =>
    Effect.gen(function*() {
      const gone = Server.json({ error: "Agent not found" }, 404)
      const agentGone = yield* run(Server.inOrder(Server.lost, gone), Effect.flatMap(Agents, (_) => _.delete("demo")))
      assert.isUndefined(agentGone.error)
      const fileGone = yield* run(
        Server.inOrder(Server.lost, gone),
        Effect.flatMap(Agents, (_) => _.deleteFile("demo", "a"))
      )
      assert.isUndefined(fileGone.error)
    }))

  it.effect("a deletion that certainly did nothing is not taken for done", () =>
    Effect.gen(function*() {
      const gone = Server.json({ error: "Agent not found" }, 404)
      const limited = Server.json({ error: "Too Many Requests" }, 429)
      const { error } = yield* run(Server.inOrder(limited, gone), Effect.flatMap(Agents, (_) => _.delete("demo")))
      assert.strictEqual(error?.reason._tag, "NotFound")
    }))
})

describe("a call that may not be repeated", () => {
  it.effect.each(once)(
    "%s: once on a failing server, a lost connection and a time-out",
    ([operation, call]) =>
      Effect.gen(function*() {
        for (
          const [script, tag] of [
            [failing, "ServerFailure"],
            [Server.text("<html>", 502), "ServerFailure"],
            [Server.lost, "ConnectionLost"],
            [Server.silent, "TimedOut"]
          ] as const
        ) {
          const { error, times } = yield* run(script, call)
          assert.strictEqual(error?.reason._tag, tag)
          assert.strictEqual(error?.operation, operation)
          assert.isFalse(error?.nothingHappened)
          assert.strictEqual(times.length, 1)
        }
      })
  )

  it.effect.each(once)("%s: again where nothing happened", ([operation, call]) =>
    Effect.gen(function*() {
      // What it means where nothing starts a sandbox is not known: a turn may have begun.
      const startsSandbox = ["Sessions.create", "Sessions.fork", "Agents.create"].includes(operation)
      for (
        const [script, tag] of [
          [Server.refused, "NotReached"],
          [Server.json({ error: "Too Many Requests" }, 429), "RateLimited"],
          [Server.json({ error: "capacity reached" }, 503), startsSandbox ? "AtCapacity" : "ServerFailure"]
        ] as const
      ) {
        const { error, times } = yield* run(script, call)
        assert.strictEqual(error?.reason._tag, tag)
        assert.strictEqual(error?.nothingHappened, tag !== "ServerFailure")
        assert.strictEqual(times.length, tag === "ServerFailure" ? 1 : 3)
      }
    }))

  it.effect("a 503 of a proxy is no word that nothing happened", () =>
    Effect.gen(function*() {
      const { error, times } = yield* run(Server.text("", 503), create)
      assert.strictEqual(error?.reason._tag, "ServerFailure")
      assert.strictEqual(times.length, 1)
    }))

  it.effect("succeeds after a refusal", () =>
    Effect.gen(function*() {
      const { answer, requests } = yield* run(Server.inOrder(Server.refused, created), create)
      assert.strictEqual(answer?.id, sessionId)
      assert.deepStrictEqual(requests.map(Server.jsonOf), [{ agent: "demo" }, { agent: "demo" }])
    }))
})

describe("Retry-After", () => {
  const limited = (seconds: number) =>
    Server.json({ error: "Too Many Requests", message: "Rate limit exceeded" }, 429, { "retry-after": String(seconds) })

  it.effect("is waited for", () =>
    Effect.gen(function*() {
      for (const [call, last] of [[get, found], [create, created]] as const) {
        const { answer, times } = yield* run(Server.inOrder(limited(30), last), call)
        assert.strictEqual(answer?.id, sessionId)
        assert.deepStrictEqual(times.length, 2)
        const waited = (times[1] ?? 0) - (times[0] ?? 0)
        // No two callers come back at the same time.
        assert.isTrue(waited > 30_000 && waited <= 31_000, `${waited}`)
      }
    }))

  it.effect("never shortens the delay", () =>
    Effect.gen(function*() {
      for (const [call, last] of [[get, found], [create, created]] as const) {
        const { times } = yield* run(Server.inOrder(limited(0), last), call)
        assert.isAtLeast((times[1] ?? 0) - (times[0] ?? 0), 100)
      }
    }))

  it.effect("of 60 seconds is waited for, above it the call fails at once and reports how long", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* run(Server.inOrder(limited(60), found), get)).times.length, 2)
      const { error, times } = yield* run(limited(61), get)
      assert.deepStrictEqual(times, [times[0]])
      assert.strictEqual(error?.reason._tag, "RateLimited")
      assert.deepStrictEqual(error?.retryAfter, Duration.seconds(61))
    }))

  it.effect("fails at once, not after the time that it asks for", () =>
    Effect.gen(function*() {
      const server = Server.make(limited(900))
      const error = yield* Effect.flip(get).pipe(Effect.provide(server.layer))
      assert.deepStrictEqual(error.retryAfter, Duration.minutes(15))
    }))

  it.live.each(clientNames)(
    "is one over %s, where it is there twice, and has spaces around it",
    (client) =>
      Effect.gen(function*() {
        const url = yield* Server.serve((_, response) => {
          response.writeHead(429, ["retry-after", " 900 ", "retry-after", "900"]).end("{\"error\":\"x\"}")
        })
        const error = yield* Effect.flip(get).pipe(Effect.provide(clients[client]({ url })))
        assert.deepStrictEqual(error.retryAfter, Duration.minutes(15))
      })
  )

  it.effect("has a cap that can be set", () =>
    Effect.gen(function*() {
      const higher = yield* run(Server.inOrder(limited(900), found), get, { retry: { maxRetryAfter: "20 minutes" } })
      assert.strictEqual(higher.answer?.id, sessionId)
      const lower = yield* run(limited(2), get, { retry: { maxRetryAfter: "1 second" } })
      assert.strictEqual(lower.times.length, 1)
    }))
})

describe("withRetry", () => {
  it.effect("of no times never repeats", () =>
    Effect.gen(function*() {
      for (const script of [failing, Server.lost, Server.refused, Server.json({ error: "x" }, 429)]) {
        const { times } = yield* run(script, RequestOptions.withRetry({ times: 0 })(get))
        assert.strictEqual(times.length, 1)
      }
    }))

  it.effect("lies over the layer's, part by part", () =>
    Effect.gen(function*() {
      const { times } = yield* run(
        failing,
        RequestOptions.withRetry({ times: 1 })(get),
        { retry: { times: 5, delay: "10 seconds" } }
      )
      assert.strictEqual(times.length, 2)
      assert.isAtLeast((times[1] ?? 0) - (times[0] ?? 0), 5000)
    }))

  it.effect("with what is undefined leaves the layer's as it is", () =>
    Effect.gen(function*() {
      const { times } = yield* run(
        failing,
        get.pipe(
          RequestOptions.withRetry({ times: undefined, delay: undefined }),
          RequestOptions.withRetry({ times: 0, delay: undefined })
        ),
        { retry: { times: 5 } }
      )
      assert.strictEqual(times.length, 1)
    }))

  it("nor is any other part of an option", () => {
    const all = {
      timeout: 1,
      retry: { times: 1, delay: 1, maxDelay: 1, maxRetryAfter: 1 },
      timeouts: { headers: 1, firstEvent: 1, idle: 1, done: 1, turn: 1 },
      buffer: { size: 1, whenFull: "fail" },
      maxEventSize: 1,
      exclusive: false,
      responseLimits: { body: 1, text: 1 },
      headers: { a: "1" },
      telemetry: { content: true, metrics: true }
    } as const satisfies Required<RequestOptions.RequestOptionsInput>
    const empty = (value: unknown): unknown =>
      typeof value === "object"
        ? Object.fromEntries(Object.keys(value ?? {}).map((name) => [name, undefined]))
        : undefined
    for (
      const inner of [
        {},
        empty(all),
        Object.fromEntries(Object.entries(all).map(([name, value]) => [name, empty(value)]))
      ]
    ) {
      const merged = RequestOptions.merge({ ...inner as object, headers: undefined })(all)
      assert.deepStrictEqual(merged, all)
    }
  })

  it("are those of an instance of a class, too", () => {
    class Options {
      get timeout() {
        return "5 seconds" as const
      }
    }
    assert.strictEqual(RequestOptions.merge(new Options())({ timeout: "1 second" }).timeout, "5 seconds")
  })
})

describe("time-outs", () => {
  /** The time-out that a call of one attempt fails with. */
  const limitOf = Effect.fnUntraced(function*(
    call: Effect.Effect<unknown, AshError, Services>,
    options: RequestOptions.RequestOptionsInput = {}
  ) {
    const { error, requests } = yield* run(Server.silent, call, { ...options, retry: { times: 0 } })
    assert.strictEqual(requests.length, 1)
    return error?.reason._tag === "TimedOut" ? Duration.format(error.reason.duration) : error?.reason._tag
  })

  it.effect("defaults: a minute, five where a sandbox starts", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* limitOf(get), "1m")
      assert.strictEqual(yield* limitOf(send), "1m")
      assert.strictEqual(yield* limitOf(create), "5m")
      assert.strictEqual(yield* limitOf(Effect.flatMap(Sessions, (_) => _.resume(sessionId))), "5m")
      assert.strictEqual(yield* limitOf(Effect.flatMap(Sessions, (_) => _.fork(sessionId))), "5m")
      assert.strictEqual(yield* limitOf(Effect.flatMap(Agents, (_) => _.create({ name: "demo" }))), "5m")
    }))

  it.effect("of the layer, and of the call over it", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* limitOf(get, { timeout: "3 seconds" }), "3s")
      assert.strictEqual(yield* limitOf(create, { timeout: "3 seconds" }), "3s")
      assert.strictEqual(yield* limitOf(RequestOptions.withTimeout("1 second")(get), { timeout: "3 seconds" }), "1s")
      const inner = RequestOptions.withTimeout("2 seconds")(RequestOptions.withTimeout("1 second")(get))
      assert.strictEqual(yield* limitOf(inner), "1s")
    }))

  it.effect("exec: its command's own and ten seconds", () =>
    Effect.gen(function*() {
      const slow = Effect.flatMap(Sessions, (_) => _.exec(sessionId, "ls", { timeout: "4 minutes" }))
      assert.strictEqual(yield* limitOf(slow), "4m 10s")
      assert.strictEqual(yield* limitOf(slow, { timeout: "1 second" }), "4m 10s")
      assert.strictEqual(yield* limitOf(exec, { timeout: "1 second" }), "40s")
      assert.strictEqual(yield* limitOf(exec), "40s")
      const short = Effect.flatMap(Sessions, (_) => _.exec(sessionId, "ls", { timeout: "2 seconds" }))
      assert.strictEqual(yield* limitOf(short), "12s")
      assert.strictEqual(yield* limitOf(short, { timeout: "10 minutes" }), "12s")
    }))

  it.effect("none where it is infinite", () =>
    Effect.gen(function*() {
      const { error, requests } = yield* run(Server.silent, get, { timeout: Duration.infinity })
      assert.isUndefined(error)
      assert.strictEqual(requests.length, 1)
    }))

  it.effect("hold for the whole answer; of an error its status is enough", () =>
    Effect.gen(function*() {
      for (const [status, tag] of [[200, "TimedOut"], [500, "ServerFailure"]] as const) {
        const { error } = yield* run(
          () => new Response(new ReadableStream({}), { status, headers: { "content-type": "application/json" } }),
          get,
          {
            retry: { times: 0 }
          }
        )
        assert.strictEqual(error?.reason._tag, tag)
      }
    }))

  it.effect("do not limit a stream that has begun", () =>
    Effect.gen(function*() {
      const { error, requests } = yield* run(
        Server.endless(": begun\n\n"),
        send,
        { timeouts: { firstEvent: "off", idle: "off" } }
      )
      assert.isUndefined(error)
      assert.strictEqual(requests.length, 1)
    }))
})

describe("withHeaders", () => {
  it.effect("sends them along, over the layer's, on every call", () =>
    Effect.gen(function*() {
      const { requests } = yield* run(
        ({ path }) => path.includes("agents") ? Server.json({ agent })() : found(),
        RequestOptions.withHeaders({ "X-One": "call" })(
          Effect.andThen(get, Effect.flatMap(Agents, (_) => _.get("demo")))
        ),
        { headers: { "x-one": "layer", "x-two": "layer" } }
      )
      // A name is the same in any case, so one of the two is sent, and not both.
      for (const { headers } of requests) assert.strictEqual(headers["x-two"], "layer")
      for (const { headers } of requests) assert.strictEqual(headers["x-one"], "call")
      assert.strictEqual(requests.length, 2)
    }))

  it.effect("the innermost counts, in whatever case the names are", () =>
    Effect.gen(function*() {
      const names = ["x-one", "X-One", "X-ONE"]
      for (
        const [outer, middle, inner] of names.flatMap((a) => names.flatMap((b) => names.map((c) => [a, b, c] as const)))
      ) {
        const { requests } = yield* run(
          found,
          get.pipe(
            RequestOptions.withHeaders({ [inner]: "inner" }),
            RequestOptions.withHeaders({ [middle]: "middle" })
          ),
          { headers: { [outer]: "layer" } }
        )
        assert.strictEqual(requests[0]?.headers["x-one"], "inner", `${outer} ${middle} ${inner}`)
      }
    }))

  it.effect("ride into a stream", () =>
    Effect.gen(function*() {
      const { requests } = yield* run(
        Server.sse(Server.frames(["done", {}])),
        RequestOptions.withHeaders({ "x-one": "1" })(send)
      )
      assert.strictEqual(requests[0]?.headers["x-one"], "1")
    }))
})

describe("a rate limit in odd headers", () => {
  it.effect.each([
    { "x-ratelimit-remaining": "0" },
    { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "12.5" },
    { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1792000000" },
    { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9".repeat(400) },
    { "x-ratelimit-remaining": "-1", "x-ratelimit-reset": "x" }
  ])("%j keeps no creation waiting", (headers) =>
    Effect.gen(function*() {
      const both = Effect.andThen(create, create)
      const { error, times } = yield* run(Server.json({ session }, 201, headers), both)
      assert.isUndefined(error)
      assert.deepStrictEqual(times, [0, 0])
    }))

  it.effect("a burst keeps to what others have left of the window, and waits for the next", () =>
    Effect.gen(function*() {
      let left = 5
      const limited: Server.Script = () => {
        left -= 1
        const headers = { "x-ratelimit-remaining": String(Math.max(0, left)), "x-ratelimit-reset": "600" }
        return left < 0
          ? Server.json({ error: "Too Many Requests" }, 429, { ...headers, "retry-after": "600" })()
          : Server.json({ session }, 201, headers)()
      }
      const burst = Effect.replicateEffect(create, 5, { concurrency: "unbounded" })
      const { error, times } = yield* run(limited, Effect.andThen(burst, Effect.forkChild(create)))
      assert.isUndefined(error)
      assert.deepStrictEqual(times.slice(0, 5), [0, 0, 0, 0, 0])
      assert.strictEqual(times.at(5) ?? 600_000, 600_000)
    }))

  it.effect("attempts that did not reach the server take nothing of the window", () =>
    Effect.gen(function*() {
      const told = Server.json({ session }, 201, { "x-ratelimit-remaining": "2", "x-ratelimit-reset": "900" })
      const calls = Effect.gen(function*() {
        yield* create
        yield* Effect.ignore(create)
        yield* Effect.ignore(create)
        yield* Effect.ignore(create)
        return yield* create
      })
      const { error, times } = yield* run(
        Server.inOrder(told, Server.refused, Server.refused, Server.refused, told),
        calls,
        { retry: { times: 0 } }
      )
      assert.isUndefined(error)
      assert.deepStrictEqual(times, [0, 0, 0, 0, 0])
    }))
})

describe("limits of a layer", () => {
  it.effect("creations fail at once where they are not to wait for their window", () =>
    Effect.gen(function*() {
      const headers = { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "600" }
      const script = () =>
        Server.inOrder(
          Server.json({ session }, 201, headers),
          Server.json({ error: "Too Many Requests" }, 429, { ...headers, "retry-after": "600" })
        )
      const both = Effect.andThen(create, create)
      const waited = yield* run(Server.inOrder(script(), created), both)
      assert.strictEqual(waited.times.length, 2)
      assert.isTrue((waited.times[1] ?? 0) >= 600_000 && (waited.times[1] ?? 0) < 601_000)
      const { error, times } = yield* run(script(), both, { whenRateLimited: "fail" })
      assert.strictEqual(error?.reason._tag, "RateLimited")
      assert.strictEqual(times[1], times[0])
    }))

  it.effect("streams wait for room, and for no longer", () =>
    Effect.gen(function*() {
      let open = 0
      let most = 0
      const turn: Server.Script = () =>
        Effect.gen(function*() {
          open += 1
          most = Math.max(most, open)
          yield* Effect.sleep("1 minute")
          open -= 1
          return Server.sse(Server.frames(["done", {}]))()
        })
      const { error, requests } = yield* run(turn, Effect.all([send, send, send, send, send], { concurrency: 5 }), {
        exclusive: false,
        maxStreams: 2,
        timeouts: { headers: "2 minutes" }
      })
      assert.isUndefined(error)
      assert.strictEqual(requests.length, 5)
      assert.strictEqual(most, 2)
    }))

  it.effect("a turn that had to wait gives its place back when its connection is closed", () => {
    const order: Array<string> = []
    const frame = new TextEncoder().encode(Server.frames(["session_start", { sessionId }]))
    const turn: Server.Script = () => {
      order.push("sent")
      const start = (controller: ReadableStreamDefaultController<Uint8Array>) => controller.enqueue(frame)
      const cancel = () => new Promise<void>((resolve) => setImmediate(resolve)).then(() => void order.push("closed"))
      return new Response(new ReadableStream({ start, cancel }), { headers: { "content-type": "text/event-stream" } })
    }
    const server = Server.forTurns(turn, { exclusive: false, maxStreams: 1 })
    return Effect.gen(function*() {
      const { messages } = yield* AshClient
      const turns = yield* Effect.forEach([1, 2, 3], () =>
        Effect.gen(function*() {
          const begun = Latch.makeUnsafe()
          const events = messages.send(sessionId, "Hello!")
          return { begun, fiber: yield* Effect.forkChild(Stream.runForEach(events, () => begun.open)) }
        }))
      for (const { begun, fiber } of turns) {
        yield* begun.await
        yield* Fiber.interrupt(fiber)
      }
      assert.deepStrictEqual(order, ["sent", "closed", "sent", "closed", "sent", "closed"])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("a turn fails as the method that was called, also where the question for the form of content does", () =>
    Effect.gen(function*() {
      const server = Server.make(failing, { exclusive: false, retry: { times: 0 } })
      const { messages } = yield* Effect.provide(AshClient, server.layer)
      const error = yield* Effect.flip(Stream.runDrain(messages.sendWithErrors(sessionId, "Hello!")))
      assert.strictEqual(error.operation, "Messages.sendWithErrors")
      assert.isTrue(server.requests.every(({ path }) => path.includes(noSession)))
    }))

  it.effect("a message that is not in order does not wait for a stream to end", () => {
    const begun = Latch.makeUnsafe()
    const endless: Server.Script = () => {
      begun.openUnsafe()
      return new Response(new ReadableStream({}), { headers: { "content-type": "text/event-stream" } })
    }
    const server = Server.make(Server.inOrder(Server.sse(Server.frames(["done", {}])), endless), {
      exclusive: false,
      maxStreams: 1
    })
    return Effect.gen(function*() {
      const { messages } = yield* AshClient
      yield* Effect.forkChild(Stream.runDrain(messages.send(sessionId, "Hello!")))
      yield* begun.await
      const error = yield* Effect.flip(Stream.runDrain(messages.send(sessionId, "Hello!", { maxTurns: 0 })))
      assert.strictEqual(error.reason._tag, "InvalidRequest")
    }).pipe(Effect.provide(server.layer))
  })

  it.effect.each([{ maxSessions: 0 }, { maxStreams: 1.5 }, { maxSessions: Number.NaN }])(
    "%j are refused",
    (limits) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Effect.provide(get, Server.make(found, limits).layer))
        assert.strictEqual(error.reason._tag === "InvalidRequest" ? error.reason.field : "", Object.keys(limits)[0])
      })
  )
})
