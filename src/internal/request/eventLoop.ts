/** A limit that lets the event loop take in what has arrived, before it reports that nothing has. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/** Turns of the event loop in which nothing arrives: bytes pass through some on their way from the socket. */
const quietTurns = 8

/** Turns in all, where something arrives again and again: what has arrived when it begins fits into them. */
const atMost = 256

/**
 * Lets the event loop take in what has arrived. While a program computes, nothing is read of its sockets, and its timers are due
 * before that. Where what arrives is counted, it goes on until nothing more does.
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

interface Limit<E> {
  readonly duration: Duration.Duration
  readonly orElse: () => Effect.Effect<never, E>
}

/** The longest time that a timer of the platform takes. */
const longest = 2_147_483_647

/** Calls after a time, by a timer of the platform where its clock is the one in context; answers what calls it off. */
export const callAfter = (context: Context.Context<never>, millis: number, call: () => void): () => void => {
  if (Context.getOrUndefined(context, Clock.Clock) === undefined && millis <= longest) {
    // @effect-diagnostics-next-line globalTimers:off - this is the platform's clock, as Effect's own is
    const timer = setTimeout(call, millis) // oxlint-disable-line no-restricted-globals -- as above
    return () => clearTimeout(timer)
  }
  const sleeper = Effect.runForkWith(context)(Effect.andThen(Effect.sleep(millis), Effect.sync(call)))
  return () => sleeper.interruptUnsafe()
}

/** Runs an effect as a fiber of its own beside a timer: a race would be two fibers more for each call. */
const beside = <A, E, R, E2>(
  self: Effect.Effect<A, E, R>,
  context: Context.Context<R>,
  millis: number,
  orElse: Limit<E2>["orElse"]
) =>
  Effect.callback<A, E | E2>((resume) => {
    const fiber = Effect.runForkWith(context)(self)
    const early = fiber.pollUnsafe()
    if (early !== undefined) return resume(early)
    const callOff = callAfter(context, millis, () => {
      resume(Effect.andThen(
        takeIn(),
        Effect.suspend(() => {
          const exit: Effect.Effect<A, E | E2> | undefined = fiber.pollUnsafe()
          return exit ?? Effect.andThen(Fiber.interrupt(fiber), orElse())
        })
      ))
    })
    fiber.addObserver((exit) => {
      callOff()
      resume(exit)
    })
    return Effect.suspend(() => {
      callOff()
      return Fiber.interrupt(fiber)
    })
  })

/** As `Effect.timeoutOrElse`, but what has arrived by then is taken in, and may still be the answer; of an infinite time none. */
export const limitOrElse =
  <E2>({ duration, orElse }: Limit<E2>) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, R> =>
    Duration.isFinite(duration)
      ? Effect.contextWith((context: Context.Context<R>) => beside(self, context, Duration.toMillis(duration), orElse))
      : self
