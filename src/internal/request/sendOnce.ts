/**
 * Keeps a client from sending one request twice. One that a program brings may repeat what failed, which for a message is
 * another turn.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { ConnectionLost } from "../../schema/Reasons.ts"

/** Methods whose repetition does something once more (RFC 9110, section 9.2.2). */
const notIdempotent: ReadonlySet<string> = new Set(["POST", "PATCH"])

/** A second sending. No client repeats a defect. */
const repeated = { _tag: "effect-ash/internal/request/sendOnce/Repeated" } as const

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

/** Whether a client may repeat what it sends. Those of this package's own layers do not, and need no watch. */
export class MayRepeat extends Context.Reference<boolean>("effect-ash/internal/request/sendOnce/MayRepeat", {
  defaultValue: () => true
}) {}

type Send<R> = Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError, R>

const isSameBody = (body: HttpBody.HttpBody, other: HttpBody.HttpBody): boolean =>
  body === other ||
  (body._tag === "Uint8Array" && other._tag === "Uint8Array"
    ? body.contentLength === other.contentLength && body.body.every((byte, index) => byte === other.body[index])
    : body._tag === "Empty" && other._tag === "Empty")

/** Whether a client sends that request, be it to another address, and not one of its own: for a token, say. */
const isSame = (sending: HttpClientRequest.HttpClientRequest, request: HttpClientRequest.HttpClientRequest): boolean =>
  notIdempotent.has(sending.method) && (sending.url === request.url || isSameBody(sending.body, request.body))

/** A sending, and its span, which has the status of its answer. */
interface Sending {
  readonly url: string
  span: Tracer.Span | undefined
}

/** Whether a server has sent a request on to another address, and so has not done it. */
const isRedirection = ({ span, url }: Sending, to: string): boolean => {
  const status = span?.attributes.get("http.response.status_code")
  return url !== to && Predicate.isNumber(status) && status >= 300 && status < 400
}

/**
 * Watches one request. A client that is made of another sends within its own span, so that of what is sent directly within
 * one span, or within none, there is one.
 */
const watch = (request: HttpClientRequest.HttpClientRequest, { context }: Fiber.Fiber<unknown, unknown>) => {
  const isTraced = Context.get(context, References.TracerEnabled) && !Context.get(context, Tracer.DisablePropagation)
  const isUntraced = Context.get(context, HttpClient.TracerDisabledWhen)
  const tracer = Context.get(context, Tracer.Tracer)
  /** What was sent within each span; those that are not to be traced are made all the same, and exported nowhere. */
  const sendings = new Map<Tracer.AnySpan | undefined, Sending>()
  const parents = new Map<Tracer.AnySpan, Tracer.AnySpan | undefined>()
  const hidden = new Set<Tracer.AnySpan>()
  let next: { readonly sending: Sending; readonly isHidden: boolean } | undefined

  const nearest = (
    span: Tracer.AnySpan | undefined,
    is: (span: Tracer.AnySpan) => boolean
  ): Tracer.AnySpan | undefined =>
    span === undefined || is(span)
      ? span
      : nearest(parents.get(span) ?? (span._tag === "Span" ? Option.getOrUndefined(span.parent) : undefined), is)

  const span: Tracer.Tracer["span"] = (options) => {
    const parent = Option.getOrUndefined(options.parent)
    const isHidden = !isTraced || next?.isHidden === true
    const span = isHidden
      ? new Tracer.NativeSpan(options)
      : tracer.span({ ...options, parent: Option.fromUndefinedOr(nearest(parent, (span) => !hidden.has(span))) })
    parents.set(span, parent)
    if (isHidden) hidden.add(span)
    if (next !== undefined) next.sending.span = span
    next = undefined
    return span
  }

  const onSending = (sending: HttpClientRequest.HttpClientRequest): boolean => {
    const fiber = Fiber.getCurrent()
    if (fiber === undefined || !isSame(sending, request)) return !isTraced || isUntraced(sending)
    const within = nearest(
      Context.getOrUndefined(fiber.context, Tracer.ParentSpan),
      (around) => Array.from(sendings.values()).some(({ span }) => span === around)
    )
    const before = sendings.get(within)
    if (before !== undefined && !isRedirection(before, sending.url)) return Effect.runSync(Effect.die(repeated))
    const isHidden = !isTraced || isUntraced(sending)
    next = { sending: { url: sending.url, span: undefined }, isHidden }
    sendings.set(within, next.sending)
    if (isHidden) fiber.setContext(Context.add(fiber.context, HttpClient.TracerPropagationEnabled, false))
    return false
  }

  // Added one by one, as to merge contexts copies them.
  return <R>(context: Context.Context<R>) =>
    Context.add(context, HttpClient.TracerDisabledWhen, onSending).pipe(
      Context.add(References.TracerEnabled, true),
      Context.add(Tracer.DisablePropagation, false),
      Context.add(Tracer.Tracer, Tracer.make({ span, context: tracer.context?.bind(tracer) }))
    )
}

/**
 * Fails a request that must not be sent twice before it is. A client asks whether to trace just before it sends, which is all
 * that can be seen of one whose make is not known; one that answers that question itself is not seen.
 */
export const sendOnce = (request: HttpClientRequest.HttpClientRequest) => <R>(send: Send<R>): Send<R> =>
  notIdempotent.has(request.method)
    ? Effect.withFiber((fiber) => {
      const watched = watch(request, fiber)
      return Effect.catchDefect(
        Effect.updateContext(send, (context: Context.Context<R>) => watched(context)),
        (defect) => defect === repeated ? Effect.fail(refused(request)) : Effect.die(defect)
      )
    })
    : send
