/**
 * Keeps a client from sending one request twice. One that a program brings may repeat what failed, which for a message is
 * another turn.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { ConnectionLost } from "../schema/AshError.ts"

/** Methods whose repetition does something once more (RFC 9110, section 9.2.2). */
const notIdempotent: ReadonlySet<string> = new Set(["POST", "PATCH"])

/** How many spans of clients are around: a client that is made of another sends within its own. */
const depthOf = (span: Option.Option<Tracer.AnySpan>): number =>
  Option.match(span, {
    onNone: () => 0,
    onSome: (span) => span._tag === "Span" ? (span.kind === "client" ? 1 : 0) + depthOf(span.parent) : 0
  })

/** Where there are spans, how many of clients are around what happens now. */
const currentDepth = (): number | undefined => {
  const fiber = Fiber.getCurrent()
  return fiber?.getRef(References.TracerEnabled) === true
    ? depthOf(Context.getOption(fiber.context, Tracer.ParentSpan))
    : undefined
}

/** A second sending. No client repeats a defect. */
const repeated = { _tag: "effect-ash/internal/sendOnce/Repeated" } as const

const refused = (request: HttpClientRequest.HttpClientRequest) =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({
      request,
      cause: new ConnectionLost({
        message:
          "the HttpClient of this layer repeats requests, and was kept from it; what became of the first is not known here"
      })
    })
  })

type Send<R> = Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError, R>

/**
 * Fails a request that must not be sent twice before it is. A client asks whether to trace just before it sends, which is all
 * that can be seen of one whose make is not known; with tracing switched off, nothing can.
 */
export const sendOnce = (request: HttpClientRequest.HttpClientRequest) => <R>(send: Send<R>): Send<R> =>
  notIdempotent.has(request.method)
    ? Effect.flatMap(HttpClient.TracerDisabledWhen, (isUntraced) => {
      const sent = new Set<string>()
      return send.pipe(
        Effect.provideService(HttpClient.TracerDisabledWhen, (sending) => {
          const depth = currentDepth()
          if (isUntraced(sending)) return true
          if (depth === undefined) return false
          // At one depth there is one sending, to one address: a redirection goes to another.
          const place = `${depth} ${sending.url}`
          if (sent.has(place)) return Effect.runSync(Effect.die(repeated))
          sent.add(place)
          return false
        }),
        Effect.catchDefect((defect) => defect === repeated ? Effect.fail(refused(request)) : Effect.die(defect))
      )
    })
    : send
