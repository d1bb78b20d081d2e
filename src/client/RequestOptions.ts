/**
 * How requests are made: set for a whole layer by `Ash.layer`, and for one call, or any part of a program, by the
 * functions here. They ride the fiber, so that no method needs a parameter for them.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import type { BufferOptions, TurnTimeouts } from "../internal/turn/turnLimits.ts"
import { laid, over } from "./over.ts"

export type { BufferOptions, TurnTimeouts } from "../internal/turn/turnLimits.ts"

/** How often, and after what time, a call that may be repeated is repeated. */
export interface RetryOptions {
  /** How many times a call is repeated after its first attempt; 0 for never. @default 2 */
  readonly times?: number | undefined
  /** The delay before the first repetition; it doubles from one to the next, give or take a fifth at random. @default "200 millis" */
  readonly delay?: Duration.Input | undefined
  /** What the delay does not grow beyond, but for the fifth. @default "30 seconds" */
  readonly maxDelay?: Duration.Input | undefined
  /**
   * The longest `Retry-After` that is waited for, and at random up to one delay longer; a call that is asked to wait longer
   * fails at once.
   * @default "60 seconds"
   */
  readonly maxRetryAfter?: Duration.Input | undefined
}

/**
 * How much of an answer is taken in, in bytes behind any compression, counted while they are read. Beyond it the call fails
 * with `Undecodable`. Of the body of an error 64 KiB are read; a stream of bytes and a turn have no such limit.
 */
export interface ResponseLimits {
  /** An answer that is decoded as a whole, as all JSON is. @default 64 MiB */
  readonly body?: number | undefined
  /** A file that is read as text. @default 100 MiB */
  readonly text?: number | undefined
}

/** What traces and metrics of turns hold. */
export interface TelemetryOptions {
  /**
   * Whether spans have what is sent to agents, what they answer, and what their tools are given and return.
   * @default false
   */
  readonly content?: boolean | undefined
  /** Whether metrics of turns are recorded, in Effect's registry. @default where there is a tracer */
  readonly metrics?: boolean | undefined
}

/** What a layer or a call sets. What is left out keeps the value of the layer, then the default. */
export interface RequestOptionsInput {
  /**
   * How long one attempt may take until it is answered; a stream or a download has no limit after that.
   *
   * @default "60 seconds"; "5 minutes" where a sandbox is started, files are written to one or a workspace is carried; for
   * `exec` always 10 seconds more than the command's own
   */
  readonly timeout?: Duration.Input | undefined
  readonly retry?: RetryOptions | undefined
  /** The limits of a turn. */
  readonly timeouts?: TurnTimeouts | undefined
  /** What is read ahead of a slow consumer of a turn. */
  readonly buffer?: BufferOptions | undefined
  /** The largest event of a turn that is accepted, in characters, without the JSON around a long text. @default 64 Mi */
  readonly maxEventSize?: number | undefined
  /** How much of an answer is taken in. */
  readonly responseLimits?: ResponseLimits | undefined
  /**
   * Whether `Messages.send` and `Sessions.exec` wait for what runs in their session, as its handles always do, and
   * `QueueItems.enqueue` refuses a session that a handle has open. Without it the server mixes what runs at the same time.
   * @default true
   */
  readonly exclusive?: boolean | undefined
  /**
   * Headers to send along: Latin-1 in one line, and none that is about the connection, the body or the key, such as `host`
   * or `authorization`. Others are `InvalidRequest` with the header's name as its `field`. Their values are kept out of
   * errors and spans as the key is.
   */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** What traces and metrics of turns hold. */
  readonly telemetry?: TelemetryOptions | undefined
}

type Combinator = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** The options in force in a fiber. */
export class RequestOptions extends Context.Reference<RequestOptionsInput>("effect-ash/client/RequestOptions", {
  defaultValue: () => ({})
}) {}

/** As {@link over}, of headers, whose names are the same in any case. */
const overHeaders = (outer: RequestOptionsInput["headers"], inner: RequestOptionsInput["headers"]) =>
  laid(outer, inner, (outer, inner) => {
    const names = new Set(Object.keys(inner).map((name) => name.toLowerCase()))
    return { ...Record.filter(outer, (_, name) => !names.has(name.toLowerCase())), ...inner }
  })

/** As {@link over}, of what is no object. Null is no absence: it is refused where it is read. */
const innermost = <A>(outer: A, inner: A): A => inner === undefined ? outer : inner

/**
 * Lays options over those that are in force.
 *
 * **Example** (A stream with a time limit of its own)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Messages, RequestOptions } from "effect-ash"
 *
 * const short = RequestOptions.merge({ timeouts: { turn: "5 minutes" } })
 *
 * const turn = (sessionId: string) =>
 *   Stream.unwrap(Effect.map(Messages, (messages) => messages.send(sessionId, "Hello!"))).pipe(
 *     Stream.updateService(RequestOptions.RequestOptions, short)
 *   )
 * ```
 */
export const merge = (inner: RequestOptionsInput) => (outer: RequestOptionsInput): RequestOptionsInput =>
  laid(outer, inner, (outer, inner) => ({
    timeout: innermost(outer.timeout, inner.timeout),
    maxEventSize: innermost(outer.maxEventSize, inner.maxEventSize),
    exclusive: innermost(outer.exclusive, inner.exclusive),
    retry: over(outer.retry, inner.retry),
    timeouts: over(outer.timeouts, inner.timeouts),
    buffer: over(outer.buffer, inner.buffer),
    responseLimits: over(outer.responseLimits, inner.responseLimits),
    headers: overHeaders(outer.headers, inner.headers),
    telemetry: over(outer.telemetry, inner.telemetry)
  }))

const withOptions = (inner: RequestOptionsInput): Combinator => Effect.updateService(RequestOptions, merge(inner))

/** Limits each attempt of the calls in an effect. */
export const withTimeout = (timeout: Duration.Input): Combinator => withOptions({ timeout })

/** Sets how the calls in an effect are repeated; `{ times: 0 }` for not at all. */
export const withRetry = (retry: RetryOptions): Combinator => withOptions({ retry })

/** Limits the turns in an effect. */
export const withTimeouts = (timeouts: TurnTimeouts): Combinator => withOptions({ timeouts })

/** Sends headers along with the calls in an effect. */
export const withHeaders = (headers: Readonly<Record<string, string>>): Combinator => withOptions({ headers })

/** Sets what traces and metrics of the turns in an effect hold. */
export const withTelemetry = (telemetry: TelemetryOptions): Combinator => withOptions({ telemetry })
