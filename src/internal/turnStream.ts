/** From the bytes of a turn to its events, and the rule by which a turn ends. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { AshError, StreamTruncated, TurnFailed, Undecodable } from "../schema/AshError.ts"
import { type StreamEvent, streamEventFromJson, type TurnErrorEvent } from "../schema/StreamEvent.ts"
import { parseJson } from "../schema/Wire.ts"

/** Characters that one event may have: 64 Mi. */
const maxEventSize = 67_108_864

const tooLarge = (operation: string) =>
  new AshError({
    operation,
    reason: new Undecodable({ message: `an event of the stream is larger than ${maxEventSize} characters` })
  })

/**
 * Decodes the bytes of an event stream, in one step for each batch that arrives. Comments and `retry` lines are passed
 * over; an event that the end of the stream cuts off is none.
 */
export const decodeEvents =
  (operation: string) => <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<StreamEvent, AshError | E, R> =>
    Stream.transformPull(bytes, (pull) =>
      Effect.sync(() => {
        const decoder = new TextDecoder()
        let events: Array<StreamEvent> = []
        const parser = Sse.makeParser((event) => {
          if (event._tag === "Event") events.push(streamEventFromJson(event.event, parseJson(event.data)))
        }, { maxEventSize })

        const next: Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent>, AshError | E, void, R> = Effect.suspend(() => {
          if (Arr.isArrayNonEmpty(events)) {
            const batch = events
            events = []
            return Effect.succeed(batch)
          }
          return Effect.flatMap(pull, (chunks) => {
            const failed = chunks.some((chunk) => parser.feed(decoder.decode(chunk, { stream: true })) !== undefined)
            return failed ? Effect.fail(tooLarge(operation)) : next
          })
        })
        return next
      }))

const isTerminal = (event: StreamEvent) => event._tag === "Done" || event._tag === "TurnError"

const truncated = (operation: string, sessionId: string, how: string) =>
  new AshError({
    operation,
    reason: new StreamTruncated({
      message: `the stream ended before the turn did (${how}); the turn may still run, and what it says is lost here`,
      sessionId
    })
  })

/** What becomes of an `error` event: it fails the stream, or it is the last event. */
export type OnTurnError = "fail" | "emit"

/** Ends a turn at `done` or `error`, whatever the connection does then. An end without either is a failure. */
export const endTurn =
  (operation: string, sessionId: string, onTurnError: OnTurnError) =>
  <R>(events: Stream.Stream<StreamEvent, AshError, R>): Stream.Stream<StreamEvent, AshError, R> =>
    Stream.transformPull(
      Stream.mapError(events, (error) =>
        error.reason._tag === "ConnectionLost" ? truncated(operation, sessionId, error.reason.message) : error),
      (pull) =>
        Effect.sync(() => {
          let last: StreamEvent | undefined
          const upstream = Pull.catchDone(pull, () =>
            Effect.fail(truncated(operation, sessionId, "the server closed it")))

          const next: Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent>, AshError, void, R> = Effect.suspend(() => {
            if (last === undefined) {
              return Effect.flatMap(upstream, (batch) => {
                const end = batch.findIndex(isTerminal)
                last = batch[end]
                const kept = last === undefined ? batch : batch.slice(0, isFailure(last) ? end : end + 1)
                return Arr.isReadonlyArrayNonEmpty(kept) ? Effect.succeed(kept) : next
              })
            }
            return isFailure(last) ? Effect.fail(turnFailed(last)) : Cause.done()
          })
          const isFailure = (event: StreamEvent): event is TurnErrorEvent =>
            onTurnError === "fail" && event._tag === "TurnError"
          const turnFailed = ({ error }: TurnErrorEvent) =>
            new AshError({
              operation,
              reason: new TurnFailed({ message: `the turn failed: ${error}`, sessionId, error })
            })
          return next
        })
    )
