/** How one call is made: its time-out, its repetitions, its name. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import { AshError } from "../../schema/AshError.ts"
import { TimedOut, Unauthorized } from "../../schema/Reasons.ts"
import { limitOrElse } from "./eventLoop.ts"
import type { RateLimit } from "./rateLimit.ts"
import { OnRequest } from "./responses.ts"
import type { RetryBudget } from "./retryBudget.ts"
import { withSpan } from "./traced.ts"

export interface Policy {
  /** The limit of one attempt. */
  readonly timeout: Duration.Duration
  /** The word for that limit in the error. */
  readonly timer: "attempt" | "headers"
  /** Repetitions after the first attempt. */
  readonly times: number
  readonly delay: Duration.Duration
  readonly maxDelay: Duration.Duration
  readonly maxRetryAfter: Duration.Duration
  /** Whether the call may be sent again after a failure, as far as what it does is concerned. */
  readonly isHarmless: (error: AshError) => boolean
  readonly budget: RetryBudget
  /** Gives an attempt what it needs of its own. */
  readonly provide: <R>(context: Context.Context<R>) => Context.Context<R>
  /** What each attempt waits for, if for anything; the limit does not count that. */
  readonly rateLimit: RateLimit | undefined
}

/** What surrounds an attempt while it is on the wire, within its limit. */
export type OnWire<A, R> = (attempt: Effect.Effect<A, AshError, R>) => Effect.Effect<A, AshError, R>

/** Whether what a call waits for has waited as long as it may. */
const hasWaited = ({ rateLimit }: Policy, { reason, retryAfter }: AshError): boolean =>
  rateLimit !== undefined && reason._tag === "RateLimited" && retryAfter !== undefined

const mayRepeat = (policy: Policy, error: AshError): boolean =>
  error.isRetryable &&
  !hasWaited(policy, error) &&
  policy.isHarmless(error) &&
  Duration.isLessThanOrEqualTo(error.retryAfter ?? Duration.zero, policy.maxRetryAfter)

/** A delay that doubles up to a maximum, spread at random; what a server asks for, and some more at random, if that is longer. */
const schedule = ({ delay, maxDelay }: Policy) =>
  Schedule.exponential(delay).pipe(
    Schedule.setInputType<AshError>(),
    Schedule.modifyDelay(({ duration, input: { retryAfter } }) =>
      Effect.map(Random.next, (random) => {
        const backOff = Duration.min(duration, maxDelay)
        return Duration.max(
          Duration.times(backOff, 0.8 + 0.4 * random),
          Duration.sum(retryAfter ?? Duration.zero, Duration.times(backOff, retryAfter === undefined ? 0 : random))
        )
      })
    )
  )

const timedOut = (operation: string, { timeout, timer }: Policy, isSent: boolean) =>
  new AshError({
    operation,
    // Before it is sent a request waits for nothing but its key.
    reason: !isSent ?
      new Unauthorized({
        message: `there was no key within ${
          Duration.format(timeout)
        }; nothing was sent; give the effect of apiKey a limit of its own, or raise the time-out`
      }) :
      new TimedOut({
        message: `no answer within ${
          Duration.format(timeout)
        }; the server may still be at work on it; look what became of it before you send it again`,
        timer,
        duration: timeout
      })
  })

/** An effect that has already failed once, with this error. */
const after = <A, E, R>(error: E, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  let hasFailed = false
  return Effect.suspend(() => {
    if (hasFailed) return effect
    hasFailed = true
    return Effect.fail(error)
  })
}

/** Names an operation in errors and spans, limits each attempt, and repeats what may be repeated. */
export const applyPolicy = <A, R>(
  operation: string,
  policy: Policy,
  attempt: Effect.Effect<A, AshError, R>,
  onWire: OnWire<A, R> = identity
): Effect.Effect<A, AshError, R> =>
  Effect.suspend(() => {
    let repetitions = 0
    const repeats = (error: AshError) => {
      const isRepeated = repetitions < policy.times && mayRepeat(policy, error) && policy.budget.take()
      if (isRepeated) repetitions += 1
      return isRepeated
    }
    const limited: OnWire<A, R> = (attempt) => {
      if (!Duration.isFinite(policy.timeout)) {
        return onWire(Effect.updateContext(attempt, (context: Context.Context<R>) => policy.provide(context)))
      }
      let isSent = false
      const watched = Effect.updateContext(attempt, (context: Context.Context<R>) => {
        const others = Context.get(context, OnRequest)
        return Context.add(policy.provide(context), OnRequest, () => {
          others()
          isSent = true
        })
      })
      return onWire(watched).pipe(
        limitOrElse({ duration: policy.timeout, orElse: () => Effect.fail(timedOut(operation, policy, isSent)) })
      )
    }
    const named = policy.rateLimit === undefined ? limited(attempt) : policy.rateLimit(operation)(attempt, limited)
    // Most calls succeed at once, and need no schedule.
    return Effect.catch(named, (error) =>
      Effect.retry(after(error, named), { schedule: schedule(policy), while: repeats })).pipe(
        Effect.tap(() =>
          Effect.sync(() => policy.budget.giveBack(repetitions))
        )
      )
  }).pipe(withSpan(operation))
