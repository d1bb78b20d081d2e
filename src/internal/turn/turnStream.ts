/** From the bytes of a turn to its events. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { AshError } from "../../schema/AshError.ts"
import { Undecodable } from "../../schema/Reasons.ts"
import { type StreamEvent, streamEventKind } from "../../schema/StreamEvent.ts"
import { EventParser } from "./EventParser.ts"
import { turnLimits } from "./turnLimits.ts"

/** What an event has beside its data: the names of its fields, and the JSON around a long text. */
const envelope = 1024

const tooLarge = (operation: string, maxEventSize: number) =>
  new AshError({
    operation,
    reason: new Undecodable({
      message: `an event of the stream is larger than ${maxEventSize} characters; maxEventSize allows more`
    })
  })

/** Events in a batch, unless a single piece of the stream has more. */
const batchSize = 256

/**
 * Decodes the bytes of an event stream, in one step for each batch that arrives. Comments and `retry` lines are passed
 * over; an event that the end of the stream cuts off is none.
 */
export const decodeEvents =
  (operation: string, maxEventSize = turnLimits({}).maxEventSize) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<StreamEvent, AshError | E, R> =>
    Stream.transformPull(bytes, (pull) =>
      Effect.sync(() => {
        let chunks: ReadonlyArray<Uint8Array> = []
        let position = 0
        let isTooLarge = false
        const parser = new EventParser(streamEventKind, maxEventSize + envelope)

        const next: Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent>, AshError | E, void, R> = Effect.suspend(() => {
          // A batch at a time, however much has arrived: events that are soon dropped cost the collector nothing.
          for (
            let chunk = chunks[position];
            chunk !== undefined && !isTooLarge && parser.size < batchSize;
            chunk = chunks[position]
          ) {
            position += 1
            isTooLarge = !parser.feed(chunk)
          }
          const events = parser.take()
          if (Arr.isArrayNonEmpty(events)) return Effect.succeed(events)
          if (isTooLarge) return Effect.fail(tooLarge(operation, maxEventSize))
          // What is parsed is not kept while nothing arrives.
          chunks = []
          return Effect.flatMap(pull, (arrived) => {
            chunks = arrived
            position = 0
            return next
          })
        })
        return next
      }))
