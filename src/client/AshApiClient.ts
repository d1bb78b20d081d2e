/**
 * The low-level client: one method per endpoint of the contract, with the base URL, the key, the encoding of paths and the
 * mapping of errors applied, and nothing else. It repeats nothing and limits nothing; the services do. A method that
 * answers a stream holds a connection, which closes with the surrounding scope.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import { isCutShort } from "../internal/request/answer.ts"
import * as ConnectionFailures from "../internal/request/connectionFailures.ts"
import * as Endpoint from "../internal/request/endpoint.ts"
import * as Failures from "../internal/request/failures.ts"
import { safelyIs } from "../internal/request/inspectUnknown.ts"
import { checked } from "../internal/request/options.ts"
import { type Answered, type Attempt, valueOf } from "../internal/request/sending.ts"
import { AshApi } from "../schema/AshApi.ts"
import { AshError, type AshErrorReason } from "../schema/AshError.ts"
import { HostedApi } from "../schema/HostedApi.ts"
import { type Operation, operationOf } from "../schema/Operation.ts"
import { WrongState } from "../schema/Reasons.ts"
import type { ApiClient, ApiMethods } from "./ApiMethods.ts"
import { RequestOptions } from "./RequestOptions.ts"
import { requestRules } from "./requestRules.ts"
import * as Transport from "./transport.ts"

export type { KeySource } from "../internal/request/connection.ts"

export type { ConnectionOptions } from "./transport.ts"

interface Group {
  readonly identifier: string
  readonly annotations: Context.Context<never>
  readonly endpoints: Record.ReadonlyRecord<string, Endpoint.Declared>
}

interface ToMethods extends Struct.Lambda {
  (group: Group): unknown
  readonly "~lambda.out": this["~lambda.in"] extends { readonly identifier: infer Id extends keyof ApiMethods }
    ? ApiMethods[Id]
    : never
}

/** The low-level client. */
export class AshApiClient extends Context.Service<AshApiClient, ApiClient>()("effect-ash/client/AshApiClient") {
  /** The client of one server, over the `HttpClient` in context. Fails on a URL or a key that cannot be used. */
  static readonly layer = (
    connection: Transport.ConnectionOptions
  ): Layer.Layer<AshApiClient, AshError, HttpClient.HttpClient> =>
    Layer.effect(
      AshApiClient,
      Effect.mapError(make(connection), (reason) => new AshError({ operation: "Ash.layer", reason }))
    )
}

const isByteStream = (value: unknown): value is Stream.Stream<Uint8Array, HttpClientError.HttpClientError> =>
  Stream.isStream(value)

interface Held {
  readonly scope: Scope.Closeable
  /** Whether its stream is gone: it was begun, or released. Clients end one that is read again as if it were whole. */
  isGone: boolean
  /** Whether its stream was read to its end, and so holds nothing: to abort it costs as much as to make it. */
  isRead: boolean
}

/** Releases what is held. Made apart from the attempt, which a scope would keep in memory while the stream is read. */
const release = (held: Held) => (exit: Exit.Exit<unknown, unknown>) => {
  held.isGone = true
  return held.isRead ? Effect.void : Scope.close(held.scope, exit)
}

/** A body that is refused before it is begun once more, which would break the reading that is under way. */
const readOnce = <E, E2>(
  held: Held,
  toError: (reason: AshErrorReason) => AshError,
  { channel }: Stream.Stream<Uint8Array, E>,
  onEnd: (error: E | Cause.Done) => E2
) =>
  Stream.fromChannel(Channel.fromTransform((_, scope) => {
    if (held.isGone) return Effect.fail(toError(new WrongState({ message: gone })))
    held.isGone = true
    return Effect.map(Channel.toPullScoped(channel, scope), Effect.mapError(onEnd))
  }))

/** The same answer, with the errors of its stream as those of the method. */
const readHeld =
  (held: Held, toError: (reason: AshErrorReason) => AshError, isEventStream: boolean) =>
  (answered: Answered<unknown>): Answered<unknown> => {
    const { response, value } = answered
    if (!Predicate.hasProperty(value, "body") || !isByteStream(value.body)) return answered
    const { request } = response
    const onEnd = (error: HttpClientError.HttpClientError | Cause.Done) => {
      if (Cause.isDone(error)) {
        held.isRead = true
        return error
      }
      const failure = ConnectionFailures.ofClient(error, request)
      // Events show by themselves whether they are all; some clients report no more of it than the end.
      return isEventStream && isCutShort(failure)
        ? Cause.Done()
        : toError(ConnectionFailures.fromHttpClientError(failure))
    }
    const body = readOnce(held, toError, value.body, onEnd)
    return { value: { ...value, body }, response }
  }

const gone = "the content was read, or its scope is closed; request it again"

/** Releases what an attempt holds as soon as it fails, not only when the scope around its repetitions closes. */
const holdStream = (
  attempt: (scope: Scope.Scope) => Effect.Effect<Answered<unknown>, AshErrorReason>,
  toError: (reason: AshErrorReason) => AshError,
  isEventStream: boolean
): Effect.Effect<Answered<unknown>, AshError, Scope.Scope> =>
  Effect.contextWith((context: Context.Context<Scope.Scope>) => {
    const held: Held = { scope: Scope.makeUnsafe(), isGone: false, isRead: false }
    const attempted = Effect.onExit(
      attempt(held.scope),
      (exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(held.scope, exit)
    )
    return Effect.flatMap(
      Scope.addFinalizerExit(Context.get(context, Scope.Scope), release(held)),
      () => Effect.map(Effect.mapError(attempted, toError), readHeld(held, toError, isEventStream))
    )
  })

/** The method of an endpoint. What it needs of its schemas is made when it is first called. */
const makeMethod = (operation: Operation, makeEndpoint: () => Endpoint.Endpoint, transport: Transport.Transport) => {
  const toError = (reason: AshErrorReason) => new AshError({ operation: operation.name, reason })
  let made: Endpoint.Endpoint | undefined
  const send = (
    endpoint: Endpoint.Endpoint,
    encoded: Endpoint.Encoded
  ): Attempt<Answered<unknown>, Scope.Scope> =>
  (sending) =>
    endpoint.answersStream
      ? holdStream((scope) => transport.open(endpoint, encoded, sending, scope), toError, endpoint.answersEvents)
      : Effect.mapError(transport.send(endpoint, encoded, sending), toError)
  const prepare = (input: Endpoint.Input) =>
    Effect.suspend(() => {
      const endpoint = made ??= makeEndpoint()
      return Effect.mapBothEager(endpoint.encode(input, transport.mark), {
        onFailure: (error) => toError(safelyIs(error, Schema.isSchemaError) ? Failures.fromInput(error) : error),
        onSuccess: (encoded) => send(endpoint, encoded)
      })
    })
  const method = (input: Endpoint.Input) =>
    Effect.flatMap(prepare(input), (send) =>
      RequestOptions.pipe(
        Effect.flatMap((options) => checked(operation.name, requestRules, options)),
        Effect.flatMap(send),
        Effect.map(valueOf)
      ))
  return Object.assign(method, { operation, prepare })
}

const make = Effect.fnUntraced(function*(connection: Transport.ConnectionOptions) {
  const transport = yield* Transport.make(connection)
  const toMethods = Struct.lambda<ToMethods>((group) =>
    Record.map(group.endpoints, (endpoint) => {
      const annotations = Context.merge(group.annotations, endpoint.annotations)
      return makeMethod(
        operationOf(group, endpoint, annotations),
        () => Endpoint.make(endpoint, annotations),
        transport
      )
    })
  )
  return { ...Struct.map({ ...AshApi.groups, ...HostedApi.groups }, toMethods), server: transport.server }
})
