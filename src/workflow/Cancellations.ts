/** Ends what runs here of runs that are cancelled: one look at the database for all of them. */
import * as Array from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Patience from "./patience.ts"
import { RunCancelled } from "./RunErrors.ts"
import type { RunStore } from "./store/RunStore.ts"

/** Fails an effect when its run is cancelled. */
export type OrCancelled = (
  id: string
) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | RunCancelled, R>

/** Ids in a statement: drivers take some 32,000 parameters, and more runs than that may be queued here. */
const mostIds = 1000

/** Looks at the runs that are under way here, as long as there are any. */
export const make = (
  store: RunStore["Service"],
  interval: Duration.Duration
): Effect.Effect<OrCancelled, never, Scope.Scope> =>
  Effect.gen(function*() {
    const watched = new Map<Deferred.Deferred<never, RunCancelled>, string>()
    const look = Effect.gen(function*() {
      for (const some of Array.chunksOf(watched, mostIds)) {
        const cancelled = new Set(yield* Patience.persistent(store.cancelled(some.map(([, id]) => id))))
        for (const [end, id] of some) {
          if (cancelled.has(id)) Deferred.doneUnsafe(end, Effect.fail(new RunCancelled({ id })))
        }
      }
    })
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(interval), look)))

    return (id) => (effect) =>
      Effect.acquireUseRelease(
        Effect.sync(() => {
          const end = Deferred.makeUnsafe<never, RunCancelled>()
          watched.set(end, id)
          return end
        }),
        (end) =>
          Effect.gen(function*() {
            // Cancelled before it began, it does not begin.
            if ((yield* Patience.persistent(store.cancelled([id]))).length > 0) return yield* new RunCancelled({ id })
            return yield* Effect.raceFirst(effect, Deferred.await(end))
          }),
        (end) => Effect.sync(() => watched.delete(end))
      )
  })
