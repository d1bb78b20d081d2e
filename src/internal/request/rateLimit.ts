/**
 * Lets calls wait for their turn in the window of a server's rate limit (docs/ash.md 2.3), as the headers of its
 * answers tell it, where they would be refused otherwise.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Headers from "effect/http/Headers"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type { AshError } from "../../schema/AshError.ts"
import { OnResponse } from "./responses.ts"

/** What is sent before the server has said how much is left: others may have used the window. */
const assumed = 1

/** How often a call that was refused waits for the next window. */
const mostRefusals = 3

/** How long the answer to another call is waited for, which would tell what is left; then one more is sent. */
const patience = Duration.minutes(1)

const numberOf = (headers: Headers.Headers, name: string): number | undefined => {
  const text = headers[name]
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined
}

/** When a server says that there is room again, in seconds. */
const resetOf = ({ headers, status }: HttpClientResponse.HttpClientResponse): number | undefined =>
  numberOf(headers, "x-ratelimit-reset") ?? (status === 429 ? numberOf(headers, "retry-after") : undefined)

const leftOf = ({ headers, status }: HttpClientResponse.HttpClientResponse): number | undefined =>
  status === 429 ? 0 : numberOf(headers, "x-ratelimit-remaining")

/** Makes an attempt when there is room for it in the window; what is around the attempt does not count the wait. */
export type RateLimit = (
  operation: string
) => <A, R>(
  attempt: Effect.Effect<A, AshError, R>,
  around: (attempt: Effect.Effect<A, AshError, R>) => Effect.Effect<A, AshError, R>
) => Effect.Effect<A, AshError, R>

/** The limit of what is named so, of which a wait may take so long. */
export const make = (limited: string, longestWait: Duration.Duration): RateLimit => {
  let sent = 0
  /** Sent and not yet answered: what a server says is left does not count them. */
  let inFlight = 0
  /** Which of the requests told what is known: answers can overtake each other. */
  let told = 0
  let remaining = assumed
  let resetAt: bigint | undefined
  /** When one was last sent though another was not answered. */
  let hurriedAt = -Duration.toNanosUnsafe(patience)
  let changed = Deferred.makeUnsafe<void>()

  const notify = () => {
    const waiting = changed
    changed = Deferred.makeUnsafe()
    Deferred.doneUnsafe(waiting, Effect.void)
  }

  const observe = (clock: Clock.Clock, order: number, response: HttpClientResponse.HttpClientResponse) => {
    if (order < told) return
    told = order
    const left = leftOf(response)
    const reset = resetOf(response)
    // What does not tell when there is room again, in a time that can be waited for, is not waited for. It is rounded up.
    const isTold = left !== undefined && reset !== undefined && reset - 1 <= Duration.toSeconds(longestWait)
    remaining = isTold ? Math.max(0, left - inFlight) : Infinity
    resetAt = isTold ? clock.currentTimeNanosUnsafe() + BigInt(reset) * 1_000_000_000n : undefined
  }

  /** A refusal that tells a time otherwise, as a date for example. */
  const observeRefusal = (clock: Clock.Clock, { reason, retryAfter }: AshError): boolean => {
    if (reason._tag !== "RateLimited") return false
    if (resetAt === undefined && retryAfter !== undefined && Duration.isLessThanOrEqualTo(retryAfter, longestWait)) {
      remaining = 0
      resetAt = clock.currentTimeNanosUnsafe() + Duration.toNanosUnsafe(retryAfter)
    }
    return resetAt !== undefined
  }

  return (operation) => (attempt, around) =>
    Clock.clockWith((clock) => {
      /** Whether there is room for the attempt that it does not use yet. */
      let hasRoom = false
      /** A call says once that it waits, however often it looks. */
      let hasWarned = false
      const warn = (wait: bigint) => {
        if (hasWarned) return Effect.void
        hasWarned = true
        const seconds = Duration.seconds(Number((wait + 999_999_999n) / 1_000_000_000n))
        return Effect.logWarning(`${operation} waits ${Duration.format(seconds)} for the server's limit of ${limited}`)
      }

      /** Enters the window when there is room. */
      const enter: Effect.Effect<void> = Effect.suspend(() => {
        const now = clock.currentTimeNanosUnsafe()
        if (resetAt !== undefined && now >= resetAt) {
          remaining = assumed
          resetAt = undefined
        }
        if (remaining > 0) {
          remaining -= 1
          hasRoom = true
          return Effect.void
        }
        if (resetAt === undefined) {
          return Effect.timeoutOption(Deferred.await(changed), patience).pipe(
            Effect.map((isChanged) => {
              if (Option.isSome(isChanged) || resetAt !== undefined || remaining > 0) return
              const later = clock.currentTimeNanosUnsafe()
              if (later < hurriedAt + Duration.toNanosUnsafe(patience)) return
              hurriedAt = later
              remaining = assumed
            }),
            Effect.andThen(enter)
          )
        }
        const wait = resetAt - now
        return warn(wait).pipe(
          // Programs that were refused at one time must not all come back at another.
          Effect.andThen(Random.next),
          Effect.flatMap((random) =>
            Effect.timeoutOption(Deferred.await(changed), Duration.nanos(wait + BigInt(Math.floor(random * 1e9))))
          ),
          Effect.andThen(enter)
        )
      })

      const make = (refusals: number): ReturnType<typeof around> =>
        Effect.suspend(() => {
          let order = 0
          /** Counts the attempt until it is answered, wherever that is waited for. */
          const counted = Effect.suspend(() => {
            hasRoom = false
            const own = ++sent
            order = own
            inFlight += 1
            let isAnswered = false
            const answered = () => {
              if (!isAnswered) inFlight -= 1
              isAnswered = true
            }
            const onResponse = (response: HttpClientResponse.HttpClientResponse) => {
              answered()
              observe(clock, own, response)
            }
            return Effect.ensuring(Effect.provideService(attempt, OnResponse, onResponse), Effect.sync(answered))
          })
          // Nothing was told by it, as a rule because nothing was sent: there is room for another try.
          const giveBack = Effect.sync(() => {
            if (hasRoom || (told < order && remaining < assumed)) remaining += 1
            hasRoom = false
            notify()
          })
          return Effect.ensuring(Effect.andThen(enter, around(counted)), giveBack).pipe(
            Effect.catchIf(
              (error) => refusals < mostRefusals && observeRefusal(clock, error),
              () => make(refusals + 1)
            )
          )
        })
      return make(0)
    })
}
