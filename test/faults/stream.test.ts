import { describe } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import { isDeepStrictEqual } from "node:util"
import { decodeEvents } from "../../src/internal/turn/turnStream.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import type { StreamEvent } from "../../src/schema/StreamEvent.ts"
import { assistant, result, sessionId, user } from "../support/fixtures.ts"
import { chance, type Outcome, promise } from "../support/promise.ts"
import { readTurn } from "../support/readTurn.ts"
import { bytesOf, recordings } from "../support/recordings.ts"
import { frames } from "../support/ScriptedServer.ts"
import { eventsByEffect, eventsByStandard } from "../support/sse.ts"

const utf8 = (text: string) => new TextEncoder().encode(text)

const turn = frames(
  ["session_start", { sessionId, version: "0.2.0" }],
  ["message", { type: "system", subtype: "init", tools: ["Bash"], model: "claude" }],
  ["text_delta", { delta: "größer 😀 \u2028\u2029 a" }],
  ["message", {
    type: "stream_event",
    event: { type: "content_block_delta", delta: { type: "text_delta", text: "x" } }
  }],
  ["thinking_delta", { delta: "hm" }],
  ["tool_use", { id: "toolu_1", name: "Bash", input: { command: "ls" } }],
  ["message", assistant([{ type: "tool_use", id: "toolu_1", name: "Bash", input: { command: "ls" } }])],
  ["tool_result", {}],
  ["message", user([{ type: "tool_result", tool_use_id: "toolu_1", content: "a\nb" }])],
  ["event_of_the_future", { a: [1, null, "ü"] }],
  ["message", assistant([{ type: "text", text: "größer 😀" }])],
  ["turn_complete", { numTurns: 2, result: "größer" }],
  ["message", result],
  ["done", { sessionId }]
)

const handmade = [
  turn,
  turn.replaceAll("\n", "\r\n"),
  turn.replaceAll("\n", "\r"),
  `\uFEFF${turn}`,
  ": comment\n:\nretry: 10\nretry: x\nid: 1\nid: a\0b\n\n" + turn,
  "data\n\ndata:\n\ndata: \n\ndata:  {\"a\":1}\n\nevent: x\n\nevent: a\nevent: b\ndata: 1\n\ndata: [1,\ndata: 2]\n\n",
  "event: text_delta\r\ndata: {\"delta\":\"ä\"}\r\n\r\rdata: 1\n\r\n\rdata: 2\r\n\ndata: end without a line",
  "event:done\ndata:{\"sessionId\":\"\"}\n\nfield: ignored\n x: y\ndata: {\n\n"
].map(utf8)

const streams = [
  ...handmade,
  ...recordings.filter(({ response }) =>
    response.headers["content-type"] === "text/event-stream" && response.sseFile === undefined
  ).map(({ response }) => new Uint8Array(bytesOf(response))).filter(({ length }) => length < 50_000)
]

/** Cuts bytes at so many places, or at all. */
const cutAt = (bytes: Uint8Array, places: ReadonlyArray<number>) => {
  const ends = [...new Set(places)].toSorted((a, b) => a - b).concat(bytes.length)
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

const decoded = (chunks: ReadonlyArray<Uint8Array>) =>
  Effect.runSync(Stream.runCollect(decodeEvents("test")(Stream.fromIterable(chunks))))

/** The pipeline of a turn, on bytes that are there. */
const received = (chunks: ReadonlyArray<Uint8Array>): Effect.Effect<Exit.Exit<ReadonlyArray<StreamEvent>, AshError>> =>
  readTurn(Stream.fromIterable(chunks)).pipe(
    Stream.runCollect,
    Effect.exit
  )

describe("bytes to events", () => {
  promise(
    "P1",
    "bytes to events is exact under any chunking",
    { fast: 600, full: 12_000 },
    (size) =>
      Effect.sync((): Outcome => {
        const failures: Array<string> = []
        const random = chance(1)
        let cases = 0
        const check = (stream: Uint8Array, expected: ReadonlyArray<StreamEvent>, chunks: ReadonlyArray<Uint8Array>) => {
          cases += 1
          const events = decoded(chunks)
          if (!isDeepStrictEqual(events, expected) || !isDeepStrictEqual(events, eventsByEffect(chunks).events)) {
            failures.push(
              `${new TextDecoder().decode(stream).slice(0, 80)} in chunks of ${chunks.map((_) => _.length)}`
            )
          }
        }
        for (const stream of streams) {
          const expected = eventsByStandard(stream)
          check(stream, expected, [stream])
          check(stream, expected, Array.from(stream, (_, index) => stream.subarray(index, index + 1)))
        }
        for (let rest = size - cases; rest > 0; rest--) {
          const stream = streams[Math.floor(random() * streams.length)] ?? new Uint8Array()
          const places = random() < 0.5
            ? [Math.floor(random() * stream.length)]
            : Array.from({ length: 1 + Math.floor(random() * 40) }, () => Math.floor(random() * stream.length))
          check(stream, eventsByStandard(stream), cutAt(stream, places))
        }
        return { cases, failures, note: `${streams.length} streams` }
      })
  )

  promise("P2", "no input is a defect", { fast: 1500, full: 110_000 }, (size) =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      const random = chance(2)
      const byte = () => Math.floor(random() * 256)
      for (let index = 0; index < size; index++) {
        const source = handmade[index % handmade.length] ?? new Uint8Array()
        const from = Math.floor(random() * source.length)
        const body = random() < 0.3
          ? Uint8Array.from({ length: Math.floor(random() * 300) }, byte)
          : source.slice(from, from + Math.floor(random() * 600))
        for (let mutation = 0; mutation < 6; mutation++) body[Math.floor(random() * body.length)] = byte()
        const exit = yield* received(cutAt(body, [Math.floor(random() * body.length)]))
        if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) failures.push(`${index}: ${Cause.pretty(exit.cause)}`)
      }
      return { cases: size, failures }
    }))

  promise("P3", "a large event arrives whole", { fast: 2, full: 64 }, (size) =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      let cases = 0
      for (let megabytes = 1; megabytes <= size; megabytes *= 2) {
        const delta = "x".repeat(megabytes * 1_048_576)
        const stream = utf8(frames(["text_delta", { delta }], ["done", { sessionId }]))
        for (const chunkSize of [1024, 65_536]) {
          const places = Array.from({ length: Math.floor(stream.length / chunkSize) }, (_, index) => index * chunkSize)
          const exit = yield* received(cutAt(stream, places))
          cases += 1
          const [first] = Exit.isSuccess(exit) ? exit.value : []
          if (first?._tag !== "TextDelta" || first.delta.length !== delta.length) {
            failures.push(`${megabytes} MiB in chunks of ${chunkSize}`)
          }
        }
      }
      return { cases, failures, note: `up to ${size} MiB; the time per byte is in bench/` }
    }))

  promise(
    "P4",
    "a truncated stream is never a success",
    { fast: 300, full: Infinity },
    (size) =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        let cases = 0
        for (const stream of [handmade[0], handmade[1], handmade[2]]) {
          if (stream === undefined) continue
          const text = new TextDecoder().decode(stream)
          const terminal = utf8(text.slice(0, text.lastIndexOf("data: "))).length +
            `data: {"sessionId":"${sessionId}"}`.length
          // The line and the empty line behind it: with a CR the second of them ends the event at once.
          const end = terminal + (text.includes("\r\n") ? 3 : 2)
          const step = Math.max(1, Math.floor(stream.length / size))
          for (let cut = 0; cut <= stream.length; cut += cut > end - 20 ? 1 : step) {
            const exit = yield* received([stream.subarray(0, cut)])
            cases += 1
            const outcome = Exit.isSuccess(exit) ? "success" : Cause.squash(exit.cause)
            const isTruncated = typeof outcome === "object" && outcome !== null && "reason" in outcome &&
              (outcome as AshError).reason._tag === "StreamTruncated"
            if (cut < end ? !isTruncated : outcome !== "success") failures.push(`cut at ${cut} of ${end}: ${outcome}`)
          }
        }
        return { cases, failures, note: "cut at every byte" }
      })
  )
})
