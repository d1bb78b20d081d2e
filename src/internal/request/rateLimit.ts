/**
 * Lets calls wait for their turn in the window of a server's rate limit (docs/ash.md 2.3), as the headers of its
 * answers show it, where they would be refused otherwise.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Headers from "effect/http/Headers"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { AshError } from "../../schema/AshError.ts"
import { digitsOf } from "./exchange.ts"
import { retryAfterOf } from "./failures.ts"
import type { Attempt } from "./sending.ts"

/** How many requests are sent before the server has reported how many are left: others may have used the window. */
const assumed = 1

/** How often a call that was refused waits for the next window. */
const maxRefusals = 3

/** How long the answer to another call is waited for, which would show what is left; then one more is sent. */
const patience = Duration.minutes(1)

const second = 1_000_000_000n

const numberOf = (headers: Headers.Headers, name: string): number | undefined => {
  const digits = digitsOf(headers, name)
  return digits !== undefined && digits.length < 10 ? Number(digits) : undefined
}

/** When there is room again as the server reports it, in seconds, of which none is less than one; infinite where it does not. */
const resetOf = ({ headers, status }: HttpClientResponse.HttpClientResponse, now: number): number => {
  const { retryAfter = Duration.infinity } = status === 429 ? retryAfterOf(headers, now) : {}
  return Math.max(1, numberOf(headers, "x-ratelimit-reset") ?? Math.ceil(Duration.toSeconds(retryAfter)))
}

const remainingOf = ({ headers, status }: HttpClientResponse.HttpClientResponse): number | undefined =>
  status === 429 ? 0 : numberOf(headers, "x-ratelimit-remaining")

const reportWait = (operation: string, limited: string, seconds: number) =>
  Effect.logWarning(
    `${operation} waits ${Duration.format(Duration.seconds(Math.ceil(seconds)))} for the server's limit of ${limited}`
  )

/**
 * The waits between requests that go on and on, so that they use a third of what is left in the window of an answer: all other
 * calls share it. It is reported when that begins to take more than 10 seconds.
 */
export const makePause = (operation: string, interval: Duration.Input) => {
  const every = Duration.fromInputUnsafe(interval)
  let isLong = false
  return ({ headers }: HttpClientResponse.HttpClientResponse): Effect.Effect<void> =>
    Effect.suspend(() => {
      const reset = numberOf(headers, "x-ratelimit-reset") ?? 0
      const left = numberOf(headers, "x-ratelimit-remaining") ?? Infinity
      const pace = Math.min(reset, 3 * reset / Math.max(1, left))
      const isReported = isLong
      isLong = pace > Math.max(10, Duration.toSeconds(every))
      return Effect.andThen(
        isLong && !isReported ? reportWait(operation, "requests", pace) : Effect.void,
        Effect.sleep(Duration.max(every, Duration.seconds(pace)))
      )
    })
}

/** Makes an attempt when there is room for it in the window; what is around the attempt does not count the wait. */
export type RateLimit = (
  operation: string
) => <A, R>(
  attempt: Attempt<A, R>,
  around: (attempt: Attempt<A, R>) => Effect.Effect<A, AshError, R>
) => Effect.Effect<A, AshError, R>

class Window {
  readonly longestWait: Duration.Duration
  sent = 0
  /** Sent and not yet answered: what a server reports as left does not count them. */
  inFlight = 0
  /** Which of the requests reported what is known: answers can overtake each other. */
  lastReported = 0
  remaining = assumed
  resetAt: bigint | undefined
  /** When one was last sent though another was not answered. */
  hurriedAt = -Duration.toNanosUnsafe(patience)
  /** Released where there may be room, or something is known that there was not. */
  readonly changed = Latch.makeUnsafe()

  constructor(longestWait: Duration.Duration) {
    this.longestWait = longestWait
  }
}

interface LimitedCall {
  readonly window: Window
  readonly clock: Clock.Clock
  /** Reports that the call waits so many nanoseconds: once, however often it looks. */
  readonly warn: (wait: bigint) => Effect.Effect<void>
  /** Whether there is room for the attempt that it does not use yet. */
  hasRoom: boolean
  /** Which request the last attempt was. */
  order: number
}

/**
 * Learns from an answer what is left. Of one window that never grows: answers come in another order than requests are counted.
 * One that ends later, as it had so much left at the earliest when the request was sent, is another window.
 */
const observe = (
  { clock, window }: LimitedCall,
  order: number,
  sentAt: bigint,
  response: HttpClientResponse.HttpClientResponse
) => {
  if (order < window.lastReported) return
  window.lastReported = order
  const left = remainingOf(response)
  const reset = resetOf(response, clock.currentTimeMillisUnsafe())
  // What does not report when there is room again, in a time that can be waited for, is not waited for. It is rounded up.
  if (left === undefined || reset === Infinity || reset - 1 > Duration.toSeconds(window.longestWait)) {
    window.remaining = Infinity
    window.resetAt = undefined
    return
  }
  const isSame = window.resetAt !== undefined && sentAt + BigInt(reset - 1) * second < window.resetAt
  window.remaining = Math.min(isSame ? window.remaining : Infinity, Math.max(0, left - window.inFlight))
  window.resetAt = clock.monotonicTimeNanosUnsafe() + BigInt(reset) * second
}

/** Waits for the answer to another call, which would show what is left; not for ever. */
const awaitAnswer = ({ clock, window }: LimitedCall): Effect.Effect<void> =>
  Effect.map(Effect.timeoutOption(window.changed.await, patience), (isChanged) => {
    if (Option.isSome(isChanged) || window.resetAt !== undefined || window.remaining > 0) return
    const now = clock.monotonicTimeNanosUnsafe()
    if (now < window.hurriedAt + Duration.toNanosUnsafe(patience)) return
    window.hurriedAt = now
    window.remaining = assumed
  })

/** Waits until there may be room again. Programs that were refused at one time must not all come back at another. */
const awaitReset = ({ warn, window }: LimitedCall, wait: bigint): Effect.Effect<void> =>
  warn(wait).pipe(
    Effect.andThen(Random.next),
    Effect.flatMap((random) =>
      Effect.timeoutOption(window.changed.await, Duration.nanos(wait + BigInt(Math.floor(random * 1e9))))
    ),
    Effect.asVoid
  )

const enter = (call: LimitedCall): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { clock, window } = call
    const now = clock.monotonicTimeNanosUnsafe()
    if (window.resetAt !== undefined && now >= window.resetAt) {
      window.remaining = assumed
      window.resetAt = undefined
    }
    if (window.remaining > 0) {
      window.remaining -= 1
      call.hasRoom = true
      return Effect.void
    }
    const wait = window.resetAt === undefined ? awaitAnswer(call) : awaitReset(call, window.resetAt - now)
    return Effect.andThen(wait, enter(call))
  })

/** Counts an attempt until it is answered, wherever that is waited for. */
const counted = <A, R>(call: LimitedCall, attempt: Attempt<A, R>): Attempt<A, R> => (sending) =>
  Effect.suspend(() => {
    const { window } = call
    const order = ++window.sent
    const sentAt = call.clock.monotonicTimeNanosUnsafe()
    call.hasRoom = false
    call.order = order
    window.inFlight += 1
    let isAnswered = false
    const answered = () => {
      if (!isAnswered) window.inFlight -= 1
      isAnswered = true
    }
    const onResponse = (response: HttpClientResponse.HttpClientResponse) => {
      sending.onResponse?.(response)
      answered()
      observe(call, order, sentAt, response)
    }
    return Effect.ensuring(attempt({ ...sending, onResponse }), Effect.sync(answered))
  })

/** An attempt reported nothing, as a rule because nothing was sent: there is room for another. */
const giveBack = (call: LimitedCall) =>
  Effect.suspend(() => {
    const { window } = call
    if (call.hasRoom || (window.lastReported < call.order && window.remaining < assumed)) window.remaining += 1
    call.hasRoom = false
    return window.changed.release
  })

/** The limit of what is named so, of which a wait may take so long. */
export const make = (limited: string, longestWait: Duration.Duration): RateLimit => {
  const window = new Window(longestWait)
  return (operation) => (attempt, around) =>
    Clock.clockWith((clock) => {
      let hasWarned = false
      const warn = (wait: bigint) => {
        if (hasWarned) return Effect.void
        hasWarned = true
        return reportWait(operation, limited, Number(wait) / 1e9)
      }
      const pass = (refusals: number): ReturnType<typeof around> =>
        Effect.suspend(() => {
          const call: LimitedCall = { window, clock, warn, hasRoom: false, order: 0 }
          return enter(call).pipe(
            Effect.andThen(around(counted(call, attempt))),
            Effect.ensuring(giveBack(call)),
            Effect.catchIf(
              ({ reason }) => refusals < maxRefusals && reason._tag === "RateLimited" && window.resetAt !== undefined,
              () => pass(refusals + 1)
            )
          )
        })
      return pass(0)
    })
}
