/** How one call is made: its time-out, its repetitions, its name. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { AshError, TimedOut } from "../schema/AshError.ts"

export interface Policy {
  /** The limit of one attempt. */
  readonly timeout: Duration.Duration
  /** Repetitions after the first attempt. */
  readonly times: number
  readonly delay: Duration.Duration
  readonly maxRetryAfter: Duration.Duration
  /** Whether a repeated call does nothing twice. If not, it is repeated only when the first certainly did nothing. */
  readonly repeatable: boolean
}

const mayRepeat = (policy: Policy) => (error: AshError): boolean =>
  error.isRetryable &&
  (policy.repeatable || error.nothingHappened) &&
  Duration.isLessThanOrEqualTo(error.retryAfter ?? Duration.zero, policy.maxRetryAfter)

const schedule = (policy: Policy) =>
  Schedule.exponential(policy.delay).pipe(
    Schedule.jittered,
    Schedule.setInputType<AshError>(),
    Schedule.modifyDelay(({ duration, input }) =>
      Effect.succeed(Duration.max(duration, input.retryAfter ?? Duration.zero))
    )
  )

const timedOut = (operation: string, duration: Duration.Duration) =>
  new AshError({
    operation,
    reason: new TimedOut({
      message: `no answer within ${Duration.format(duration)}; the server may still be at work on it`,
      timer: "attempt",
      duration
    })
  })

/** Names an operation in errors and spans, limits each attempt, and repeats what may be repeated. */
export const applyPolicy =
  (operation: string, policy: Policy) =>
  <A, R>(attempt: Effect.Effect<A, AshError, R>): Effect.Effect<A, AshError, R> =>
    attempt.pipe(
      Effect.mapError(({ reason }) => new AshError({ operation, reason })),
      Duration.isFinite(policy.timeout)
        ? Effect.timeoutOrElse({
          duration: policy.timeout,
          orElse: () => Effect.fail(timedOut(operation, policy.timeout))
        })
        : (attempt) => attempt,
      Effect.retry({ schedule: schedule(policy), times: policy.times, while: mayRepeat(policy) }),
      Effect.withSpan(operation, {}, { captureStackTrace: false })
    )
