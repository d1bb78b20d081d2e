/**
 * A claim on a turn: the right to send it, which holds for a short time after it was written down. By then its message goes
 * out or not at all, so that another process can tell a turn that was not sent from one that is about to be.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { SqlError } from "effect/sql/SqlError"

/** When a claim was about to be written, by both clocks: the monotonic one may stop while a machine is suspended. */
const stamp = Clock.clockWith((clock) =>
  Effect.sync(() => ({ nanos: clock.monotonicTimeNanosUnsafe(), millis: clock.currentTimeMillisUnsafe() }))
)

export interface Claim {
  /** Who holds it: this claim, of this process. */
  readonly owner: string
  /** Whether the message may go out now: while the claim is young, or was renewed just now. */
  readonly holds: Effect.Effect<boolean, SqlError>
}

const makeOwner = Effect.map(
  Effect.all([Random.nextInt, Random.nextInt, Clock.currentTimeMillis]),
  (parts) => parts.join()
)

/**
 * Claims something. `write` writes the claim down, `renew` writes it down again if nothing else has claimed it meanwhile: as
 * what stands between a claim and the message takes its time, such as the window of a rate limit.
 */
export const make = (
  window: Duration.Duration,
  write: (owner: string) => Effect.Effect<boolean, SqlError>,
  renew: (from: string, owner: string) => Effect.Effect<boolean, SqlError>
): Effect.Effect<Claim | undefined, SqlError> =>
  Effect.gen(function*() {
    let owner = yield* makeOwner
    let written = yield* stamp
    const isYoung = Effect.map(stamp, ({ millis, nanos }) =>
      nanos - written.nanos <= Duration.toNanosUnsafe(window) &&
      Math.abs(millis - written.millis) <= Duration.toMillis(window))
    if (!(yield* write(owner))) return undefined
    const holds: Effect.Effect<boolean, SqlError> = Effect.gen(function*() {
      while (!(yield* isYoung)) {
        const next = yield* makeOwner
        const before = yield* stamp
        if (!(yield* renew(owner, next))) return false
        owner = next
        written = before
      }
      return true
    })
    return {
      get owner() {
        return owner
      },
      holds
    }
  })
