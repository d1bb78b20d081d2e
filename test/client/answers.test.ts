import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Http from "node:http"
import * as Zlib from "node:zlib"
import * as RequestOptions from "../../src/client/RequestOptions.ts"
import * as Ash from "../../src/layers/Ash.ts"
import * as AshNode from "../../src/layers/AshNode.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { type ClientName, clientNames, clients } from "../support/clients.ts"
import { noSession, session, sessionId } from "../support/fixtures.ts"
import { answering, frames, serve } from "../support/ScriptedServer.ts"

const connect = Effect.fnUntraced(function*(client: ClientName, url: string) {
  const options = { url, apiKey: Redacted.make("key"), retry: { times: 0 } }
  return Context.get(yield* Layer.build(clients[client](options)), AshClient)
})

const json = { "content-type": "application/json" }
const bytes = (text: string) => new TextEncoder().encode(text)

type Encode = (content: Uint8Array) => Uint8Array

interface Coding {
  readonly header: string
  readonly encode: Encode
  /** The clients that can't decode it. */
  readonly unknownTo?: ReadonlyArray<ClientName>
}

const codings: ReadonlyArray<Coding> = [
  { header: "identity", encode: (content) => content },
  { header: "gzip", encode: Zlib.gzipSync },
  { header: "x-gzip", encode: Zlib.gzipSync },
  { header: "GZip", encode: Zlib.gzipSync },
  { header: "deflate", encode: Zlib.deflateSync },
  { header: "deflate", encode: Zlib.deflateRawSync },
  { header: "br", encode: Zlib.brotliCompressSync },
  { header: "zstd", encode: Zlib.zstdCompressSync },
  { header: "gzip, br", encode: (content) => Zlib.brotliCompressSync(Zlib.gzipSync(content)) },
  { header: "br, identity,gzip", encode: (content) => Zlib.gzipSync(Zlib.brotliCompressSync(content)) },
  { header: "compress", encode: (content) => content, unknownTo: clientNames },
  { header: "gzip, compress", encode: Zlib.gzipSync, unknownTo: clientNames }
]

const text = "The content of a file, which is long enough to be compressed. ".repeat(40)

describe.each(clientNames)("an answer with a content coding (%s)", (client) => {
  const each = codings.map((coding) => [coding.header, coding, coding.unknownTo?.includes(client) === true] as const)

  /** Asks a server that answers with a content in a coding. */
  const ask = <A>(
    { encode, header }: Coding,
    content: string,
    headers: Http.OutgoingHttpHeaders,
    status: number,
    use: (services: AshClient["Service"]) => Effect.Effect<A, AshError>
  ) =>
    Effect.gen(function*() {
      const body = encode(bytes(content))
      const url = yield* answering((request, response) => {
        assert.strictEqual(request.headers["accept-encoding"], "identity")
        response.writeHead(status, { ...headers, "content-encoding": header, "content-length": body.length }).end(body)
      })
      return yield* use(yield* connect(client, url))
    })

  const assertNamed = (error: AshError, { header }: Coding) => {
    assert.strictEqual(error.reason._tag, "Undecodable")
    assert.include(error.message, header.split(", ").at(-1) ?? header)
  }

  it.live.each(each)("%s: JSON", ([, coding, isUnknown]) =>
    Effect.gen(function*() {
      const call = ask(coding, JSON.stringify({ session }), json, 200, ({ sessions }) => sessions.get(sessionId))
      if (isUnknown) assertNamed(yield* Effect.flip(call), coding)
      else assert.strictEqual((yield* call).id, sessionId)
    }))

  it.live.each(each)("%s: an error", ([, coding, isUnknown]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        ask(coding, "{\"error\":\"Session not found\"}", json, 404, ({ sessions }) => sessions.get(sessionId))
      )
      if (isUnknown) assertNamed(error, coding)
      else assert.strictEqual(error.message, "Sessions.get: Session not found (404)")
    }))

  it.live.each(each)(
    "%s: a file, whose size is that of its content",
    ([, coding, isUnknown]) =>
      Effect.gen(function*() {
        const call = ask(coding, text, { "content-type": "text/plain" }, 200, ({ sessionFiles }) =>
          Effect.scoped(Effect.gen(function*() {
            const { content, size } = yield* sessionFiles.read(sessionId, "a.txt")
            const read = yield* content.pipe(Stream.decodeText, Stream.mkString)
            assert.include([undefined, bytes(read).length], size)
            if (coding.header === "identity") {
              assert.strictEqual(size, bytes(text).length)
            }
            return read
          })))
        if (isUnknown) {
          assertNamed(yield* Effect.flip(call), coding)
        } else assert.strictEqual(yield* call, text)
      })
  )

  it.live.each(each)("%s: a turn", ([, coding, isUnknown]) =>
    Effect.gen(function*() {
      const content = frames(["session_start", { sessionId }], ["done", { sessionId }])
      const call = ask(coding, content, { "content-type": "text/event-stream" }, 200, ({ messages }) =>
        Stream.runCollect(messages.send(sessionId, "hello")))
      if (isUnknown) {
        assertNamed(yield* Effect.flip(call), coding)
      } else {assert.deepStrictEqual(
          (yield* call).map(({ _tag }) =>
            _tag
          ),
          ["SessionStart", "Done"]
        )}
    }))

  const read = ({ sessionFiles }: AshClient["Service"]) => sessionFiles.readText(sessionId, "a.txt")

  it.live.each(["gzip", "deflate", "br", "gzip, br", "identity, gzip"])(
    "%s: a lie, or cut short",
    (header) =>
      Effect.gen(function*() {
        const encode = codings.find((coding) => header.endsWith(coding.header))?.encode ?? assert.fail()
        const cut: Encode = (content) => encode(content).subarray(0, 40)
        const lie: Encode = (content) => content
        const get = ({ sessions }: AshClient["Service"]) => sessions.get(sessionId)
        for (const encode of [lie, cut]) {
          const ways: ReadonlyArray<
            readonly [number, (ash: AshClient["Service"]) => Effect.Effect<unknown, AshError>]
          > = [[200, get], [404, get], [500, get], [200, read]]
          for (const [status, use] of ways) {
            // Node's fetch decodes what is cut short as if it were whole, and reads anything as a deflate.
            if (
              client === "fetch" && (use === read || status !== 200) && (encode === cut || header === "deflate")
            ) continue
            // What another fetch may have decoded by itself is told from what it has not by its start.
            if (client === "fetch" && encode === lie && header === "identity, gzip") continue
            const error = yield* Effect.flip(ask({ header, encode }, JSON.stringify({ session }), json, status, use))
            assert.strictEqual(error.reason._tag, status === 500 ? "ServerFailure" : "Undecodable")
            assert.isFalse(error.nothingHappened)
            if (client !== "fetch" || encode === lie && header !== "deflate") {
              assert.include(error.message, header.slice(-2))
            }
          }
        }
      })
  )

  it.live.each(each.filter(([, , isUnknown]) => !isUnknown))(
    "%s: a turn that is cut short anywhere is truncated, whatever the coding",
    ([, { encode, header }]) =>
      Effect.gen(function*() {
        const content = encode(bytes(frames(["session_start", { sessionId }], ["done", { sessionId }])))
        let length = 0
        const url = yield* answering((_, response) => {
          response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": header })
          response.end(content.subarray(0, length))
        })
        const { messages } = yield* connect(client, url)
        const send = Stream.runCollect(messages.send(sessionId, "hello")).pipe(
          Effect.updateService(RequestOptions.RequestOptions, RequestOptions.merge({ exclusive: false }))
        )
        for (; length <= content.length; length += 5) {
          const turn = yield* Effect.result(send)
          if (Result.isFailure(turn)) assert.strictEqual(turn.failure.reason._tag, "StreamTruncated", `${length}`)
          else assert.strictEqual(turn.success.at(-1)?._tag, "Done")
          if (length < content.length / 2) assert.isTrue(Result.isFailure(turn))
        }
      })
  )

  it.live("more codings than are decoded are named, or decoded all the same", () =>
    Effect.gen(function*() {
      const header = Array.from({ length: 6 }, () => "gzip").join(", ")
      const encode: Encode = (content) => header.split(", ").reduce<Uint8Array>((all) => Zlib.gzipSync(all), content)
      const call = ask({ header, encode }, text, {}, 200, read)
      if (client !== "fetch") assert.strictEqual(yield* call, text)
      else {
        const error = yield* Effect.flip(call)
        assert.strictEqual(error.reason._tag, "Undecodable")
        assert.include(error.message, "content-encodings")
      }
    }))

  it.live.each<readonly [string, Encode]>([
    [
      "several members",
      (content) => Buffer.concat([content.subarray(0, 100), content.subarray(100)].map((part) => Zlib.gzipSync(part)))
    ],
    ["zeros behind it", (content) => Buffer.concat([Zlib.gzipSync(content), Buffer.alloc(512)])],
    ["an empty member", (content) => Buffer.concat([Zlib.gzipSync(""), Zlib.gzipSync(content)])]
  ])(
    "gzip with %s",
    ([, encode]) =>
      Effect.map(ask({ header: "gzip", encode }, text, {}, 200, read), (received) => assert.strictEqual(received, text))
  )

  // Node's fetch reads the first frame alone, as if it were whole.
  if (client !== "fetch") {
    it.live("zstd with several frames is broken, not cut short without a word", () =>
      Effect.gen(function*() {
        const skippable = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7)
        const encodings: ReadonlyArray<Encode> = [
          (content) =>
            Buffer.concat([content.subarray(0, 9), content.subarray(9)].map((part) => Zlib.zstdCompressSync(part))),
          (content) => Buffer.concat([Zlib.zstdCompressSync(""), Zlib.zstdCompressSync(content)]),
          (content) => Buffer.concat([skippable, Zlib.zstdCompressSync(content)])
        ]
        for (const encode of encodings) {
          const error = yield* Effect.flip(ask({ header: "zstd", encode }, text, {}, 200, read))
          assert.strictEqual(error.reason._tag, "Undecodable")
          assert.include(error.message, "zstd")
        }
      }))
  }

  // Node's fetch decodes by itself, and drops what it has not given out when the connection breaks.
  if (client !== "fetch") {
    it.live.each(each.filter(([, , isUnknown]) => !isUnknown))(
      "%s: a turn that has arrived is whole, though the connection breaks behind it",
      ([, { encode, header }]) =>
        Effect.gen(function*() {
          const content = encode(bytes(frames(["session_start", { sessionId }], ["done", { sessionId }])))
          const url = yield* answering(({ socket }, response) => {
            response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": header })
            response.write(content, () => socket.resetAndDestroy())
          })
          const { messages } = yield* connect(client, url)
          assert.strictEqual((yield* Stream.runCollect(messages.send(sessionId, "hello"))).at(-1)?._tag, "Done")
        })
    )
  }

  const flushing = [
    ["gzip", () => Zlib.createGzip()],
    ["deflate", () => Zlib.createDeflate()],
    ["br", () => Zlib.createBrotliCompress()]
  ] as const

  it.live.each(flushing)("%s: each event of a turn arrives as it is sent", ([header, make]) =>
    Effect.gen(function*() {
      const went = yield* Queue.unbounded<() => void>()
      const url = yield* answering((_, response) => {
        response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": header })
        const encoder = make()
        encoder.pipe(response)
        const say = (frame: string) => {
          encoder.write(frame)
          encoder.flush(() => {})
        }
        say(frames(["session_start", { sessionId }]))
        Queue.offerUnsafe(went, () => say(frames(["text_delta", { delta: "a" }])))
        Queue.offerUnsafe(went, () => encoder.end(frames(["done", { sessionId }])))
      })
      const { messages } = yield* connect(client, url)
      const tags: Array<string> = []
      // The next event is sent when the one before it was received.
      yield* Stream.runForEach(messages.send(sessionId, "hello", { includePartialMessages: true }), ({ _tag }) =>
        Effect.gen(function*() {
          tags.push(_tag)
          if (_tag !== "Done") {
            ;(yield* Queue.take(went))()
          }
        }))
      assert.deepStrictEqual(tags, ["SessionStart", "TextDelta", "Done"])
    }))
})

describe("a content that fetch leaves coded, in small chunks", () => {
  const headers = ["identity, gzip", "compress, gzip", "identity, zstd", "gzip, identity"]
  const cases = headers.flatMap((header) =>
    [1, 2, 3, 5].flatMap((size) => [0, 1, 3].map((empty) => [header, size, empty] as const))
  )

  /** A fetch that has decoded nothing, or all, and answers so much at a time. */
  const fetchOf = (header: string, content: Uint8Array, size: number, empty: number) => () => {
    const pieces = [
      ...Array.from({ length: empty }, () => new Uint8Array()),
      ...Array.from({ length: Math.ceil(content.length / size) }, (_, at) => content.slice(at * size, (at + 1) * size))
    ]
    const body = new ReadableStream({
      pull: (controller) => {
        const piece = pieces.shift()
        if (piece === undefined) controller.close()
        else controller.enqueue(piece)
      }
    })
    const response = new Response(body, { headers: { "content-encoding": header } })
    return Promise.resolve(Object.defineProperty(response, "url", { value: "http://ash.test" }))
  }

  const readBy = (fetch: typeof globalThis.fetch) =>
    Effect.flatMap(AshClient, ({ sessionFiles }) => sessionFiles.readText(sessionId, "a.txt")).pipe(
      Effect.provide(
        Ash.layer({ url: "http://localhost", retry: { times: 0 } }).pipe(
          Layer.provide([Layer.succeed(FetchHttpClient.Fetch, fetch), AshNode.contentDecoding])
        )
      )
    )

  it.effect.each(cases)(
    "%s, %i bytes at a time behind %i times none",
    ([header, size, empty]) =>
      Effect.gen(function*() {
        const encode = header.includes("zstd") ? Zlib.zstdCompressSync : Zlib.gzipSync
        for (const content of [text, "x", ""]) {
          const coded = yield* Effect.exit(readBy(fetchOf(header, encode(bytes(content)), size, empty)))
          if (header.includes("compress") && content !== "") assert.isTrue(Exit.isFailure(coded))
          else assert.deepStrictEqual(coded, Exit.succeed(content))
          // One that has decoded it all, as others do.
          if (!header.includes("compress")) {
            assert.strictEqual(yield* readBy(fetchOf(header, bytes(content), size, empty)), content)
          }
        }
      })
  )
})

describe.each(clientNames)("what is taken in of an answer (%s)", (client) => {
  const limit = 100_000
  const piece = "x".repeat(10_000)

  /** A server that sends without end, as it is or compressed, and tells how much it has sent. */
  const endless = (status: number, headers: Http.OutgoingHttpHeaders, isCompressed: boolean) =>
    Effect.gen(function*() {
      const closed = yield* Queue.unbounded<void>()
      const url = yield* answering((_, response) => {
        response.writeHead(status, { ...headers, ...isCompressed ? { "content-encoding": "gzip" } : {} })
        const body = isCompressed ? Zlib.createGzip({ level: 1 }) : response
        if (body !== response) body.pipe(response)
        const write = () => {
          if (!response.destroyed && body.write(piece)) setImmediate(write)
        }
        body.on("drain", write)
        response.on("close", () => {
          body.destroy()
          Queue.offerUnsafe(closed, undefined)
        })
        write()
      })
      return { closed, url }
    })

  const cases = [false, true]

  it.live.each(cases)("JSON (compressed: %s)", (isCompressed) =>
    Effect.gen(function*() {
      const { closed, url } = yield* endless(200, json, isCompressed)
      const { sessions } = yield* connect(client, url)
      const error = yield* Effect.flip(sessions.get(sessionId)).pipe(
        Effect.updateService(RequestOptions.RequestOptions, RequestOptions.merge({ responseLimits: { body: limit } }))
      )
      assert.strictEqual(error.reason._tag, "Undecodable")
      assert.include(error.message, `${limit} bytes`)
      yield* Queue.take(closed)
    }))

  it.live.each(cases)("a file as text (compressed: %s)", (isCompressed) =>
    Effect.gen(function*() {
      const { closed, url } = yield* endless(200, { "content-type": "text/plain" }, isCompressed)
      const { sessionFiles } = yield* connect(client, url)
      const error = yield* Effect.flip(sessionFiles.readText(sessionId, "a.txt")).pipe(
        Effect.updateService(RequestOptions.RequestOptions, RequestOptions.merge({ responseLimits: { text: limit } }))
      )
      assert.strictEqual(error.reason._tag, "Undecodable")
      assert.include(error.message, `${limit} bytes`)
      yield* Queue.take(closed)
    }))

  it.live.each(cases)("an error (compressed: %s)", (isCompressed) =>
    Effect.gen(function*() {
      const { closed, url } = yield* endless(404, { "content-type": "text/plain" }, isCompressed)
      const { sessions } = yield* connect(client, url)
      const { reason } = yield* Effect.flip(sessions.get(sessionId))
      assert.strictEqual(reason._tag, "Undecodable")
      yield* Queue.take(closed)
    }))
})

describe.each(clientNames)("the type and the status of an answer (%s)", (client) => {
  const turn = frames(["session_start", { sessionId }], ["done", { sessionId }])

  const send = (status: number, contentType: string | ReadonlyArray<string> | undefined, body: string) =>
    Effect.gen(function*() {
      const url = yield* answering((_, response) => {
        if (contentType !== undefined) response.setHeader("content-type", contentType)
        response.writeHead(status).end(body)
      })
      const { messages } = yield* connect(client, url)
      return yield* Stream.runCollect(messages.send(sessionId, "hello"))
    })

  it.live.each([
    "text/event-stream",
    "Text/Event-Stream; Charset=UTF-8",
    "TEXT/EVENT-STREAM",
    "text/event-stream;charset=utf-8",
    "text/event-stream, text/event-stream; charset=utf-8",
    "text/event-stream; x=\"a,b\"",
    "text/event-stream ; x=\"a;b\"",
    "text/event-stream; x=\"a\\\"b,c\"",
    // Without its end, a quoted value goes to the end of the header, as in browsers.
    "text/event-stream; x=\"a,b"
  ])("%s is an event stream", (type) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* send(200, type, turn)).length, 2)
    }))

  it.live.each<readonly [type: string | undefined, body: string]>([
    ["text/event-streaming", "event: x"],
    ["text/event-stream,text/html", "event: x"],
    ["text/html, text/event-stream", "event: x"],
    ["text/event-stream-x", "data: 1"],
    ["application/json", "{\"error\":\"the proxy's word\"}"],
    ["text/html", "<h1>the proxy's word</h1>"],
    ["image/png; a=event-stream", "plain"],
    [undefined, "no type"]
  ])("%s is none, and the start of its body is kept", ([type, body]) =>
    Effect.gen(function*() {
      const { reason } = yield* Effect.flip(send(200, type, body))
      assert.strictEqual(reason._tag, "Undecodable")
      // The word "text" is in what was sent, and so redacted.
      assert.include(reason.message, type?.replace(/^text/, "") ?? "of no type")
      assert.strictEqual(reason.http?.body, body)
      assert.strictEqual(reason.http?.status, 200)
    }))

  it.live("an event stream by one header and something else by another is none", () =>
    Effect.gen(function*() {
      const { reason } = yield* Effect.flip(send(200, ["text/event-stream", "text/html"], turn))
      assert.strictEqual(reason._tag, "Undecodable")
    }))

  it.live.each([204, 205])("%d is a file without content", (status) =>
    Effect.gen(function*() {
      const url = yield* answering((_, response) => response.writeHead(status).end())
      const { sessionFiles } = yield* connect(client, url)
      assert.strictEqual(yield* sessionFiles.readText(sessionId, "a.txt"), "")
    }))

  it.live.each([200, 201, 202, 203, 207, 226])(
    "%d is a success, whatever the endpoint declares",
    (status) =>
      Effect.gen(function*() {
        const url = yield* answering((request, response) => {
          const isFile = request.url?.includes("/files/") === true
          const body = isFile ? text : request.method === "DELETE" ? "" : JSON.stringify({ session })
          response.writeHead(status, isFile ? {} : json).end(body)
        })
        const { attachments, sessionFiles, sessions } = yield* connect(client, url)
        assert.strictEqual((yield* sessions.get(sessionId)).id, sessionId)
        assert.strictEqual((yield* sessions.create({ agent: "demo" })).id, sessionId)
        assert.strictEqual(yield* sessionFiles.readText(sessionId, "a.txt"), text)
        yield* attachments.delete("0b1e0000-0000-4000-8000-000000000000")
        assert.strictEqual((yield* send(status, "text/event-stream", turn)).length, 2)
      })
  )

  it.live("a deletion may be answered with any JSON, which is ignored", () =>
    Effect.gen(function*() {
      let body = ""
      const url = yield* answering((_, response) => response.writeHead(200, json).end(body))
      const { agentVersions, apiKeys, attachments, credentials, evals } = yield* connect(client, url)
      const deletions = [
        agentVersions.delete("demo", 1),
        apiKeys.delete("env"),
        attachments.delete(sessionId),
        credentials.delete("c1"),
        evals.deleteCase("demo", sessionId)
      ]
      for (body of ["", "null", "{}", "{\"ok\":true}", "[]", "\"deleted\"", " {} \n"]) {
        yield* Effect.all(deletions, { discard: true })
      }
      for (body of ["<html>Log in</html>", "OK", "{\"ok\":tr"]) {
        for (const deletion of deletions) {
          assert.strictEqual((yield* Effect.flip(deletion)).reason._tag, "Undecodable")
        }
      }
    }))

  it.live.each([203, 206, 299])(
    "%d with another body is none, under its own number",
    (status) =>
      Effect.gen(function*() {
        const url = yield* answering((_, response) => response.writeHead(status, json).end("{}"))
        const { sessions } = yield* connect(client, url)
        const { reason } = yield* Effect.flip(sessions.get(sessionId))
        assert.strictEqual(reason._tag, "Undecodable")
        assert.strictEqual(reason.http?.status, status)
        assert.notInclude(reason.message, "error")
      })
  )
})

describe.each(clientNames)("an attempt that fails (%s)", (client) => {
  it.live("keeps no socket while the call is repeated, nor after it", () =>
    Effect.gen(function*() {
      const closed = yield* Queue.unbounded<number>()
      const asked = yield* Queue.unbounded<Http.ServerResponse>()
      let attempts = 0
      const url = yield* answering((_, response) => {
        const attempt = ++attempts
        response.on("close", () => Queue.offerUnsafe(closed, attempt))
        Queue.offerUnsafe(asked, response)
      })
      const { sessionFiles } = yield* connect(client, url)
      // The scope of the file stays open: what failed must not wait for its end.
      const fiber = yield* Effect.forkChild(
        sessionFiles.read(sessionId, "a.txt").pipe(
          RequestOptions.withTimeout("200 millis"),
          RequestOptions.withRetry({ times: 1, delay: "1 millis" })
        )
      )
      yield* Queue.take(asked)
      assert.strictEqual(yield* Queue.take(closed), 1)
      const second = yield* Queue.take(asked)
      second.writeHead(200, { "content-type": "text/plain" }).end("second")
      const { content } = yield* Fiber.join(fiber)
      assert.strictEqual(yield* content.pipe(Stream.decodeText, Stream.mkString), "second")
    }).pipe(Effect.scoped))

  it.live.each<readonly [status: number, start: string, tag: string, says: string]>([
    [404, "", "Undecodable", "did not come to an end"],
    [404, "{\"error\":\"Session not fo", "Undecodable", "did not come to an end"],
    [404, "{\"error\":\"Session not found\"}", "NotFound", "Session not found"],
    [401, "", "Unauthorized", "did not come to an end"],
    [500, "<h1>", "ServerFailure", "did not come to an end"]
  ])(
    "with %i, whose body %j has no end, keeps the status and no socket",
    ([status, start, tag, says]) =>
      Effect.gen(function*() {
        const closed = yield* Queue.unbounded<void>()
        const url = yield* answering((_, response) => {
          response.on("close", () => Queue.offerUnsafe(closed, undefined))
          response.writeHead(status, json)
          response.flushHeaders()
          response.write(start)
        })
        const { messages, sessions } = yield* connect(client, url)
        for (const call of [sessions.get(sessionId), Stream.runDrain(messages.send(sessionId, "hello"))]) {
          const { reason } = yield* Effect.flip(Effect.asVoid(call))
          assert.strictEqual(reason._tag, tag)
          assert.strictEqual(reason.http?.status, status)
          assert.include(reason.message, says)
          yield* Queue.take(closed)
        }
      }),
    { concurrent: true }
  )

  it.live("keeps none of an answer that is no stream of events", () =>
    Effect.gen(function*() {
      const closed = yield* Queue.unbounded<void>()
      const url = yield* answering((_, response) => {
        response.on("close", () => Queue.offerUnsafe(closed, undefined))
        response.writeHead(200, { "content-type": "text/html" }).write("<h1>Log in</h1>")
      })
      const { messages } = yield* connect(client, url)
      const { reason } = yield* Effect.flip(Stream.runDrain(messages.send(sessionId, "hello")))
      assert.strictEqual(reason.http?.body, "<h1>Log in</h1>")
      yield* Queue.take(closed)
    }).pipe(Effect.scoped))

  it.live("takes no page of a proxy for a file, and gives out a page that is one", () =>
    Effect.gen(function*() {
      const page = "<h1>Log in</h1>"
      const file = { "content-disposition": "attachment; filename*=UTF-8''page.html" }
      const url = yield* answering((request, response) => {
        const isFile = request.url?.includes("page.html") === true
        response.writeHead(200, { "content-type": "text/html; charset=utf-8", ...isFile ? file : {} }).end(page)
      })
      const { attachments, sessionFiles, workspaces } = yield* connect(client, url)
      const { content } = yield* sessionFiles.read(sessionId, "page.html")
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(content)), page)
      for (
        const download of [
          sessionFiles.read(sessionId, "a"),
          workspaces.download(sessionId),
          attachments.download(sessionId)
        ]
      ) {
        const { reason } = yield* Effect.flip(download)
        assert.strictEqual(reason._tag, "Undecodable")
        assert.strictEqual(reason.http?.body, page)
      }
    }).pipe(Effect.scoped))

  it.live.each([408, 425, 500, 503])(
    "with %d is repeated where that does nothing twice",
    (status) =>
      Effect.gen(function*() {
        const methods: Array<string | undefined> = []
        const url = yield* answering((request, response) => {
          methods.push(request.method)
          if (methods.filter((method) => method === "GET").length < 2) response.writeHead(status).end()
          else response.writeHead(200, json).end(JSON.stringify({ session }))
        })
        const { messages, sessions } = yield* connect(client, url)
        const patient = RequestOptions.withRetry({ times: 2, delay: "1 millis" })
        const error = yield* Effect.flip(patient(Stream.runDrain(messages.send(sessionId, "hello"))))
        assert.strictEqual(error.reason._tag, "ServerFailure")
        assert.isFalse(error.nothingHappened)
        assert.strictEqual((yield* patient(sessions.get(sessionId))).id, sessionId)
        assert.deepStrictEqual(methods, ["POST", "GET", "GET"])
      })
  )
})

describe.each(Object.entries({
  fetch: FetchHttpClient.layer,
  "node:http": NodeHttpClient.layerNodeHttp,
  undici: NodeHttpClient.layerUndici
}))("a custom client that takes a status for a failure (%s)", (_, transport) => {
  it.live("reports the server's message, and sends nothing again", () =>
    Effect.gen(function*() {
      const asked: Array<string | undefined> = []
      const url = yield* serve((request, response) => {
        request.resume()
        asked.push(`${request.method} ${request.url}`)
        const [status, error] = request.method === "GET" ? [404, "Session not found"] : [400, "Session is paused"]
        response.writeHead(request.url?.includes(noSession) === true ? 404 : status, json).end(
          JSON.stringify({ error })
        )
      })
      const own = Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, HttpClient.filterStatusOk))
      const layer = Ash.layerWithClient({ url }).pipe(Layer.provide(own), Layer.provide(transport))
      const { messages, sessionFiles, sessions } = Context.get(yield* Layer.build(layer), AshClient)
      const error = yield* Effect.flip(sessions.get(sessionId))
      assert.strictEqual(error.message, "Sessions.get: Session not found (404)")
      assert.strictEqual((yield* Effect.flip(sessionFiles.readText(sessionId, "a.txt"))).reason._tag, "NotFound")
      const { reason } = yield* Effect.flip(Stream.runDrain(messages.send(sessionId, "hello")))
      assert.strictEqual(reason._tag, "WrongState")
      assert.deepStrictEqual([...new Set(asked)], asked)
    }))
})

it.live("the decoder of the platform, without AshNode.contentDecoding, fails at several members", () =>
  Effect.gen(function*() {
    const url = yield* answering((_, response) =>
      response.writeHead(200, { ...json, "content-encoding": "gzip" }).end(
        Buffer.concat(["{", "}"].map((part) => Zlib.gzipSync(part)))
      )
    )
    const layer = Ash.layerWithClient({ url }).pipe(Layer.provide(NodeHttpClient.layerUndici))
    const { sessions } = Context.get(yield* Layer.build(layer), AshClient)
    assert.strictEqual((yield* Effect.flip(sessions.get(sessionId))).reason._tag, "Undecodable")
  }))
