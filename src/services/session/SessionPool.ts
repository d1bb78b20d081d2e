/**
 * Sessions that the prompts of a batch share. They are opened beside the work: what waits for a session takes the first that
 * is free, be it a new one or one that another prompt has given back.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { AshError } from "../../schema/AshError.ts"

export interface PoolOptions<S> {
  readonly open: Effect.Effect<S, AshError, Scope.Scope>
  readonly size: number
  /** Whether a session is used for more than one prompt. */
  readonly isReused: boolean
  /** What ends them all. */
  readonly scope: Scope.Scope
}

interface Pooled<S> {
  readonly session: S
  readonly scope: Scope.Closeable
}

type Waiter<S> = Deferred.Deferred<Pooled<S>, AshError>

/** A class, so that its sessions have no other writer. */
export class SessionPool<S> {
  readonly #options: PoolOptions<S>
  readonly #idle: Array<Pooled<S>> = []
  readonly #waiters: Array<Waiter<S>> = []
  /** How many there are, those that are being opened among them. */
  #open = 0
  #opening = 0
  /** How many there may be: fewer, where a server has no room for more. */
  #size: number
  /** Whether a session is kept that nothing waits for. */
  #isKept: boolean

  constructor(options: PoolOptions<S>) {
    this.#options = options
    this.#size = options.size
    this.#isKept = options.isReused
  }

  /** Uses a session, which is kept for the next use if that is so. */
  use<A, E, R>(use: (session: S) => Effect.Effect<A, E, R>, isKept: (answer: A) => boolean) {
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(this.#take(restore), (pooled) =>
        Effect.onExit(
          restore(use(pooled.session)),
          (exit) => Exit.isSuccess(exit) && isKept(exit.value) ? this.#offer(pooled) : this.#end(pooled)
        ))
    )
  }

  /** Keeps no more sessions, as there are no further prompts. */
  get drain(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isKept = false
      const ends = this.#idle.splice(0).map((pooled) => this.#end(pooled))
      return Effect.all(ends, { concurrency: "unbounded", discard: true })
    })
  }

  #take(restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) {
    return Effect.suspend(() => {
      const free = this.#idle.pop()
      if (free !== undefined) return Effect.succeed(free)
      const waiter: Waiter<S> = Deferred.makeUnsafe()
      this.#waiters.push(waiter)
      return Effect.andThen(
        this.#fill(),
        Effect.onInterrupt(restore(Deferred.await(waiter)), () => this.#leave(waiter))
      )
    })
  }

  /** Gives up waiting; what was handed over in the same moment goes to the next. */
  #leave(waiter: Waiter<S>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const index = this.#waiters.indexOf(waiter)
      if (index >= 0) this.#waiters.splice(index, 1)
      return index >= 0
        ? Effect.void
        : Effect.matchEffect(Deferred.await(waiter), {
          onFailure: () => Effect.void,
          onSuccess: (pooled) => this.#offer(pooled)
        })
    })
  }

  /** Hands a session to what waits, if it is new or used again, or keeps it. */
  #offer(pooled: Pooled<S>, isHanded = this.#options.isReused): Effect.Effect<void> {
    return Effect.suspend(() => {
      const waiter = isHanded ? this.#waiters.shift() : undefined
      if (waiter !== undefined) Deferred.doneUnsafe(waiter, Effect.succeed(pooled))
      else if (this.#isKept) this.#idle.push(pooled)
      else return this.#end(pooled)
      return Effect.void
    })
  }

  #end({ scope }: Pooled<S>): Effect.Effect<void> {
    return Scope.close(scope, Exit.void).pipe(
      Effect.ensuring(Effect.suspend(() => {
        this.#open -= 1
        return this.#fill()
      }))
    )
  }

  /** Opens as many sessions as are waited for, as far as there may be more. */
  #fill(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#open < this.#size && this.#opening < this.#waiters.length
        ? Effect.andThen(this.#start, this.#fill())
        : Effect.void
    )
  }

  get #start(): Effect.Effect<unknown> {
    return Effect.suspend(() => {
      this.#open += 1
      this.#opening += 1
      const { open, scope } = this.#options
      const opening = Effect.flatMap(
        Scope.fork(scope),
        (own) =>
          Effect.flatMap(Effect.exit(Scope.provide(open, own)), (exit) => {
            this.#opening -= 1
            return Exit.isSuccess(exit)
              ? this.#offer({ session: exit.value, scope: own }, true)
              : Effect.andThen(Scope.close(own, Exit.void), this.#failed(exit.cause))
          })
      )
      return Effect.forkIn(opening, scope)
    })
  }

  /** What waits goes on with the sessions that there are; where there are none, it fails, or dies, as the opening did. */
  #failed(cause: Cause.Cause<AshError>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#open -= 1
      const error = Cause.findErrorOption(cause)
      const isFull = this.#open > 0 && Option.exists(error, ({ reason }) => reason._tag === "AtCapacity")
      this.#size = isFull ? this.#open : this.#options.size
      const waiter = isFull ? undefined : this.#waiters.shift()
      if (waiter !== undefined) Deferred.doneUnsafe(waiter, Effect.failCause(cause))
      return this.#fill()
    })
  }
}
