/** Waits for what comes back by itself: a server, its capacity, the window of its rate limit, a database. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import type { AshError } from "../schema/AshError.ts"

/** Surrounds what an effect does. */
export type Surround = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** What surrounds a wait of a step in which nothing is under way, so that the step can be given up and begun again elsewhere. */
export const Waits = Context.Reference<Surround>("effect-ash/workflow/Waits", { defaultValue: () => identity })

/** Waits, as long as the step goes on here. */
export const waiting: Surround = (wait) => Waits.use((surround) => surround(wait))

const longestPause = Duration.seconds(30)

/** Waits before another attempt, or fails where the patience is over or does not help. */
export type Patience = (error: AshError) => Effect.Effect<void, AshError>

/** The patience of so long, which lasts longer between two attempts each time, and as long as the server asks for. */
export const make = (patience: Duration.Duration): Effect.Effect<Patience> =>
  Effect.map(Clock.monotonicTimeNanos, (begun) => {
    let attempts = 0
    return Effect.fnUntraced(function*(error) {
      const waited = (yield* Clock.monotonicTimeNanos) - begun
      const asked = error.retryAfter ?? Duration.zero
      if (!error.isRetryable || waited + Duration.toNanosUnsafe(asked) > Duration.toNanosUnsafe(patience)) {
        return yield* error
      }
      attempts += 1
      const pause = Duration.min(Duration.millis(500 * 2 ** Math.min(attempts, 10)), longestPause)
      const spread = Duration.times(pause, 0.8 + 0.4 * (yield* Random.next))
      yield* waiting(Effect.sleep(Duration.max(spread, asked)))
    })
  })

/** Makes attempts until one succeeds, the patience is over, or an attempt fails in a way that another would not mend. */
export const patiently = <A, R>(
  patience: Duration.Duration,
  attempt: Effect.Effect<A, AshError, R>
): Effect.Effect<A, AshError, R> =>
  Effect.flatMap(make(patience), (wait) => {
    const again: Effect.Effect<A, AshError, R> = Effect.catch(attempt, (error) => Effect.andThen(wait(error), again))
    return again
  })

/** The error of a database that something is, or has for its cause. */
export const sqlErrorOf = (error: unknown): SqlError | undefined =>
  isSqlError(error) ? error : Predicate.hasProperty(error, "cause") && isSqlError(error.cause) ? error.cause : undefined

/** Errors of a database that no other attempt mends. */
const hopeless = new Set(["SqlSyntaxError", "AuthorizationError", "ConstraintError", "UniqueViolation"])

/** The times between attempts at a database, which will answer again. */
const untilThere = Schedule.exponential("100 millis", 1.5).pipe(
  Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, Duration.seconds(2)))),
  Schedule.jittered
)

/** How often a failure of no known kind is met before it is taken for lasting: some minutes. */
const mostUnknown = 100

/** Repeats what a database has not answered, unless another attempt would not mend it. */
export const untilAnswered = <A, E, R>(attempt: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let unknown = 0
    return Effect.retry(attempt, {
      schedule: untilThere,
      while: (error) => {
        const reason = sqlErrorOf(error)?.reason._tag
        if (reason === undefined || hopeless.has(reason)) return false
        if (reason === "UnknownError") unknown += 1
        return Effect.as(Effect.logDebug("the database of the runs does not answer", error), unknown <= mostUnknown)
      }
    })
  })

export const persistent = <A, R>(statement: Effect.Effect<A, SqlError, R>): Effect.Effect<A, never, R> =>
  Effect.orDie(untilAnswered(statement))
