/** The bytes of a turn that have arrived and are not consumed, in a buffer that is bounded in bytes. */
import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { AshError } from "../../schema/AshError.ts"
import { BufferFull } from "../../schema/Reasons.ts"
import { failure } from "../request/operations.ts"
import type { TurnSource } from "./turnControl.ts"

const lineFeed = 10
const carriageReturn = 13
const colon = 58

const bufferFull = (operation: string, sessionId: string, size: number) =>
  failure(operation, BufferFull, {
    message: `${size} bytes or more arrived that were not consumed; consume faster, or give the stream more buffer`,
    sessionId,
    size
  })

/** Nanoseconds without an arrival, behind which the next one is taken at once: what comes in a row is taken together. */
const pause = 1_000_000n

/** Arrivals at the beginning of a turn that are taken at once, too: its first text is in one of them. */
const first = 3

export type End = Exit.Exit<never, AshError | Cause.Done>

type Resume = (effect: Effect.Effect<void>) => void

/** What has arrived. A class, as methods stay compiled when a turn ends, and closures do not. */
export class Arrivals {
  readonly #source: TurnSource
  readonly #clock: Clock.Clock
  /** Whether silence does not count, as the server has sent no heartbeat yet. */
  awaitsHeartbeat: boolean
  #isLineStart = true
  #chunks: Array<Uint8Array> = []
  #size = 0
  #end: End | undefined
  /** Resume the consumer, and the reader, where they wait. */
  #resumeConsumer: Resume | undefined
  #resumeReader: Resume | undefined
  /** How often something has arrived. */
  count = 0
  /** When something last arrived, or was last listened for. */
  lastAt = 0n
  /** Whether an event was in it. */
  hasBegun = false

  constructor(source: TurnSource, clock: Clock.Clock) {
    this.#source = source
    this.#clock = clock
    this.awaitsHeartbeat = source.limits.idleAfterHeartbeat
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0
  }

  /** Whether nothing more is read before something is taken. */
  get isFull(): boolean {
    return this.#size >= this.#source.limits.bufferSize
  }

  get end(): End | undefined {
    return this.#end
  }

  /** Waits until there is something to take, the end, or a reason to look again. */
  get filled(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (!this.isEmpty || this.#end !== undefined) return resume(Effect.void)
      this.#resumeConsumer = resume
    })
  }

  get #room(): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (!this.isFull) return resume(Effect.void)
      this.#resumeReader = resume
    })
  }

  /** The server listens, and is listened to, from now on. */
  begin() {
    this.lastAt = this.#clock.monotonicTimeNanosUnsafe()
  }

  /** Adds what has arrived, and waits for room where there is none left. */
  add(batch: ReadonlyArray<Uint8Array>): Effect.Effect<void, AshError> {
    const { limits, operation, sessionId } = this.#source
    const { lastAt } = this
    this.begin()
    this.count += 1
    for (const chunk of batch) {
      this.#chunks.push(chunk)
      this.#size += chunk.length
    }
    if (this.awaitsHeartbeat) this.awaitsHeartbeat = !batch.some((chunk) => this.#hasComment(chunk))
    const isAtOnce = this.count <= first || !this.hasBegun || this.lastAt - lastAt > pause
    this.wake(isAtOnce ? Effect.void : Effect.yieldNow)
    if (!this.isFull) return Effect.void
    return limits.whenFull === "fail" ? Effect.fail(bufferFull(operation, sessionId, limits.bufferSize)) : this.#room
  }

  /** Whether a line begins with a colon: servers of heartbeats send such comments. */
  #hasComment(chunk: Uint8Array): boolean {
    for (const byte of chunk) {
      if (this.#isLineStart && byte === colon) return true
      this.#isLineStart = byte === lineFeed || byte === carriageReturn
    }
    return false
  }

  take(): ReadonlyArray<Uint8Array> {
    const batch = this.#chunks
    // Nothing was read from the server until now.
    if (this.isFull) this.begin()
    this.#chunks = []
    this.#size = 0
    const resume = this.#resumeReader
    this.#resumeReader = undefined
    resume?.(Effect.void)
    return batch
  }

  /** Ends the stream behind what has arrived. The first end holds. */
  finish(end: End) {
    this.#end ??= end
    this.wake()
  }

  /** Lets the consumer look again; by the scheduler it finds all that has arrived by then, and does not run within the reader. */
  wake(when: Effect.Effect<void> = Effect.yieldNow) {
    const resume = this.#resumeConsumer
    this.#resumeConsumer = undefined
    resume?.(when)
  }
}
