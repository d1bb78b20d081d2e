/** Spans are made where there is a tracer that they go to: without one they would be made for nothing, at each call. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"

/** Whether a program has a tracer. */
export const hasTracer = (context: Context.Context<never>): boolean =>
  Context.getOrUndefined(context, Tracer.Tracer) !== undefined

/** Makes a span of an operation, where there is a tracer. */
export const withSpan = (operation: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber(({ context }) =>
    hasTracer(context) ? effect.pipe(Effect.withSpan(operation, {}, { captureStackTrace: false })) : effect
  )
