/** The bytes of a turn that have arrived and are not consumed, in a buffer that is bounded in bytes. */
import * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import { AshError } from "../../schema/AshError.ts"
import { BufferFull } from "../../schema/Reasons.ts"
import type { TurnLimits } from "./turnLimits.ts"

const lineFeed = 10
const carriageReturn = 13
const colon = 58

/** Finds the comments in an event stream: lines that begin with a colon. Servers of heartbeats send them. */
class CommentFinder {
  #atLineStart = true

  isIn(chunk: Uint8Array): boolean {
    for (const byte of chunk) {
      if (this.#atLineStart && byte === colon) return true
      this.#atLineStart = byte === lineFeed || byte === carriageReturn
    }
    return false
  }
}

const bufferFull = (operation: string, sessionId: string, size: number) =>
  new AshError({
    operation,
    reason: new BufferFull({
      message: `more than ${size} bytes arrived that were not consumed; consume faster, or give the stream more buffer`,
      sessionId,
      size
    })
  })

/** How a stream has ended. */
export type End = Exit.Exit<never, AshError | Cause.Done>

/** Whose bytes arrive, and how many of them are kept. */
export interface ArrivalsOptions {
  readonly operation: string
  readonly sessionId: string
  readonly limits: TurnLimits
}

/** What has arrived. A class, as methods stay compiled when a turn ends, and closures do not. */
export class Arrivals {
  readonly #options: ArrivalsOptions
  readonly #clock: Clock.Clock
  readonly #comments = new CommentFinder()
  #chunks: Array<Uint8Array> = []
  #size = 0
  #count = 0
  #end: End | undefined
  #lastAt: bigint
  #awaitsHeartbeat: boolean
  /** Open while there is something to take. */
  readonly #filled = Latch.makeUnsafe(false)
  /** Open while there is room for more. */
  readonly #room = Latch.makeUnsafe(true)
  readonly #heartbeat = Deferred.makeUnsafe<void>()
  /** When the server answered, by the clock's nanoseconds. */
  readonly answeredAt: bigint

  constructor(options: ArrivalsOptions, clock: Clock.Clock) {
    this.#options = options
    this.#clock = clock
    this.#awaitsHeartbeat = options.limits.idleAfterHeartbeat
    this.answeredAt = clock.currentTimeNanosUnsafe()
    this.#lastAt = this.answeredAt
  }

  /** How often something has arrived. */
  get count(): number {
    return this.#count
  }

  /** When something last arrived, or was last listened for. */
  get lastAt(): bigint {
    return this.#lastAt
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0
  }

  /** Whether nothing more is read before something is taken. */
  get isFull(): boolean {
    return this.#size >= this.#options.limits.bufferSize
  }

  get end(): End | undefined {
    return this.#end
  }

  /** Whether silence does not count, as the server has sent no heartbeat yet. */
  get awaitsHeartbeat(): boolean {
    return this.#awaitsHeartbeat
  }

  /** Waits for the first heartbeat. */
  get heartbeat(): Effect.Effect<void> {
    return Deferred.await(this.#heartbeat)
  }

  /** Waits until there is something to take, or the end. */
  get filled(): Effect.Effect<void> {
    return this.#filled.await
  }

  /** Adds what has arrived, and waits for room where there is none left. */
  add(batch: Arr.NonEmptyReadonlyArray<Uint8Array>): Effect.Effect<void, AshError> {
    const { limits, operation, sessionId } = this.#options
    this.#lastAt = this.#clock.currentTimeNanosUnsafe()
    this.#count += 1
    for (const chunk of batch) {
      this.#chunks.push(chunk)
      this.#size += chunk.length
    }
    if (this.#awaitsHeartbeat && batch.some((chunk) => this.#comments.isIn(chunk))) {
      this.#awaitsHeartbeat = false
      Deferred.doneUnsafe(this.#heartbeat, Effect.void)
    }
    this.#filled.openUnsafe()
    if (!this.isFull) return Effect.void
    if (limits.whenFull === "fail") return Effect.fail(bufferFull(operation, sessionId, limits.bufferSize))
    this.#room.closeUnsafe()
    return this.#room.await
  }

  /** Takes what there is. */
  take(): Arr.NonEmptyReadonlyArray<Uint8Array> | undefined {
    const batch = this.#chunks
    if (!Arr.isArrayNonEmpty(batch)) return undefined
    // Nothing was read from the server until now.
    if (this.isFull) this.#lastAt = this.#clock.currentTimeNanosUnsafe()
    this.#chunks = []
    this.#size = 0
    this.#filled.closeUnsafe()
    this.#room.openUnsafe()
    return batch
  }

  /** Ends the stream behind what has arrived. The first end holds. */
  finish(end: End) {
    this.#end ??= end
    this.#filled.openUnsafe()
  }
}
