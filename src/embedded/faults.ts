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
 * - `errorOnly`, `errorThenDone`: failures of the turn itself, in place of the rest of its events. `writeTimeout`: how a
 *   server closes the stream of a slow reader. `foreignDone`: events of another turn, and its end.
 * - `html`: a page of a proxy. `empty`: no content. `rateLimited`: 429 with a `Retry-After` of 900 seconds.
 *   `atCapacity`: 503.
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

const rateLimited = { statusCode: 429, error: "Too Many Requests", message: "Rate limit exceeded, retry in 15 minutes" }

const atCapacity = { error: "Sandbox capacity reached and no evictable sandboxes (all running)", statusCode: 503 }

/** An answer of its own. */
type Answer = readonly [status: number, headers: Record<string, string>, body: string]

/** Faults that answer by themselves where they come before the response. */
export const answers: ReadonlyMap<FaultKind, Answer> = new Map<FaultKind, Answer>([
  ["html", [200, { "content-type": "text/html" }, "<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"]],
  ["empty", [204, {}, ""]],
  ["rateLimited", [429, { "content-type": "application/json", "retry-after": "900" }, JSON.stringify(rateLimited)]],
  ["atCapacity", [503, { "content-type": "application/json" }, JSON.stringify(atCapacity)]]
])

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

/** Adds a field and a value that is unknown to clients to the data of an event. */
const withUnknownValues = (frame: Uint8Array): Uint8Array =>
  textOf(new TextDecoder().decode(frame).replace(/^(data: \{)/m, "$1\"fieldOfTheFuture\":{\"a\":[1]},"))

const slowly = (frame: Uint8Array): Stream.Stream<Uint8Array> =>
  Stream.mapEffect(
    Stream.fromIterable(slices(frame, 1000)),
    (piece) => Effect.as(Effect.sleep("50 millis"), piece)
  )

/** What a fault makes of a frame: of the first that it strikes, and of those behind it. */
const strike = (kind: FaultKind, { delay, sessionId }: StrikeOptions) => (frame: Uint8Array, isFirst: boolean) =>
  cutBy(kind, frame, sessionId) ??
    Stream.concat(Stream.fromIterable(isFirst ? sentAhead(kind) : []), altered(kind, frame, delay))

/** The end of the body, where the fault cuts it before its time, and what comes before that end. */
const cutBy = (kind: FaultKind, frame: Uint8Array, sessionId: string): Bytes<never> | undefined => {
  switch (kind) {
    case "reset":
      return cut("reset")
    case "limitData":
      return cut("reset", frame.subarray(0, 100))
    case "down":
      return cut("down")
    case "endAtEvent":
    case "empty":
      return cut("end")
    case "endInEvent":
      return cut("end", frame.subarray(0, frame.length >> 1))
    case "endInCharacter":
      return cut("end", textOf("event: text_delta\ndata: {\"delta\":\""), textOf("é").subarray(0, 1))
    case "writeTimeout":
      return cut(
        "end",
        Frames.encode(Frames.error("Client write timeout — closing stream")),
        Frames.encode(Frames.done(sessionId))
      )
    case "foreignDone":
      return cut("end", say("of another turn"), Frames.encode(Frames.done(anotherSession)))
    case "html":
    case "rateLimited":
    case "atCapacity":
      return cut("end", textOf(answers.get(kind)?.[2] ?? ""))
    default:
      return undefined
  }
}

/** What the fault sends ahead of the first frame that it strikes. */
const sentAhead = (kind: FaultKind): ReadonlyArray<Uint8Array> => {
  switch (kind) {
    case "retryLine":
      return [textOf("retry: 3000\n\n")]
    case "unknownEvent":
      return [Frames.encode({ event: "event_of_the_future", data: { a: 1 } })]
    case "unknownValues":
      return [Frames.encode({ event: "message", data: { type: "type_of_the_future" } })]
    case "hugeEvent":
      return [Frames.encode({
        event: "message",
        data: { type: "type_of_the_future", text: "x".repeat(11 * 1024 * 1024) }
      })]
    default:
      return []
  }
}

/** A frame as the fault sends it: late, in pieces, changed, replaced, or not at all. */
const altered = (kind: FaultKind, frame: Uint8Array, delay: number): Stream.Stream<Uint8Array> => {
  switch (kind) {
    case "latency":
      return Stream.fromEffect(Effect.as(Effect.sleep(delay), frame))
    case "bandwidth":
      return slowly(frame)
    case "slice":
      return Stream.mapEffect(Stream.fromIterable(slices(frame, 7)), (piece) => Effect.as(Effect.yieldNow, piece))
    case "timeout":
      return Stream.never
    case "errorOnly":
    case "errorThenDone":
      return Stream.empty
    case "comments":
      return Stream.forever(Stream.fromEffect(Effect.as(Effect.sleep("50 millis"), textOf(": still here\n\n"))))
    case "unknownValues":
      return Stream.succeed(withUnknownValues(frame))
    default:
      return Stream.succeed(frame)
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
  ({ after = 2, kind, phase = "midStream" }: Fault, options: StrikeOptions) =>
  <E>(frames: Stream.Stream<Uint8Array, E>): Bytes<E> => {
    const passing = phase === "midStream" ? after : 0
    const struck = strike(kind, options)
    const spoilt = frames.pipe(
      Stream.zipWithIndex,
      Stream.flatMap(([frame, index]): Bytes<E> =>
        index < passing ? Stream.succeed(frame) : struck(frame, index === passing)
      )
    )
    return Stream.concat(spoilt, end(kind, options.sessionId))
  }

/** What follows the body. A failure of the turn itself is sent when the turn is over, as no agent works on behind one. */
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
