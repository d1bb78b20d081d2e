import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Ash from "../../../src/layers/Ash.ts"
import { AshClient } from "../../../src/services/AshClient.ts"
import { session, sessionId } from "../../support/fixtures.ts"
import { answering, frames, serve } from "../../support/ScriptedServer.ts"

const transports = {
  fetch: FetchHttpClient.layer,
  "node:http": NodeHttpClient.layerNodeHttp,
  undici: NodeHttpClient.layerUndici
}

type Change = (request: HttpClientRequest.HttpClientRequest) => HttpClientRequest.HttpClientRequest

type Wrap = (client: HttpClient.HttpClient) => HttpClient.HttpClient

/** Goes on to another name of the same server after a failure. */
const elsewhere = (client: HttpClient.HttpClient, change: Change): HttpClient.HttpClient =>
  HttpClient.transform(client, (send, request) =>
    send.pipe(
      Effect.flatMap(HttpClientResponse.filterStatus((status) => status < 500)),
      Effect.catch(() =>
        client.execute(
          change(HttpClientRequest.setUrl(request, request.url.replace("127.0.0.1", "localhost")))
        )
      )
    ))

/** Ways to make a client that repeats what failed out of one that does not. */
const wraps: Record<string, Wrap> = {
  retryTransient: HttpClient.retryTransient({ times: 3 }),
  "retryTransient without a bound": HttpClient.retryTransient({}),
  retry: HttpClient.retry({ times: 3 }),
  "retry within other wrappers": (client) =>
    client.pipe(
      HttpClient.retry({ times: 3 }),
      HttpClient.followRedirects(),
      HttpClient.mapRequest((request) => request),
      HttpClient.tap(() => Effect.void)
    ),
  "a client of a client": (client) => HttpClient.make((request) => Effect.retry(client.execute(request), { times: 3 })),
  "a client that sends two at once": (client) =>
    HttpClient.make((request) =>
      Effect.map(Effect.all([client.execute(request), client.execute(request)], { concurrency: 2 }), ([one]) => one)
    ),
  ...Object.fromEntries((["internal", "client"] as const).flatMap((kind): ReadonlyArray<readonly [string, Wrap]> => [
    [
      `each try in a span of its own (${kind})`,
      (client) =>
        HttpClient.make((request) =>
          Effect.retry(Effect.withSpan(client.execute(request), "try", { kind }), { times: 3 })
        )
    ],
    [
      `each but the first in a span of its own (${kind})`,
      (client) =>
        HttpClient.transform(client, (send, request) =>
          send.pipe(
            Effect.flatMap(HttpClientResponse.filterStatus((status) => status < 500)),
            Effect.catch(() => Effect.withSpan(client.execute(request), "again", { kind }))
          ))
    ]
  ])),
  "another address after a failure": (client) => elsewhere(client, (request) => request),
  "another address, other headers and a copy of the body": (client) =>
    elsewhere(client, (request) => {
      const { body } = request
      return HttpClientRequest.setHeader(
        body._tag === "Uint8Array"
          ? HttpClientRequest.bodyUint8Array(request, new Uint8Array(body.body), body.contentType)
          : request,
        "x-again",
        "1"
      )
    }),
  "another address, within a client of a client": (client) =>
    elsewhere(HttpClient.make((request) => client.execute(request)), (request) => request)
}

/** How a program has its requests traced. */
const tracings: Record<string, <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>> = {
  traced: (effect) => effect,
  "in a span": Effect.withSpan("program"),
  "in a span of a client": Effect.withSpan("program", { kind: "client" }),
  "requests untraced": Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
  "nothing traced": Effect.withTracerEnabled(false),
  "by a tracer that evaluates effects": Effect.withTracer(Tracer.make({
    span: (options) => new Tracer.NativeSpan(options),
    context: (primitive, fiber) => primitive["~effect/Effect/evaluate"](fiber)
  })),
  "nothing propagated": Effect.provideService(Tracer.DisablePropagation, true)
}

/** A server that does so with what is posted, and counts it. */
const server = (failure: "reset" | "503" | "none") =>
  Effect.gen(function*() {
    const posts: Array<{ readonly url: string; readonly length: string | undefined }> = []
    const url = yield* answering((request, response) => {
      request.on("end", () => {
        posts.push({ url: request.url ?? "", length: request.headers["content-length"] })
        if (failure === "reset") request.socket.destroy()
        else if (failure === "503") response.writeHead(503).end()
        else if (request.url?.endsWith("/messages") === true) {
          response.writeHead(200, { "content-type": "text/event-stream" }).end(frames(["done", { sessionId }]))
        } else response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ session }))
      })
    })
    return { posts, url }
  })

const connect = (transport: Layer.Layer<HttpClient.HttpClient>, wrap: Wrap, url: string) =>
  Effect.map(
    Layer.build(
      Ash.layerWithClient({ url, retry: { times: 0 } }).pipe(
        Layer.provide(Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, wrap))),
        Layer.provide(transport)
      )
    ),
    (context) => Context.get(context, AshClient)
  )

describe.each(Object.entries(transports))("a client that repeats requests (%s)", (_, transport) => {
  it.live.each(Object.entries(wraps))(
    "%s: a turn and creations, with a body or without, are sent once",
    ([name, wrap]) =>
      Effect.forEach(Object.values(tracings), (tracing) =>
        tracing(Effect.gen(function*() {
          for (const failure of ["reset", "503"] as const) {
            const { posts, url } = yield* server(failure)
            const { messages, sessions } = yield* connect(transport, wrap, url)
            const error = yield* Effect.flip(Stream.runDrain(messages.send(sessionId, "hello")))
            // Two at once fail with the question before the message.
            assert.strictEqual(error.nothingHappened, name === "a client that sends two at once")
            assert.include(["ConnectionLost", "ServerFailure"], error.reason._tag)
            yield* Effect.flip(sessions.create({ agent: "demo" }))
            yield* Effect.flip(sessions.fork(sessionId))
            const urls = posts.map(({ url }) => url)
            // The one of two at once that is kept back ends the other, which may not have been sent by then.
            if (name === "a client that sends two at once") assert.strictEqual(new Set(urls).size, urls.length)
            else {
              const path = `/api/sessions/${sessionId}`
              assert.deepStrictEqual(urls, [`${path}/messages`, "/api/sessions", `${path}/fork`])
            }
            for (const { length, url } of posts) if (!url.endsWith("/fork")) assert.isAbove(Number(length), 0)
          }
        })))
  )

  it.live("what it may repeat it repeats", () =>
    Effect.gen(function*() {
      let gets = 0
      const url = yield* serve((_, response) => {
        gets += 1
        response.writeHead(gets < 3 ? 503 : 200, { "content-type": "application/json" }).end(
          JSON.stringify({ session })
        )
      })
      const { sessions } = yield* connect(transport, HttpClient.retryTransient({ times: 3 }), url)
      assert.strictEqual((yield* sessions.get(sessionId)).id, sessionId)
      assert.strictEqual(gets, 3)
    }))

  const harmless: Record<string, Wrap> = {
    "none": (client) => client,
    "a client of clients, that reads what it passes on": (client) =>
      HttpClient.make((request) => {
        JSON.stringify(request)
        return Effect.tap(
          HttpClient.make((request) => client.execute(request)).execute(request),
          () => Effect.sync(() => JSON.stringify(request))
        )
      }),
    "one that asks for a token first": (client) =>
      client.pipe(HttpClient.mapRequestEffect((request) =>
        Effect.as(
          client.execute(
            HttpClientRequest.bodyText(HttpClientRequest.post(new URL("/token", request.url)), "grant")
          ),
          request
        )
      )),
    "one without tracing": (client) =>
      HttpClient.make((request) => client.execute(request)).pipe(
        HttpClient.transformResponse(Effect.provideService(HttpClient.TracerDisabledWhen, () => true))
      )
  }

  it.live.each(Object.entries(harmless))(
    "%s: what is sent once is not refused",
    ([, wrap]) =>
      Effect.forEach(Object.values(tracings), (tracing) =>
        tracing(Effect.gen(function*() {
          const { posts, url } = yield* server("none")
          const { messages, sessions } = yield* connect(transport, wrap, url)
          yield* Stream.runDrain(messages.send(sessionId, "hello"))
          yield* Stream.runDrain(messages.send(sessionId, "hello"))
          yield* sessions.create({ agent: "demo" })
          assert.strictEqual(posts.filter(({ url }) => url !== "/token").length, 3)
        })))
  )

  it.live("a redirect is followed to another address, once", () =>
    Effect.forEach(Object.values(tracings), (tracing) =>
      tracing(Effect.gen(function*() {
        const asked: Array<string | undefined> = []
        const url = yield* serve((request, response) => {
          request.resume()
          asked.push(request.url)
          if (request.url === "/there/api/sessions") {
            response.writeHead(503).end()
          } else response.writeHead(307, { location: "/there/api/sessions" }).end()
        })
        const { sessions } = yield* connect(
          transport,
          (client) => HttpClient.retry(HttpClient.followRedirects(client), { times: 2 }),
          url
        )
        const error = yield* Effect.flip(sessions.create({ agent: "demo" }))
        assert.strictEqual(error.reason._tag, "ServerFailure")
        assert.deepStrictEqual(asked, ["/api/sessions", "/there/api/sessions"])
      }))))

  it.live("what is not to be traced is neither shown nor propagated, and the rest is as it was", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const sent: Array<string | undefined> = []
      const url = yield* serve((request, response) => {
        request.resume()
        sent.push(request.headers["traceparent"]?.toString())
        response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ session }))
      })
      const tracer = Tracer.make({
        span: (options) => {
          seen.push(`${
            Option.match(options.parent, {
              onNone: () => "none",
              onSome: (span) => span._tag === "Span" ? span.name : ""
            })
          }>${options.name}`)
          return new Tracer.NativeSpan(options)
        }
      })
      const { sessions } = yield* connect(
        transport,
        (client) => HttpClient.make((request) => Effect.withSpan(client.execute(request), "own")),
        url
      )
      const create = sessions.create({ agent: "demo" }).pipe(Effect.withTracer(tracer))
      yield* create
      assert.deepStrictEqual(seen.slice(-3).map((span) => span.split(">")[1]), ["POST", "own", "POST"])
      assert.isDefined(sent[0])
      seen.length = 0
      yield* Effect.provideService(create, HttpClient.TracerDisabledWhen, () => true)
      assert.isTrue(seen.every((span) => !span.includes("POST")), seen.join())
      assert.include(seen.join(), ">own")
      seen.length = 0
      yield* Effect.withTracerEnabled(create, false)
      assert.deepStrictEqual(seen, [])
      assert.deepStrictEqual(sent.slice(1), [undefined, undefined])
    }))
})
