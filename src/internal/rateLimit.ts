/**
 * Lets calls wait for their turn in the window of a server's rate limit (contract 2.3), as the headers of its answers
 * tell it, where they would be refused otherwise.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Headers from "effect/http/Headers"
import type { AshError } from "../schema/AshError.ts"
import { OnResponse } from "./responses.ts"

/** The longest window that is waited for, in seconds: Ash's. */
const longestWait = 900

/** What is sent before the server has said how much is left: others may have used the window. */
const assumed = 1

const numberOf = (headers: Headers.Headers, name: string): number | undefined => {
  const text = headers[name]
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined
}

/** Makes an attempt when there is room for it in the window. */
export type RateLimit = (
  operation: string
) => <A, R>(attempt: Effect.Effect<A, AshError, R>) => Effect.Effect<A, AshError, R>

export const make = (): RateLimit => {
  let sent = 0
  /** Sent and not yet answered: what a server says is left does not count them. */
  let inFlight = 0
  /** Which of the requests told what is known: answers can overtake each other. */
  let told = 0
  let remaining = assumed
  let resetAt: bigint | undefined
  let changed = Deferred.makeUnsafe<void>()

  const notify = () => {
    const waiting = changed
    changed = Deferred.makeUnsafe()
    Deferred.doneUnsafe(waiting, Effect.void)
  }

  const observe = (clock: Clock.Clock, order: number, { headers }: { readonly headers: Headers.Headers }) => {
    if (order < told) return
    told = order
    const left = numberOf(headers, "x-ratelimit-remaining")
    const reset = numberOf(headers, "x-ratelimit-reset")
    // What does not tell when there is room again, in a time that can be waited for, is not waited for.
    const isTold = left !== undefined && reset !== undefined && reset <= longestWait
    remaining = isTold ? Math.max(0, left - inFlight) : Infinity
    resetAt = isTold ? clock.currentTimeNanosUnsafe() + BigInt(reset) * 1_000_000_000n : undefined
  }

  const enter = (clock: Clock.Clock, operation: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      const now = clock.currentTimeNanosUnsafe()
      if (resetAt !== undefined && now >= resetAt) {
        remaining = assumed
        resetAt = undefined
      }
      if (remaining > 0) {
        remaining -= 1
        return Effect.void
      }
      const again = Effect.suspend(() => enter(clock, operation))
      if (resetAt === undefined) return Effect.andThen(Deferred.await(changed), again)
      const wait = Duration.nanos(resetAt - now)
      return Effect.logWarning(`${operation} waits ${Duration.format(wait)} for the server's rate limit`).pipe(
        Effect.andThen(Effect.timeoutOption(Deferred.await(changed), wait)),
        Effect.andThen(again)
      )
    })

  return (operation) => (attempt) =>
    Clock.clockWith((clock) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(enter(clock, operation)), () => {
          const order = ++sent
          inFlight += 1
          let isAnswered = false
          const answered = () => {
            if (!isAnswered) inFlight -= 1
            isAnswered = true
          }
          const onResponse = (response: { readonly headers: Headers.Headers }) => {
            answered()
            observe(clock, order, response)
          }
          return Effect.ensuring(
            restore(Effect.provideService(attempt, OnResponse, onResponse)),
            Effect.sync(() => {
              answered()
              // Nothing was told by it, as a rule because nothing was sent: there is room for another try.
              if (told < order && remaining < assumed) remaining += 1
              notify()
            })
          )
        })
      )
    )
}
