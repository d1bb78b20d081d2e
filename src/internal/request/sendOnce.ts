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
import type * as Predicate from "effect/Predicate"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { ConnectionLost } from "../../schema/Reasons.ts"

/** Whether to repeat a method does something once more (RFC 9110, section 9.2.2). */
export const isNotIdempotent = (method: string): boolean => method === "POST" || method === "PATCH"

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
  body === other || (body._tag === "Uint8Array" && other._tag === "Uint8Array" &&
    body.contentLength === other.contentLength && body.body.every((byte, index) => byte === other.body[index]))

/** Whether a client sends that request, be it to another address, and not one of its own: for a token, say. */
const isSame = (sending: HttpClientRequest.HttpClientRequest, request: HttpClientRequest.HttpClientRequest): boolean =>
  isNotIdempotent(sending.method) && (sending.url === request.url || isSameBody(sending.body, request.body))

/** A sending, and the one that it is a part of: a client that is made of another sends by that. */
interface Sending {
  readonly url: string
  readonly within: Sending | undefined
  readonly before: Sending | undefined
  status: number | undefined
}

/** What is being sent in a context. */
const Within = Context.Reference<Sending | undefined>("effect-ash/internal/request/sendOnce/Within", {
  defaultValue: () => undefined
})

/** Whether a server has sent a request on to another address, and so has not done it. */
const isRedirection = ({ status = 0, url }: Sending, to: string): boolean => url !== to && status >= 300 && status < 400

/** The same effect as what a sending does. */
const asSending = (send: Send<never>, sending: Sending): Send<never> =>
  Effect.map(send, (response) => {
    sending.status = response.status
    return response
  }).pipe(Effect.provideService(Within, sending))

/** What a client does next when it has asked is to send. */
const isSend = (effect: unknown): effect is Send<never> => Effect.isEffect(effect)

/** Every effect can be evaluated. */
const isPrimitive = <X>(effect: unknown): effect is Tracer.EffectPrimitive<X> => Effect.isEffect(effect)

const evaluate: NonNullable<Tracer.Tracer["context"]> = (primitive, fiber) =>
  primitive["~effect/Effect/evaluate"](fiber)

/** Has the next effect of a fiber be what a sending does: a tracer is handed each effect before it is evaluated. */
const watchNext = (fiber: Fiber.Fiber<unknown, unknown>, sending: Sending) => {
  const { context } = fiber
  const tracer = Context.get(context, Tracer.Tracer)
  const evaluateBy = tracer.context?.bind(tracer) ?? evaluate
  const watching = Tracer.make({
    span: (options) => tracer.span(options),
    context: <X>(primitive: Tracer.EffectPrimitive<X>, by: Fiber.Fiber<unknown, unknown>) => {
      if (by !== fiber) return evaluateBy(primitive, by)
      fiber.setContext(context)
      const watched: unknown = isSend(primitive) ? asSending(primitive, sending) : primitive
      return evaluateBy(isPrimitive<X>(watched) ? watched : primitive, fiber)
    }
  })
  fiber.setContext(Context.add(context, Tracer.Tracer, watching))
}

/**
 * Fails a request that must not be sent twice before it is. A client asks whether to trace just before it sends, which is all
 * that can be seen of one whose make is not known; one that answers that question itself is not seen.
 */
export class SendOnce {
  #request: HttpClientRequest.HttpClientRequest | undefined
  #last: Sending | undefined

  /** The context to send in, where some requests are not to be traced. */
  in<R>(context: Context.Context<R>, isUntraced: Predicate.Predicate<HttpClientRequest.HttpClientRequest>) {
    const watched = Context.add(context, HttpClient.TracerDisabledWhen, (sending) => {
      this.#onSending(sending)
      return isUntraced(sending)
    })
    // A client does not ask where nothing is propagated.
    return Context.get(context, Tracer.DisablePropagation)
      ? Context.add(Context.add(watched, References.TracerEnabled, false), Tracer.DisablePropagation, false)
      : watched
  }

  /** The sending of a request in that context. */
  of<R>(request: HttpClientRequest.HttpClientRequest, send: Send<R>): Send<R> {
    this.#request = request
    return Effect.catchDefect(
      send,
      (defect) => defect === repeated ? Effect.fail(refused(request)) : Effect.die(defect)
    )
  }

  #onSending(request: HttpClientRequest.HttpClientRequest): void {
    const fiber = Fiber.getCurrent()
    if (fiber === undefined || this.#request === undefined || !isSame(request, this.#request)) return
    const within = Context.get(fiber.context, Within)
    let before = this.#last
    while (before !== undefined && before.within !== within) before = before.before
    if (before !== undefined && !isRedirection(before, request.url)) return Effect.runSync(Effect.die(repeated))
    this.#last = { url: request.url, within, before: this.#last, status: undefined }
    watchNext(fiber, this.#last)
  }
}
