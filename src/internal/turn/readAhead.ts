/**
 * Reads a turn's bytes ahead of the consumer of its events, into a buffer bounded in bytes, so that a server does not cut
 * off a slow consumer.
 */
import type * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { AshError } from "../../schema/AshError.ts"
import { Arrivals, type ArrivalsOptions, type End } from "./arrivals.ts"
import type { TurnProgress } from "./turnProgress.ts"
import { TurnTimers, type TurnTimersOptions } from "./turnTimers.ts"

/** What a reader needs to know of its turn. */
export interface ReadAheadOptions extends ArrivalsOptions, TurnTimersOptions {
  /** Fails when the turn is to end. */
  readonly abort?: Effect.Effect<never, AshError> | undefined
}

/** Hands out what has arrived, and watches for the end of the turn behind its result. */
const handOut = (
  arrivals: Arrivals,
  timers: TurnTimers,
  progress: TurnProgress,
  clock: Clock.Clock,
  watch: (watched: Effect.Effect<void, AshError>) => Effect.Effect<unknown>
) => {
  const { isDoneLimited } = timers
  let awaitsDone = false
  const watchDone = Effect.suspend(() => {
    awaitsDone = true
    return watch(Effect.tap(timers.watchDone, () =>
      Effect.sync(() => {
        awaitsDone = false
      })))
  })
  const next: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, AshError> = Effect.suspend(() => {
    const batch = arrivals.take()
    if (batch !== undefined) return Effect.succeed(batch)
    if (arrivals.end !== undefined) return arrivals.end
    const isDoneNext = progress.hasResult && isDoneLimited
    if (isDoneNext) timers.doneAt(clock.currentTimeNanosUnsafe())
    return isDoneNext && !awaitsDone
      ? Effect.andThen(watchDone, next)
      : Effect.andThen(arrivals.filled, next)
  })
  return next
}

/** Reads bytes ahead, and hands out whatever has arrived. */
export const readAhead =
  (options: ReadAheadOptions) =>
  <R>(bytes: Stream.Stream<Uint8Array, AshError, R>): Stream.Stream<Uint8Array, AshError, R> =>
    Stream.transformPull(bytes, (pull, scope) =>
      Clock.clockWith(Effect.fnUntraced(function*(clock) {
        const { abort, progress } = options
        const arrivals = new Arrivals(options, clock)
        const timers = new TurnTimers(options, arrivals, clock)
        const finish = (end: End) =>
          Effect.sync(() => {
            arrivals.finish(end)
            progress.hasEnded = true
          })
        const read = Effect.forever(Effect.flatMap(pull, (batch) => arrivals.add(batch)), { disableYield: true })
        const reader = yield* Effect.forkIn(Effect.onExit(read, finish), scope, { startImmediately: true })
        const watch = (watched: Effect.Effect<void, AshError>) =>
          watched.pipe(
            Effect.onError((cause) => Effect.andThen(finish(Exit.failCause(cause)), Fiber.interrupt(reader))),
            Effect.forkIn(scope)
          )
        yield* watch(timers.watch)
        if (abort !== undefined) yield* watch(abort)
        return handOut(arrivals, timers, progress, clock, watch)
      })))
