/** Runs effects as promises and streams as async iterables, under options and an `AbortSignal`. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as ManagedRuntime from "effect/ManagedRuntime"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { merge, RequestOptions, type RequestOptionsInput } from "../client/RequestOptions.ts"
import { mustBe } from "../internal/request/options.ts"
import { AshError } from "../schema/AshError.ts"

/** How calls are made: their limits and repetitions, and what aborts them. */
export interface CallOptions extends RequestOptionsInput {
  /** Aborts the calls: they reject with the signal's reason, once what they hold is closed. */
  readonly signal?: AbortSignal | undefined
}

/** Runs what the services answer. */
export interface Runner {
  readonly promise: <A, E>(effect: Effect.Effect<A, E>) => Promise<A>
  readonly iterable: <A, E>(stream: Stream.Stream<A, E>) => AsyncIterable<A>
  /**
   * Runs an effect in a scope of its own. The scope is open until `close` is run, or the client is closed; it closes at
   * once where the effect fails.
   */
  readonly held: <A, E, B>(
    effect: Effect.Effect<A, E, Scope.Scope>,
    use: (value: A, close: Effect.Effect<void>) => Effect.Effect<B>
  ) => Effect.Effect<B, E>
  /** Closes what is held, whatever is aborted. */
  readonly close: (close: Effect.Effect<void>) => Promise<void>
  readonly with: (options: CallOptions) => Runner
}

/**
 * A stream as an async iterable, which can be asked for the next elements before it has answered, as a generator. Effect's
 * loses elements of a chunk then. Unlike that of a generator, `return` does not wait for them: it ends what is silent.
 */
export const iterableOf = <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  context: Context.Context<R>,
  rejected?: (error: unknown) => Promise<never>
): AsyncIterable<A> => ({
  [Symbol.asyncIterator]: () => {
    const iterator = Stream.toAsyncIterableWith(stream, context)[Symbol.asyncIterator]()
    const pull = () => iterator.next().catch(rejected)
    let last: Promise<unknown> = Promise.resolve()
    return {
      ...iterator,
      next: () => {
        const next = last.then(pull, pull)
        last = next
        return next
      }
    }
  }
})

/** What is no signal has aborted before all calls, which so refuse it as they do other options. */
const signalOf = (given: AbortSignal): AbortSignal =>
  given instanceof AbortSignal
    ? given
    : AbortSignal.abort(new AshError({ operation: "AshPromise.with", reason: mustBe("signal", "an AbortSignal") }))

/** Makes a runner of a runtime, whose calls end when a signal aborts, and what it holds with a scope. */
export const make = <R, ER>(
  runtime: ManagedRuntime.ManagedRuntime<R, ER>,
  context: Context.Context<R>,
  holds: Scope.Scope,
  signal: AbortSignal,
  options: RequestOptionsInput = {}
): Runner => {
  const set = merge(options)
  const held: Runner["held"] = (effect, use) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.fork(holds), (scope) =>
        restore(Scope.provide(effect, scope)).pipe(
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
          Effect.flatMap((value) => use(value, Scope.close(scope, Exit.void)))
        ))
    )
  const rejected = (error: unknown) => Promise.reject(signal.aborted ? signal.reason : error)
  /** Runs it under the options. What has aborted before sends nothing. */
  const started = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() =>
      signal.aborted ? Effect.fail(signal.reason) : Effect.updateService(effect, RequestOptions, set)
    )
  /** What an abort, and the end of the runtime, close also while nothing is asked of it. */
  const abortable = <A, E>(stream: Stream.Stream<A, E>) =>
    Stream.unwrap(Effect.gen(function*() {
      const scope = yield* Scope.make()
      // It begins with its first pull. What it holds is closed behind the pulls, which are forked later.
      const inner = yield* Scope.fork(scope)
      const pull = yield* Scope.provide(Stream.toPull(Stream.unwrap(Effect.succeed(stream))), inner)
      const life = runtime.runFork(Effect.onExit(Effect.never, (exit) => Scope.close(scope, exit)), { signal })
      yield* Effect.addFinalizer((exit) => Effect.andThen(Scope.close(scope, exit), Fiber.interrupt(life)))
      const next = Effect.flatMap(Effect.forkIn(pull, scope, { startImmediately: true }), Fiber.join)
      return Stream.fromPull(Effect.succeed(started(next)))
    }))
  return {
    held,
    promise: (effect) => runtime.runPromise(started(effect), { signal }).catch(rejected),
    iterable: (stream) => iterableOf(abortable(stream), context, rejected),
    close: Effect.runPromiseWith(context),
    with: (further) => {
      const { signal: own, ...more } = { ...further }
      return make(
        runtime,
        context,
        holds,
        Predicate.isNullish(own) ? signal : AbortSignal.any([signal, signalOf(own)]),
        merge(Predicate.isObject(further) ? more : further)(options)
      )
    }
  }
}
