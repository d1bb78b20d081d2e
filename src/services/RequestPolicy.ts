/**
 * How the services of a layer make their calls: which are repeated, within what bounds. One for all services of a layer,
 * as they share what a server allows.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { startedNothing } from "../internal/brokenTurn.ts"
import { applyPolicy, type Policy } from "../internal/policy.ts"
import * as RateLimit from "../internal/rateLimit.ts"
import * as RetryBudget from "../internal/retryBudget.ts"
import { turnLimits } from "../internal/turnLimits.ts"
import { AshError, InvalidRequest } from "../schema/AshError.ts"
import { RequestOptions, type RequestOptionsInput } from "./RequestOptions.ts"

/** What the calls of a layer share. */
export interface SharedLimits {
  /**
   * How many repetitions may be made that no success has made up for. A call that succeeds gives back its own, and a
   * tenth of one more. When none is left, calls fail as if they were not repeated.
   *
   * @default 100
   */
  readonly retryBudget?: number | undefined
  /**
   * What creations of sessions and agents do, of which a server allows 20 each in 15 minutes, where its headers tell that
   * it would refuse them: wait for their turn, for 15 minutes at most, or be sent and fail with `RateLimited`. Those that
   * wait let the first one of each 15 minutes go alone, as its answer tells how many may follow.
   *
   * @default "wait"
   */
  readonly whenRateLimited?: "wait" | "fail" | undefined
  /** How many sessions of `Sessions.open` and `Sessions.scoped` may be open at once; the next one waits. @default no limit */
  readonly maxSessions?: number | undefined
  /** How many turns may be streamed at once; the next one waits. @default no limit */
  readonly maxStreams?: number | undefined
}

/** What sets a call apart from others. */
interface CallOptions {
  /** The time-out where neither the layer nor the call sets one. */
  readonly default?: Duration.Input
  /** What the time-out never falls below. */
  readonly least?: Duration.Input
  /** The server's rate limit that it counts for. */
  readonly rateLimit?: "agents" | "sessions"
}

type MakeCall = <A, R>(
  operation: string,
  attempt: Effect.Effect<A, AshError, R>,
  options?: CallOptions
) => Effect.Effect<A, AshError, R>

// Read once, not for each call.
const defaultTimeout = Duration.minutes(1)
const defaultDelay = Duration.millis(200)
const defaultMaxRetryAfter = Duration.minutes(1)

const timeoutOf = (options: RequestOptionsInput, call: CallOptions): Duration.Duration =>
  Duration.max(
    Duration.fromInputUnsafe(options.timeout ?? call.default ?? defaultTimeout),
    Duration.fromInputUnsafe(call.least ?? 0)
  )

const didNothing = ({ nothingHappened }: AshError) => nothingHappened

/** An attempt that has succeeded when nothing is there, provided that one before it may have deleted it. */
const doneIfGone = (attempt: Effect.Effect<unknown, AshError>): Effect.Effect<void, AshError> => {
  let mayBeDone = false
  return Effect.suspend(() => {
    const before = mayBeDone
    mayBeDone = true
    return attempt.pipe(
      Effect.tapError((error) =>
        Effect.sync(() => {
          mayBeDone = before || !error.nothingHappened
        })
      ),
      Effect.catchReason("AshError", "NotFound", (_, error) => before ? Effect.void : Effect.fail(error)),
      Effect.asVoid
    )
  })
}

const checkLimits = Effect.fnUntraced(function*(limits: SharedLimits) {
  for (const field of ["maxSessions", "maxStreams"] as const) {
    const limit = limits[field]
    if (limit === undefined || (Number.isInteger(limit) && limit >= 1)) continue
    return yield* new AshError({
      operation: "Ash.layer",
      reason: new InvalidRequest({ message: `${field} must be an integer of 1 or more`, field })
    })
  }
})

/** Holds one of so many permits until the scope closes. */
const permits = (count: number | undefined): Effect.Effect<void, never, Scope.Scope> =>
  count === undefined ? Effect.void : Semaphore.makeUnsafe(count).takeScoped(1)

/** How the services of a layer make their calls. */
export class RequestPolicy extends Context.Service<RequestPolicy, {
  /** A call that does nothing twice when it is repeated. */
  readonly repeatable: MakeCall
  /** A call that creates or runs something: repeated only when it is certain that nothing happened. */
  readonly once: MakeCall
  /** A call that deletes something. Repeated after an attempt that may have done it, it is done if nothing is there. */
  readonly deletion: (operation: string, attempt: Effect.Effect<unknown, AshError>) => Effect.Effect<void, AshError>
  /** A call that starts a turn: as `once`, with the timers of a turn. */
  readonly turn: MakeCall
  /** The options of the layer with those of the fiber over them. */
  readonly options: Effect.Effect<RequestOptionsInput>
  /** Waits until another session may be open, and counts it until the scope closes. */
  readonly session: Effect.Effect<void, never, Scope.Scope>
  /** Waits until another turn may be streamed, and counts it until the scope closes. */
  readonly stream: Effect.Effect<void, never, Scope.Scope>
}>()("effect-ash/services/RequestPolicy") {
  /** The options in force where the layer is built are those of the layer. */
  static readonly layer = (limits: SharedLimits): Layer.Layer<RequestPolicy, AshError> =>
    Layer.effect(
      RequestPolicy,
      Effect.map(Effect.andThen(checkLimits(limits), RequestOptions), (layerOptions) => {
        const budget = RetryBudget.make(limits.retryBudget ?? 100)
        const rateLimits = { agents: RateLimit.make(), sessions: RateLimit.make() }
        const options = Effect.map(RequestOptions, (own) => RequestOptions.merge(own)(layerOptions))

        const make = (
          isHarmless: (error: AshError) => boolean,
          limit: (options: RequestOptionsInput, call: CallOptions) => Pick<Policy, "timeout" | "timer">
        ): MakeCall =>
        (operation, attempt, call = {}) =>
          Effect.flatMap(options, (options) => {
            const rateLimit = call.rateLimit === undefined || limits.whenRateLimited === "fail"
              ? undefined
              : rateLimits[call.rateLimit]
            const policed = applyPolicy(operation, {
              ...limit(options, call),
              times: options.retry?.times ?? 2,
              delay: Duration.fromInputUnsafe(options.retry?.delay ?? defaultDelay),
              maxRetryAfter: Duration.fromInputUnsafe(options.retry?.maxRetryAfter ?? defaultMaxRetryAfter),
              isHarmless,
              budget,
              rateLimit
            })
            return policed(Effect.provideService(attempt, RequestOptions, options))
          })
        const attempt = (options: RequestOptionsInput, call: CallOptions) =>
          ({ timeout: timeoutOf(options, call), timer: "attempt" }) as const
        const repeatable = make(() => true, attempt)
        return RequestPolicy.of({
          repeatable,
          once: make(didNothing, attempt),
          deletion: (operation, attempt) => Effect.suspend(() => repeatable(operation, doneIfGone(attempt))),
          turn: make(startedNothing, (options) => ({ timeout: turnLimits(options).headers, timer: "headers" })),
          options,
          session: permits(limits.maxSessions),
          stream: permits(limits.maxStreams)
        })
      })
    )
}
