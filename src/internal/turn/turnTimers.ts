/**
 * The timers of a turn's stream. They are watched on the bytes, so that a slow consumer is not taken for a silent server;
 * and before one fails the turn, what lies in the socket is read.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { AshError } from "../../schema/AshError.ts"
import { TimedOut } from "../../schema/Reasons.ts"
import { takeIn } from "../request/eventLoop.ts"
import type { Arrivals } from "./arrivals.ts"
import type { TurnLimits } from "./turnLimits.ts"
import type { TurnProgress } from "./turnProgress.ts"

/** Nanoseconds after which it is looked again whether the consumer has found an event in what has arrived. */
const aLittle = 1_000_000_000n

const limitPassed = {
  firstEvent: (limit: string) =>
    `no event within ${limit} of the server's answer; the turn may still run. timeouts.firstEvent allows more`,
  idle: (limit: string) =>
    `the stream was silent for ${limit}; its sandbox may be dead, or a tool may still run. timeouts.idle allows more`,
  done: (limit: string) =>
    `the turn gave its result, and did not end within ${limit}; its sandbox may be dead. Recover the session, or use another one`,
  turn: (limit: string) => `the turn took longer than ${limit}; it may still run. timeouts.turn allows more`
}

/** A turn that did not begin, was silent, or took, for too long. */
export const timedOut = (operation: string, timer: keyof typeof limitPassed, duration: Duration.Duration) =>
  new AshError({
    operation,
    reason: new TimedOut({ message: limitPassed[timer](Duration.format(duration)), timer, duration })
  })

/** What the timers need to know of their turn. */
export interface TurnTimersOptions {
  readonly operation: string
  readonly limits: TurnLimits
  /** When the turn began, by the clock's nanoseconds. */
  readonly startedAt: bigint
  readonly progress: TurnProgress
}

/** A limit, and when it passes. */
interface Deadline {
  readonly timer: "firstEvent" | "idle" | "turn"
  readonly at: bigint
}

/** The timers of one turn. A class, as methods stay compiled when a turn ends, and closures do not. */
export class TurnTimers {
  readonly #options: TurnTimersOptions
  readonly #arrivals: Arrivals
  readonly #clock: Clock.Clock
  readonly #takeInArrived: Effect.Effect<void>
  /** Messages that had arrived when it was last looked, and when that was. */
  #messages = 0
  #messageAt = 0n
  /** Fails when a limit passes. */
  readonly watch: Effect.Effect<never, AshError>
  /** Fails when the end is too late behind the result; ends where the agent goes on. */
  readonly watchDone: Effect.Effect<void, AshError>

  constructor(options: TurnTimersOptions, arrivals: Arrivals, clock: Clock.Clock) {
    this.#options = options
    this.#arrivals = arrivals
    this.#clock = clock
    this.#takeInArrived = takeIn(() => arrivals.count)
    this.watch = Effect.suspend(() => this.#watch())
    this.watchDone = Effect.suspend(() => this.#watchDone())
  }

  /** Whether the end of the turn can be too late. */
  get isDoneLimited(): boolean {
    return Duration.isFinite(this.#options.limits.done)
  }

  #watch(): Effect.Effect<never, AshError> {
    const now = this.#clock.currentTimeNanosUnsafe()
    if (this.#passed(now) !== undefined) return this.#judge()
    const next = this.#next(now)
    const wait = next === undefined ? Effect.never : Effect.sleep(Duration.nanos(next.at - now))
    return Effect.andThen(
      this.#arrivals.awaitsHeartbeat ? Effect.raceFirst(wait, this.#arrivals.heartbeat) : wait,
      this.watch
    )
  }

  /** Fails where a limit has passed though what has arrived was read. */
  #judge(): Effect.Effect<never, AshError> {
    const { limits, operation } = this.#options
    return Effect.flatMap(this.#takeInArrived, () => {
      const timer = this.#passed(this.#clock.currentTimeNanosUnsafe())
      return timer === undefined ? this.watch : Effect.fail(timedOut(operation, timer, limits[timer]))
    })
  }

  #passed(now: bigint): Deadline["timer"] | undefined {
    const next = this.#next(now)
    return next !== undefined && next.at <= now ? next.timer : undefined
  }

  /** The limit that passes next, as things are. */
  #next(now: bigint): Deadline | undefined {
    const { progress, startedAt } = this.#options
    const arrivals = this.#arrivals
    let next: Deadline | undefined
    // What has arrived and is not consumed may have the event: it is asked again a little later.
    if (!progress.hasBegun) {
      next = this.#sooner(next, "firstEvent", arrivals.answeredAt, arrivals.isEmpty ? 0n : now + aLittle)
    }
    // A server is not silent while nothing is read from it.
    if (!arrivals.awaitsHeartbeat) next = this.#sooner(next, "idle", arrivals.isFull ? now : arrivals.lastAt)
    return this.#sooner(next, "turn", startedAt)
  }

  /** The sooner one of a deadline and that of a timer which runs since a time. */
  #sooner(next: Deadline | undefined, timer: Deadline["timer"], since: bigint, notBefore = 0n): Deadline | undefined {
    const limit = this.#options.limits[timer]
    if (!Duration.isFinite(limit)) return next
    const passes = since + Duration.toNanosUnsafe(limit)
    const at = passes < notBefore ? notBefore : passes
    return next === undefined || at < next.at ? { timer, at } : next
  }

  /** Counts from the last message when the end is too late. As things are, it may be in what is not consumed. */
  doneAt(now: bigint): bigint {
    const { limits, progress } = this.#options
    if (this.#messages !== progress.messages) {
      this.#messages = progress.messages
      this.#messageAt = now
    }
    const at = this.#messageAt + Duration.toNanosUnsafe(limits.done)
    return !this.#arrivals.isEmpty && at <= now ? now + aLittle : at
  }

  #watchDone(): Effect.Effect<void, AshError> {
    const { limits, operation, progress } = this.#options
    const now = this.#clock.currentTimeNanosUnsafe()
    const at = this.doneAt(now)
    if (!progress.hasResult) return Effect.void
    if (at > now) return Effect.andThen(Effect.sleep(Duration.nanos(at - now)), this.watchDone)
    return Effect.flatMap(this.#takeInArrived, () => {
      const now = this.#clock.currentTimeNanosUnsafe()
      return progress.hasResult && this.doneAt(now) <= now
        ? Effect.fail(timedOut(operation, "done", limits.done))
        : this.watchDone
    })
  }
}
