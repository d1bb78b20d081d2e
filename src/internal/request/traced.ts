/** Spans are made where there is a tracer that they go to: without one they would be made for nothing, at each call. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { AshError } from "../../schema/AshError.ts"

/**
 * Whether a program has a tracer, and has not switched tracing off. Switched off, Effect still makes spans, without an id:
 * a client would send an invalid `traceparent`.
 */
export const hasTracer = (context: Context.Context<never>): boolean =>
  Context.getOrUndefined(context, Tracer.Tracer) !== undefined &&
  Context.get(context, References.TracerEnabled) &&
  !Context.get(context, Tracer.DisablePropagation)

/**
 * How a failed span ends. Exporters record the message of its failure, and errors may repeat what was sent to a server or
 * came from an agent: a span has the operation, the reason's tag and the status, and no more.
 */
export const spanFailure = (operation: string, type: string, status?: number): Exit.Exit<never, unknown> =>
  Exit.fail({
    name: type,
    message: `${operation}: ${type}${status === undefined || status < 400 ? "" : ` (${status})`}`
  })

const spanExit = (operation: string, exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> => {
  if (Exit.isSuccess(exit)) return Exit.void
  if (Cause.hasInterruptsOnly(exit.cause)) return exit
  const error = Option.getOrUndefined(Exit.findErrorOption(exit))
  if (error instanceof AshError) return spanFailure(operation, error.reason._tag, error.reason.http?.status)
  return HttpClientError.isHttpClientError(error)
    ? spanFailure(operation, error.reason._tag, error.response?.status)
    : spanFailure(operation, "Defect")
}

/** A tracer for the requests of a client, whose failures may repeat the headers and the body: spans end without them. */
export const withoutMessages = (tracer: Tracer.Tracer): Tracer.Tracer =>
  Tracer.make({
    span: (options) => {
      const span = tracer.span(options)
      const end = span.end.bind(span)
      span.end = (time, exit) => end(time, spanExit(options.name, exit))
      return span
    },
    context: tracer.context?.bind(tracer)
  })

export const endSpan = (span: Tracer.Span, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.clockWith((clock) => Effect.sync(() => span.end(clock.currentTimeNanosUnsafe(), exit)))

/** Makes a span of an operation, where there is a tracer. */
export const withSpan = (operation: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber(({ context }) =>
    hasTracer(context)
      ? Effect.flatMap(Effect.makeSpan(operation), (span) =>
        effect.pipe(
          Effect.withParentSpan(span, { captureStackTrace: false }),
          Effect.onExit((exit) => endSpan(span, spanExit(operation, exit)))
        ))
      : effect
  )
