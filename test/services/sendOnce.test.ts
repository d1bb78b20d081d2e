import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Ash from "../../src/layers/Ash.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { noSession, session, sessionId } from "../support/fixtures.ts"
import { frames, serve } from "../support/ScriptedServer.ts"

const transports = {
  fetch: FetchHttpClient.layer,
  "node:http": NodeHttpClient.layerNodeHttp,
  undici: NodeHttpClient.layerUndici
}

type Wrap = (client: HttpClient.HttpClient) => HttpClient.HttpClient

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
  "each try in a span of its own": (client) =>
    HttpClient.make((request) =>
      Effect.retry(Effect.withSpan(client.execute(request), "try", { kind: "internal" }), { times: 3 })
    )
}

/** A server that does so with what is posted, and counts it. */
const server = (failure: "reset" | "503" | "none") =>
  Effect.gen(function*() {
    const posts: Array<{ readonly url: string; readonly length: string | undefined }> = []
    const url = yield* serve((request, response) => {
      request.resume()
      if (request.url?.includes(noSession) === true) {
        response.writeHead(404, { "content-type": "application/json" }).end("{\"error\":\"Session not found\"}")
        return
      }
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
    "%s: a turn and a creation are sent once",
    ([name, wrap]) =>
      Effect.gen(function*() {
        for (const failure of ["reset", "503"] as const) {
          const { posts, url } = yield* server(failure)
          const { messages, sessions } = yield* connect(transport, wrap, url)
          const error = yield* Effect.flip(Stream.runDrain(messages.send(sessionId, "hello")))
          assert.isFalse(error.nothingHappened)
          assert.include(["ConnectionLost", "ServerFailure"], error.reason._tag)
          yield* Effect.flip(sessions.create({ agent: "demo" }))
          const urls = posts.map(({ url }) => url)
          // The one of two at once that is kept back ends the other, which may not have been sent by then.
          if (name === "a client that sends two at once") assert.strictEqual(new Set(urls).size, urls.length)
          else assert.deepStrictEqual(urls, [`/api/sessions/${sessionId}/messages`, "/api/sessions"])
          for (const { length } of posts) assert.isAbove(Number(length), 0)
        }
      })
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
    "one without tracing": (client) =>
      HttpClient.make((request) => client.execute(request)).pipe(
        HttpClient.transformResponse(Effect.provideService(HttpClient.TracerDisabledWhen, () => true))
      )
  }

  it.live.each(Object.entries(harmless))("%s: what is sent once is not refused", ([, wrap]) =>
    Effect.gen(function*() {
      const { posts, url } = yield* server("none")
      const { messages, sessions } = yield* connect(transport, wrap, url)
      yield* Stream.runDrain(messages.send(sessionId, "hello"))
      yield* Stream.runDrain(messages.send(sessionId, "hello"))
      yield* sessions.create({ agent: "demo" })
      assert.strictEqual(posts.length, 3)
    }))
})
