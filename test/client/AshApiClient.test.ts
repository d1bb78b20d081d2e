import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { readFileSync } from "node:fs"
import { inspect } from "node:util"
import { AshApiClient } from "../../src/client/AshApiClient.ts"
import * as RequestOptions from "../../src/client/RequestOptions.ts"
import { version } from "../../src/internal/request/connection.ts"
import * as Ash from "../../src/layers/Ash.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { clientNames, clients } from "../support/clients.ts"
import { health, session, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const getSession = Effect.flatMap(AshClient, (ash) => ash.sessions.get(sessionId))
const getHealth = Effect.flatMap(AshClient, (ash) => ash.health.get())
const found = Server.json({ session })

const invalid = (error: AshError) =>
  error.reason._tag === "InvalidRequest" ? [error.reason.field, error.reason.http] : error.reason._tag

/** Headers that cannot be sent, or not by a caller. */
const badHeaders: ReadonlyArray<readonly [name: string, value: string]> = [
  ["x-one", "geheim\r\nx-evil: 1"],
  ["x-one", "geheim\n"],
  ["x-one", "\rgeheim"],
  ["x-one", "geheim\u0000"],
  ["x-one", "geheim\u0001"],
  ["x-one", "geheim\u007f"],
  ["x-one", "geheim \u20ac"],
  ["x-one", "geheim \ud83d\ude00"],
  ["cookie", "a=geheim\u0100"],
  ["", "geheim"],
  ["x one", "geheim"],
  ["x:one", "geheim"],
  ["x\u00e9", "geheim"],
  ["x\r\ny", "geheim"],
  ...[
    "host",
    "Host",
    "content-length",
    "Content-Type",
    "content-encoding",
    "transfer-encoding",
    "CONNECTION",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "http2-settings",
    "expect",
    "authorization",
    "Authorization"
  ].map((name) => [name, "geheim"] as const)
]

describe("a caller's headers", () => {
  const calls: Record<string, Effect.Effect<unknown, AshError, AshClient>> = {
    "a read": getSession,
    "a turn": Effect.flatMap(AshClient, (ash) => Stream.runDrain(ash.messages.send(sessionId, "Hello!"))),
    "a handle": Effect.flatMap(AshClient, (ash) => {
      const handle = ash.sessions.attach(sessionId)
      // Fenced by the first, the second would be refused for the fence.
      return Effect.andThen(Effect.exit(handle.ask("Hello!")), handle.ask("Hello!"))
    }),
    "a command": Effect.flatMap(AshClient, (ash) => {
      const handle = ash.sessions.attach(sessionId)
      return Effect.andThen(Effect.exit(handle.exec("ls")), handle.ask("Hello!"))
    })
  }

  for (const [call, effect] of Object.entries(calls)) {
    it.effect.each(badHeaders)(
      `%j: %j is refused in ${call}, by name, and nothing is sent or fenced`,
      ([name, value]) =>
        Effect.gen(function*() {
          const server = Server.make(found)
          const fiber = yield* Effect.forkChild(
            Effect.flip(effect).pipe(
              RequestOptions.withHeaders({ [name]: value }),
              Effect.provide(server.layer)
            )
          )
          // A session rests for a moment behind a command.
          yield* TestClock.adjust("1 minute")
          const error = yield* Fiber.join(fiber)
          assert.deepStrictEqual(invalid(error), [name === "x\r\ny" ? "x\\r\\ny" : name, undefined])
          assert.notMatch(error.message + inspect(error, { depth: 9 }) + JSON.stringify(error), /geheim|evil/)
          assert.deepStrictEqual(server.requests, [])
        })
    )
  }

  it.effect.each(badHeaders)(
    "%j: %j is refused by the low-level client, before the key is asked for",
    ([name, value]) =>
      Effect.gen(function*() {
        const server = Server.make(found)
        const apiKey = Effect.die(new Error("the key is asked for"))
        const error = yield* Effect.flatMap(AshApiClient, (api) => api.sessions.get({ params: { id: sessionId } }))
          .pipe(
            Effect.flip,
            RequestOptions.withHeaders({ [name]: value }),
            Effect.provide(
              AshApiClient.layer({ url: "http://localhost:4100", apiKey }).pipe(Layer.provide(server.http))
            )
          )
        assert.deepStrictEqual(invalid(error), [name === "x\r\ny" ? "x\\r\\ny" : name, undefined])
        assert.notInclude(error.message, "geheim")
        assert.deepStrictEqual(server.requests, [])
      })
  )

  it.effect.each(badHeaders)("%j: %j is refused when the layer is built", ([name, value]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(Server.make(found, { headers: { [name]: value } }).layer))
      assert.strictEqual(error.operation, "Ash.layer")
      assert.isArray(invalid(error))
      assert.notInclude(error.message, "geheim")
    }).pipe(Effect.scoped))

  it.live.each(clientNames)("that can be sent arrive as they are over %s", (client) =>
    Effect.gen(function*() {
      const { exchanges, url } = yield* Server.listen
      const headers = {
        "X-One": "a\tb  c",
        "x-latin": "caf\u00e9 \u00a3\u00ff",
        "x~!#$%&'*+.^_`|": "1",
        cookie: "a=b; c=d"
      }
      const fiber = yield* Effect.forkChild(getSession.pipe(Effect.provide(clients[client]({ url, headers }))))
      const { request, response } = yield* Queue.take(exchanges)
      for (const [name, value] of Object.entries(headers)) {
        assert.strictEqual(request.headers[name.toLowerCase()], value)
      }
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ session }))
      yield* Fiber.join(fiber)
    }))
})

describe("User-Agent", () => {
  it("has the version of the package", () => {
    const { version: expected } = JSON.parse(readFileSync("package.json", "utf8"))
    assert.strictEqual(version, expected)
  })

  it.live.each(clientNames)(
    "tells the package and its version over %s, unless the caller has one",
    (client) =>
      Effect.gen(function*() {
        const { exchanges, url } = yield* Server.listen
        for (
          const [headers, sent] of [[{}, `effect-ash/${version}`], [{ "User-Agent": "mine/1" }, "mine/1"]] as const
        ) {
          const fiber = yield* Effect.forkChild(getHealth.pipe(Effect.provide(clients[client]({ url, headers }))))
          const { request, response } = yield* Queue.take(exchanges)
          assert.strictEqual(request.headers["user-agent"], sent)
          response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(health))
          yield* Fiber.join(fiber)
        }
      })
  )
})

class VaultSealed extends Data.TaggedError("VaultSealed")<{ readonly detail: string }> {}

describe("a key that is an Effect", () => {
  it.effect("is asked for before each request, and may be kept for a time", () =>
    Effect.gen(function*() {
      const rotating = Effect.map(Clock.currentTimeMillis, (now) => Redacted.make(`key-${now / 1000}`))
      const kept = yield* Effect.cachedWithTTL(rotating, "2 seconds")
      for (const [apiKey, sent] of [[rotating, ["0", "1", "2"]], [kept, ["3", "3", "5"]]] as const) {
        const server = Server.make(found, { apiKey })
        yield* Effect.provide(
          Effect.forEach([1, 2, 3], () => Effect.andThen(getSession, TestClock.adjust("1 second"))),
          server.layer
        )
        assert.deepStrictEqual(
          server.requests.map(({ headers }) => headers["authorization"]),
          sent.map((second) => `Bearer key-${second}`)
        )
      }
    }))

  it.effect("may be a Config, read from where the layer is built", () =>
    Effect.gen(function*() {
      const server = Server.make(found, { apiKey: Config.Redacted("ASH_API_KEY") })
      const context = yield* Layer.build(server.layer).pipe(
        Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown({ ASH_API_KEY: "from-env" }))
      )
      yield* Effect.provideContext(getSession, context)
      assert.strictEqual(server.requests[0]?.headers["authorization"], "Bearer from-env")
    }).pipe(Effect.scoped))

  it.effect.each<readonly [name: string, apiKey: Effect.Effect<Redacted.Redacted, unknown>, says: RegExp]>([
    ["a failure", Effect.fail(new VaultSealed({ detail: "geheim" })), /Unauthorized.*VaultSealed/],
    ["an Error", Effect.fail(Object.assign(new TypeError("geheim"), { code: "E" })), /Unauthorized.*TypeError/],
    ["no error", Effect.fail("geheim"), /Unauthorized.*a failure/],
    ["a defect", Effect.die(new RangeError("geheim")), /Unauthorized.*RangeError/],
    ["a Config that is missing", Config.Redacted("ASH_NO_SUCH_KEY"), /Unauthorized.*ConfigError/],
    ["two words", Effect.succeed(Redacted.make("geheim geheim")), /InvalidRequest.*apiKey/],
    ["nothing", Effect.succeed(Redacted.make("")), /InvalidRequest.*apiKey/]
  ])("%s is typed, and nothing is sent", ([, apiKey, says]) =>
    Effect.gen(function*() {
      const server = Server.make(found, { apiKey })
      const ask = Effect.flatMap(AshClient, (_) => _.sessions.attach(sessionId).ask("Hello!"))
      for (const call of [Effect.asVoid(getSession), Effect.asVoid(ask)]) {
        const error = yield* Effect.flip(Effect.provide(call, server.layer))
        assert.match(`${error.reason._tag}: ${error.message}`, says)
        assert.isTrue(error.nothingHappened)
        assert.notInclude(inspect(error, { depth: 9 }), "geheim")
      }
      assert.deepStrictEqual(server.requests, [])
    }))

  it.effect("that does not come in time is one that is not there, and can be interrupted", () =>
    Effect.gen(function*() {
      const server = Server.make(found, { apiKey: Effect.never, retry: { times: 0 } })
      const late = yield* Effect.forkChild(Effect.flip(Effect.provide(getSession, server.layer)))
      yield* TestClock.adjust("60 seconds")
      const error = yield* Fiber.join(late)
      assert.strictEqual(error.reason._tag, "Unauthorized")
      assert.include(error.message, "nothing was sent")
      assert.isTrue(error.nothingHappened)
      const left = yield* Effect.forkChild(Effect.provide(getSession, server.layer))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(left)
      const exit = yield* Fiber.await(left)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
    }))
})

describe("a redirect", () => {
  it.live.each([301, 302, 303, 307, 308])(
    "%i is not followed by a custom client over fetch",
    (status) =>
      Effect.gen(function*() {
        const here = yield* Server.listen
        const elsewhere = yield* Server.listen
        const own = FetchHttpClient.layer.pipe(
          Layer.provide(Layer.succeed(FetchHttpClient.RequestInit, { redirect: "follow", headers: { "x-own": "1" } }))
        )
        const layer = Ash.layerWithClient({ url: here.url, retry: { times: 0 } }).pipe(Layer.provide(own))
        const create = Effect.flatMap(AshClient, (_) => _.credentials.createCustom(Redacted.make("geheim")))
        const fiber = yield* Effect.forkChild(Effect.flip(Effect.provide(create, layer)))
        const { request, response } = yield* Queue.take(here.exchanges)
        // The rest of its options is its own.
        assert.strictEqual(request.headers["x-own"], "1")
        response.writeHead(status, { location: elsewhere.url }).end()
        assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "Undecodable")
        assert.strictEqual(yield* Queue.size(elsewhere.exchanges), 0)
      })
  )
})

describe("plain http", () => {
  const warnings = Effect.fnUntraced(function*(options: Ash.AshOptions) {
    const seen: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      seen.push(`${logLevel} ${message}`)
    })
    const client = Server.make(found).http
    yield* Effect.andThen(getSession, getSession).pipe(
      Effect.provide(Ash.layerWithClient(options).pipe(Layer.provide(client))),
      Effect.provide(Logger.layer([logger]))
    )
    return seen
  })

  it.effect.each([
    "http://ash.test",
    "http://10.0.0.1:4100",
    "http://localhost.evil.test",
    "http://128.0.0.1",
    "http://[::2]"
  ])(
    "to %s is warned of once, unless it is allowed",
    (url) =>
      Effect.gen(function*() {
        const seen = yield* warnings({ url })
        assert.strictEqual(seen.length, 1)
        assert.match(seen[0] ?? "", /^Warn .*plain http.*allowPlainHttp/)
        assert.deepStrictEqual(yield* warnings({ url, allowPlainHttp: true }), [])
      })
  )

  it.effect.each([
    "https://ash.test",
    "http://localhost:4100",
    "http://LOCALHOST",
    "http://ash.localhost",
    "http://127.0.0.1",
    "http://127.9.9.9",
    "http://2130706433",
    "http://[::1]:4100",
    "http://[::ffff:127.0.0.1]"
  ])("to %s is not", (url) => Effect.map(warnings({ url }), (seen) => assert.deepStrictEqual(seen, [])))
})

describe("the request id of a response", () => {
  it.effect.each(
    [
      ["x-request-id", { "X-Request-Id": "r-1", traceparent: "00-1" }],
      ["request-id", { "request-id": "r-1" }],
      ["x-correlation-id", { "x-correlation-id": "r-1" }],
      ["x-amzn-requestid", { "x-amzn-RequestId": "r-1" }],
      ["cf-ray", { "cf-ray": "r-1" }],
      ["traceparent", { traceparent: "r-1" }]
    ] as const
  )("%s is in the error", ([, headers]) =>
    Effect.gen(function*() {
      for (const answer of [Server.json({ error: "x" }, 404, headers), Server.json({ no: "session" }, 200, headers)]) {
        const { reason } = yield* Effect.flip(Effect.provide(getSession, Server.make(answer).layer))
        assert.strictEqual(reason.http?.requestId, "r-1")
      }
    }))

  it.effect("is in that of a turn that breaks off or fails", () =>
    Effect.gen(function*() {
      const id = { "content-type": "text/event-stream", "x-request-id": "r-1" }
      const send = Effect.flatMap(AshClient, (_) => Stream.runDrain(_.messages.send(sessionId, "Hello!")))
      for (
        const [tag, answer] of [
          ["StreamTruncated", Server.text(Server.frames(["session_start", {}]), 200, id)],
          ["TurnFailed", Server.text(Server.frames(["error", { error: "x" }]), 200, id)],
          ["StreamTruncated", Server.breaking(Server.frames(["session_start", {}]), id)]
        ] as const
      ) {
        const { reason } = yield* Effect.flip(Effect.provide(send, Server.make(answer).layer))
        assert.strictEqual(reason._tag, tag)
        assert.strictEqual(reason.http?.requestId, "r-1")
        assert.strictEqual(reason.http?.status, 200)
      }
    }))
})
