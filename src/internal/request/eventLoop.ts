/** A limit that lets the event loop take in what has arrived, before it says that nothing has. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** Turns of the event loop in which nothing arrives: bytes pass through some on their way from the socket. */
const quietTurns = 8

/** Turns in all, where something arrives again and again: what has arrived when it begins fits into them. */
const atMost = 256

/**
 * Lets the event loop take in what has arrived. A program that computes for a time is not told meanwhile what lies in its
 * sockets, and its timers are due before that. Where what arrives is counted, it goes on until nothing more does.
 */
export const takeIn = (arrivals: () => number = () => 0): Effect.Effect<void> =>
  Effect.suspend(() => {
    let seen = arrivals()
    let quiet = 0
    let turns = 0
    const next: Effect.Effect<void> = Effect.flatMap(Effect.yieldNow, () => {
      turns += 1
      quiet = arrivals() === seen ? quiet + 1 : 0
      seen = arrivals()
      return quiet >= quietTurns || turns >= atMost ? Effect.void : next
    })
    return next
  })

/** As `Effect.timeoutOrElse`, but what has arrived by then is taken in, and may still be the answer. */
export const limitOrElse = <E2>(
  { duration, orElse }: { readonly duration: Duration.Input; readonly orElse: () => Effect.Effect<never, E2> }
) =>
<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, R> =>
  // @effect-diagnostics-next-line raceFirstWithSleepToTimeout:off - that one interrupts before what has arrived is taken in
  Effect.raceFirst(self, Effect.sleep(duration).pipe(Effect.andThen(takeIn()), Effect.andThen(Effect.suspend(orElse))))
