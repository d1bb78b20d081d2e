/** What a fault makes of the body of a response. */
import * as Bytes from "effect/Bytes"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import type { ErrorResponse } from "../schema/ErrorResponse.ts"
import * as Errors from "./wire/Errors.ts"
import * as Frames from "./wire/Frames.ts"

/**
 * What goes wrong.
 *
 * - `latency`: everything comes 50 ms to 150 ms late. `bandwidth`: 20 kB a second. `slowClose`: the end comes a second
 *   late. `slice`: in pieces of 7 bytes.
 * - `timeout`: silence. `reset`: the connection is reset. `limitData`: it breaks after 100 bytes. `down`: the proxy closes
 *   every connection and refuses new ones for half a second.
 * - `endAtEvent`, `endInEvent`, `endInCharacter`: a clean end of the body, but too early.
 * - `errorOnly`, `errorThenDone`: failures of the turn itself, in place of the rest of its events. `writeTimeout`: how a
 *   server closes the stream of a slow reader. `foreignDone`: events of another turn, and its end.
 * - `html`: a page of a proxy. `empty`: no content. `rateLimited`: 429 with a `Retry-After` of 900 seconds.
 *   `atCapacity`: 503.
 * - `retryLine`, `unknownEvent`, `unknownValues`, `hugeEvent` of 11 MiB: unexpected, and no reason to fail.
 *   `comments`: from here on comments only, 20 a second.
 */
export type FaultKind = keyof typeof behaviors

/**
 * When it goes wrong. `beforeHeaders`: before the response begins; what answers by itself, and what breaks the
 * connection, does not let the request through to the server then. `afterHeaders`: with the body. `midStream`: in it.
 */
export type FaultPhase = "beforeHeaders" | "afterHeaders" | "midStream"

/** A fault. */
export interface Fault {
  readonly kind: FaultKind
  /** @default "midStream" */
  readonly phase?: FaultPhase | undefined
  /** How many events, or pieces of another body, pass before a fault in the middle of a stream. @default 2 */
  readonly after?: number | undefined
}

/** How a body ends before its time: as if it were complete, by a broken connection, or with the whole proxy. */
export class Cut extends Data.TaggedError("Cut")<{ readonly by: "end" | "reset" | "down" }> {}

type Body<E> = Stream.Stream<Uint8Array, E | Cut>

const textOf = (text: string) => new TextEncoder().encode(text)

export type Answer = readonly [status: number, headers: Record<string, string>, body: string]

/** What a fault needs to know of the exchange that it strikes. */
export interface StrikeOptions {
  readonly sessionId: string
  /** Milliseconds of `latency`. */
  readonly delay: number
}

/** What a fault does. What it leaves out passes as it is. */
interface Behavior {
  /** Its answer, where it comes before the response. */
  readonly answer?: Answer
  /** Where it comes before the response: it breaks the connection, or answers an event stream of its own. */
  readonly early?: "breaks" | "streams"
  /** Ends the body before its time, at a frame. */
  readonly cut?: (frame: Uint8Array, strike: StrikeOptions) => Body<never>
  /** What it sends ahead of the first frame that it strikes. */
  readonly ahead?: () => Uint8Array
  /** A frame as it sends it: late, in pieces, changed, or not at all. */
  readonly frame?: (frame: Uint8Array, strike: StrikeOptions) => Stream.Stream<Uint8Array>
  /** What follows the body. A failure of the turn itself is sent when the turn is over, as no agent works on behind one. */
  readonly end?: (strike: StrikeOptions) => Stream.Stream<Uint8Array>
}

const anotherSession = "ffffffff-ffff-4fff-bfff-ffffffffffff"

const cut = (by: Cut["by"], ...before: ReadonlyArray<Uint8Array>): Body<never> =>
  Stream.concat(Stream.fromIterable(before), Stream.fail(new Cut({ by })))

/** Answers by itself, and where it comes later ends the body with that. */
const answering = (...answer: Answer): Behavior => ({
  answer,
  cut: () => cut("end", ...answer[2] === "" ? [] : [textOf(answer[2])])
})

/** Answers as a server that refuses the request. */
const refusing = ({ body, status }: ErrorResponse, headers: Record<string, string> = {}) =>
  answering(status, { "content-type": "application/json", ...headers }, JSON.stringify(body))

const message = (data: Schema.JsonObject): Uint8Array => Frames.encode({ event: "message", data })

const foreignAnswer = message({
  type: "assistant",
  message: { role: "assistant", content: [{ type: "text", text: "of another turn" }] }
})

const slices = (bytes: Uint8Array, size: number): Stream.Stream<Uint8Array> =>
  Stream.map(
    Stream.range(0, Math.ceil(bytes.length / size) - 1),
    (index) => bytes.subarray(index * size, (index + 1) * size)
  )

/** Adds a field and a value that is unknown to clients to the data of an event. */
const withUnknownValues = (frame: Uint8Array): Uint8Array =>
  textOf(new TextDecoder().decode(frame).replace(/^(data: \{)/m, "$1\"fieldOfTheFuture\":{\"a\":[1]},"))

const named = <Kind extends string>(behaviors: Readonly<Record<Kind, Behavior>>) => behaviors

const behaviors = named({
  latency: { frame: (frame, { delay }) => Stream.fromEffect(Effect.as(Effect.sleep(delay), frame)) },
  bandwidth: { frame: (frame) => Stream.tap(slices(frame, 1000), () => Effect.sleep("50 millis")) },
  slowClose: { end: () => Stream.fromEffectDrain(Effect.sleep("1 second")) },
  timeout: { frame: () => Stream.never },
  reset: { early: "breaks", cut: () => cut("reset") },
  slice: { frame: (frame) => Stream.tap(slices(frame, 7), () => Effect.yieldNow) },
  limitData: { early: "breaks", cut: (frame) => cut("reset", frame.subarray(0, 100)) },
  down: { cut: () => cut("down") },
  endAtEvent: { early: "breaks", cut: () => cut("end") },
  endInEvent: { early: "breaks", cut: (frame) => cut("end", frame.subarray(0, frame.length >> 1)) },
  endInCharacter: {
    early: "breaks",
    cut: () => cut("end", textOf("event: text_delta\ndata: {\"delta\":\""), textOf("é").subarray(0, 1))
  },
  errorOnly: {
    early: "streams",
    frame: () => Stream.empty,
    end: () => Stream.make(Frames.encode(Frames.error("a fault of the agent")))
  },
  errorThenDone: {
    early: "streams",
    frame: () => Stream.empty,
    end: ({ sessionId }) =>
      Stream.make(Frames.encode(Frames.error("a fault of the server")), Frames.encode(Frames.done(sessionId)))
  },
  foreignDone: {
    early: "streams",
    cut: () => cut("end", foreignAnswer, Frames.encode(Frames.done(anotherSession)))
  },
  html: answering(
    200,
    { "content-type": "text/html" },
    "<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"
  ),
  empty: answering(204, {}, ""),
  retryLine: { ahead: () => textOf("retry: 3000\n\n") },
  comments: {
    early: "streams",
    frame: () => Stream.forever(Stream.fromEffect(Effect.as(Effect.sleep("50 millis"), textOf(": still here\n\n"))))
  },
  unknownEvent: { ahead: () => Frames.encode({ event: "event_of_the_future", data: { a: 1 } }) },
  unknownValues: {
    ahead: () => message({ type: "type_of_the_future" }),
    frame: (frame) => Stream.succeed(withUnknownValues(frame))
  },
  hugeEvent: { ahead: () => message({ type: "type_of_the_future", text: "x".repeat(11 * 1024 * 1024) }) },
  writeTimeout: {
    early: "streams",
    cut: (_, { sessionId }) => cut("end", Frames.encode(Frames.writeTimeout), Frames.encode(Frames.done(sessionId)))
  },
  rateLimited: refusing(Errors.framework(429, "Rate limit exceeded, retry in 15 minutes"), { "retry-after": "900" }),
  atCapacity: refusing(Errors.atCapacity)
})

/** The faults: first those of any network, then those of an Ash server and of what may stand before it. */
export const kinds: ReadonlyArray<FaultKind> = Struct.keys(behaviors)

const byKind = new Map<string, Behavior>(Object.entries(behaviors))

export const behaviorOf = (kind: FaultKind): Behavior => byKind.get(kind) ?? {}

/** The body of a response as the fault leaves it. */
export const spoil =
  ({ after = 2, kind, phase = "midStream" }: Fault, options: StrikeOptions) =>
  <E>(frames: Stream.Stream<Uint8Array, E>): Body<E> => {
    const { ahead, cut, end = () => Stream.empty, frame: altered = Stream.succeed } = behaviorOf(kind)
    const passing = phase === "midStream" ? after : 0
    return frames.pipe(
      Stream.zipWithIndex,
      Stream.flatMap(([frame, index]): Body<E> => {
        if (index < passing) return Stream.succeed(frame)
        if (cut !== undefined) return cut(frame, options)
        return index === passing && ahead !== undefined
          ? Stream.concat(Stream.succeed(ahead()), altered(frame, options))
          : altered(frame, options)
      }),
      Stream.concat(end(options))
    )
  }

const lineFeed = 10

/** Cuts bytes into the frames of an event stream; what follows the last one is a piece of its own. */
export const splitFrames = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E, R> =>
  Stream.mapAccum(
    bytes,
    () => ({ pending: Array.of<Uint8Array>(), endsLine: false }),
    ({ endsLine, pending }, chunk) => {
      const frames: Array<Uint8Array> = []
      let start = 0
      for (const [index, byte] of chunk.entries()) {
        const isLineFeed = byte === lineFeed
        if (isLineFeed && endsLine) {
          frames.push(Bytes.concat([...pending.splice(0), chunk.subarray(start, index + 1)]))
          start = index + 1
        }
        endsLine = isLineFeed && start !== index + 1
      }
      if (start < chunk.length) pending.push(chunk.subarray(start))
      return [{ pending, endsLine }, frames]
    },
    { onHalt: ({ pending }) => pending.length === 0 ? [] : [Bytes.concat(pending)] }
  )
