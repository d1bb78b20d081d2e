/** The embedded Ash server: in process behind an `HttpClient`, or on a port of this machine. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Process from "node:process"
import { refusal } from "../internal/request/options.ts"
import type { AshError } from "../schema/AshError.ts"
import { defaultHost, type EmbeddedHttpOptions, type EmbeddedOptions } from "./EmbeddedOptions.ts"
import * as Application from "./http/Application.ts"
import { closed } from "./http/closed.ts"
import * as Origins from "./http/Origins.ts"
import { respond } from "./http/RequestChecks.ts"
import * as Errors from "./wire/Errors.ts"

export { isLoopback } from "./http/Origins.ts"
export { defaults as defaultQuirks } from "./Quirks.ts"
export { randomKey } from "./store/ApiKeys.ts"

const otherName = respond(
  Errors.failure(403, "The host of the request is not a name of this server: add it to `hostNames` (--host-name)")
)

/** What answers requests. Its files are in the temporary folder of the machine, which may refuse them. */
const started = (operation: string, options: EmbeddedOptions) =>
  Effect.mapError(Application.make(options), (error) =>
    refusal(
      operation,
      "TMPDIR",
      `the server has no folder for its files, which it keeps in TMPDIR: ${Errors.messageOf(error.cause)}`
    ))

/**
 * An `HttpClient` whose every request, to whatever host, is answered by an embedded server in this process. To interrupt
 * a request or the reading of its response counts as the client's disconnect.
 */
export const layerHttpClient = (options: EmbeddedOptions = {}): Layer.Layer<HttpClient.HttpClient, AshError> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.gen(function*() {
      const application = yield* started("AshEmbedded.layer", options)
      const serverScope = yield* Effect.scope
      const run = Effect.runForkWith(yield* Effect.context<never>())
      return HttpClient.make((request, _url, signal) =>
        Effect.gen(function*() {
          // Open as long as a socket would be: until the response is read completely, or its reader disconnects.
          const connection = yield* Scope.fork(serverScope)
          const close = Scope.close(connection, Exit.void)
          const onAbort = () => run(close)
          signal.addEventListener("abort", onAbort)
          yield* Scope.addFinalizer(connection, Effect.sync(() => signal.removeEventListener("abort", onAbort)))
          const response = yield* application(HttpServerRequest.fromClientRequest(request)).pipe(
            Scope.provide(connection),
            Effect.onError(() => close)
          )
          if (response.body._tag !== "Stream") yield* close
          return HttpServerResponse.toClientResponse(received(request.method, response, close), { request })
        })
      )
    })
  )

/** A response as a client receives it: the end of its body closes the connection, and `HEAD` has none. */
const received = (method: string, response: HttpServerResponse.HttpServerResponse, close: Effect.Effect<void>) => {
  const { body, headers } = response
  if (method === "HEAD") return HttpServerResponse.empty({ status: response.status, headers })
  if (body._tag !== "Stream") return response
  const stream = Stream.ensuring(body.stream, close)
  return HttpServerResponse.setBody(response, HttpBody.stream(stream, body.contentType, body.contentLength))
}

/** A request to a server on a port, and its response. */
export interface Exchange {
  readonly method: string
  /** Without its query. */
  readonly path: string
  /** 499 where the client disconnected before the response. */
  readonly status: number
  /** Until the head of the response is there, in milliseconds. */
  readonly duration: number
}

/** What is done with each exchange of a server on a port. */
export class OnExchange extends Context.Reference<(exchange: Exchange) => Effect.Effect<void>>(
  "effect-ash/embedded/EmbeddedServer/OnExchange",
  { defaultValue: () => () => Effect.void }
) {}

const reporting = <E, R>(response: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  Effect.gen(function*() {
    const onExchange = yield* OnExchange
    const { method, url } = yield* HttpServerRequest.HttpServerRequest
    const start = yield* Clock.currentTimeMillis
    const report = (status: number) =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => onExchange({ method, path: url.replace(/[?#].*/s, ""), status, duration: now - start })
      )
    return yield* response.pipe(Effect.tap(({ status }) => report(status)), Effect.onInterrupt(() => report(499)))
  })

const ofHost = new Set<unknown>(["EADDRNOTAVAIL", "ENOTFOUND", "EAI_AGAIN"])

const notListening = (host: string, port: number, { cause }: HttpServerError.ServeError) => {
  const code = Predicate.hasProperty(cause, "code") ? cause.code : undefined
  const why = code === "EADDRINUSE" ? "it is in use" : Errors.messageOf(cause)
  const field = ofHost.has(code) ? "host" : "port"
  const message = `cannot listen on port ${port} of ${host}: ${why}; choose another ${field} (--${field})`
  return refusal("AshEmbedded.layerHttp", field, message)
}

/** An embedded server on a port of this machine, by default a free one of 127.0.0.1: `HttpServer` has its address. */
export const layerHttpServer = (
  { host = defaultHost, hostNames = [], port = 0, ...options }:
    & EmbeddedHttpOptions
    & { readonly apiKey: Redacted.Redacted<string> }
): Layer.Layer<HttpServer.HttpServer, AshError> =>
  Layer.suspend(() => {
    const server = Process.getBuiltinModule("node:http").createServer({ keepAliveTimeout: 72_000 })
    const listening = Layer.catch(
      // The stream of a dead sandbox never ends, so that a shutdown would wait for ever.
      NodeHttpServer.layerServer(() => server, { host, port, disablePreemptiveShutdown: true }),
      (error) => Layer.effect(HttpServer.HttpServer, Effect.fail(notListening(host, port, error)))
    )
    const serve = Effect.gen(function*() {
      const application = yield* started("AshEmbedded.layerHttp", options)
      const onlyByName = Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        return Origins.isOwnName(request, host, hostNames) ? yield* application(request) : otherName
      })
      yield* Effect.addFinalizer(() => closed(server))
      yield* HttpServer.serveEffect(reporting(onlyByName)).pipe(
        // A real server takes no part in the traces of its clients.
        Effect.provideService(HttpMiddleware.TracerDisabledWhen, () => true)
      )
    })
    return Layer.effectDiscard(serve).pipe(Layer.provideMerge(listening))
  })
