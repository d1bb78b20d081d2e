/** What a fault makes of the body of a response. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import * as Frames from "./wire/Frames.ts"

/** The faults: first those of any network, then those of an Ash server and of what may stand before it. */
export const kinds = [
  "latency",
  "bandwidth",
  "slowClose",
  "timeout",
  "reset",
  "slice",
  "limitData",
  "down",
  "endAtEvent",
  "endInEvent",
  "endInCharacter",
  "errorOnly",
  "errorThenDone",
  "foreignDone",
  "html",
  "empty",
  "retryLine",
  "comments",
  "unknownEvent",
  "unknownValues",
  "hugeEvent",
  "writeTimeout",
  "rateLimited",
  "atCapacity"
] as const

/**
 * What goes wrong.
 *
 * - `latency`: everything comes 50 ms to 150 ms late. `bandwidth`: 20 kB a second. `slowClose`: the end comes a second
 *   late. `slice`: in pieces of 7 bytes.
 * - `timeout`: silence. `reset`: the connection is reset. `limitData`: it breaks after 100 bytes. `down`: the proxy closes
 *   every connection and refuses new ones for half a second.
 * - `endAtEvent`, `endInEvent`, `endInCharacter`: a clean end of the body, but too early.
 * - `errorOnly`, `errorThenDone`: the turn's own failures, in the place of what it had yet to say. `writeTimeout`: how a server lets go of a slow reader.
 *   `foreignDone`: events of another turn, and its end.
 * - `html`: a page of a proxy. `empty`: no content. `rateLimited`: 429 with a `Retry-After` of 900 seconds. `atCapacity`: 503.
 * - `retryLine`, `unknownEvent`, `unknownValues`, `hugeEvent` of 11 MiB: unexpected, and no reason to fail.
 *   `comments`: from here on comments only, 20 a second.
 */
export type FaultKind = typeof kinds[number]

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

type Bytes<E> = Stream.Stream<Uint8Array, E | Cut>

const textOf = (text: string) => new TextEncoder().encode(text)

/** A page that a proxy answers with. */
export const page = "<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"

/** What a server answers to one request too many, and at its capacity. */
export const rateLimited = JSON.stringify({
  statusCode: 429,
  error: "Too Many Requests",
  message: "Rate limit exceeded, retry in 15 minutes"
})
export const atCapacity = JSON.stringify({
  error: "Sandbox capacity reached and no evictable sandboxes (all running)",
  statusCode: 503
})

const anotherSession = "ffffffff-ffff-4fff-bfff-ffffffffffff"

const cut = (by: Cut["by"], ...before: ReadonlyArray<Uint8Array>): Bytes<never> =>
  Stream.concat(Stream.fromIterable(before), Stream.fail(new Cut({ by })))

const say = (text: string): Uint8Array =>
  Frames.encode({
    event: "message",
    data: { type: "assistant", message: { role: "assistant", content: [{ type: "text", text }] } }
  })

const slices = (bytes: Uint8Array, size: number): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size))

/** Adds a field and a value that no client knows to the data of an event. */
const withUnknownValues = (frame: Uint8Array): Uint8Array =>
  textOf(new TextDecoder().decode(frame).replace(/^(data: \{)/m, "$1\"fieldOfTheFuture\":{\"a\":[1]},"))

const slowly = (frame: Uint8Array): Stream.Stream<Uint8Array> =>
  Stream.mapEffect(
    Stream.fromIterable(slices(frame, 1000)),
    (piece) => Effect.as(Effect.sleep("50 millis"), piece)
  )

/** What a fault makes of a frame: of the first that it strikes, and of those behind it. */
const strike =
  (kind: FaultKind, sessionId: string, delay: number) => (frame: Uint8Array, isFirst: boolean): Bytes<never> => {
    const passed = Stream.succeed(frame)
    const before = (...frames: ReadonlyArray<Uint8Array>) => isFirst ? Stream.fromIterable([...frames, frame]) : passed
    switch (kind) {
      case "latency":
        return Stream.fromEffect(Effect.as(Effect.sleep(delay), frame))
      case "bandwidth":
        return slowly(frame)
      case "slowClose":
        return passed
      case "slice":
        return Stream.mapEffect(Stream.fromIterable(slices(frame, 7)), (piece) => Effect.as(Effect.yieldNow, piece))
      case "timeout":
        return Stream.never
      case "reset":
        return cut("reset")
      case "limitData":
        return cut("reset", frame.subarray(0, 100))
      case "down":
        return cut("down")
      case "endAtEvent":
        return cut("end")
      case "endInEvent":
        return cut("end", frame.subarray(0, frame.length >> 1))
      case "endInCharacter":
        return cut("end", textOf("event: text_delta\ndata: {\"delta\":\""), textOf("é").subarray(0, 1))
      case "errorOnly":
      case "errorThenDone":
        return Stream.empty
      case "writeTimeout":
        return cut(
          "end",
          Frames.encode(Frames.error("Client write timeout — closing stream")),
          Frames.encode(Frames.done(sessionId))
        )
      case "foreignDone":
        return cut("end", say("of another turn"), Frames.encode(Frames.done(anotherSession)))
      case "html":
        return cut("end", textOf(page))
      case "rateLimited":
        return cut("end", textOf(rateLimited))
      case "atCapacity":
        return cut("end", textOf(atCapacity))
      case "empty":
        return cut("end")
      case "retryLine":
        return before(textOf("retry: 3000\n\n"))
      case "comments":
        return Stream.forever(Stream.fromEffect(Effect.as(Effect.sleep("50 millis"), textOf(": still here\n\n"))))
      case "unknownEvent":
        return before(Frames.encode({ event: "event_of_the_future", data: { a: 1 } }))
      case "unknownValues":
        return isFirst
          ? Stream.make(
            Frames.encode({ event: "message", data: { type: "type_of_the_future" } }),
            withUnknownValues(frame)
          )
          : Stream.succeed(withUnknownValues(frame))
      case "hugeEvent":
        return before(Frames.encode({
          event: "message",
          data: { type: "type_of_the_future", text: "x".repeat(11 * 1024 * 1024) }
        }))
    }
  }

/** What a fault needs to know of the exchange that it strikes. */
export interface StrikeOptions {
  readonly sessionId: string
  /** Milliseconds of `latency`. */
  readonly delay: number
}

/** The body of a response as the fault leaves it. */
export const spoil =
  ({ after = 2, kind, phase = "midStream" }: Fault, { delay, sessionId }: StrikeOptions) =>
  <E>(frames: Stream.Stream<Uint8Array, E>): Bytes<E> => {
    const passing = phase === "midStream" ? after : 0
    const struck = strike(kind, sessionId, delay)
    const spoilt = frames.pipe(
      Stream.zipWithIndex,
      Stream.flatMap(([frame, index]): Bytes<E> =>
        index < passing ? Stream.succeed(frame) : struck(frame, index === passing)
      )
    )
    return Stream.concat(spoilt, end(kind, sessionId))
  }

/** What comes behind the body. A turn's own failure comes when the turn is over: the agent does not work on. */
const end = (kind: FaultKind, sessionId: string): Stream.Stream<Uint8Array> => {
  switch (kind) {
    case "slowClose":
      return Stream.drain(Stream.fromEffect(Effect.sleep("1 second")))
    case "errorOnly":
      return Stream.make(Frames.encode(Frames.error("a fault of the agent")))
    case "errorThenDone":
      return Stream.make(Frames.encode(Frames.error("a fault of the server")), Frames.encode(Frames.done(sessionId)))
    default:
      return Stream.empty
  }
}

const lineFeed = 10

const joined = (pieces: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat(pieces))

/** Cuts bytes into the frames of an event stream; what is behind the last one is a piece of its own. */
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
          frames.push(joined([...pending.splice(0), chunk.subarray(start, index + 1)]))
          start = index + 1
        }
        endsLine = isLineFeed && start !== index + 1
      }
      if (start < chunk.length) pending.push(chunk.subarray(start))
      return [{ pending, endsLine }, frames]
    },
    { onHalt: ({ pending }) => pending.length === 0 ? [] : [joined(pending)] }
  )
