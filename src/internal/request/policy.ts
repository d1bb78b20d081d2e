/** How one call is made: its time-out and its repetitions. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Random from "effect/Random"
import type { AshError } from "../../schema/AshError.ts"
import { TimedOut, Unauthorized } from "../../schema/Reasons.ts"
import { limitOrElse } from "./eventLoop.ts"
import { failure } from "./operations.ts"
import type { RateLimit } from "./rateLimit.ts"
import type { Attempt, Sending } from "./sending.ts"

/**
 * A bound on repetitions that the calls of a layer share, so that a server in trouble is not asked ever more. A
 * repetition takes from it, a call that succeeds gives back what it took and a tenth more: while all is well calls are
 * repeated as they may, and while everything fails each is sent once.
 */
type RetryBudget = ReturnType<typeof makeRetryBudget>

const gain = 0.1

export const makeRetryBudget = (size: number) => {
  let left = size
  return {
    take: (): boolean => {
      if (left < 1) return false
      left -= 1
      return true
    },
    /** A call succeeded after so many repetitions. */
    giveBack: (repetitions: number) => {
      left = Math.min(size, left + repetitions + gain)
    }
  }
}

interface Retry {
  /** Repetitions after the first attempt. */
  readonly times: number
  readonly delay: Duration.Duration
  readonly maxDelay: Duration.Duration
  readonly maxRetryAfter: Duration.Duration
}

export interface Policy {
  readonly sending: Sending
  readonly retry: Retry
  /** The limit of one attempt. */
  readonly timeout: Duration.Duration
  /** The word for that limit in the error. */
  readonly timer: "attempt" | "headers"
  /** Whether the call may be sent again after a failure, as far as what it does is concerned. */
  readonly isHarmless: (error: AshError) => boolean
  readonly budget: RetryBudget
  /** What each attempt waits for, if for anything; the limit does not count that. */
  readonly rateLimit: RateLimit | undefined
}

/** What surrounds an attempt while it is on the wire, within its limit. */
export type OnWire<A, R> = (attempt: Attempt<A, R>) => Attempt<A, R>

/** Whether what a call waits for has waited as long as it may. */
const hasWaited = ({ rateLimit }: Policy, { reason, retryAfter }: AshError): boolean =>
  rateLimit !== undefined && reason._tag === "RateLimited" && retryAfter !== undefined

const mayRepeat = (policy: Policy, error: AshError): boolean =>
  error.isRetryable &&
  !hasWaited(policy, error) &&
  policy.isHarmless(error) &&
  Duration.isLessThanOrEqualTo(error.retryAfter ?? Duration.zero, policy.retry.maxRetryAfter)

/**
 * The delay before a repetition: it doubles up to a maximum, spread at random; what a server asks for, and some more at random,
 * if that is longer.
 */
const delayBefore = (repetition: number, { delay, maxDelay }: Retry, { retryAfter }: AshError) =>
  Effect.map(Random.next, (random) => {
    const backOff = Duration.min(Duration.times(delay, 2 ** (repetition - 1)), maxDelay)
    return Duration.max(
      Duration.times(backOff, 0.8 + 0.4 * random),
      Duration.sum(retryAfter ?? Duration.zero, Duration.times(backOff, retryAfter === undefined ? 0 : random))
    )
  })

const timedOut = (operation: string, { timeout, timer }: Policy) =>
  failure(operation, TimedOut, {
    message: `no answer within ${Duration.format(timeout)}; the server may still be at work on it; ` +
      "look what became of it before you send it again",
    timer,
    duration: timeout
  })

/** Before it is sent a request waits for nothing but its key. */
const keyTimedOut = (operation: string, { timeout }: Policy) =>
  failure(operation, Unauthorized, {
    message: `there was no key within ${Duration.format(timeout)}; nothing was sent; ` +
      "give the effect of apiKey a limit of its own, or raise the time-out"
  })

/** Names an operation in errors, limits each attempt, and repeats what may be repeated, in one run of a call. */
export const applyPolicy = <A, R>(
  operation: string,
  policy: Policy,
  attempt: Attempt<A, R>,
  onWire: OnWire<A, R> = identity
): Effect.Effect<A, AshError, R> => {
  let repetitions = 0
  const limited = (attempt: Attempt<A, R>): Effect.Effect<A, AshError, R> =>
    Effect.suspend(() => {
      let isSent = false
      const onRequest = () => {
        isSent = true
      }
      const sent = onWire(attempt)({ ...policy.sending, onRequest })
      const orElse = () => Effect.fail((isSent ? timedOut : keyTimedOut)(operation, policy))
      return limitOrElse({ duration: policy.timeout, orElse })(sent)
    })
  const once = policy.rateLimit === undefined ? limited(attempt) : policy.rateLimit(operation)(attempt, limited)
  const call: Effect.Effect<A, AshError, R> = Effect.matchEffect(once, {
    onFailure: (error) => {
      if (repetitions >= policy.retry.times || !mayRepeat(policy, error) || !policy.budget.take()) {
        return Effect.fail(error)
      }
      repetitions += 1
      return Effect.flatMap(delayBefore(repetitions, policy.retry, error), (delay) => Effect.delay(call, delay))
    },
    onSuccess: (answer) => {
      policy.budget.giveBack(repetitions)
      return Effect.succeed(answer)
    }
  })
  return call
}
