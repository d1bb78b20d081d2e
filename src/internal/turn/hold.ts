/** Takes what is there at once, until a scope closes. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"

/**
 * As `Effect.acquireRelease`, in half of its effects. What gives it back is handed the context of the taking, and runs in that
 * of the closing.
 */
export const hold = <A>(
  take: () => A,
  giveBack: (taken: A, context: Context.Context<never>) => Effect.Effect<void>
): Effect.Effect<A, never, Scope.Scope> =>
  Effect.uninterruptible(Effect.contextWith((context: Context.Context<Scope.Scope>) => {
    const taken = take()
    return Effect.as(
      Scope.addFinalizerExit(Context.get(context, Scope.Scope), () => giveBack(taken, context)),
      taken
    )
  }))
