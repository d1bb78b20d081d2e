/** A server that answers by a script and remembers what it was asked: behind an `HttpClient`, or on a real port. */
import { Deferred, Effect, Layer, Queue } from "effect"
import { Ash } from "effect-ash"
import { HttpClient, HttpClientError, type HttpClientRequest, HttpClientResponse } from "effect/http"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"

/** A request as it went out. */
export interface Sent {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  readonly body: unknown
}

/** The answer to a request, or `refuse` where no connection can be made, or `lose` where it breaks. */
export type Answer = Response | "refuse" | "lose"

const fail = (request: HttpClientRequest.HttpClientRequest, code: string) =>
  Effect.fail(
    new HttpClientError.HttpClientError({
      reason: new HttpClientError.TransportError({ request, cause: Object.assign(new Error(code), { code }) })
    })
  )

const sentOf = (request: HttpClientRequest.HttpClientRequest, url: URL): Sent => {
  const text = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
  return {
    method: request.method,
    url: `${url.pathname}${url.search}`,
    headers: { ...request.headers },
    text,
    body: text === "" ? undefined : JSON.parse(text)
  }
}

/** The layers of the services over a script, and what was sent so far. */
export const scripted = (
  answer: (sent: Sent, index: number) => Answer | Effect.Effect<Answer>,
  options: Partial<Ash.AshOptions> = {}
) => {
  const sent: Array<Sent> = []
  const client = HttpClient.make((request, url) =>
    Effect.gen(function*() {
      const entry = sentOf(request, url)
      const index = sent.push(entry) - 1
      const given = answer(entry, index)
      const response = Effect.isEffect(given) ? yield* given : given
      if (response === "refuse") return yield* fail(request, "ECONNREFUSED")
      if (response === "lose") return yield* fail(request, "ECONNRESET")
      return HttpClientResponse.fromWeb(request, response)
    })
  )
  return {
    sent,
    layer: Ash.layerWithClient({ url: "http://ash.test", ...options }).pipe(
      Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
    )
  }
}

export const json = (body: unknown, status = 200, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } })

export const events = (text: string) =>
  new Response(text, { status: 200, headers: { "content-type": "text/event-stream" } })

export const frame = (event: string, data: unknown) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`

export const sessionId = "0b1e5c3a-1111-4222-8333-444455556666"

export const session = (changes: object = {}) => ({
  id: sessionId,
  tenantId: "default",
  agentName: "helper",
  sandboxId: sessionId,
  status: "active",
  runnerId: null,
  parentSessionId: null,
  createdAt: "2026-11-22T10:40:59.772Z",
  lastActiveAt: "2026-11-22T10:41:00.000Z",
  ...changes
})

export const agent = (changes: object = {}) => ({
  id: "008c79ca-8625-4df5-8e95-64c1074c2a46",
  tenantId: "default",
  name: "helper",
  version: 1,
  path: "/data/agents/helper",
  createdAt: "2026-11-22T10:40:51.213Z",
  updatedAt: "2026-11-22T10:40:51.213Z",
  ...changes
})

/** Whether a request asks which form of content the server takes. */
export const isProbe = ({ url }: { readonly url?: string | undefined }) =>
  url?.includes("00000000-0000-0000-0000-000000000000") === true

/** A server on a port of its own, with a queue of the connections that closed. */
export const listening = (handle: (request: IncomingMessage, response: ServerResponse, body: string) => void) =>
  Effect.acquireRelease(
    Effect.gen(function*() {
      const closed = yield* Queue.unbounded<string>()
      const server = createServer((request, response) => {
        let body = ""
        request.on("data", (chunk) => body += String(chunk))
        request.on("end", () => {
          response.on("close", () => Queue.offerUnsafe(closed, `${request.method} ${request.url}`))
          handle(request, response, body)
        })
      })
      const started = yield* Deferred.make<void>()
      server.listen(0, "127.0.0.1", () => Deferred.doneUnsafe(started, Effect.void))
      yield* Deferred.await(started)
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      return { server, closed, url: `http://127.0.0.1:${port}` }
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )
