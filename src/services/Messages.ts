/** Messages: what is sent to an agent, the turn that it answers with, and the conversation that the server keeps. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { AshApiClient } from "../client/AshApiClient.ts"
import { RequestPolicy } from "../client/RequestPolicy.ts"
import { TurnTransport } from "../client/TurnTransport.ts"
import { renamed } from "../internal/request/operations.ts"
import { checked } from "../internal/request/options.ts"
import { arePaging, paginate, type PagingOptions } from "../internal/request/paging.ts"
import * as Gated from "../internal/turn/gated.ts"
import { uncontrolledTurn } from "../internal/turn/turnControl.ts"
import type { OnTurnError } from "../internal/turn/turnControl.ts"
import type { AshError } from "../schema/AshError.ts"
import type { MessageContent, SendMessageOptions, StoredMessage } from "../schema/Message.ts"
import type { StreamEvent } from "../schema/StreamEvent.ts"
import { SessionGates } from "./SessionGates.ts"

export type { AnswerSource } from "../internal/turn/answer.ts"
export type { Losable } from "../internal/turn/gate.ts"
export type { Budgets, Spent } from "../internal/turn/ledger.ts"
export type { TurnEvent } from "../internal/turn/turnFold.ts"

export type { PagingOptions }

/** Which rows of a conversation to list. */
export interface ListMessagesOptions extends Pick<PagingOptions, "after"> {
  /** At most so many rows, 1 to 1,000. @default 100 */
  readonly limit?: number | undefined
}

/** Sends messages and reads conversations. */
export class Messages extends Context.Service<Messages, {
  /**
   * Starts a turn and streams its events until it ends. The message is sent when the stream is run, once for each run,
   * and never twice in one: whatever happens after it went out is a failure of the stream.
   *
   * `Done` ends the stream. An `error` event fails it with `TurnFailed`, an end without either with `StreamTruncated`.
   * Interrupting the stream closes the connection; the server has no way to cancel a turn, so the turn runs on without a reader.
   *
   * Turns of one session do not mix: the message waits until no turn and no command of this program runs there, and fails
   * with `SessionFenced` behind one that was not read completely, as with a session handle; the request option `exclusive`
   * switches that off.
   *
   * The content reaches the agent as given, though servers differ in the forms that they deliver intact: before the
   * first message of a layer the server is asked which it does, by one or two requests that change nothing. A page in a
   * browser does not ask, as its console shows each refusal: content goes in several blocks, and, where a server has
   * never taken blocks and refuses them, as a text. A server that mangles a lone text and refuses a single block gets a
   * text as two blocks, cut between lines or words; a single word, image or document whole, with a word joiner (U+2060),
   * which is not seen, as the second block. `MessageReader.promptOf` reads either as the text that it was. A server that
   * takes only text gets the text of the blocks joined, of at most 100,000 characters; an image or a document for such a
   * server fails with `InvalidRequest`.
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
      const transport = yield* TurnTransport
      const stream = (operation: string, onTurnError: OnTurnError) =>
      (
        sessionId: string,
        content: MessageContent,
        options: SendMessageOptions = {}
      ): Stream.Stream<StreamEvent, AshError> =>
        transport.observed(
          { operation, sessionId, agentName: undefined, content, options },
          (folding) =>
            transport.stream(
              { operation, sessionId, content, options, onTurnError },
              ({ exclusive = true }) => {
                const makeFold = folding(uncontrolledTurn.makeFold)
                return exclusive
                  ? Effect.map(
                    Gated.enterUnfenced(gates, operation, sessionId, "turn"),
                    (holder) => Gated.gatedTurn({ ...holder, operation, sessionId }, makeFold)
                  )
                  : Effect.succeed({ ...uncontrolledTurn, makeFold })
              }
            )
        )

      const list = (id: string, options: ListMessagesOptions = {}) =>
        policy.field(api.list, { params: { id }, query: options }, "messages")

      return Messages.of({
        send: stream("Messages.send", "fail"),
        sendWithErrors: stream("Messages.sendWithErrors", "emit"),
        list,
        history: (id, options) =>
          Stream.unwrap(
            Effect.map(checked("Messages.history", arePaging, options), (paging) =>
              paginate((page) => list(id, page), paging))
          ).pipe(Stream.mapError(renamed("Messages.history")))
      })
    })
  ).pipe(Layer.provide(TurnTransport.layer))
}
