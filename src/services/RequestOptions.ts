/**
 * How requests are made: set for a whole layer by `Ash.layer`, and for one call, or any part of a program, by the
 * combinators here. They ride the fiber, so that no method needs a parameter for them.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { applyPolicy } from "../internal/policy.ts"
import type { AshError } from "../schema/AshError.ts"

/** How often, and after what time, a call that may be repeated is repeated. */
export interface RetryOptions {
  /** How many times a call is repeated after its first attempt; 0 for never. @default 2 */
  readonly times?: number | undefined
  /** The delay before the first repetition; it doubles from one to the next, with jitter. @default "200 millis" */
  readonly delay?: Duration.Input | undefined
  /** The longest `Retry-After` that is waited for; a call that is asked to wait longer fails at once. @default "60 seconds" */
  readonly maxRetryAfter?: Duration.Input | undefined
}

/** What a layer or a call sets. What is left out keeps the value of the layer, then the default. */
export interface RequestOptionsInput {
  /**
   * How long one attempt may take until it is answered; a stream or a download has no limit after that.
   * @default "60 seconds"; "5 minutes" where a sandbox is started; for `exec` never less than the command's own time-out
   */
  readonly timeout?: Duration.Input | undefined
  readonly retry?: RetryOptions | undefined
  /** Headers to send along; they cannot replace the key. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

type Combinator = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** The options in force in a fiber. */
export class RequestOptions extends Context.Reference<RequestOptionsInput>("effect-ash/services/RequestOptions", {
  defaultValue: () => ({})
}) {
  /**
   * Lays options over those that are in force. For a stream:
   * `Stream.updateService(RequestOptions, RequestOptions.merge({ timeout: "5 seconds" }))`.
   */
  static readonly merge = (inner: RequestOptionsInput) => (outer: RequestOptionsInput): RequestOptionsInput => ({
    timeout: inner.timeout ?? outer.timeout,
    retry: { ...outer.retry, ...inner.retry },
    headers: { ...outer.headers, ...inner.headers }
  })

  /** Limits each attempt of the calls in an effect. */
  static readonly withTimeout = (timeout: Duration.Input): Combinator =>
    Effect.updateService(RequestOptions, RequestOptions.merge({ timeout }))

  /** Sets how the calls in an effect are repeated; `{ times: 0 }` for not at all. */
  static readonly withRetry = (retry: RetryOptions): Combinator =>
    Effect.updateService(RequestOptions, RequestOptions.merge({ retry }))

  /** Sends headers along with the calls in an effect. */
  static readonly withHeaders = (headers: Readonly<Record<string, string>>): Combinator =>
    Effect.updateService(RequestOptions, RequestOptions.merge({ headers }))
}

/** The time-out of calls that take longer than others. */
interface TimeoutRange {
  /** The time-out where neither the layer nor the call sets one. */
  readonly default?: Duration.Input
  /** What the time-out never falls below. */
  readonly least?: Duration.Input
}

type MakeCall = <A, R>(
  operation: string,
  attempt: Effect.Effect<A, AshError, R>,
  timeout?: TimeoutRange
) => Effect.Effect<A, AshError, R>

/** What the calls of a service are made by. */
export interface Call {
  /** A call that does nothing twice when it is repeated. */
  readonly repeatable: MakeCall
  /** A call that creates or runs something: repeated only when it is certain that nothing happened. */
  readonly once: MakeCall
  /** A call that deletes something. Repeated after an attempt that may have done it, it is done if nothing is there. */
  readonly deletion: (operation: string, attempt: Effect.Effect<unknown, AshError>) => Effect.Effect<void, AshError>
}

const timeoutOf = (
  options: RequestOptionsInput,
  timeout: TimeoutRange = {}
): Duration.Duration =>
  Duration.max(
    Duration.fromInputUnsafe(options.timeout ?? timeout.default ?? "60 seconds"),
    Duration.fromInputUnsafe(timeout.least ?? 0)
  )

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

/** Makes calls under the options of the layer, which are those in force where this runs, and of the fiber. */
export const makeCall: Effect.Effect<Call> = Effect.map(RequestOptions, (layerOptions): Call => {
  const make = (repeatable: boolean): MakeCall => (operation, attempt, timeout) =>
    Effect.flatMap(RequestOptions, (fiberOptions) => {
      const options = RequestOptions.merge(fiberOptions)(layerOptions)
      return Effect.provideService(attempt, RequestOptions, options).pipe(
        applyPolicy(operation, {
          timeout: timeoutOf(options, timeout),
          times: options.retry?.times ?? 2,
          delay: Duration.fromInputUnsafe(options.retry?.delay ?? "200 millis"),
          maxRetryAfter: Duration.fromInputUnsafe(options.retry?.maxRetryAfter ?? "60 seconds"),
          repeatable
        })
      )
    })
  const repeatable = make(true)
  return {
    repeatable,
    once: make(false),
    deletion: (operation, attempt) => Effect.suspend(() => repeatable(operation, doneIfGone(attempt)))
  }
})
