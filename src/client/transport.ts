/** Sends one request of an endpoint to a server, and receives its answer. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Answer from "../internal/request/answer.ts"
import * as Connection from "../internal/request/connection.ts"
import * as ConnectionFailures from "../internal/request/connectionFailures.ts"
import type { Encoded, Endpoint } from "../internal/request/endpoint.ts"
import * as Failures from "../internal/request/failures.ts"
import { BeforeRequest, OnRequest, OnResponse, OnSent } from "../internal/request/responses.ts"
import { harmful, redactOf } from "../internal/request/secrets.ts"
import { MayRepeat, sendOnce } from "../internal/request/sendOnce.ts"
import { hasTracer } from "../internal/request/traced.ts"
import { bodyOf } from "../internal/request/upload.ts"
import type { AshErrorReason } from "../schema/AshError.ts"
import { InvalidRequest } from "../schema/Reasons.ts"
import { RequestOptions } from "./RequestOptions.ts"

/** Where a server is, and the key to it. */
export interface ConnectionOptions {
  /** The base URL, with its scheme: `http://localhost:4100`, or with a path where a proxy adds one. */
  readonly url: string | URL
  /**
   * Sent as a bearer token. Without one only `Health.get` works. A plain text shows wherever the options are printed, a
   * `Redacted` does not. An `Effect`, which a `Config` is too, is run before each request, so that a key may change:
   * `Effect.cachedWithTTL` asks less often. Where it fails, the call fails with `Unauthorized`, and nothing is sent.
   */
  readonly apiKey?: Connection.KeySource | undefined
  /** Whether `http` to another machine is meant: the network between can read the key. Without it a warning is logged. @default false */
  readonly allowPlainHttp?: boolean | undefined
}

/** Whether a header has that type and no other. Types are compared by type and subtype alone. */
const hasType = (header: string | undefined, mediaType: string) =>
  (header ?? "").replaceAll(/"(?:[^"\\]|\\.)*"/g, "").split(",")
    .every((type) => type.split(";")[0]?.trim().toLowerCase() === mediaType)

/** Refuses a body that the server would refuse. */
const checkBody = ({ headers }: HttpClientRequest.HttpClientRequest, bodyLimit: number) => {
  const size = Number(headers["content-length"] ?? 0)
  return size <= bodyLimit ? Effect.void : Effect.fail(
    new InvalidRequest({
      message: `the body of the request must be at most ${bodyLimit} bytes; it has ${size}`,
      field: "body"
    })
  )
}

/** `fetch` must not carry the key, or a body, to wherever a server redirects: a client of one's own neither. */
const followNoRedirect = (
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<HttpClientRequest.HttpClientRequest> =>
  // Within the client, where the options that its layer was given are in context, and until it has answered.
  Effect.withFiber((fiber) => {
    const init = Context.getOrUndefined(fiber.context, FetchHttpClient.RequestInit)
    fiber.setContext(Context.add(fiber.context, FetchHttpClient.RequestInit, { ...init, redirect: "manual" }))
    return Effect.succeed(request)
  })

/**
 * Spans hold of a query and of headers only what is known to be harmless; without a tracer there is no span of a client
 * either. Where `fetch` cannot send a body in pieces, it is sent whole.
 */
const provide = <R>(context: Context.Context<R>): Context.Context<R> => {
  const sending = Context.add(context, FetchHttpClient.StreamBodyFallback, "buffer")
  return hasTracer(context)
    ? Context.add(sending, UrlParams.CurrentRedactedNames, [harmful]).pipe(
      Context.add(Headers.CurrentRedactedNames, [harmful])
    )
    : Context.add(sending, HttpClient.TracerDisabledWhen, () => true)
}

/** The way to one server. */
export interface Transport {
  /** Stands in a body for large contents, until they are in it. */
  readonly mark: string
  /** Sends a request. The answer is a success of a type that the endpoint declares; what it holds is not read yet. */
  readonly send: (
    endpoint: Endpoint,
    encoded: Encoded
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, AshErrorReason, Scope.Scope>
}

const warnOfPlainHttp = (url: string) =>
  Effect.logWarning(
    `${url} is plain http to another machine: what is sent, the key too, can be read on the way; use https, or set allowPlainHttp`
  )

/** The answer where it is a success of the right type, and else why it is not. */
const succeed = Effect.fnUntraced(function*(
  { answerInErrors, mediaType }: Endpoint,
  response: HttpClientResponse.HttpClientResponse
) {
  const isSuccess = response.status >= 200 && response.status < 300
  if (isSuccess && (mediaType === undefined || hasType(response.headers["content-type"], mediaType))) {
    return response
  }
  const redact = redactOf(response.request)
  const body = yield* Failures.readText(response)
  return yield* Effect.fail(
    isSuccess
      ? Failures.noEventStream(response, body, redact)
      : Failures.fromResponse(response, body, redact, yield* Clock.currentTimeMillis, answerInErrors)
  )
})

/** The way to a server, over the `HttpClient` in context. Fails on a URL or a key that cannot be used. */
export const make = Effect.fnUntraced(function*(connection: ConnectionOptions) {
  const url = yield* Connection.baseUrl(connection.url)
  const key = yield* Connection.keyFrom(connection.apiKey)
  if (Connection.isExposed(url) && connection.allowPlainHttp !== true) yield* warnOfPlainHttp(url)

  const client = HttpClient.mapRequestEffect(yield* HttpClient.HttpClient, followNoRedirect)
  // For answers that are streams. An answer that is read as a whole is complete by then, and needs no scope.
  const scopedClient = HttpClient.withScope(client)
  const decoder = yield* Answer.ContentDecoding
  const mayRepeat = yield* MayRepeat
  const mark = `effect-ash:${yield* Random.next}`

  const prepare = Effect.fnUntraced(
    function*({ bodyLimit, method }: Endpoint, { body, contents, path, query }: Encoded) {
      const { headers } = yield* RequestOptions
      if (headers !== undefined) yield* Connection.checkHeaders(headers)
      const request = HttpClientRequest.make(method)(url + path, {
        urlParams: query,
        body: bodyOf(body, mark, contents, yield* OnSent),
        headers: { "accept-encoding": "identity", ...Connection.ownHeaders, ...headers }
      })
      yield* checkBody(request, bodyLimit)
      const token = yield* key
      return token === undefined ? request : HttpClientRequest.bearerToken(request, token)
    }
  )

  const transport: Transport = {
    mark,
    send: Effect.fnUntraced(function*(endpoint, encoded) {
      const request = yield* prepare(endpoint, encoded)
      const before = yield* BeforeRequest
      if (before !== undefined) yield* before
      const onRequest = yield* OnRequest
      onRequest()
      const send = (endpoint.answersStream ? scopedClient : client).execute(request)
      const received = yield* (mayRepeat ? sendOnce(request)(send) : send).pipe(
        Effect.catch((error) => {
          const failure = ConnectionFailures.ofClient(error, request)
          // A client that takes a status for a failure has an answer all the same.
          return failure.reason._tag === "StatusCodeError"
            ? Effect.succeed(failure.reason.response)
            : Effect.fail(ConnectionFailures.fromHttpClientError(failure))
        })
      )
      const { responseLimits } = yield* RequestOptions
      const limit = endpoint.answersStream ? Infinity : responseLimits?.body ?? Answer.defaultLimit
      const response = Answer.receive(received, decoder, limit)
      const onResponse = yield* OnResponse
      onResponse(response)
      return yield* succeed(endpoint, response)
    }, Effect.updateContext(provide))
  }
  return transport
})
