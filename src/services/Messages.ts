/** Messages: what is said to an agent, the turn that it answers with, and the conversation that the server keeps. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { AshApiClient } from "../client/AshApiClient.ts"
import { RequestOptions } from "../client/RequestOptions.ts"
import { RequestPolicy } from "../client/RequestPolicy.ts"
import { limitOrElse } from "../internal/request/eventLoop.ts"
import { exchange, fromInput } from "../internal/request/failures.ts"
import { renamed } from "../internal/request/operations.ts"
import { paginate, type PagingOptions } from "../internal/request/paging.ts"
import { OnResponse } from "../internal/request/responses.ts"
import { type Redact, redactOf } from "../internal/request/secrets.ts"
import { withKnown } from "../internal/turn/brokenTurn.ts"
import { type ContentForm, toForm } from "../internal/turn/contentForm.ts"
import * as Gated from "../internal/turn/gated.ts"
import { initialProgress, readAhead, timedOut } from "../internal/turn/readAhead.ts"
import { TurnControl } from "../internal/turn/turnControl.ts"
import * as TurnFold from "../internal/turn/turnFold.ts"
import { turnLimits } from "../internal/turn/turnLimits.ts"
import { decodeEvents, endTurn, type OnTurnError } from "../internal/turn/turnStream.ts"
import { AshError, type AshErrorReason } from "../schema/AshError.ts"
import type { HttpExchange } from "../schema/HttpExchange.ts"
import { SessionId } from "../schema/Ids.ts"
import {
  type MessageContent,
  type SendMessageOptions,
  SendMessageRequest,
  type StoredMessage
} from "../schema/Message.ts"
import type { StreamEvent } from "../schema/StreamEvent.ts"
import { SessionGates } from "./SessionGates.ts"

/** Which rows of a conversation to list. */
export interface ListMessagesOptions {
  /** At most so many rows, 1 to 1,000. @default 100 */
  readonly limit?: number | undefined
  /** Only rows behind this sequence number. @default 0 */
  readonly after?: number | undefined
}

/** Sends messages and reads conversations. */
export class Messages extends Context.Service<Messages, {
  /**
   * Starts a turn and streams its events until it ends. The message is sent when the stream is run, once for each run,
   * and never twice in one: whatever happens after it went out is a failure of the stream.
   *
   * `Done` ends the stream. An `error` event fails it with `TurnFailed`, an end without either with `StreamTruncated`.
   * Interrupting the stream closes the connection; the server has no way to cancel a turn, so the turn runs on, unheard.
   *
   * Turns of one session do not mix: the message waits until no turn and no command of this program runs there, and fails
   * with `SessionFenced` behind one that was not heard to its end, as with a session handle; `RequestOptions.exclusive`
   * switches that off.
   *
   * The content reaches the agent as given, though servers differ in the forms that they deliver intact: before the
   * first message of a layer the server is asked which it does, by one or two requests that change nothing. A page in a browser does not ask, as its console shows each refusal: content
   * goes in several blocks, and, where a server has never taken blocks and refuses them, as a text. A server
   * that mangles a lone text and refuses a single block gets a text as two blocks, cut between lines or words; a single
   * word, image or document whole, with a word joiner (U+2060), which is not seen, as the second block. `MessageReader.promptOf`
   * reads either as the text that it was. A server that takes only text gets the text of the blocks joined; an
   * image or a document for such a server fails with `InvalidRequest`.
   */
  readonly send: (
    sessionId: string,
    content: MessageContent,
    options?: SendMessageOptions
  ) => Stream.Stream<StreamEvent, AshError>
  /** As `send`, but an `error` event is the last element of the stream instead of its failure. */
  readonly sendWithErrors: (
    sessionId: string,
    content: MessageContent,
    options?: SendMessageOptions
  ) => Stream.Stream<StreamEvent, AshError>
  /** Lists stored messages, oldest first. A page may be stale while a turn runs. */
  readonly list: (
    sessionId: string,
    options?: ListMessagesOptions
  ) => Effect.Effect<ReadonlyArray<StoredMessage>, AshError>
  /** Streams the whole conversation, oldest first, page by page. */
  readonly history: (sessionId: string, options?: PagingOptions) => Stream.Stream<StoredMessage, AshError>
}>()("effect-ash/services/Messages") {
  static readonly layer: Layer.Layer<Messages, never, AshApiClient | RequestPolicy | SessionGates> = Layer.effect(
    Messages,
    Effect.gen(function*() {
      const { messages: api } = yield* AshApiClient
      const policy = yield* RequestPolicy
      const gates = yield* SessionGates
      const ask = yield* remember(
        // The refusals of it are by design, so in no trace; and it is the layer's question, not that of the first caller.
        probeContentForm((content) =>
          Effect.scoped(
            policy.call(api.send, { params: { id: noSession }, payload: { content } }, { repetition: "harmless" })
          )
        ).pipe(Effect.provideService(RequestOptions, {}), Effect.withTracerEnabled(false))
      )
      /** What a server took of a page, which does not ask, as its console shows each refusal. */
      let taken: ContentForm | undefined
      const contentForm = Effect.suspend(() => isPage() ? Effect.succeed(taken) : ask)

      const ungated = (
        onTurnError: OnTurnError,
        id: string,
        content: MessageContent,
        options: SendMessageOptions
      ): Stream.Stream<StreamEvent, AshError> =>
        Stream.unwrap(Effect.gen(function*() {
          // Before the server is asked for the form that it takes: input that is not in order is never sent.
          yield* Effect.mapError(
            checkRequest({ params: { id }, payload: { ...options, content } }),
            (error) => refused(fromInput(error))
          )
          const limits = turnLimits(yield* policy.options(operation))
          const control = yield* TurnControl
          const folding = yield* TurnFold.Folding
          const progress = initialProgress()
          let redact: Redact = identity
          let http: HttpExchange | undefined
          let startedAt = 0n
          const start = Effect.gen(function*() {
            yield* policy.stream
            const form = yield* contentForm
            const sendAs = (form: ContentForm) =>
              Effect.mapError(Effect.fromResult(toForm(content, form)), refused).pipe(
                Effect.flatMap((content) => api.send({ params: { id }, payload: { ...options, content } })),
                Effect.tap(() =>
                  Effect.sync(() => {
                    taken = form
                  })
                )
              )
            const attempt = form !== undefined ? sendAs(form) : sendAs("SeveralBlocks").pipe(
              // A server that takes no blocks does nothing with them; neither does one that refuses something else.
              Effect.catchReason("AshError", "InvalidRequest", (_, error) =>
                sendAs("TextOnly").pipe(
                  Effect.catchReason("AshError", "InvalidRequest", () => Effect.fail(error))
                ))
            )
            const limited = Duration.isFinite(limits.turn)
              ? limitOrElse({
                duration: limits.turn,
                orElse: () => Effect.fail(timedOut(operation, "turn", limits.turn))
              })(attempt)
              : attempt
            // From the sending that is answered: what is refused before was no turn.
            const started = Effect.flatMap(Clock.currentTimeNanos, (now) => {
              startedAt = now
              return limited
            })
            return yield* policy.attempt(api.send.operation, control.attempt(started))
          }).pipe(
            Effect.provideService(OnResponse, (response) => {
              redact = redactOf(response.request)
              http = exchange(response, "", redact)
            })
          )
          const { body } = yield* control.abort === Effect.never
            ? start
            : Effect.raceFirst(start, control.abort)
          return body.pipe(
            readAhead({ operation, sessionId: id, limits, startedAt, progress }),
            decodeEvents(operation, limits.maxEventSize),
            endTurn(operation, id, { folding, onTurnError, progress, redact }),
            Stream.mapError((error) => withKnown(error, { http: error.reason.http ?? http }))
          )
        }))

      const stream =
        (onTurnError: OnTurnError) =>
        (id: string, content: MessageContent, options: SendMessageOptions = {}): Stream.Stream<StreamEvent, AshError> =>
          Stream.unwrap(Effect.gen(function*() {
            const turn = ungated(onTurnError, id, content, options)
            const { exclusive = true } = yield* policy.options(operation)
            if (!exclusive) return turn
            const guest = yield* Gated.enterUnfenced(gates, operation, id, "turn")
            return Gated.gatedTurn({ ...guest, operation, sessionId: id }, turn)
          }))

      const list = (id: string, options: ListMessagesOptions = {}) =>
        Effect.map(
          policy.call(api.list, { params: { id }, query: options }),
          ({ messages }) => messages
        )

      return Messages.of({
        send: stream("fail"),
        sendWithErrors: (id, content, options) =>
          Stream.mapError(stream("emit")(id, content, options), renamed("Messages.sendWithErrors")),
        list,
        history: (id, options) =>
          Stream.mapError(paginate((page) => list(id, page), options), renamed("Messages.history"))
      })
    })
  )
}

const operation = "Messages.send"

const checkRequest = Schema.decodeUnknownEffect(
  Schema.toType(Schema.Struct({ params: Schema.Struct({ id: SessionId }), payload: SendMessageRequest }))
)

const refused = (reason: AshErrorReason) => new AshError({ operation, reason })

/** Whether this is a page in a browser, or a worker of one. */
const isPage = () => "location" in globalThis

/** The id of no session: servers give random ids. */
const noSession = "00000000-0000-0000-0000-000000000000"

/** Whether a message to no session is refused for its session, so that its content is in order. */
const isAccepted = <A>(attempt: Effect.Effect<A, AshError>): Effect.Effect<boolean, AshError> =>
  attempt.pipe(
    Effect.as(true),
    Effect.catchReason("AshError", "NotFound", () => Effect.succeed(true)),
    Effect.catchReason("AshError", "InvalidRequest", ({ http }, error) =>
      http === undefined ? Effect.fail(error) : Effect.succeed(false))
  )

const probeContentForm = Effect.fnUntraced(function*<A>(
  attempt: (content: MessageContent) => Effect.Effect<A, AshError>
): Effect.fn.Return<ContentForm, AshError> {
  const block = { type: "text", text: "-" } as const
  if (yield* isAccepted(attempt([block]))) return "AsGiven"
  return (yield* isAccepted(attempt([block, block]))) ? "SeveralBlocks" : "TextOnly"
})

/** Runs an effect until it has succeeded once; those who ask meanwhile wait. */
const remember = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<Effect.Effect<A, E>> =>
  Effect.map(
    Effect.all([Ref.make(Option.none<A>()), Semaphore.make(1)]),
    ([known, lock]) => {
      const unless = (whenUnknown: Effect.Effect<A, E>) =>
        Effect.flatMap(Ref.get(known), Option.match({ onNone: () => whenUnknown, onSome: Effect.succeed }))
      const ask = Effect.tap(effect, (value) => Ref.set(known, Option.some(value)))
      return unless(lock.withPermits(1)(unless(ask)))
    }
  )
