/** A turn for a browser: server-sent events, as a `Response` of the platform or one of Effect's. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { TurnEvent } from "../functions/TurnStream.ts"
import { aFunction, checked, duration, type Rule } from "../internal/request/options.ts"

/** The events of a turn, of an Effect program or of one of promises. */
export type TurnEvents<E = never, R = never> = Stream.Stream<TurnEvent, E, R> | AsyncIterable<TurnEvent>

/** The body of an answer and its headers. */
export interface EventStream<R = never> {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Stream.Stream<Uint8Array, never, R>
}

/** How a turn is answered. */
export interface EventStreamOptions {
  /** How often a comment is sent, so that proxies keep the connection; 0 and Infinity send none. @default "15 seconds" */
  readonly keepAlive?: Duration.Input | undefined
}

/** What the options of each answer must be. */
export const rules = { keepAlive: duration(), errorText: aFunction }

/** The options of what has its answer at once, or throws what is wrong with them. */
export const given = <Options extends object>(operation: string, rule: Rule, options: Options | undefined) =>
  Effect.runSync(checked(operation, rule, options))

export const streamOf = <E, R>(events: TurnEvents<E, R>): Stream.Stream<TurnEvent, unknown, R> =>
  Stream.isStream(events) ? events : Stream.fromAsyncIterable(events, (error) => error)

/** The lines of one event: its name, if it has one, and its data, in which a line feed is escaped. */
export const frame = (json: string, name?: string): string =>
  `${name === undefined ? "" : `event: ${name}\n`}data: ${json}\n\n`

const comment = ": keep-alive\n\n"

export const make = <R>(
  frames: Stream.Stream<string, never, R>,
  { keepAlive = "15 seconds" }: EventStreamOptions,
  headers: Readonly<Record<string, string>> = {}
): EventStream<R> => {
  const interval = Duration.fromInputUnsafe(keepAlive)
  const comments = Stream.drop(Stream.as(Stream.tick(interval), comment), 1)
  const isKept = Duration.isPositive(interval) && Duration.isFinite(interval)
  return {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      // A proxy that compresses or buffers holds events back.
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
      ...headers
    },
    body: Stream.encodeText(isKept ? Stream.merge(frames, comments, { haltStrategy: "left" }) : frames)
  }
}

/** The answer as a `Response`: for `fetch` handlers, as those of Hono, Next, Bun and Deno. */
export const toResponse = ({ body, headers }: EventStream): Response =>
  new Response(Stream.toReadableStreamWith(body, Context.empty()), { headers })

/** The answer as a response of an `HttpRouter`. */
export const toHttpServerResponse = ({ body, headers }: EventStream): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.stream(body, { headers, contentType: headers["content-type"] })

/** A failure as a text that a page may show: what it was, without what a server or a file said. */
export const errorText = (error: unknown): string => {
  const tag = Predicate.hasProperty(error, "reason") && Predicate.hasProperty(error.reason, "_tag")
    ? error.reason._tag
    : undefined
  return texts.get(tag) ?? "The agent failed. Try again."
}

const busy = "There is no room at the moment. Try again later."

const lost = "The connection to the agent was lost, and with it the rest of its answer. Try again."

const texts: ReadonlyMap<unknown, string> = new Map([
  ["AtCapacity", busy],
  ["RateLimited", busy],
  ["NotReached", "The agent cannot be reached. Try again later."],
  ["ConnectionLost", lost],
  ["StreamTruncated", lost],
  ["TimedOut", "The agent took too long. Try again."],
  ["SessionBusy", "The agent is still at work. Try again later."],
  ["InvalidRequest", "The agent does not take this message."],
  ["TurnCancelled", "The turn was stopped."],
  ["BudgetExhausted", "The budget is used up."]
])
