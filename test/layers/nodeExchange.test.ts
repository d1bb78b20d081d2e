import * as EffectClients from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Bytes from "effect/Bytes"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"
import * as Cookies from "effect/http/Cookies"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type * as Http from "node:http"
import * as Https from "node:https"
import { type AddressInfo, Server, type Socket } from "node:net"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import * as Ash from "../../src/layers/Ash.ts"
import * as NodeHttpClient from "../../src/layers/nodeHttpClient.ts"
import * as UndiciClient from "../../src/layers/undiciClient.ts"
import { Health } from "../../src/services/Health.ts"
import { certificate } from "../support/certificate.ts"
import { serve } from "../support/ScriptedServer.ts"

const clients = [
  {
    name: "node:http",
    client: NodeHttpClient.layerOptions({}),
    trusting: NodeHttpClient.layerOptions({ ca: certificate.cert }),
    impatient: NodeHttpClient.layerOptions({}, 1),
    effects: EffectClients.layerNodeHttp
  },
  {
    name: "undici",
    client: UndiciClient.layerOptions({}),
    trusting: UndiciClient.layerOptions({ connect: { ca: certificate.cert } }),
    impatient: UndiciClient.layerOptions({ connect: { timeout: 1 } }),
    effects: EffectClients.layerUndici
  }
]

V8.setFlagsFromString("--expose_gc")
const collectGarbage: () => void = Vm.runInNewContext("gc")

const collected = <E>(bytes: Stream.Stream<Uint8Array, E>) => Effect.map(Stream.runCollect(bytes), Bytes.concat)

const plain = (headers: Http.OutgoingHttpHeaders, body: string | Uint8Array, status = 200): Http.RequestListener =>
(
  _,
  response
) => {
  response.sendDate = false
  response.writeHead(status, headers).end(body)
}

const pieces: Http.RequestListener = (_, response) => {
  response.sendDate = false
  response.writeHead(200, { trailer: "x-end" })
  for (let index = 0; index < 300; index++) response.write(`piece ${index};`)
  response.addTrailers({ "x-end": "1" })
  response.end()
}

const interim: Http.RequestListener = (_, response) => {
  response.sendDate = false
  response.writeProcessing()
  response.writeEarlyHints({ link: "</style.css>; rel=preload" }, () => response.end("behind"))
}

const short = (...headers: ReadonlyArray<string>): Http.RequestListener => ({ socket }) => {
  socket.write(["HTTP/1.1 200 OK", ...headers, "", "5\r\nabcde\r\n"].join("\r\n"), () => socket.destroy())
}

const switching: Http.RequestListener = ({ socket }) => {
  socket.end("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\nother")
}

const answers: ReadonlyArray<readonly [name: string, listener: Http.RequestListener]> = [
  ["JSON", plain({ "content-type": "application/json" }, `{"a":[1,"ä"]}`)],
  ["no JSON", plain({ "content-type": "application/json" }, `{"a":`)],
  ["a text with a mark", plain({ "content-type": "text/plain" }, "\ufeffä")],
  ["bytes that are no text", plain({}, Uint8Array.of(0xff, 0, 0xc3))],
  ["nothing", plain({ "content-length": 0 }, "")],
  ["no content", plain({}, "", 204)],
  ["a body where the Web has none", plain({}, `{"a":1}`, 205)],
  ["a status that the Web does not know", plain({}, `{"a":1}`, 999)],
  ["a failure", plain({ "x-one": "1" }, "no", 500)],
  ["a redirection", plain({ location: "/elsewhere" }, "", 307)],
  ["cookies", plain({ "set-cookie": ["a=1; Path=/", "b=2"] }, "")],
  ["a form", plain({ "content-type": "application/x-www-form-urlencoded" }, "a=1&b=%20&a=3")],
  [
    "a form of parts",
    plain(
      { "content-type": "multipart/form-data; boundary=x" },
      "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n"
    )
  ],
  ["small pieces and a trailer", pieces],
  ["interim answers", interim],
  ["less than it declares", short("content-length: 50")],
  ["a cut off piece", short("transfer-encoding: chunked")],
  ["what only the connection ends", (_, response) => response.writeHead(200, { connection: "close" }).end("all")],
  ["no answer", ({ socket }) => socket.destroy()]
]

type Response = HttpClientResponse.HttpClientResponse

const members: Record<string, (response: Response) => Effect.Effect<unknown, unknown>> = {
  status: ({ status }) => Effect.succeed(status),
  headers: ({ headers }) => Effect.succeed({ ...headers, date: undefined }),
  cookies: ({ cookies }) => Effect.succeed(Cookies.toCookieHeader(cookies)),
  text: ({ text }) => text,
  json: ({ json }) => json,
  arrayBuffer: ({ arrayBuffer }) => Effect.map(arrayBuffer, (bytes) => [...new Uint8Array(bytes)]),
  "arrayBuffer, twice": ({ arrayBuffer }) =>
    Effect.andThen(arrayBuffer, Effect.map(arrayBuffer, (all) => all.byteLength)),
  stream: ({ stream }) => Effect.map(collected(stream), (bytes) => [...bytes]),
  urlParamsBody: ({ urlParamsBody }) => urlParamsBody,
  formData: ({ formData }) => Effect.map(formData, (form) => [...form]),
  upgrade: ({ upgrade }) => upgrade
}

/** What a member is, or the tag of its failure. */
const outcome = (member: (response: Response) => Effect.Effect<unknown, unknown>, url: string) =>
  HttpClient.get(url).pipe(
    Effect.flatMap(member),
    Effect.mapError((error) => JSON.stringify(error, ["reason", "_tag"])),
    Effect.result,
    Effect.map(Result.merge)
  )

/** A server that answers the beginning of a body, with the number of connections that have ended. */
const beginning = Effect.gen(function*() {
  const begun = yield* Queue.unbounded<void>()
  const ended = yield* Queue.unbounded<void>()
  const url = yield* serve((request, response) => {
    response.on("close", () => Queue.offerUnsafe(ended, undefined))
    if (request.url === "/silent") Queue.offerUnsafe(begun, undefined)
    else response.writeHead(200).write("beginning", () => Queue.offerUnsafe(begun, undefined))
  })
  return { url, begun: Queue.take(begun), ended: Queue.take(ended) }
})

/** The address of a server for TLS, as long as the scope is open. */
const serveSecure = Effect.fnUntraced(function*(server: Server) {
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
      })
  )
  return `https://localhost:${(server.address() as AddressInfo).port}`
})

for (const { client, effects, impatient, name, trusting } of clients) {
  describe(`over ${name}`, () => {
    describe("an answer is as that of Effect's client", () => {
      for (const [name, listener] of answers) {
        it.live(name, () =>
          Effect.gen(function*() {
            const url = yield* serve(listener)
            for (const [name, member] of Object.entries(members)) {
              const expected = yield* Effect.provide(outcome(member, url), effects)
              assert.deepStrictEqual(yield* Effect.provide(outcome(member, url), client), expected, name)
            }
          }))
      }

      it.live("that changes the protocol is none", () =>
        Effect.gen(function*() {
          const { reason } = yield* Effect.flip(HttpClient.get(yield* serve(switching)))
          assert.strictEqual(reason._tag, "TransportError")
        }).pipe(Effect.provide(client)))

      it.live("where nothing listens", () =>
        Effect.gen(function*() {
          const error = yield* Effect.flip(HttpClient.get("http://127.0.0.1:1"))
          assert.strictEqual(error.reason._tag, "TransportError")
          assert.include(String(error.reason.cause), "ECONNREFUSED")
        }).pipe(Effect.provide(client)))
    })

    describe("the connection ends", () => {
      const interrupted: ReadonlyArray<
        readonly [when: string, path: string, use: (response: Response) => Effect.Effect<unknown, unknown>]
      > = [
        ["before the answer", "/silent", () => Effect.void],
        ["while the stream is read", "/", ({ stream }) => Stream.runDrain(stream)],
        ["while the text is read", "/", ({ text }) => text],
        ["while the answer is not read, with its scope", "/", () => Effect.never]
      ]
      for (const [when, path, use] of interrupted) {
        it.live(`where it is interrupted ${when}`, () =>
          Effect.gen(function*() {
            const { begun, ended, url } = yield* beginning
            const scoped = HttpClient.withScope(yield* HttpClient.HttpClient)
            const fiber = yield* Effect.forkChild(Effect.scoped(Effect.flatMap(scoped.get(url + path), use)))
            yield* begun
            yield* Fiber.interrupt(fiber)
            yield* ended
          }).pipe(Effect.provide(client)))
      }

      it.live("where only the beginning of the stream is read, before its scope does", () =>
        Effect.gen(function*() {
          const { ended, url } = yield* beginning
          const { stream } = yield* HttpClient.withScope(yield* HttpClient.HttpClient).get(url)
          yield* Stream.runHead(stream)
          yield* ended
        }).pipe(Effect.provide(client)))

      it.live("where nothing can read it any more", () =>
        Effect.gen(function*() {
          const { begun, ended, url } = yield* beginning
          yield* Effect.andThen(HttpClient.get(url), begun)
          const collect = Effect.forever(Effect.andThen(Effect.sync(collectGarbage), Effect.sleep("1 millis")))
          yield* Effect.race(ended, collect)
        }).pipe(Effect.provide(client)))

      it.live("with the layer", () =>
        Effect.gen(function*() {
          const { begun, ended, url } = yield* beginning
          yield* Effect.provide(Effect.andThen(HttpClient.get(url), begun), client)
          yield* ended
        }))
    })

    describe("a body", () => {
      it.live("is read no further ahead than its consumer lets it, and is whole", () =>
        Effect.gen(function*() {
          const piece = new Uint8Array(65_536).fill(7)
          const url = yield* serve((_, response) => {
            for (let index = 0; index < 400; index++) response.write(piece)
            response.end()
          })
          const { stream } = yield* HttpClient.get(url)
          const hash = createHash("sha256")
          let most = 0
          yield* Stream.runForEachArray(stream, (chunks) =>
            Effect.gen(function*() {
              for (const chunk of chunks) hash.update(chunk)
              most = Math.max(most, chunks.reduce((size, { length }) => size + length, 0))
              yield* Effect.repeat(Effect.yieldNow, { times: 20 })
            }))
          const expected = createHash("sha256")
          for (let index = 0; index < 400; index++) expected.update(piece)
          assert.strictEqual(hash.digest("hex"), expected.digest("hex"))
          // What had come before it waits, and one more read of the socket.
          assert.isAtMost(most, 2 * 65_536)
        }).pipe(Effect.provide(client)))

      it.live("ends for all that read it at once", () =>
        Effect.gen(function*() {
          const end = yield* Deferred.make<() => void>()
          const url = yield* serve((_, response) => {
            response.writeHead(200).flushHeaders()
            Deferred.doneUnsafe(end, Effect.succeed(() => response.end("all")))
          })
          const { stream } = yield* HttpClient.get(url)
          const reader = Effect.forkChild(collected(stream), { startImmediately: true })
          const readers = yield* Effect.all([reader, reader])
          const finish = yield* Deferred.await(end)
          finish()
          const read = yield* Effect.forEach(readers, Fiber.join)
          assert.strictEqual(read.reduce((size, { length }) => size + length, 0), 3)
        }).pipe(Effect.provide(client)))

      it.live("that breaks off is given up to there", () =>
        Effect.gen(function*() {
          const url = yield* serve(short("transfer-encoding: chunked"))
          const { stream } = yield* HttpClient.get(url)
          let text = ""
          const exit = yield* Effect.exit(Stream.runForEach(Stream.decodeText(stream), (piece) =>
            Effect.sync(() => {
              text += piece
            })))
          assert.isTrue(Exit.isFailure(exit))
          assert.strictEqual(text, "abcde")
        }).pipe(Effect.provide(client)))
    })

    describe("a body that is sent in pieces", () => {
      it.live("arrives", () =>
        Effect.gen(function*() {
          const url = yield* serve((request, response) => request.pipe(response))
          const body = Stream.fromIterable(["a", "b", "c"]).pipe(Stream.encodeText)
          const { text } = yield* HttpClient.post(url, { body: HttpBody.stream(body) })
          assert.strictEqual(yield* text, "abc")
        }).pipe(Effect.provide(client)))

      it.live("fails the request where it fails", () =>
        Effect.gen(function*() {
          const begun = yield* Deferred.make<void>()
          const ended = yield* Deferred.make<void>()
          const url = yield* serve((request) => {
            Deferred.doneUnsafe(begun, Effect.void)
            request.on("close", () => Deferred.doneUnsafe(ended, Effect.void)).resume()
          })
          const failing = Stream.fromEffect(Effect.andThen(Deferred.await(begun), Effect.fail("no more")))
          const body = Stream.encodeText(Stream.concat(Stream.succeed("a"), failing))
          const error = yield* Effect.flip(HttpClient.post(url, { body: HttpBody.stream(body) }))
          assert.strictEqual(error.reason._tag, "TransportError")
          assert.strictEqual(error.reason.cause, "no more")
          yield* Deferred.await(ended)
        }).pipe(Effect.provide(client)))

      it.live("that fails behind an interruption ends no process", () =>
        Effect.gen(function*() {
          const url = yield* serve((_, response) => response.end())
          // What is interrupted before it is connected is looked at once it is.
          const post = HttpClient.post(url, { body: HttpBody.stream(Stream.fail("no more")) })
          yield* Fiber.interrupt(yield* Effect.forkChild(post, { startImmediately: true }))
          yield* HttpClient.get(url)
        }).pipe(Effect.provide(client)))

      it.live("is released where the connection breaks", () =>
        Effect.gen(function*() {
          const released = yield* Deferred.make<void>()
          const url = yield* serve(({ socket }) => socket.destroy())
          const body = Stream.concat(Stream.succeed(Uint8Array.of(1)), Stream.never).pipe(
            Stream.ensuring(Deferred.done(released, Exit.void))
          )
          yield* Effect.flip(HttpClient.post(url, { body: HttpBody.stream(body) }))
          yield* Deferred.await(released)
        }).pipe(Effect.provide(client)))

      it.live("is released where it is answered before it is sent", () =>
        Effect.gen(function*() {
          const released = yield* Deferred.make<void>()
          const url = yield* serve((_, response) => response.writeHead(413).end("too large"))
          const body = Stream.forever(Stream.succeed(new Uint8Array(65_536))).pipe(
            Stream.ensuring(Deferred.done(released, Exit.void))
          )
          const { status, text } = yield* HttpClient.post(url, { body: HttpBody.stream(body) })
          assert.deepStrictEqual([status, yield* text], [413, "too large"])
          yield* Deferred.await(released)
        }).pipe(Effect.provide(client)))

      it.live("of another kind is refused", () =>
        Effect.gen(function*() {
          const request = HttpClientRequest.post("http://127.0.0.1:1")
          for (const body of [HttpBody.raw("a"), HttpBody.formData(new FormData())]) {
            const { reason } = yield* Effect.flip(HttpClient.execute(HttpClientRequest.setBody(request, body)))
            assert.strictEqual(reason._tag, "EncodeError")
          }
        }).pipe(Effect.provide(client)))
    })

    describe("TLS", () => {
      it.live("is that of Node", () =>
        Effect.gen(function*() {
          const url = yield* serveSecure(new Https.Server(certificate, (_, response) => response.end("secure")))
          const get = Effect.flatMap(HttpClient.get(url), ({ text }) => text)
          assert.strictEqual(yield* Effect.provide(get, trusting), "secure")
          const { reason } = yield* Effect.flip(Effect.provide(get, client))
          assert.include(JSON.stringify(reason.cause), "DEPTH_ZERO_SELF_SIGNED_CERT")
        }))

      it.live("that is not established carries nothing, whatever breaks it", () =>
        Effect.gen(function*() {
          const reasonAt = (url: string, over = trusting) =>
            Effect.flatMap(Health, ({ get }) => Effect.flip(get())).pipe(
              Effect.map(({ reason }) => reason._tag),
              Effect.provide(Ash.layerWithClient({ url, retry: { times: 0 } }).pipe(Layer.provide(over)))
            )
          const breaking = (breaks: (socket: Socket) => void) =>
            Effect.flatMap(
              serveSecure(new Server((socket) => socket.once("data", () => breaks(socket)))),
              (url) => reasonAt(url)
            )
          assert.strictEqual(yield* breaking((socket) => socket.resetAndDestroy()), "NotReached")
          assert.strictEqual(yield* breaking((socket) => socket.end("what is no TLS")), "NotReached")
          const silent = yield* serveSecure(new Server((socket) => socket.resume()))
          assert.strictEqual(yield* reasonAt(silent, impatient), "NotReached")
          const established = yield* serveSecure(new Https.Server(certificate, ({ socket }) => socket.destroy()))
          assert.strictEqual(yield* reasonAt(established), "ConnectionLost")
        }))
    })
  })
}

describe("a tunnel through a proxy", () => {
  it.live("is closed where the request is interrupted before it is open", () =>
    Effect.gen(function*() {
      const asked = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const proxy = yield* serve(constVoid, (_, socket) => {
        socket.on("end", () => socket.end(() => Deferred.doneUnsafe(ended, Effect.void))).resume()
        Deferred.doneUnsafe(asked, Effect.void)
      })
      const options = { keepAlive: true, proxyEnv: { HTTPS_PROXY: proxy } }
      const get = Effect.provide(HttpClient.get("https://ash.invalid"), NodeHttpClient.layerOptions(options))
      const fiber = yield* Effect.forkChild(get)
      yield* Deferred.await(asked)
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(ended)
    }))
})

describe("an agent with a limit", () => {
  it.live("opens a connection for a request that has waited, which one that is interrupted behind it does not close", () =>
    Effect.gen(function*() {
      const asked = yield* Queue.unbounded<Http.ServerResponse>()
      const url = yield* serve((_, response) => Queue.offerUnsafe(asked, response))
      yield* Effect.gen(function*() {
        const get = Effect.flatMap(HttpClient.get(url), ({ text }) => text)
        const ask = Effect.forkChild(get, { startImmediately: true })
        const first = yield* ask
        yield* Queue.take(asked)
        const second = yield* ask
        yield* Fiber.interrupt(first)
        const answer = yield* Queue.take(asked)
        yield* Fiber.interrupt(yield* ask)
        answer.end("second")
        assert.strictEqual(yield* Fiber.join(second), "second")
      }).pipe(Effect.provide(NodeHttpClient.layerOptions({ maxSockets: 1 })))
    }))
})
