import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as HttpServer from "effect/http/HttpServer"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { once } from "node:events"
import * as Http from "node:http"
import { connect } from "node:net"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import type { EmbeddedHttpOptions } from "../../../src/embedded/EmbeddedOptions.ts"
import { layerHttpServer } from "../../../src/embedded/EmbeddedServer.ts"
import { type Frame, framesOf, named, saidIn, textAt } from "../../support/embeddedServer.ts"
import * as Tracing from "../../support/tracing.ts"

interface Exchange {
  readonly response: Http.IncomingMessage
  readonly request: Http.ClientRequest
}

/** Sends a request over a socket, and waits for the head of the response. */
const exchange = (method: string, path: string, json?: unknown, headers: Http.OutgoingHttpHeaders = {}) =>
  Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
    Effect.callback<Exchange, Error>((resume) => {
      const request = Http.request(HttpServer.formatAddress(address) + path, {
        method,
        agent: false,
        headers: {
          authorization: "Bearer embedded",
          ...(json === undefined ? {} : { "content-type": "application/json" }),
          ...headers
        }
      })
      request.on("error", (error) => resume(Effect.fail(error)))
      request.on("response", (response) => resume(Effect.succeed({ response, request })))
      request.end(json === undefined ? undefined : JSON.stringify(json))
    }))

const textOf = ({ response }: Exchange) =>
  Effect.callback<string, Error>((resume) => {
    let text = ""
    response.setEncoding("utf8")
    response.on("data", (chunk) => {
      text += chunk
    })
    response.on("end", () => resume(Effect.succeed(text)))
    response.on("error", (error) => resume(Effect.fail(error)))
  })

const ask = Effect.fnUntraced(function*(method: string, path: string, json?: unknown) {
  const answer = yield* exchange(method, path, json)
  const text = yield* textOf(answer)
  return { status: answer.response.statusCode, headers: answer.response.headers, text }
})

const open = Effect.gen(function*() {
  yield* ask("POST", "/api/agents", { name: "demo" })
  const { text } = yield* ask("POST", "/api/sessions", { agent: "demo" })
  return `/api/sessions/${textAt(JSON.parse(text), "session", "id")}`
})

/** The frames of a response, as its chunks arrive. */
const arriving = Effect.fnUntraced(function*({ response }: Exchange) {
  const frames = yield* Queue.unbounded<Frame>()
  const run = Effect.runSyncWith(yield* Effect.context<never>())
  const take = (chunk: unknown) => Effect.flatMap(framesOf(String(chunk)), (all) => Queue.offerAll(frames, all))
  response.setEncoding("utf8")
  response.on("data", (chunk) => run(take(chunk)))
  return frames
})

const apiKey = Redacted.make("embedded")

const withSocket = (options: Omit<EmbeddedHttpOptions, "apiKey"> = {}) => <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.provide(test, layerHttpServer({ apiKey, ...options })))

describe("a server on a port", () => {
  it.live("listens on a free port of 127.0.0.1", () =>
    Effect.gen(function*() {
      const { address } = yield* HttpServer.HttpServer
      assert.match(HttpServer.formatAddress(address), /^http:\/\/127\.0\.0\.1:\d+$/)
      const { headers, status } = yield* ask("GET", "/health")
      assert.strictEqual(status, 200)
      assert.deepInclude(headers, {
        "content-type": "application/json; charset=utf-8",
        vary: "Origin"
      })
      const head = yield* ask("HEAD", "/api/agents")
      assert.strictEqual(head.headers["content-length"], "13")
    }).pipe(withSocket()))

  it.live("takes no part in the traces of its clients", () =>
    Effect.gen(function*() {
      const { spans, trace } = Tracing.make()
      yield* ask("GET", "/health").pipe(withSocket(), trace)
      assert.deepStrictEqual(spans, [])
    }))

  it.live("takes no body of unknown length without a type, though it is empty", () =>
    Effect.gen(function*() {
      const id = "00000000-0000-4000-8000-000000000000"
      for (const [method, path] of [["POST", `/api/sessions/${id}/pause`], ["DELETE", "/api/agents/demo"]] as const) {
        for (const [headers, status] of [[{}, 404], [{ "transfer-encoding": "chunked" }, 415]] as const) {
          const { response } = yield* exchange(method, path, undefined, headers)
          response.resume()
          assert.strictEqual(response.statusCode, status, method)
        }
      }
    }).pipe(withSocket()))

  it.live("is reached by its own host names only", () =>
    Effect.gen(function*() {
      const { address } = yield* HttpServer.HttpServer
      const port = HttpServer.formatAddress(address).split(":").at(-1)
      const statusFor = (host: string) =>
        Effect.flatMap(exchange("GET", "/api/agents", undefined, { host }), ({ response }) =>
          Effect.as(Effect.sync(() => response.resume()), response.statusCode))
      for (const host of ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "ash.internal"]) {
        assert.strictEqual(yield* statusFor(`${host}:${port}`), 200, host)
      }
      for (
        const host of ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "10.0.0.1", "evil.test@127.0.0.1", ""]
      ) {
        assert.strictEqual(yield* statusFor(`${host}:${port}`), 403, host)
      }
    }).pipe(withSocket({ hostNames: ["ash.internal"] })))

  it.live("sends the stream of a turn with headers of its own", () =>
    Effect.gen(function*() {
      const path = yield* open
      const { headers, status, text } = yield* ask("POST", `${path}/messages`, { content: "hi" })
      assert.strictEqual(status, 200)
      assert.hasAllKeys(headers, ["content-type", "cache-control", "connection", "date", "transfer-encoding"])
      assert.deepInclude(headers, { "content-type": "text/event-stream", "cache-control": "no-cache" })
      const frames = yield* framesOf(text)
      assert.deepStrictEqual(saidIn(frames), ["hi"])
      assert.strictEqual(frames.at(-1)?.event, "done")
    }).pipe(withSocket({ script: AgentScript.echo })))

  it.live("sends each frame at once, not when the turn is over", () =>
    Effect.gen(function*() {
      const latch = yield* Latch.make()
      const script: AgentScript.AgentScript = () =>
        Stream.make(AgentScript.say("one")).pipe(
          Stream.concat(Stream.drain(Stream.fromEffect(latch.await))),
          Stream.concat(Stream.make(AgentScript.say("two")))
        )
      yield* Effect.gen(function*() {
        const path = yield* open
        const frames = yield* arriving(yield* exchange("POST", `${path}/messages`, { content: "hi" }))
        const until = (isWanted: (frame: Frame) => boolean) => Effect.repeat(Queue.take(frames), { until: isWanted })
        yield* until((frame) => saidIn([frame]).includes("one"))
        yield* latch.open
        yield* until(named("done"))
      }).pipe(withSocket({ script }))
    }))

  it.live("stores nothing of a turn after its client disconnected", () =>
    Effect.gen(function*() {
      const latch = yield* Latch.make()
      const isOver = yield* Deferred.make<void>()
      const script: AgentScript.AgentScript = ({ prompt }) =>
        prompt === "next" ? Stream.make(AgentScript.say("next")) : Stream.make(AgentScript.say("early")).pipe(
          Stream.concat(Stream.drain(Stream.fromEffect(latch.await))),
          Stream.concat(Stream.make(AgentScript.say("late"))),
          Stream.ensuring(Deferred.succeed(isOver, undefined))
        )
      yield* Effect.gen(function*() {
        const path = yield* open
        const turn = yield* exchange("POST", `${path}/messages`, { content: "hi" })
        const frames = yield* arriving(turn)
        yield* Effect.repeat(Queue.take(frames), { until: (frame) => saidIn([frame]).includes("early") })
        const isClosed = Effect.callback<void>((resume) => {
          turn.response.on("close", () => resume(Effect.void))
          turn.request.destroy()
        })
        yield* isClosed
        // The server has seen the disconnect when it answers a later request.
        yield* ask("GET", path)
        yield* latch.open
        yield* Deferred.await(isOver)
        yield* ask("POST", `${path}/messages`, { content: "next" })
        const { text } = yield* ask("GET", `${path}/messages`)
        assert.include(text, "early")
        assert.include(text, "next")
        assert.notInclude(text, "late")
      }).pipe(withSocket({ script, quirks: { mixTurns: false } }))
    }))

  it.live("refuses a body by its declared size, before it is sent", () =>
    Effect.gen(function*() {
      const { request, response } = yield* exchange("POST", "/api/agents", { name: "demo" }, {
        "content-length": 1_048_577
      })
      assert.strictEqual(response.statusCode, 413)
      assert.strictEqual(response.headers["connection"], "close")
      request.destroy()
    }).pipe(withSocket()))

  it.live("closes at once, with a stream that never ends and a connection without a request, and removes its folder", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        layerHttpServer({ apiKey, script: () => Stream.make(AgentScript.say("last words"), AgentScript.silence) }),
        scope
      )
      const folder = yield* Effect.gen(function*() {
        // A client's spare one, as the fetch of Node opens in the place of one that was aborted.
        const { port, hostname } = new URL(HttpServer.formatAddress((yield* HttpServer.HttpServer).address))
        const spare = connect(Number(port), hostname).on("error", () => {})
        yield* Effect.promise(() => once(spare, "connect"))
        const path = yield* open
        const { text } = yield* ask("POST", `${path}/exec`, { command: "pwd" })
        const turn = yield* exchange("POST", `${path}/messages`, { content: "hi" })
        const frames = yield* arriving(turn)
        yield* Effect.repeat(Queue.take(frames), { until: (frame) => saidIn([frame]).includes("last words") })
        turn.response.on("error", () => {})
        return textAt(JSON.parse(text), "stdout").trim()
      }).pipe(Effect.provide(context))
      assert.isTrue(yield* fileSystem.exists(folder))
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(yield* fileSystem.exists(folder))
    }).pipe(Effect.provide(NodeFileSystem.layer)))
})
