/**
 * Sessions on their way. Whether a server has created or changed one shows only in its answer, so that an attempt that is on
 * the wire goes on when its caller has given it up, and a session that is there by it and is to end is ended.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { AshError } from "../../schema/AshError.ts"
import type { Session } from "../../schema/Session.ts"
import { messageOf } from "./operations.ts"
import { type Answered, type Attempt, whenSent } from "./sending.ts"

/** How long the end of a session may hold up the end of its scope. */
const grace = "10 seconds"

/** How long an answer is awaited that its caller has given up: a server may take as long to start a sandbox. */
const longestStart = "5 minutes"

interface Started {
  readonly session: Session
}

/** Ends a session where nothing but the log can have that it fails. */
export const quietly = (id: string, end: Effect.Effect<unknown, AshError>) =>
  end.pipe(
    Effect.timeout(grace),
    Effect.catchCause((cause) =>
      Effect.logWarning(`the session ${id} could not be ended, and may be alive: ${messageOf(cause)}`)
    )
  )

const giveUp = Effect.logWarning(
  "the creation of a session was given up, and not answered: the session may be alive; see Sessions.list"
)

export type Creations = Effect.Success<ReturnType<typeof make>>

/**
 * Those that are still on their way when the scope closes end then; what is to be a session, and was not awaited yet, is awaited
 * for a short time before.
 */
export const make = (end: (id: string) => Effect.Effect<Session, AshError>) =>
  Effect.gen(function*() {
    const fibers = new Set<Fiber.Fiber<Answered<Started>, AshError>>()
    const unawaited = new Set<Fiber.Fiber<Answered<Started>, AshError>>()
    const waitFor = (fiber: Fiber.Fiber<Answered<Started>, AshError>) =>
      Effect.andThen(Effect.timeoutOption(Fiber.await(fiber), grace), Effect.sync(() => unawaited.delete(fiber)))
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        Effect.forEach(unawaited, waitFor, { concurrency: "unbounded", discard: true }),
        // What begins meanwhile goes on, as what begins later.
        Fiber.interruptAll([...fibers])
      )
    )

    return {
      /**
       * Makes an attempt to create a session, which from then on ends with the scope, be it closed already; or to change one, with
       * what its answer means while it is awaited.
       */
      attempt: (
        request: Attempt<Answered<Started>>,
        scope: Scope.Scope,
        onAnswer?: Effect.Effect<void>
      ): Attempt<Answered<Started>> =>
      (sending) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            let isOnWire = false
            let isAbandoned = false
            const sent = whenSent(() => {
              isOnWire = true
            })(request)(sending)
            const fiber = yield* Effect.forkDetach(
              Effect.tap(
                Effect.onInterrupt(
                  Effect.interruptible(sent),
                  () => isOnWire && onAnswer === undefined ? giveUp : Effect.void
                ),
                ({ value: { session: { id } } }) =>
                  onAnswer === undefined
                    ? Scope.addFinalizer(scope, quietly(id, end(id)))
                    : isAbandoned
                    ? Effect.void
                    : onAnswer
              ),
              { startImmediately: true, uninterruptible: true }
            )
            fibers.add(fiber)
            if (onAnswer === undefined) unawaited.add(fiber)
            fiber.addObserver(() => {
              fibers.delete(fiber)
              unawaited.delete(fiber)
            })
            yield* Scope.addFinalizerExit(scope, (exit) =>
              isOnWire
                ? Effect.andThen(
                  Exit.hasInterrupts(exit) ? waitFor(fiber) : Effect.void,
                  Effect.suspend(() => {
                    isAbandoned = true
                    return Effect.forkDetach(
                      Effect.andThen(Effect.timeoutOption(Fiber.await(fiber), longestStart), Fiber.interrupt(fiber)),
                      { startImmediately: true }
                    )
                  })
                )
                : Fiber.interrupt(fiber))
            return yield* restore(Fiber.join(fiber))
          })
        )
    }
  })

/** Acquires something in a scope of its own, which closes at once where that fails, and else is the caller's. */
export const inOwnScope = <A, E, R>(
  acquire: (scope: Scope.Scope) => Effect.Effect<A, E, R>,
  makeScope: Effect.Effect<Scope.Closeable, never, R> = Scope.make()
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(makeScope, (scope) =>
      Effect.onExit(
        restore(acquire(scope)),
        (exit) => Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit)
      ))
  )
