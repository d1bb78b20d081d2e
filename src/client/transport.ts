/** Sends one request of an endpoint to a server, and receives its answer. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constTrue, identity } from "effect/Function"
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
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as Answer from "../internal/request/answer.ts"
import * as Connection from "../internal/request/connection.ts"
import * as ConnectionFailures from "../internal/request/connectionFailures.ts"
import type { Encoded, Endpoint } from "../internal/request/endpoint.ts"
import { anObject, flag } from "../internal/request/options.ts"
import { readAnswer } from "../internal/request/readAnswer.ts"
import { harmful } from "../internal/request/secrets.ts"
import type { Answered, Sending } from "../internal/request/sending.ts"
import { isNotIdempotent, MayRepeat, SendOnce } from "../internal/request/sendOnce.ts"
import { hasTracer, withoutMessages } from "../internal/request/traced.ts"
import { bodyOf } from "../internal/request/upload.ts"
import type { AshErrorReason } from "../schema/AshError.ts"
import { InvalidRequest } from "../schema/Reasons.ts"

/** Where a server is, and the key to it. */
export interface ConnectionOptions {
  /** The base URL, with its scheme: `http://localhost:4100`, or with a path where a proxy adds one. */
  readonly url: string | URL
  /**
   * Sent as a bearer token. Without one only `Health.get` and `Health.openApi` work. A plain text shows wherever the options
   * are printed, a `Redacted` does not. An `Effect`, which a `Config` is too, is run before each request, so that a key may
   * change: `Effect.cachedWithTTL` asks less often. Where it fails, the call fails with `Unauthorized`, and nothing is sent.
   */
  readonly apiKey?: Connection.KeySource | undefined
  /** Whether `http` to another machine is meant: the network between can read the key. Without it a warning is logged. @default false */
  readonly allowPlainHttp?: boolean | undefined
}

const noHash = Option.none<string>()

const commonHeaders = { "accept-encoding": "identity", ...Connection.ownHeaders }

/** Why a server would refuse a body, if so. */
const wrongBody = ({ contentLength: size = 0 }: HttpBody.HttpBody.Proto, bodyLimit: number) =>
  size <= bodyLimit ? undefined : new InvalidRequest({
    message: `the body of the request must be at most ${bodyLimit} bytes; it has ${size}`,
    field: "body"
  })

/** `fetch` must not carry the key, or a body, to wherever a server redirects: a client of one's own neither. */
const followNoRedirect = (client: HttpClient.HttpClient): HttpClient.HttpClient =>
  HttpClient.makeWith(client.postprocess, (request) =>
    // Within the client, where the options that its layer was given are in context, and until it has answered.
    Effect.withFiber((fiber) => {
      const init = Context.getOrUndefined(fiber.context, FetchHttpClient.RequestInit)
      fiber.setContext(Context.add(fiber.context, FetchHttpClient.RequestInit, { ...init, redirect: "manual" }))
      return client.preprocess(request)
    }))

/**
 * Spans hold of a query and of headers only what is known to be harmless, and of failures no message; without a tracer no
 * client makes one.
 */
const traced = <R>(context: Context.Context<R>, sendOnce: SendOnce | undefined): Context.Context<R> => {
  if (!hasTracer(context)) {
    return sendOnce?.in(context, constTrue) ?? Context.add(context, HttpClient.TracerDisabledWhen, constTrue)
  }
  const shown = Context.add(context, UrlParams.CurrentRedactedNames, [harmful]).pipe(
    Context.add(Headers.CurrentRedactedNames, [harmful]),
    Context.add(Tracer.Tracer, withoutMessages(Context.get(context, Tracer.Tracer)))
  )
  return sendOnce?.in(shown, Context.get(context, HttpClient.TracerDisabledWhen)) ?? shown
}

/** Where `fetch` cannot send a body in pieces, it is sent whole. */
const inPieces = Effect.provideService(FetchHttpClient.StreamBodyFallback, "buffer")

export type Transport = Effect.Success<ReturnType<typeof make>>

const warnOfPlainHttp = (url: string) =>
  Effect.logWarning(
    `${url} is plain http to another machine: what is sent, the key too, can be read on the way; use https, or set allowPlainHttp`
  )

/** The request of an endpoint, with the headers of the package, of the caller and of the body. */
const requestOf = (
  { method }: Endpoint,
  url: string,
  query: UrlParams.UrlParams,
  body: HttpBody.HttpBody,
  headers: Sending["headers"],
  token: string | undefined
) => {
  const all: Record<string, string> = { ...commonHeaders, ...(headers && Headers.fromInput(headers)) }
  if (token !== undefined) all["authorization"] = `Bearer ${token}`
  const { contentLength, contentType }: HttpBody.HttpBody.Proto = body
  if (contentType !== undefined) {
    all["content-type"] = contentType
    all["content-length"] = String(contentLength)
  }
  return HttpClientRequest.makeWith(method, url, query, noHash, Headers.fromRecordUnsafe(all), body)
}

/** The way to a server, over the `HttpClient` in context. Fails on a URL or a key that cannot be used. */
export const make = Effect.fnUntraced(function*(connection: ConnectionOptions) {
  const refused = anObject(connection ?? null, "options") ?? flag(connection.allowPlainHttp, "allowPlainHttp")
  if (refused !== undefined) return yield* Effect.fail(refused)
  const url = yield* Connection.baseUrl(connection.url)
  const key = yield* Connection.keyFrom(connection.apiKey)
  if (Connection.isExposed(url) && connection.allowPlainHttp !== true) yield* warnOfPlainHttp(url)

  const client = followNoRedirect(yield* HttpClient.HttpClient)
  const decoder = yield* Answer.ContentDecoding
  const mayRepeat = yield* MayRepeat
  /** Stands in a body for large contents, until they are in it. */
  const mark = `effect-ash:${yield* Random.next}`

  const sendOver = <R>(
    client: HttpClient.HttpClient.With<HttpClientError.HttpClientError, R>,
    addTo: (context: Context.Context<never>) => Context.Context<R>,
    endpoint: Endpoint,
    encoded: Encoded,
    { before, headers, onRequest, onResponse, onSent, responseLimits }: Sending
  ): Effect.Effect<Answered<unknown>, AshErrorReason> => {
    const body = bodyOf(encoded.body, mark, encoded.contents, onSent)
    const wrong = wrongBody(body, endpoint.bodyLimit)
    if (wrong !== undefined) return Effect.fail(wrong)
    const receive = (response: HttpClientResponse.HttpClientResponse) => {
      const limit = endpoint.answersStream ? Infinity : responseLimits?.body ?? Answer.defaultLimit
      const received = Answer.receive(response, decoder, limit)
      onResponse?.(received.response)
      return readAnswer(endpoint, received)
    }
    const sendOnce = mayRepeat && isNotIdempotent(endpoint.method) ? new SendOnce() : undefined
    const ready = before === undefined ? key : Effect.tap(key, () => before)
    const sent = Effect.flatMap(ready, (token) => {
      const request = requestOf(endpoint, url + encoded.path, encoded.query, body, headers, token)
      onRequest?.()
      const execute = client.execute(request)
      const send = body._tag === "Stream" ? inPieces(execute) : execute
      return Effect.matchEffect(sendOnce?.of(request, send) ?? send, {
        onFailure: (error) => {
          const failure = ConnectionFailures.ofClient(error, request)
          // A client that takes a status for a failure has an answer all the same.
          return failure.reason._tag === "StatusCodeError"
            ? receive(failure.reason.response)
            : Effect.fail(ConnectionFailures.fromHttpClientError(failure))
        },
        onSuccess: receive
      })
    })
    return Effect.updateContext(sent, (context: Context.Context<never>) => addTo(traced(context, sendOnce)))
  }
  const scopedClient = HttpClient.withScope(client)

  return {
    server: Connection.addressOf(url),
    mark,
    /** For an answer that is read as a whole. It is complete by then, and needs no scope. */
    send: (endpoint: Endpoint, encoded: Encoded, sending: Sending) =>
      sendOver(client, identity, endpoint, encoded, sending),
    /** For an answer that is a stream, of a connection that closes with the scope. */
    open: (endpoint: Endpoint, encoded: Encoded, sending: Sending, scope: Scope.Scope) =>
      sendOver(scopedClient, (context) => Context.add(context, Scope.Scope, scope), endpoint, encoded, sending)
  }
})
