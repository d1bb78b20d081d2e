/** From the bytes of a turn to its events. */
import * as Arr from "effect/Array"
import * as Bytes from "effect/Bytes"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { AshError } from "../../schema/AshError.ts"
import { Undecodable } from "../../schema/Reasons.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import { failure } from "../request/operations.ts"
import { EventParser } from "./EventParser.ts"
import { turnLimits } from "./turnLimits.ts"

/** Characters that are not counted: the JSON around a long text. While an event is not complete, as many for the names of its fields. */
const envelope = 1024

export const tooLarge = (operation: string, maxEventSize: number) =>
  failure(operation, Undecodable, {
    message: `an event of the stream is larger than ${maxEventSize} characters; maxEventSize allows more`
  })

/** Events in a batch, unless a single piece of the stream has more. */
const batchSize = 256

/** Bytes up to which pieces are parsed as one: each costs as much as a line. */
const pieceSize = 16_384

/**
 * Decodes the bytes of an event stream, a batch at a time, however much has arrived: events that are soon dropped cost the
 * collector nothing. Comments and `retry` lines are passed over; an event that the end of the stream cuts off is none.
 */
export class EventDecoder {
  readonly #parser: EventParser
  #chunks: ReadonlyArray<Uint8Array> = []
  #position = 0
  /** Whether an event is too large, behind the events that were taken. */
  isTooLarge = false

  constructor(maxEventSize: number) {
    this.#parser = new EventParser(maxEventSize + 2 * envelope, maxEventSize + envelope)
  }

  /** Takes bytes, when all before are decoded. */
  feed(chunks: ReadonlyArray<Uint8Array>) {
    this.#chunks = chunks
    this.#position = 0
  }

  /** The next events; none where all bytes are decoded, or an event is too large. */
  take(): ReadonlyArray<StreamEvent> {
    while (!this.isTooLarge && this.#parser.size < batchSize) {
      const piece = this.#piece()
      if (piece === undefined) break
      this.isTooLarge = !this.#parser.feed(piece)
    }
    return this.#parser.take()
  }

  /** The next bytes: a large chunk, or small ones as one. */
  #piece(): Uint8Array | undefined {
    const start = this.#position
    let size = 0
    for (let chunk = this.#chunks[start]; chunk !== undefined; chunk = this.#chunks[this.#position]) {
      size += chunk.length
      if (size > pieceSize && this.#position > start) break
      this.#position += 1
    }
    const piece = this.#position - start > 1
      ? Bytes.concat(this.#chunks.slice(start, this.#position))
      : this.#chunks[start]
    // What is decoded is not kept while nothing arrives.
    if (this.#position === this.#chunks.length) this.feed([])
    return piece
  }
}

export const decodeEvents =
  (operation: string, maxEventSize = turnLimits({}).maxEventSize) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<StreamEvent, AshError | E, R> =>
    Stream.transformPull(bytes, (pull) =>
      Effect.sync(() => {
        const decoder = new EventDecoder(maxEventSize)
        const next: Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent>, AshError | E, void, R> = Effect.suspend(() => {
          const events = decoder.take()
          if (Arr.isReadonlyArrayNonEmpty(events)) return Effect.succeed(events)
          if (decoder.isTooLarge) return Effect.fail(tooLarge(operation, maxEventSize))
          return Effect.flatMap(pull, (arrived) => {
            decoder.feed(arrived)
            return next
          })
        })
        return next
      }))
