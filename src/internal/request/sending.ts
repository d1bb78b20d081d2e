/**
 * How a request is sent: what is handed down with it, from the call to the one place that sends it. Limits, gates, rate
 * limits and creations stand between, and each adds what it watches.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { AshError, AshErrorReason } from "../../schema/AshError.ts"

export interface Sending {
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** How much of an answer is taken in, in bytes. */
  readonly responseLimits?: { readonly body?: number | undefined } | undefined
  /** Is run right before the request goes out, when all that it waits for is there. Where it fails, nothing is sent. */
  readonly before?: Effect.Effect<void, AshErrorReason> | undefined
  /** Is called right before the request goes out, when all that it waits for is there. */
  readonly onRequest?: (() => void) | undefined
  /** Is called while large contents go out, with the number of their bytes that have. */
  readonly onSent?: ((bytes: number) => void) | undefined
  /** Is called with the response, whatever its status. */
  readonly onResponse?: ((response: HttpClientResponse.HttpClientResponse) => void) | undefined
}

/** One attempt of a call, which sends its request. */
export type Attempt<A, R = never> = (sending: Sending) => Effect.Effect<A, AshError, R>

/** Surrounds each attempt of a call; where it fails by itself, nothing is sent. */
export type Surround = <A, R>(attempt: Attempt<A, R>) => Attempt<A, R>

export interface Answered<A> {
  readonly value: A
  readonly response: HttpClientResponse.HttpClientResponse
}

/** What of an answer a caller takes that needs nothing of the response. */
export const valueOf = <A>({ value }: Answered<A>): A => value

/** Calls back, too, when the request of an attempt goes out. */
export const whenSent = (callBack: () => void): Surround => (attempt) => (sending) =>
  attempt({
    ...sending,
    onRequest: () => {
      sending.onRequest?.()
      callBack()
    }
  })

/** So many bytes are a step. */
const step = 196_608

/** Runs a call, and reports meanwhile how many bytes of its contents have gone out: never fewer than before, as it may be repeated. */
export const withUploadProgress = <A, E, R, E2, R2>(
  call: (onSent: (bytes: number) => void) => Effect.Effect<A, E, R>,
  onProgress: (bytes: number) => Effect.Effect<unknown, E2, R2>
): Effect.Effect<A, E | E2, R | R2> =>
  Effect.flatMap(Queue.unbounded<number, Cause.Done>(), (steps) => {
    let most = 0
    const onSent = (bytes: number) => {
      if (bytes >= most + step) Queue.offerUnsafe(steps, most = bytes)
    }
    return Effect.map(
      Effect.all([
        Effect.ensuring(call(onSent), Queue.end(steps)),
        Stream.runForEach(Stream.fromQueue(steps), onProgress)
      ], { concurrency: 2 }),
      ([answer]) => answer
    )
  })
