import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Net from "node:net"
import * as Ash from "../../src/layers/Ash.ts"
import * as AshNode from "../../src/layers/AshNode.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Messages } from "../../src/services/Messages.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { noSession, session, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const clients = [["fetch", Ash.layer], ["node:http", AshNode.layer]] as const

const turnPath = `/api/sessions/${sessionId}/messages`

/** A real server, with the question for the form of content answered. */
const listening = Effect.gen(function*() {
  const { closed, exchanges, url } = yield* Server.listen
  const turns = yield* Queue.unbounded<Server.Exchange>()
  yield* Effect.forkScoped(Effect.forever(Effect.gen(function*() {
    const exchange = yield* Queue.take(exchanges)
    if (exchange.request.url?.includes(noSession) !== true) return yield* Queue.offer(turns, exchange)
    exchange.response.writeHead(404, { "content-type": "application/json" })
    exchange.response.end("{\"error\":\"Session not found\"}")
  })))
  /** The next connection, but that of the question, that closes. */
  const nextClosed = Effect.gen(function*() {
    while (true) {
      const each = yield* Queue.take(closed)
      if (!each.url.includes(noSession)) return each
    }
  })
  return { url, next: Queue.take(turns), nextClosed }
})

const begin = ({ response }: Server.Exchange, text: string) => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  response.write(text)
}

const start = Server.frames(["session_start", { sessionId }], ["text_delta", { delta: "Hi" }])

const events = Stream.unwrap(Effect.map(Messages, ({ send }) => send(sessionId, "hello world")))

describe.each(clients)("over %s", (_name, layer) => {
  const services = (url: string) => Effect.provide(layer({ url, apiKey: Redacted.make(Server.apiKey) }))

  it.live("events arrive while the turn goes on, and the turn ends though the connection stays", () =>
    Effect.gen(function*() {
      const server = yield* listening
      const first = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        Stream.runCollect(Stream.tap(events, () => Deferred.succeed(first, undefined))).pipe(services(server.url))
      )
      const exchange = yield* server.next
      assert.strictEqual(exchange.request.headers.authorization, `Bearer ${Server.apiKey}`)
      assert.deepStrictEqual(JSON.parse(exchange.body), { content: "hello world" })
      begin(exchange, start)
      yield* Deferred.await(first)
      exchange.response.write(Server.frames(["done", { sessionId }]))
      const all = yield* Fiber.join(fiber)
      assert.deepStrictEqual(all.map(({ _tag }) => _tag), ["SessionStart", "TextDelta", "Done"])
      assert.deepStrictEqual(yield* server.nextClosed, { url: turnPath, complete: false })
    }))

  it.live("turns whose answers end with them leave their connections to the next", () =>
    Effect.gen(function*() {
      const server = yield* listening
      const turns = Effect.replicateEffect(Stream.runDrain(events), 6, { discard: true })
      const fiber = yield* Effect.forkChild(turns.pipe(services(server.url)))
      const answer = Effect.map(server.next, ({ request, response }) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.end(start + Server.frames(["done", { sessionId }]))
        return request.socket
      })
      const sockets = yield* Effect.replicateEffect(answer, 6)
      yield* Fiber.join(fiber)
      // A client that is asked again at once may not know yet that its first connection is free.
      assert.isAtMost(new Set(sockets).size, 2)
    }).pipe(Effect.scoped))

  it.live("a turn whose connection ends behind it leaves it to the next, and does not wait for its end", () =>
    Effect.gen(function*() {
      const server = yield* listening
      const turn = Stream.runDrain(events)
      yield* Effect.gen(function*() {
        const first = yield* Effect.forkChild(turn)
        const exchange = yield* server.next
        begin(exchange, start + Server.frames(["done", { sessionId }]))
        yield* Fiber.join(first)
        exchange.response.end()
        const second = yield* Effect.forkChild(turn)
        const { response } = yield* server.next
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.end(start + Server.frames(["done", { sessionId }]))
        yield* Fiber.join(second)
        assert.isFalse(exchange.request.socket.destroyed)
      }).pipe(services(server.url))
    }).pipe(Effect.scoped))

  it.live("interruption before the answer closes the connection", () =>
    Effect.gen(function*() {
      const server = yield* listening
      const fiber = yield* Effect.forkChild(Stream.runDrain(events).pipe(services(server.url)))
      yield* server.next
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* server.nextClosed, { url: turnPath, complete: false })
    }))

  it.live("interruption in mid-turn closes the connection, though the services live on", () =>
    Effect.gen(function*() {
      const server = yield* listening
      yield* Effect.gen(function*() {
        const received = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(
          Stream.runForEach(events, () => Deferred.succeed(received, undefined))
        )
        begin(yield* server.next, start)
        yield* Deferred.await(received)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* server.nextClosed, { url: turnPath, complete: false })
      }).pipe(services(server.url))
    }))

  it.live("taking one event closes the connection, though the services live on", () =>
    Effect.gen(function*() {
      const server = yield* listening
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Stream.runCollect(Stream.take(events, 1)))
        begin(yield* server.next, start)
        assert.strictEqual((yield* Fiber.join(fiber)).length, 1)
        assert.deepStrictEqual(yield* server.nextClosed, { url: turnPath, complete: false })
      }).pipe(services(server.url))
    }))

  it.live("an answer that is no event stream closes the connection", () =>
    Effect.gen(function*() {
      const server = yield* listening
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Effect.flip(Stream.runDrain(events)))
        const { response } = yield* server.next
        response.writeHead(200, { "content-type": "text/html" })
        response.write("<html>")
        assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "Undecodable")
        assert.deepStrictEqual(yield* server.nextClosed, { url: turnPath, complete: false })
      }).pipe(services(server.url))
    }))

  it.live("a connection that breaks in mid-turn is a truncated stream, behind the events that came", () =>
    Effect.gen(function*() {
      const server = yield* listening
      let received = 0
      const both = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        Effect.flip(
          Stream.runForEach(
            events,
            () => Effect.suspend(() => ++received === 2 ? Deferred.succeed(both, undefined) : Effect.void)
          )
        ).pipe(
          services(server.url)
        )
      )
      const exchange = yield* server.next
      begin(exchange, start)
      yield* Deferred.await(both)
      exchange.response.destroy()
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag, "StreamTruncated")
    }))

  it.live("a connection that breaks before the answer is lost, and the message is not sent again", () =>
    Effect.gen(function*() {
      const server = yield* listening
      const fiber = yield* Effect.forkChild(Effect.flip(Stream.runDrain(events)).pipe(services(server.url)))
      const { request } = yield* server.next
      request.socket.destroy()
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag, "ConnectionLost")
      assert.isFalse(error.nothingHappened)
    }))

  it.live("a closed port is not reached", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { url } = yield* Server.listen.pipe(Effect.provideService(Scope.Scope, scope))
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(Effect.flatMap(Sessions, ({ get }) => get(sessionId))).pipe(
        Effect.provide(layer({ url, retry: { times: 0 } }))
      )
      assert.strictEqual(error.reason._tag, "NotReached")
      assert.include(error.message, "connection refused")
      assert.include(error.message, url)
    }))

  it.live("what closes the connection in the TLS handshake is not reached", () =>
    Effect.gen(function*() {
      const server = yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const server = Net.createServer((socket) => socket.once("data", () => socket.end()))
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const url = `https://127.0.0.1:${(server.address() as Net.AddressInfo).port}`
      const error = yield* Effect.flip(Stream.runDrain(events)).pipe(
        Effect.provide(layer({ url, retry: { times: 0 } }))
      )
      assert.strictEqual(error.reason._tag, "NotReached")
      assert.isTrue(error.nothingHappened)
    }))

  it.live.each(["junk", "HTTP/1.1 200 OK\r\n\r\n"])(
    "%o behind a whole answer is none of it",
    (junk) =>
      Effect.gen(function*() {
        const server = yield* Effect.acquireRelease(
          Effect.callback<Net.Server>((resume) => {
            const body = JSON.stringify({ session })
            const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`
            const server = Net.createServer((socket) => socket.once("data", () => socket.end(head + body + junk)))
            server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
          }),
          (server) => Effect.sync(() => server.close())
        )
        const url = `http://127.0.0.1:${(server.address() as Net.AddressInfo).port}`
        const { id } = yield* Effect.flatMap(Sessions, ({ get }) => get(sessionId)).pipe(
          Effect.provide(layer({ url, retry: { times: 0 } }))
        )
        assert.strictEqual(id, sessionId)
      })
  )

  it.live("a redirection is not followed, so the key goes nowhere else", () =>
    Effect.gen(function*() {
      const server = yield* listening
      const fiber = yield* Effect.forkChild(
        Effect.flip(Effect.flatMap(Sessions, ({ get }) => get(sessionId))).pipe(services(server.url))
      )
      const { response } = yield* server.next
      response.writeHead(307, { location: `${server.url}/elsewhere` }).end()
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag, "Undecodable")
      assert.include(error.message, "/elsewhere")
      assert.deepStrictEqual(yield* server.nextClosed, { url: `/api/sessions/${sessionId}`, complete: true })
    }))

  it.live("the path of a file arrives segment by segment, each as it was given", () =>
    Effect.gen(function*() {
      const server = yield* listening
      const path = "ünï/ä%2F?#.txt/a b+c&d/'(e)*"
      const fiber = yield* Effect.forkChild(
        Effect.flatMap(Agents, ({ deleteFile }) => deleteFile("demo", path)).pipe(services(server.url))
      )
      const { request, response } = yield* server.next
      response.writeHead(200, { "content-type": "application/json" }).end("{\"deleted\":true}")
      yield* Fiber.join(fiber)
      const [, rest = ""] = request.url?.split("/api/agents/demo/files/") ?? []
      assert.deepStrictEqual(rest.split("/").map(decodeURIComponent), path.split("/"))
    }))

  it.live("a download holds its connection until its scope closes", () =>
    Effect.gen(function*() {
      const server = yield* listening
      yield* Effect.gen(function*() {
        const scope = yield* Scope.make()
        const fiber = yield* Effect.forkChild(
          Effect.flatMap(Agents, ({ readFile }) => readFile("demo", "a.txt")).pipe(
            Effect.provideService(Scope.Scope, scope)
          )
        )
        const { response } = yield* server.next
        response.writeHead(200, { "content-type": "text/plain", "content-length": "1000000" })
        response.write("start")
        const file = yield* Fiber.join(fiber)
        assert.strictEqual(file.size, 1_000_000)
        assert.isFalse(response.closed)
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* server.nextClosed, {
          url: "/api/agents/demo/files/a.txt?format=raw",
          complete: false
        })
      }).pipe(services(server.url))
    }))

  it.live("a session whose creation is interrupted is ended as soon as it is there", () =>
    Effect.gen(function*() {
      const server = yield* listening
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(
          Effect.scoped(Effect.flatMap(Sessions, ({ scoped }) => scoped({ agent: "demo" })))
        )
        const { response } = yield* server.next
        const interruption = yield* Effect.forkChild(Fiber.interrupt(fiber))
        yield* Effect.yieldNow
        response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ session }))
        const end = yield* server.next
        assert.strictEqual(`${end.request.method} ${end.request.url}`, `DELETE /api/sessions/${sessionId}`)
        end.response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ session }))
        yield* Fiber.join(interruption)
      }).pipe(services(server.url))
    }))
})
