/** Sends one request of an endpoint to a server, and receives its answer. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Answer from "../internal/request/answer.ts"
import * as Connection from "../internal/request/connection.ts"
import * as ConnectionFailures from "../internal/request/connectionFailures.ts"
import type { Encoded, Endpoint } from "../internal/request/endpoint.ts"
import * as Failures from "../internal/request/failures.ts"
import { harmful, redactOf } from "../internal/request/secrets.ts"
import type { Sending } from "../internal/request/sending.ts"
import { MayRepeat, sendOnce } from "../internal/request/sendOnce.ts"
import { hasTracer } from "../internal/request/traced.ts"
import { bodyOf } from "../internal/request/upload.ts"
import type { AshErrorReason } from "../schema/AshError.ts"
import { InvalidRequest } from "../schema/Reasons.ts"

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

const commonHeaders = { "accept-encoding": "identity", ...Connection.ownHeaders }

/** Refuses a body that the server would refuse. */
const checkBody = (body: HttpBody.HttpBody, bodyLimit: number) => {
  const size = body._tag === "Uint8Array" || body._tag === "Stream" ? body.contentLength ?? 0 : 0
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

/**
 * Sends a request of an endpoint. The answer is a success of a type that the endpoint declares; what it holds is not read
 * yet.
 */
type Send<R> = (
  endpoint: Endpoint,
  encoded: Encoded,
  sending: Sending
) => Effect.Effect<HttpClientResponse.HttpClientResponse, AshErrorReason, R>

/** The way to one server. */
export interface Transport {
  readonly server: Connection.ServerAddress
  /** Stands in a body for large contents, until they are in it. */
  readonly mark: string
  /** For an answer that is read as a whole. It is complete by then, and needs no scope. */
  readonly send: Send<never>
  /** For an answer that is a stream, of a connection that closes with the scope. */
  readonly open: Send<Scope.Scope>
}

const warnOfPlainHttp = (url: string) =>
  Effect.logWarning(
    `${url} is plain http to another machine: what is sent, the key too, can be read on the way; use https, or set allowPlainHttp`
  )

/** The answer where it is a success of the right type, and else why it is not. */
const succeed = (
  { answerInErrors, mediaType }: Endpoint,
  response: HttpClientResponse.HttpClientResponse
): Effect.Effect<HttpClientResponse.HttpClientResponse, AshErrorReason> => {
  const isSuccess = response.status >= 200 && response.status < 300
  if (isSuccess && (mediaType === undefined || hasType(response.headers["content-type"], mediaType))) {
    return Effect.succeed(response)
  }
  const redact = redactOf(response.request)
  return Effect.flatMap(
    Failures.readText(response),
    (body) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.fail(
          isSuccess
            ? Failures.noEventStream(response, body, redact)
            : Failures.fromResponse(response, body, redact, now, answerInErrors)
        ))
  )
}

/** The way to a server, over the `HttpClient` in context. Fails on a URL or a key that cannot be used. */
export const make = Effect.fnUntraced(function*(connection: ConnectionOptions) {
  const url = yield* Connection.baseUrl(connection.url)
  const key = yield* Connection.keyFrom(connection.apiKey)
  if (Connection.isExposed(url) && connection.allowPlainHttp !== true) yield* warnOfPlainHttp(url)

  const client = HttpClient.mapRequestEffect(yield* HttpClient.HttpClient, followNoRedirect)
  const decoder = yield* Answer.ContentDecoding
  const mayRepeat = yield* MayRepeat
  const mark = `effect-ash:${yield* Random.next}`

  const prepare = (
    { bodyLimit, method }: Endpoint,
    { body, contents, path, query }: Encoded,
    { headers, onSent }: Sending
  ): Effect.Effect<HttpClientRequest.HttpClientRequest, AshErrorReason> => {
    const uploaded = bodyOf(body, mark, contents, onSent)
    const checked = Effect.flatMap(Connection.checkHeaders(headers), () => checkBody(uploaded, bodyLimit))
    return Effect.map(Effect.flatMap(checked, () => key), (token) => {
      const all = Headers.fromRecordUnsafe({
        ...commonHeaders,
        ...Headers.fromInput(headers),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
      })
      const request = HttpClientRequest.makeWith(method, url + path, query, Option.none(), all, HttpBody.empty)
      return uploaded._tag === "Empty" ? request : HttpClientRequest.setBody(request, uploaded)
    })
  }

  const sendOver =
    <R>(client: HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>): Send<R> =>
    (endpoint, encoded, sending) => {
      const receive = (received: HttpClientResponse.HttpClientResponse) => {
        const limit = endpoint.answersStream ? Infinity : sending.responseLimits?.body ?? Answer.defaultLimit
        const response = Answer.receive(received, decoder, limit)
        sending.onResponse?.(response)
        return succeed(endpoint, response)
      }
      const { before } = sending
      const prepared = prepare(endpoint, encoded, sending)
      return Effect.flatMap(before === undefined ? prepared : Effect.tap(prepared, () => before), (request) => {
        sending.onRequest?.()
        const send = client.execute(request)
        return Effect.matchEffect(mayRepeat ? sendOnce(request)(send) : send, {
          onFailure: (error) => {
            const failure = ConnectionFailures.ofClient(error, request)
            // A client that takes a status for a failure has an answer all the same.
            return failure.reason._tag === "StatusCodeError"
              ? receive(failure.reason.response)
              : Effect.fail(ConnectionFailures.fromHttpClientError(failure))
          },
          onSuccess: receive
        })
      }).pipe(Effect.updateContext(provide<R>))
    }

  const transport: Transport = {
    server: Connection.addressOf(url),
    mark,
    send: sendOver(client),
    open: sendOver(HttpClient.withScope(client))
  }
  return transport
})
