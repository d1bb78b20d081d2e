/** Time in tests: a clock goes on because something has happened, and what is waited for in real time may take its time. */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { TestClock } from "effect/testing"

/** Lets the test clock go on, and whatever takes real time beside it, until a fiber has ended. */
export const patiently = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.gen(function*() {
    while (fiber.pollUnsafe() === undefined) {
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* TestClock.adjust("1 second")
    }
    return yield* Fiber.join(fiber)
  })

/**
 * Runs a program on a clock of its own, for a limit that is to be reached: the clock stands still until something has
 * happened, and goes on then until the program has ended. All else has the real time.
 */
export const reachingLimits = (happened: Effect.Effect<unknown>) => <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(program)
    yield* Effect.raceFirst(happened, Fiber.await(fiber))
    return yield* patiently(fiber)
  }).pipe(Effect.provide(TestClock.layer()))

/** Waits for what a server has yet to see, in real time: long, for only a failure takes so long. */
export const eventually = (isSo: () => boolean) =>
  Effect.sync(isSo).pipe(
    Effect.repeat({ until: (so) => so, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutOption("2 minutes")
  )

/** A clock whose two sides are moved apart, as that of a machine that is set, or sleeps. It lets nothing wait. */
export const clockOf = (time: { wall: number; monotonic: bigint }): Clock.Clock => ({
  currentTimeMillisUnsafe: () => time.wall,
  currentTimeMillis: Effect.sync(() => time.wall),
  currentTimeNanosUnsafe: () => BigInt(time.wall) * 1_000_000n,
  currentTimeNanos: Effect.sync(() => BigInt(time.wall) * 1_000_000n),
  monotonicTimeNanosUnsafe: () => time.monotonic,
  monotonicTimeNanos: Effect.sync(() => time.monotonic),
  sleep: () => Effect.void
})
