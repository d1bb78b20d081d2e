import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { AshApiClient } from "../../src/client/AshApiClient.ts"
import * as Ash from "../../src/layers/Ash.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { Attachments } from "../../src/services/Attachments.ts"
import { type NewSessionFile, SessionFiles } from "../../src/services/SessionFiles.ts"
import { Workspaces } from "../../src/services/Workspaces.ts"
import { clientNames, clients } from "../support/clients.ts"
import { sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

/** Bytes of which no part is like another. */
const bytesOf = (size: number) =>
  Uint8Array.from({ length: size }, (_, index) => (index * 2_654_435_761) >>> 24 ^ index)

/** Around the sizes from which on contents go out in pieces, and at which a piece ends. */
const sizes = [0, 1, 786_432, 786_433, 786_434, 835_584, 835_585, 2_000_000]

const base64Of = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64")

const [one, two, three] = [bytesOf(900_000), bytesOf(900_001), bytesOf(900_002)]

type Send = Effect.Effect<unknown, AshError, Ash.AshServices>

const write = (files: ReadonlyArray<NewSessionFile>): Send =>
  Effect.flatMap(SessionFiles, ({ write }) => write(sessionId, files, { targetPath: "b" }))

/** A body that is read by its schema: it has its bytes from its class, and what is no part of it cannot be read. */
class Bundled {
  readonly bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
    Object.defineProperty(this, "parent", {
      enumerable: true,
      get: () => {
        throw new Error("there is none")
      }
    })
  }
  get bundle() {
    return this.bytes
  }
}

/** Whatever stands in a body for a content while it is made, such a text is none. */
const text = "effect-ash:0.5"

const uploads: ReadonlyArray<readonly [what: string, send: Send, body: unknown]> = [
  ...sizes.map((size): readonly [string, Send, unknown] => [
    `a file of ${size} bytes`,
    write([{ path: "a", content: bytesOf(size) }]),
    { files: [{ path: "a", content: base64Of(bytesOf(size)) }], targetPath: "b" }
  ]),
  [
    "files large and small, of which one comes in pieces of other sizes",
    write([
      { path: "0", content: one },
      { path: "1", content: "größer" },
      {
        path: "2",
        content: Stream.map(Stream.range(0, 900), (index) => two.subarray(index * 1_000, (index + 1) * 1_000))
      },
      { path: text, content: three }
    ]),
    {
      files: [
        { path: "0", content: base64Of(one) },
        { path: "1", content: base64Of(Buffer.from("größer")) },
        { path: "2", content: base64Of(two) },
        { path: text, content: base64Of(three) }
      ],
      targetPath: "b"
    }
  ],
  ["a bundle", Effect.flatMap(Workspaces, ({ upload }) => upload(sessionId, two)), { bundle: base64Of(two) }],
  [
    "a bundle of a class",
    Effect.flatMap(
      AshApiClient,
      ({ workspaces }) => workspaces.upload({ params: { id: sessionId }, payload: new Bundled(two) })
    ),
    { bundle: base64Of(two) }
  ],
  [
    "an attachment",
    Effect.flatMap(Attachments, ({ upload }) => upload(sessionId, { filename: "a", content: bytesOf(700_000) })),
    { filename: "a", content: base64Of(bytesOf(700_000)) }
  ],
  [
    "blocks of a message",
    Effect.flatMap(AshApiClient, ({ messages }) =>
      Effect.scoped(messages.send({
        params: { id: sessionId },
        payload: {
          content: [
            { type: "image", source: { type: "base64", media_type: "image/png", data: two } },
            { type: "text", text },
            { type: "document", source: { type: "base64", media_type: "application/pdf", data: three } },
            { type: "image", source: { type: "url", url: "http://a.test" } }
          ]
        }
      }))),
    {
      content: [
        { type: "image", source: { type: "base64", media_type: "image/png", data: base64Of(two) } },
        { type: "text", text },
        { type: "document", source: { type: "base64", media_type: "application/pdf", data: base64Of(three) } },
        { type: "image", source: { type: "url", url: "http://a.test" } }
      ]
    }
  ]
]

const attachment = {
  id: "1",
  sessionId,
  messageId: "unlinked",
  filename: "a",
  mimeType: "text/plain",
  size: 1,
  createdAt: "2026-01-01T00:00:00.000Z"
}

const answerTo = (url: string): { readonly status: number; readonly type: string; readonly body: string } =>
  url.endsWith("/messages")
    ? { status: 200, type: "text/event-stream", body: Server.frames(["done", { sessionId }]) }
    : {
      status: url.endsWith("/attachments") ? 201 : 200,
      type: "application/json",
      body: JSON.stringify({ files: [], message: "x", attachment })
    }

describe("what carries files", () => {
  it.effect.each(uploads)("goes out in pieces where it is large: %s", ([, send, expected]) => {
    const bodies: Array<HttpClientRequest.HttpClientRequest["body"]> = []
    const client = HttpClient.make((request) => {
      bodies.push(request.body)
      const { body, status, type } = answerTo(request.url)
      return Effect.succeed(
        HttpClientResponse.fromWeb(request, new Response(body, { status, headers: { "content-type": type } }))
      )
    })
    const layer = Ash.layerWithClient({ url: "http://localhost", apiKey: "key" }).pipe(
      Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
    )
    return Effect.gen(function*() {
      yield* Effect.provide(send, layer)
      const isLarge = JSON.stringify(expected).split("\"").some((text) => text.length > 1_048_576)
      assert.deepStrictEqual(bodies.map(({ _tag }) => _tag), [isLarge ? "Stream" : "Uint8Array"])
    })
  })

  for (const client of clientNames) {
    it.live.each(uploads)(`arrives as JSON over ${client}: %s`, ([, send, expected]) =>
      Effect.gen(function*() {
        const { exchanges, url } = yield* Server.listen
        const layer = clients[client]({ url, apiKey: Redacted.make("key"), retry: { times: 0 } })
        yield* Effect.forkChild(Effect.provide(send, layer))
        const { body, request, response } = yield* Queue.take(exchanges)
        // Not by `deepStrictEqual` of the texts, which shows megabytes where they differ.
        assert.isTrue(body === JSON.stringify(expected), `${body.length} bytes`)
        assert.include(request.headers["content-type"], "application/json")
        const length = request.headers["content-length"]
        if (client !== "fetch") assert.strictEqual(length, String(Buffer.byteLength(body)))
        const answer = answerTo(request.url ?? "")
        response.writeHead(answer.status, { "content-type": answer.type }).end(answer.body)
      }).pipe(Effect.scoped))

    it.live(`reads what a server answers before it has read all, over ${client}`, () =>
      Effect.gen(function*() {
        const url = yield* Server.serve((_, response) => {
          response.writeHead(413, { "content-type": "application/json", connection: "close" })
            .end("{\"error\":\"Request body is too large\"}")
        })
        const layer = clients[client]({ url, apiKey: Redacted.make("key"), retry: { times: 0 } })
        const files = [{ path: "a", content: new Uint8Array(16_000_000) }]
        const error = yield* Effect.flip(Effect.provide(write(files), layer))
        assert.strictEqual(error.message, "SessionFiles.write: Request body is too large (413)")
      }).pipe(Effect.scoped))
  }

  it.live("is read back from the embedded server as it was", () =>
    Effect.gen(function*() {
      const { agents, sessionFiles, sessions } = yield* AshClient
      yield* agents.create({ name: "demo" })
      const { id } = yield* sessions.create({ agent: "demo" })
      for (const size of sizes) {
        yield* sessionFiles.write(id, [{ path: "a", content: Stream.make(bytesOf(size)) }])
        const chunks = yield* Effect.scoped(
          Effect.flatMap(sessionFiles.read(id, "a"), ({ content }) => Stream.runCollect(content))
        )
        assert.isTrue(Buffer.concat(chunks).equals(bytesOf(size)), String(size))
      }
    }).pipe(Effect.provide(AshEmbedded.layer())))

  /** The kinds of the bodies that a client is given. */
  const bodies = (send: Send) =>
    Effect.gen(function*() {
      const kinds: Array<HttpClientRequest.HttpClientRequest["body"]> = []
      const client = HttpClient.make((request, url) => {
        kinds.push(request.body)
        const { body, status, type } = answerTo(url.pathname)
        return Effect.succeed(
          HttpClientResponse.fromWeb(request, new Response(body, { status, headers: { "content-type": type } }))
        )
      })
      const layer = Ash.layerWithClient({ url: "http://ash.test", allowPlainHttp: true }).pipe(
        Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
      )
      yield* Effect.provide(send, layer)
      return kinds
    })

  const large = write([{ path: "a", content: two }])

  it.effect("is one body of bytes in a browser, and in pieces elsewhere", () =>
    Effect.gen(function*() {
      const [streamed] = yield* bodies(large)
      assert.strictEqual(streamed?._tag, "Stream")
      const pieces = streamed?._tag === "Stream" ? yield* Effect.orDie(Stream.runCollect(streamed.stream)) : []
      assert.isBelow(Math.max(...pieces.map(({ length }) => length)), 100_000)

      const navigator = Object.getOwnPropertyDescriptor(globalThis, "navigator")
      yield* Effect.acquireRelease(
        Effect.sync(() =>
          Object.defineProperty(globalThis, "navigator", { configurable: true, value: { userAgent: "Mozilla/5.0" } })
        ),
        () =>
          Effect.sync(() =>
            navigator === undefined
              ? Reflect.deleteProperty(globalThis, "navigator")
              : Object.defineProperty(globalThis, "navigator", navigator)
          )
      )
      const [whole] = yield* bodies(large)
      assert.strictEqual(whole?._tag, "Uint8Array")
      if (whole?._tag === "Uint8Array") assert.isTrue(Buffer.concat(pieces).equals(whole.body))
    }).pipe(Effect.scoped))
})
