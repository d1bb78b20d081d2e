/**
 * The low-level client: one method per endpoint, derived from the contract, with the base URL, the key, the encoding of
 * paths and the mapping of errors applied, and nothing else. It repeats nothing and limits nothing; the services do.
 * A method that answers a stream holds a connection, and lets go of it when the surrounding scope closes.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Simplify } from "effect/Types"
import * as Answer from "../internal/request/answer.ts"
import * as Connection from "../internal/request/connection.ts"
import * as Failures from "../internal/request/failures.ts"
import { isSurely } from "../internal/request/foreign.ts"
import { OnRequest, OnResponse, OnSent } from "../internal/request/responses.ts"
import { harmful, redactOf } from "../internal/request/secrets.ts"
import { MayRepeat, sendOnce } from "../internal/request/sendOnce.ts"
import { bodyOf, toBase64 } from "../internal/request/upload.ts"
import { AnswerInErrors, AshApi, BodyLimit } from "../schema/AshApi.ts"
import { AshError, AshErrorReason } from "../schema/AshError.ts"
import { ToBase64 } from "../schema/Bytes.ts"
import { HostedApi } from "../schema/HostedApi.ts"
import { InvalidRequest } from "../schema/Reasons.ts"
import { isWellFormed, wellFormed } from "../schema/Wire.ts"
import { RequestOptions, type RequestOptionsInput } from "./RequestOptions.ts"

/** Where a server is, and the key to it. */
export interface ConnectionOptions {
  /** The base URL, with its scheme: `http://localhost:4100`, or with a path where a proxy adds one. */
  readonly url: string | URL
  /**
   * Sent as a bearer token. Without one only `Health.get` works. A plain text shows wherever the options are printed, a
   * `Redacted` does not. An `Effect`, which a `Config` is too, is run before each
   * request, so that a key may change: `Effect.cachedWithTTL` asks less often. Where it fails, the call fails with
   * `Unauthorized`, and nothing is sent.
   */
  readonly apiKey?: Connection.KeySource | undefined
  /** Whether `http` to another machine is meant: whoever is on the way can read the key. Without it a warning is logged. @default false */
  readonly allowPlainHttp?: boolean | undefined
}

type Success<Schema> = HttpApiClient.SuccessType<Schema> extends infer Value
  ? Value extends HttpApiSchema.withHeaders<infer Body, infer Headers>
    ? { readonly body: WithAshError<Body>; readonly headers: Headers }
  : WithAshError<Value>
  : never

type WithAshError<Value> = Value extends Stream.Stream<infer A, infer _E, infer _R> ? Stream.Stream<A, AshError> : Value

type Method<Endpoint extends HttpApiEndpoint.ConstraintRequest> = (
  request: Simplify<
    HttpApiEndpoint.ClientRequest<
      Endpoint["~Params"],
      Endpoint["~Query"],
      Endpoint["~Payload"],
      Endpoint["~Headers"],
      "decoded-only",
      never
    >
  >
) => Effect.Effect<
  Success<Endpoint["~Success"]>,
  AshError,
  Endpoint["~Success"] extends HttpApiSchema.WithHeaders<HttpApiSchema.StreamUint8Array, infer _Headers> ? Scope.Scope
    : never
>

type GroupsOf<Api> = Api extends HttpApi.HttpApi<infer _Id, infer Group> ? Group : never

/** All that a client may ask: of any server, and of the hosted product. */
type Groups = GroupsOf<typeof AshApi> | GroupsOf<typeof HostedApi>

type Methods = {
  readonly [Group in Groups as Group["identifier"]]: {
    readonly [Name in keyof Group["endpoints"]]: Method<
      Extract<Group["endpoints"][Name], HttpApiEndpoint.ConstraintRequest>
    >
  }
}

const isMethods = (methods: Record<string, Record<string, unknown>>): methods is Methods & typeof methods =>
  Object.entries({ ...AshApi.groups, ...HostedApi.groups }).every(([name, group]) =>
    Object.keys(group.endpoints).every((endpoint) => Predicate.isFunction(methods[name]?.[endpoint]))
  )

/** The low-level client. */
export class AshApiClient extends Context.Service<AshApiClient, Methods>()("effect-ash/client/AshApiClient") {
  /** The client of one server, over the `HttpClient` in context. Fails on a URL or a key that cannot be used. */
  static readonly layer = (
    connection: ConnectionOptions
  ): Layer.Layer<AshApiClient, AshError, HttpClient.HttpClient> =>
    Layer.effect(
      AshApiClient,
      Effect.mapError(make(connection), (reason) => new AshError({ operation: "Ash.layer", reason }))
    )
}

/** What an endpoint allows in a request, and declares of the answer. */
interface Declared {
  readonly bodyLimit: number
  readonly answersStream: boolean
  readonly answerInErrors: boolean
  /** The media type that an answer must have; undefined where it may have any. */
  readonly mediaType: string | undefined
  /** The status of a success, by which its schema is found. */
  readonly statuses: ReadonlySet<number>
}

/** One call on its way: what its endpoint declares, what it sends, and the response once there is one. */
interface Exchange extends Declared {
  /** Large contents, until they are in the body. */
  readonly contents: Array<Uint8Array>
  response: HttpClientResponse.HttpClientResponse | undefined
}

/** What a derived method fails with. */
type Failure = AshErrorReason | HttpClientError.HttpClientError | Schema.SchemaError

const isReason = Schema.is(AshErrorReason)

class CurrentExchange extends Context.Reference<Exchange>("effect-ash/client/AshApiClient/CurrentExchange", {
  defaultValue: () => ({
    bodyLimit: Infinity,
    answersStream: false,
    answerInErrors: false,
    mediaType: undefined,
    statuses: new Set<number>(),
    contents: [],
    response: undefined
  })
}) {}

const isByteStream = (value: unknown): value is Stream.Stream<Uint8Array, HttpClientError.HttpClientError> =>
  Stream.isStream(value)

const eventStream = "text/event-stream"

const declaredOf = (
  { success }: HttpApiEndpoint.Top,
  annotations: Context.Context<never>,
  successes: ReadonlyMap<number, unknown>
): Declared => {
  // In the contract a response with headers is a stream, and no other is.
  const streams = [...success].filter(HttpApiSchema.isWithHeaders)
  const isEventStream = streams.some(({ schema }) =>
    Predicate.hasProperty(schema, "contentType") && schema.contentType === eventStream
  )
  return {
    bodyLimit: Context.get(annotations, BodyLimit),
    answerInErrors: Context.get(annotations, AnswerInErrors),
    answersStream: streams.length > 0,
    mediaType: isEventStream ? eventStream : undefined,
    statuses: new Set(streams.length > 0 ? [200] : successes.keys())
  }
}

/** Whether a header says that type and no other, by type and subtype, which are all that tells one from another. */
const hasType = (header: string | undefined, mediaType: string) =>
  (header ?? "").replaceAll(/"(?:[^"\\]|\\.)*"/g, "").split(",")
    .every((type) => type.split(";")[0]?.trim().toLowerCase() === mediaType)

/** The failure of a response that is read; that of a request is one already. */
const clientError = (error: HttpClientError.HttpClientError, { response }: Pick<Exchange, "response">) =>
  response === undefined ? error : Failures.ofClient(error, response.request)

/** A part of what was asked for, which nothing here asks for. */
const partialContent = 206

/** The answer with the status that its endpoint declares: a proxy that changed it, say, makes 203 of it. */
const asDeclared = (response: HttpClientResponse.HttpClientResponse, { statuses }: Declared) => {
  const [status] = statuses
  return status === undefined || statuses.has(response.status) || response.status === partialContent
    ? response
    : Answer.withStatus(response, status)
}

/**
 * Lets go of what an attempt holds as soon as it fails, not only when the scope around its repetitions closes; and maps the
 * errors of the stream in its answer. One that was read to its end holds nothing, and to abort it costs as much as to make it.
 */
const holdStream =
  (toError: (error: HttpClientError.HttpClientError) => AshError) =>
  <E, R>(attempt: Effect.Effect<unknown, E, R>): Effect.Effect<unknown, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
    Effect.gen(function*() {
      const scope = Scope.makeUnsafe()
      let isRead = false
      yield* Effect.addFinalizer((exit) => isRead ? Effect.void : Scope.close(scope, exit))
      const answer = yield* attempt.pipe(
        Effect.provideService(Scope.Scope, scope),
        Effect.onError(() => Scope.close(scope, Exit.void))
      )
      if (!Predicate.hasProperty(answer, "body") || !isByteStream(answer.body)) return answer
      const body = Stream.transformPull(answer.body, (pull) =>
        Effect.succeed(Effect.mapError(pull, (error) => {
          if (!Cause.isDone(error)) return toError(error)
          isRead = true
          return error
        })))
      return { ...answer, body }
    })

/** The path of an agent's or a session's file. */
const filePath = /(?<=^\/api\/(?:agents|sessions)\/[^/]+\/files\/).*/

const checkBody = ({ headers }: HttpClientRequest.HttpClientRequest, { bodyLimit }: Exchange) => {
  const size = Number(headers["content-length"] ?? 0)
  return size <= bodyLimit ? Effect.void : Effect.fail(
    new InvalidRequest({
      message: `the body of the request must be at most ${bodyLimit} bytes; it has ${size}`,
      field: "body"
    })
  )
}

/** Refuses what a URL cannot hold. */
const checkUrl = (request: object) => {
  for (const part of ["params", "query"] as const) {
    const fields = Predicate.hasProperty(request, part) ? request[part] : undefined
    for (const [field, value] of Predicate.isObject(fields) ? Object.entries(fields) : []) {
      if (Predicate.isString(value) && !isWellFormed(value)) {
        return Effect.fail(new InvalidRequest({ message: `${field} must be ${wellFormed}`, field }))
      }
    }
  }
  return Effect.void
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
 * What spans tell of a query and of headers is what is known to be harmless; and where `fetch` cannot send a body in pieces,
 * it is sent whole.
 */
const always = Context.make(UrlParams.CurrentRedactedNames, [harmful]).pipe(
  Context.add(Headers.CurrentRedactedNames, [harmful]),
  Context.add(FetchHttpClient.StreamBodyFallback, "buffer")
)

const make = Effect.fnUntraced(function*(connection: ConnectionOptions) {
  const url = yield* Connection.baseUrl(connection.url)
  const key = yield* Connection.keyFrom(connection.apiKey)
  if (Connection.isExposed(url) && connection.allowPlainHttp !== true) {
    yield* Effect.logWarning(
      `${url} is plain http to another machine: what is sent, the key too, can be read on the way; use https, or set allowPlainHttp`
    )
  }

  const client = HttpClient.mapRequestEffect(yield* HttpClient.HttpClient, followNoRedirect)
  // For what a stream answers. Whoever reads an answer whole is done with it by then, and binds it to no scope.
  const scopedClient = HttpClient.withScope(client)
  const decoder = yield* Answer.ContentDecoding
  const mark = `effect-ash:${yield* Random.next}`
  const mayRepeat = yield* MayRepeat
  const prepare = (
    request: HttpClientRequest.HttpClientRequest,
    { headers = {} }: RequestOptionsInput,
    token: string | undefined
  ) =>
    request.pipe(
      // A slash in a file's path separates segments; the contract has checked each of them.
      HttpClientRequest.setUrl(request.url.replace(filePath, (path) => path.replaceAll("%2F", "/"))),
      HttpClientRequest.prependUrl(url),
      HttpClientRequest.setHeaders({ "accept-encoding": "identity", ...Connection.ownHeaders, ...headers }),
      token === undefined ? identity : HttpClientRequest.bearerToken(token)
    )
  const exchange = Effect.fnUntraced(function*(derived: HttpClientRequest.HttpClientRequest) {
    const current = yield* CurrentExchange
    const request = HttpClientRequest.setBody(derived, bodyOf(derived.body, mark, current.contents, yield* OnSent))
    yield* checkBody(request, current)
    const options = yield* RequestOptions
    if (options.headers !== undefined) yield* Connection.checkHeaders(options.headers)
    const prepared = prepare(request, options, yield* key)
    const onRequest = yield* OnRequest
    onRequest()
    const send = (current.answersStream ? scopedClient : client).execute(prepared)
    const received = yield* (mayRepeat ? sendOnce(prepared)(send) : send).pipe(
      Effect.mapError((error) => Failures.ofClient(error, prepared)),
      // A client that takes a status for a failure has an answer all the same.
      Effect.catch((error) =>
        error.reason._tag === "StatusCodeError" ? Effect.succeed(error.reason.response) : Effect.fail(error)
      )
    )
    const limit = current.answersStream ? Infinity : options.responseLimits?.body ?? Answer.defaultLimit
    const response = Answer.receive(received, decoder, limit)
    current.response = response
    const onResponse = yield* OnResponse
    onResponse(response)
    const isSuccess = response.status >= 200 && response.status < 300
    const { mediaType } = current
    if (isSuccess && (mediaType === undefined || hasType(response.headers["content-type"], mediaType))) {
      return asDeclared(response, current)
    }
    const redact = redactOf(response.request)
    if (isSuccess) {
      return yield* Effect.fail(Failures.noEventStream(response, yield* Failures.readText(response), redact))
    }
    const body = yield* Failures.readText(response)
    return yield* Effect.fail(
      Failures.fromResponse(response, body, redact, yield* Clock.currentTimeMillis, current.answerInErrors)
    )
  })
  const httpClient = HttpClient.makeWith(Effect.flatMap(exchange), Effect.succeed)

  const toReason = (error: Failure, { answerInErrors, response }: Exchange): Effect.Effect<AshErrorReason> => {
    if (isSurely(error, isReason)) return Effect.succeed(error)
    if (isSurely(error, Schema.isSchemaError)) {
      return response === undefined ? Effect.succeed(Failures.fromInput(error)) : Effect.map(
        Effect.orElseSucceed(response.text, () => ""),
        (text) => {
          const redact = redactOf(response.request)
          return Failures.undecodable(
            response,
            { text },
            redact,
            answerInErrors,
            Failures.describeBody(error, redact)
          )
        }
      )
    }
    const failure = clientError(error, { response })
    return response !== undefined && failure.reason._tag === "DecodeError" && failure.reason.cause === undefined
      ? Effect.map(
        Failures.readText(response),
        (body) => Failures.undecodable(response, body, redactOf(response.request), answerInErrors)
      )
      : Effect.succeed(Failures.fromHttpClientError(failure))
  }

  const raw: Record<string, Record<string, unknown>> = {
    ...yield* HttpApiClient.makeWith(AshApi, { httpClient }),
    ...yield* HttpApiClient.makeWith(HostedApi, { httpClient })
  }
  const methods: Record<string, Record<string, unknown>> = {}
  const derive: Parameters<typeof HttpApi.reflect>[1] = {
    onGroup: ({ group }) => {
      methods[group.identifier] = {}
    },
    onEndpoint: ({ endpoint, group, mergedAnnotations, successes }) => {
      const method = raw[group.identifier]?.[endpoint.identifier]
      if (!Predicate.isFunction(method)) return
      const declared = declaredOf(endpoint, mergedAnnotations, successes)
      const toError = (reason: AshErrorReason) =>
        new AshError({ operation: `${group.identifier}.${endpoint.identifier}`, reason })
      methods[group.identifier] = {
        ...methods[group.identifier],
        [endpoint.identifier]: (request: object) =>
          Effect.suspend(() => {
            const exchange: Exchange = { ...declared, contents: [], response: undefined }
            const result: Effect.Effect<unknown, Failure, Scope.Scope> = Effect.flatMap(
              checkUrl(request),
              () => method(request)
            )
            return result.pipe(
              Effect.catch((error) => Effect.flip(Effect.map(toReason(error, exchange), toError))),
              Effect.provideContext(
                Context.add(Context.add(always, CurrentExchange, exchange), ToBase64, toBase64(mark, exchange.contents))
              ),
              declared.answersStream
                ? holdStream((error) => toError(Failures.fromHttpClientError(clientError(error, exchange))))
                : Effect.scoped
            )
          })
      }
    }
  }
  HttpApi.reflect(AshApi, derive)
  HttpApi.reflect(HostedApi, derive)
  return isMethods(methods) ? methods : yield* Effect.die(new Error("an endpoint of the contract has no method"))
})
