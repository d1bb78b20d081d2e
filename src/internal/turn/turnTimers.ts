/**
 * The timers of a turn's stream. They are watched on the bytes, so that a slow consumer is not taken for a silent server;
 * and before one fails the turn, what lies in the socket is read.
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { TimedOut } from "../../schema/Reasons.ts"
import type { TurnErrorEvent } from "../../schema/StreamEvent.ts"
import { callAfter, takeIn } from "../request/eventLoop.ts"
import { failure } from "../request/operations.ts"
import type { Arrivals } from "./arrivals.ts"
import type { TurnEnding } from "./turnEnd.ts"
import type { TurnLimits } from "./turnLimits.ts"

/** Nanoseconds after which it is looked again whether the consumer has found an event in what has arrived. */
const aLittle = 1_000_000_000n

/**
 * How long an `error` that may be a block of the agent's waits for what comes behind it. Behind a block there is at
 * once the message that it is a part of (docs/ash.md 4.4), behind a failure the end of the stream, or `done`
 * (docs/ash.md 4.5).
 */
const blockPatience = Duration.seconds(5)

const limitPassed = {
  firstEvent: (limit: string) =>
    `no event within ${limit} of the server's answer; the turn may still run. timeouts.firstEvent allows more`,
  idle: (limit: string) =>
    `the stream was silent for ${limit}; its sandbox may be dead, or a tool may still run. timeouts.idle allows more`,
  done: (limit: string) =>
    `the turn gave its result, and did not end within ${limit}; its sandbox may be dead. Recover the session, or use another one`,
  turn: (limit: string) => `the turn took longer than ${limit}; it may still run. timeouts.turn allows more`
}

export const timedOut = (operation: string, timer: keyof typeof limitPassed, duration: Duration.Duration) =>
  failure(operation, TimedOut, { message: limitPassed[timer](Duration.format(duration)), timer, duration })

export type Timer = keyof typeof limitPassed | "block"

export interface TurnTimersOptions {
  readonly limits: TurnLimits
  /** When the turn began, in nanoseconds of the monotonic clock. */
  readonly startedAt: bigint
  readonly arrivals: Arrivals
  /** How far the turn is, by the events that were taken of it. */
  readonly progress: Pick<TurnEnding, "hasResult" | "messages" | "held">
  readonly clock: Clock.Clock
  readonly context: Context.Context<never>
  /** Is called when a limit has passed though what has arrived was read. */
  readonly onPassed: (timer: Timer) => void
}

interface Deadline {
  readonly timer: Timer
  readonly at: bigint
}

/** The timers of one turn. A class, as methods stay compiled when a turn ends, and closures do not. */
export class TurnTimers {
  readonly #options: TurnTimersOptions
  readonly #answeredAt: bigint
  /** What the end is awaited behind, once the consumer waits for it: an error, or so many messages. */
  #behind: TurnErrorEvent | number | undefined
  #behindSince = 0n
  #cancel: (() => void) | undefined

  /** The server has answered. */
  constructor(options: TurnTimersOptions) {
    this.#options = options
    this.#answeredAt = options.clock.monotonicTimeNanosUnsafe()
    this.set()
  }

  /** The consumer waits for more: behind a result, or an error, that may be too late. */
  awaitEnd() {
    if (this.#noteBehind() && this.#behind !== undefined) this.set()
  }

  set() {
    this.stop()
    const { clock, context } = this.#options
    const now = clock.monotonicTimeNanosUnsafe()
    const next = this.#next(now)
    if (next === undefined) return
    // Node warns of a time that has passed.
    this.#cancel = callAfter(context, Math.max(0, Number(next.at - now) / 1_000_000), () => {
      if (this.#options.arrivals.end !== undefined) return
      if (this.#passed() === undefined) return this.set()
      const judging = Effect.runForkWith(context)(this.#judge)
      this.#cancel = () => judging.interruptUnsafe()
    })
  }

  stop() {
    this.#cancel?.()
    this.#cancel = undefined
  }

  /** Reports the limit that has passed though what has arrived was read, if one has. */
  get #judge(): Effect.Effect<void> {
    const { arrivals, onPassed } = this.#options
    return Effect.map(takeIn(() => arrivals.count), () => {
      const timer = this.#passed()
      if (timer === undefined) this.set()
      else onPassed(timer)
    })
  }

  #passed(): Timer | undefined {
    const now = this.#options.clock.monotonicTimeNanosUnsafe()
    const next = this.#next(now)
    return next !== undefined && next.at <= now ? next.timer : undefined
  }

  /** Notes behind what only the end of the turn is missing; answers whether that is new. */
  #noteBehind(): boolean {
    const { clock, progress: { held, hasResult, messages } } = this.#options
    const behind = held ?? (hasResult ? messages : undefined)
    if (behind === this.#behind) return false
    this.#behind = behind
    this.#behindSince = clock.monotonicTimeNanosUnsafe()
    return true
  }

  #next(now: bigint): Deadline | undefined {
    const { arrivals, startedAt } = this.#options
    let next: Deadline | undefined
    if (!arrivals.hasBegun) next = this.#sooner(next, "firstEvent", this.#answeredAt, now)
    // A server is not silent while nothing is read from it.
    if (!arrivals.awaitsHeartbeat) next = this.#sooner(next, "idle", arrivals.isFull ? now : arrivals.lastAt)
    if (this.#behind !== undefined) this.#noteBehind()
    if (this.#behind !== undefined) {
      next = this.#sooner(next, Predicate.isNumber(this.#behind) ? "done" : "block", this.#behindSince, now)
    }
    return this.#sooner(next, "turn", startedAt)
  }

  /**
   * The sooner one of a deadline and that of a timer which runs since a time. What has arrived and is not consumed may
   * have what some wait for: they are looked at again a little later.
   */
  #sooner(next: Deadline | undefined, timer: Timer, since: bigint, now?: bigint): Deadline | undefined {
    const { arrivals, limits } = this.#options
    const limit = timer === "block" ? blockPatience : limits[timer]
    if (!Duration.isFinite(limit)) return next
    const passes = since + Duration.toNanosUnsafe(limit)
    const at = now !== undefined && passes <= now && !arrivals.isEmpty ? now + aLittle : passes
    return next === undefined || at < next.at ? { timer, at } : next
  }
}
