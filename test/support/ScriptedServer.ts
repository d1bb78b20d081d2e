/** A server that answers by a script: as an `HttpClient` without a socket, and over `node:http` for what needs one. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import type { Duplex } from "node:stream"
import * as Ash from "../../src/layers/Ash.ts"
import { noSession } from "./fixtures.ts"

export const apiKey = "ash_test-key-4711"

/** A request as it arrived. */
export interface Received {
  readonly method: string
  /** The path with the query, as sent. */
  readonly path: string
  readonly origin: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The time of the clock in force, in milliseconds. */
  readonly at: number
}

export const jsonOf = ({ body }: Received): unknown => JSON.parse(body)

/** Answers a request; an `Error` is what the transport fails with. */
export type Script = (request: Received) => Response | Effect.Effect<Response, Error>

const bodyOf = ({ body }: HttpClientRequest.HttpClientRequest): Effect.Effect<string> =>
  body._tag === "Uint8Array"
    ? Effect.succeed(new TextDecoder().decode(body.body))
    : body._tag === "Stream"
    ? Effect.orDie(Stream.mkString(Stream.decodeText(body.stream)))
    : Effect.succeed("")

/** The services over a scripted server, and the requests that it received. */
export const make = (script: Script, options: Partial<Ash.AshOptions> = {}) => {
  const requests: Array<Received> = []
  const client = HttpClient.make((request, url) =>
    Effect.gen(function*() {
      const received: Received = {
        method: request.method,
        path: url.pathname + url.search,
        origin: url.origin,
        headers: request.headers,
        body: yield* bodyOf(request),
        at: yield* Clock.currentTimeMillis
      }
      requests.push(received)
      const answer = script(received)
      const response = Effect.isEffect(answer)
        ? yield* Effect.mapError(answer, (cause) =>
          new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) }))
        : answer
      return HttpClientResponse.fromWeb(request, response)
    })
  )
  const http = Layer.succeed(HttpClient.HttpClient, client)
  const layer = Ash.layerWithClient({
    url: "http://ash.test",
    apiKey: Redacted.make(apiKey),
    allowPlainHttp: true,
    ...options
  }).pipe(
    Layer.provide(http)
  )
  return { requests, http, layer }
}

/** The same, where the question for the form of content is refused, as by a real server, and is not for the script. */
export const forTurns = (script: Script, options?: Partial<Ash.AshOptions>) =>
  make(
    (request) =>
      request.path.includes(noSession) ? json({ error: "Session not found", statusCode: 404 }, 404)() : script(request),
    options
  )

/** Answers one after the other; the last one answers all that follow. */
export const inOrder = (...answers: ReadonlyArray<Script>): Script => {
  let next = 0
  return (request) => {
    const answer = answers[Math.min(next++, answers.length - 1)]
    if (answer === undefined) throw new Error("a script needs an answer")
    return answer(request)
  }
}

export const json = (value: unknown, status = 200, headers: Record<string, string> = {}) => (): Response =>
  new Response(JSON.stringify(value), {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers }
  })

export const text = (value: string, status = 200, headers: Record<string, string> = {}) => (): Response =>
  new Response(value, { status, headers })

const streamHeaders = { "content-type": "text/event-stream", "cache-control": "no-cache" }

/** An event stream that ends well after its bytes. */
export const sse = (frames: string | Uint8Array<ArrayBuffer>) => (): Response =>
  new Response(frames, { status: 200, headers: streamHeaders })

/** An event stream that begins so, and stays open. */
export const endless = (start: string) => (): Response =>
  new Response(
    new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode(start)) }),
    { status: 200, headers: streamHeaders }
  )

/** A response that breaks off after its first bytes. */
export const breaking =
  (start: string | Uint8Array, headers: Record<string, string> = streamHeaders) => (): Response => {
    const chunks = [typeof start === "string" ? new TextEncoder().encode(start) : start]
    return new Response(
      new ReadableStream({
        pull(controller) {
          const chunk = chunks.shift()
          if (chunk === undefined) controller.error(Object.assign(new TypeError("terminated"), { code: "ECONNRESET" }))
          else controller.enqueue(chunk)
        }
      }),
      { status: 200, headers }
    )
  }

/** A connection that breaks before an answer. */
export const lost: Script = () => Effect.fail(Object.assign(new Error("socket hang up"), { code: "ECONNRESET" }))

/** A closed port. */
export const refused: Script = () =>
  Effect.fail(Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:4100"), { code: "ECONNREFUSED" }))

/** No answer at all. */
export const silent: Script = () => Effect.never

/** Frames of an event stream, in the server's form. */
export const frames = (...events: ReadonlyArray<readonly [event: string, data: unknown]>): string =>
  events.map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join("")

/** An exchange with a real server. */
export interface Exchange {
  readonly request: Http.IncomingMessage
  readonly response: Http.ServerResponse
  readonly body: string
}

/** A real server on a free port, as long as the scope is open, or a proxy for tunnels; answers its URL. */
export const serve = Effect.fnUntraced(function*(
  listener: Http.RequestListener,
  onConnect?: (request: Http.IncomingMessage, socket: Duplex) => void
) {
  const server = yield* Effect.acquireRelease(
    Effect.callback<Http.Server>((resume) => {
      // A connection that waits for its next request waits as long as the machine takes.
      const server = Http.createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, listener)
      if (onConnect !== undefined) server.on("connect", onConnect)
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  )
  const { port } = server.address() as AddressInfo
  return `http://127.0.0.1:${port}`
})

/** A real server that answers everything but the question for the form of content so. */
export const answering = (answer: Http.RequestListener) =>
  serve((request, response) => {
    request.resume()
    if (request.url?.includes(noSession) === true) {
      response.writeHead(404, { "content-type": "application/json" }).end("{\"error\":\"Session not found\"}")
    } else answer(request, response)
  })

/** A real server of which each exchange waits in the queue for its answer, each closed one in `closed`. */
export const listen = Effect.gen(function*() {
  const exchanges = yield* Queue.unbounded<Exchange>()
  const closed = yield* Queue.unbounded<{ readonly url: string; readonly complete: boolean }>()
  const url = yield* serve((request, response) => {
    let body = ""
    request.setEncoding("utf8")
    request.on("data", (chunk) => {
      body += chunk
    })
    request.on("end", () => Queue.offerUnsafe(exchanges, { request, response, body }))
    response.on(
      "close",
      () => Queue.offerUnsafe(closed, { url: request.url ?? "", complete: response.writableFinished })
    )
  })
  return { url, exchanges, closed }
})
