import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { OnTurnError } from "../../../src/internal/turn/turnControl.ts"
import { decodeEvents } from "../../../src/internal/turn/turnStream.ts"
import { AshError } from "../../../src/schema/AshError.ts"
import { ConnectionLost } from "../../../src/schema/Reasons.ts"
import type { StreamEvent } from "../../../src/schema/StreamEvent.ts"
import { assistant, otherId, sessionId } from "../../support/fixtures.ts"
import { readTurn } from "../../support/readTurn.ts"
import { frames } from "../../support/ScriptedServer.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

const lost = new AshError({ operation: "x", reason: new ConnectionLost({ message: "reset" }) })

const decode = (...chunks: ReadonlyArray<Uint8Array>) =>
  Stream.runCollect(decodeEvents("Messages.send")(Stream.fromIterable(chunks)))

const turn = (chunks: Stream.Stream<Uint8Array, AshError>, onTurnError: OnTurnError = "fail") => {
  const events: Array<StreamEvent> = []
  return readTurn(chunks, { onTurnError, operation: "Messages.send" }).pipe(
    Stream.runForEach((event) => Effect.sync(() => events.push(event))),
    Effect.result,
    Effect.map((result) => ({ events, error: Result.isFailure(result) ? result.failure : undefined }))
  )
}

const hello = frames(
  ["session_start", { sessionId }],
  ["text_delta", { delta: "größer 😀" }],
  ["message", { type: "brand_new", text: "ü" }],
  ["done", { sessionId }]
)

const helloEvents: Array<StreamEvent> = [
  { _tag: "SessionStart", sessionId },
  { _tag: "TextDelta", delta: "größer 😀" },
  { _tag: "Message", message: { _tag: "Unknown", raw: { type: "brand_new", text: "ü" } } },
  { _tag: "Done", sessionId }
]

const oneByOne = (all: Uint8Array) => Array.from(all, (_, index) => all.slice(index, index + 1))

describe("decodeEvents", () => {
  it.effect("whole", () => Effect.map(decode(bytes(hello)), (events) => assert.deepStrictEqual(events, helloEvents)))

  it.effect("one byte at a time", () =>
    Effect.map(decode(...oneByOne(bytes(hello))), (events) => assert.deepStrictEqual(events, helloEvents)))

  it.effect("in two chunks, split at every byte", () =>
    Effect.gen(function*() {
      const all = bytes(hello)
      for (let at = 1; at < all.length; at++) {
        assert.deepStrictEqual(yield* decode(all.slice(0, at), all.slice(at)), helloEvents)
      }
    }))

  it.effect.each(["\n", "\r\n", "\r"])("lines that end in %j, whole and split", (end) =>
    Effect.gen(function*() {
      const all = bytes(hello.replaceAll("\n", end))
      assert.deepStrictEqual(yield* decode(all), helloEvents)
      assert.deepStrictEqual(yield* decode(...oneByOne(all)), helloEvents)
    }))

  it.effect("after a byte order mark, however it is split", () =>
    Effect.gen(function*() {
      const all = bytes(`\uFEFF${hello}`)
      assert.deepStrictEqual(yield* decode(all), helloEvents)
      assert.deepStrictEqual(yield* decode(...oneByOne(all)), helloEvents)
    }))

  it.effect("comments, ids, unknown fields and retry lines are passed over", () =>
    Effect.gen(function*() {
      const noise = ": keep-alive\n\nretry: 3000\n\nid: 7\nretry: soon\nfoo: bar\nfoo\n"
      assert.deepStrictEqual(
        yield* decode(bytes(noise + hello.replaceAll("\n\n", "\n: x\nid: 8\nretry: 1\n\n: y\n\n"))),
        helloEvents
      )
    }))

  it.effect("data over several lines, and without a space behind the colon", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* decode(bytes("event:text_delta\ndata:{\ndata:\"delta\":\ndata: \"a\"}\n\n")), [
        { _tag: "TextDelta", delta: "a" }
      ])
    }))

  it.effect("line separators of other alphabets end no line", () =>
    Effect.gen(function*() {
      const delta = "a\u2028b\u2029c\u0085d\u000be\u000c"
      const data = `event: text_delta\ndata: {"delta":"a\u2028b\u2029c\u0085d\\u000be\\u000c"}\n\n`
      assert.deepStrictEqual(yield* decode(bytes(data)), [{ _tag: "TextDelta", delta }])
      assert.deepStrictEqual(yield* decode(...oneByOne(bytes(data))), [{ _tag: "TextDelta", delta }])
    }))

  it.effect("an event without a name is a message, whatever came before it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* decode(bytes("event: text_delta\ndata: {\"delta\":\"a\"}\n\ndata: {\"a\":1}\n\n")),
        [
          { _tag: "TextDelta", delta: "a" },
          { _tag: "Message", message: { _tag: "Unknown", raw: { a: 1 } } }
        ]
      )
    }))

  it.effect("data that is no JSON, and names that are not known, are kept", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* decode(bytes("event: text_delta\ndata: [DONE\n\nevent: citations_delta\ndata: {\"n\":1}\n\n")),
        [
          { _tag: "Unknown", event: "text_delta", data: "[DONE" },
          { _tag: "Unknown", event: "citations_delta", data: { n: 1 } }
        ]
      )
    }))

  it.effect("bytes that are no UTF-8 do not fail", () =>
    Effect.gen(function*() {
      const start = bytes("event: text_delta\ndata: {\"delta\":\"")
      const events = yield* decode(start, new Uint8Array([0xff, 0xc3]), bytes("\"}\n\n"))
      assert.deepStrictEqual(events, [{ _tag: "TextDelta", delta: "\uFFFD\uFFFD" }])
    }))

  it.effect("an event larger than any chunk", () =>
    Effect.gen(function*() {
      const delta = "😀ab".repeat(700_000)
      const all = bytes(frames(["text_delta", { delta }]))
      const chunks = Array.from(
        { length: Math.ceil(all.length / 65_535) },
        (_, index) => all.slice(index * 65_535, (index + 1) * 65_535)
      )
      const [event] = yield* decode(...chunks)
      assert.isTrue(event?._tag === "TextDelta" && event.delta === delta)
    }))

  // With room for the JSON around a text.
  const most = 1000 + 1024
  const sizes = [100, 1000, most - 1, most, most + 1, 2500, 5000, 50_000]
  const cuts = [1, 17, 1000, 16_384, 1_000_000]
  const forms = {
    "in one line": (data: string) => `data: ${data}`,
    "in two lines": (data: string) => `data: ${data.slice(0, 50)}\ndata: ${data.slice(51)}`,
    "of two bytes a character": (data: string) => `data: ${data.replaceAll("x", "ü")}`
  }
  it.effect.each(Object.entries(forms).flatMap(([form, write]) => sizes.map((size) => [form, size, write] as const)))(
    "an event %s of %i characters, with a limit of 1000, does or does not arrive, however it is cut",
    ([, size, write]) =>
      Effect.gen(function*() {
        const all = bytes(`event: a\ndata: 1\n\nevent: b\n${write("x".repeat(size))}\n\nevent: c\ndata: 3\n\n`)
        for (const cut of cuts) {
          const chunks = Array.from(
            { length: Math.ceil(all.length / cut) },
            (_, index) => all.slice(index * cut, (index + 1) * cut)
          )
          const names: Array<string> = []
          const end = yield* decodeEvents("test", 1000)(Stream.fromIterable(chunks)).pipe(
            Stream.runForEach((event) => Effect.sync(() => event._tag === "Unknown" && names.push(event.event))),
            Effect.result
          )
          assert.deepStrictEqual(names, size > most ? ["a"] : ["a", "b", "c"], `${cut}`)
          assert.strictEqual(Result.isFailure(end) ? end.failure.reason._tag : "", size > most ? "Undecodable" : "")
        }
      })
  )

  it.effect("a text that is as long as the limit arrives with the JSON around it", () =>
    Effect.gen(function*() {
      const all = bytes(frames(["text_delta", { delta: "x".repeat(1000) }]))
      for (const cut of cuts) {
        const chunks = Array.from(
          { length: Math.ceil(all.length / cut) },
          (_, index) => all.slice(index * cut, (index + 1) * cut)
        )
        const [event] = yield* Stream.runCollect(decodeEvents("test", 1000)(Stream.fromIterable(chunks)))
        assert.strictEqual(event?._tag, "TextDelta")
      }
    }))

  it.effect("an event that is cut off is none", () =>
    Effect.map(
      decode(bytes("event: done\ndata: {\"sessionId\":\"x\"}\n")),
      (events) => assert.deepStrictEqual(events, [])
    ))
})

describe("the end of a turn", () => {
  it.effect("ends at done", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* turn(Stream.make(bytes(hello))), { events: helloEvents, error: undefined })
    }))

  it.effect("an end at every byte before the end of done is a failure, with the events until then", () =>
    Effect.gen(function*() {
      const all = bytes(hello)
      for (let at = 0; at < all.length; at++) {
        const { error, events } = yield* turn(Stream.make(all.slice(0, at)))
        assert.deepStrictEqual(events, helloEvents.slice(0, events.length))
        assert.isBelow(events.length, helloEvents.length)
        assert.strictEqual(error?.reason._tag, "StreamTruncated")
        assert.strictEqual(error?.reason._tag === "StreamTruncated" ? error.reason.sessionId : "", sessionId)
        assert.strictEqual(error?.operation, "Messages.send")
      }
    }))

  it.effect("a connection that breaks before done is a failure, behind done it is none", () =>
    Effect.gen(function*() {
      const all = bytes(hello)
      for (const at of [0, 10, all.length - 1]) {
        const { error } = yield* turn(Stream.concat(Stream.make(all.slice(0, at)), Stream.fail(lost)))
        assert.strictEqual(error?.reason._tag, "StreamTruncated")
        assert.isFalse(error?.isRetryable)
      }
      assert.deepStrictEqual(yield* turn(Stream.concat(Stream.make(all), Stream.fail(lost))), {
        events: helloEvents,
        error: undefined
      })
    }))

  it.effect("does not wait for the connection to close", () =>
    Effect.gen(function*() {
      const { error, events } = yield* turn(Stream.concat(Stream.make(bytes(hello)), Stream.never))
      assert.strictEqual(events.length, 4)
      assert.isUndefined(error)
    }))

  it.effect("leaves out what comes behind done, in the same chunk or another", () =>
    Effect.gen(function*() {
      const late = bytes(frames(["text_delta", { delta: "late" }], ["error", { error: "late" }]))
      assert.deepStrictEqual(yield* turn(Stream.make(bytes(hello + new TextDecoder().decode(late)))), {
        events: helloEvents,
        error: undefined
      })
      assert.deepStrictEqual(yield* turn(Stream.make(bytes(hello), late)), { events: helloEvents, error: undefined })
    }))

  const failing = frames(["session_start", { sessionId }], ["error", { error: "no credit" }])

  it.effect("an error event fails the turn, behind the events before it", () =>
    Effect.gen(function*() {
      for (const chunks of [[bytes(failing)], oneByOne(bytes(failing))]) {
        const { error, events } = yield* turn(Stream.fromIterable(chunks))
        assert.deepStrictEqual(events, [{ _tag: "SessionStart", sessionId }])
        assert.strictEqual(error?.reason._tag, "TurnFailed")
        assert.strictEqual(error?.reason._tag === "TurnFailed" ? error.reason.error : "", "no credit")
        assert.strictEqual(error?.reason._tag === "TurnFailed" ? error.reason.sessionId : "", sessionId)
        assert.include(error?.message ?? "", "no credit")
      }
    }))

  it.effect("an error event is the last element where errors are wanted", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* turn(Stream.make(bytes(failing)), "emit"), {
        events: [{ _tag: "SessionStart", sessionId }, { _tag: "TurnError", error: "no credit" }],
        error: undefined
      })
    }))

  it.effect("done behind an error changes nothing", () =>
    Effect.gen(function*() {
      const both = bytes(failing + frames(["done", { sessionId }]))
      const failed = yield* turn(Stream.make(both))
      assert.strictEqual(failed.error?.reason._tag, "TurnFailed")
      assert.strictEqual(failed.events.length, 1)
      const emitted = yield* turn(Stream.make(both), "emit")
      assert.deepStrictEqual(emitted.events.at(-1), { _tag: "TurnError", error: "no credit" })
      assert.isUndefined(emitted.error)
    }))

  it.effect("turn_complete does not end a turn, nor does session_end", () =>
    Effect.gen(function*() {
      const open = frames(["turn_complete", { numTurns: 1 }], ["session_end", { sessionId }])
      const { error, events } = yield* turn(Stream.make(bytes(open)))
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), ["TurnComplete", "SessionEnd"])
      assert.strictEqual(error?.reason._tag, "StreamTruncated")
    }))

  it.effect("done with the session's id in other letters is this turn's, of another session it is none", () =>
    Effect.gen(function*() {
      for (const id of [sessionId, sessionId.toUpperCase()]) {
        const { error, events } = yield* turn(Stream.make(bytes(frames(["done", { sessionId: id }]))))
        assert.deepStrictEqual([error, events], [undefined, [{ _tag: "Done", sessionId: id }]])
      }
      for (const id of ["", otherId, otherId.toUpperCase()]) {
        const { error } = yield* turn(Stream.make(bytes(frames(["done", { sessionId: id }]))))
        assert.strictEqual(error?.reason._tag, "StreamTruncated")
      }
    }))

  const typed = { type: "error", error: { type: "overloaded_error", message: "Overloaded" } }
  const failures: ReadonlyArray<readonly [data: string, error: string]> = [
    [JSON.stringify(typed), "Overloaded (overloaded_error)"],
    [JSON.stringify({ type: "error", error: "boom" }), "boom"],
    [JSON.stringify({ type: "api_error", message: "boom" }), "boom (api_error)"],
    [JSON.stringify({ message: "boom" }), "boom"],
    ["null", ""],
    ["", ""],
    ["502 Bad Gateway", "502 Bad Gateway"]
  ]
  const chunkings = (text: string) => {
    const all = bytes(text)
    return [[all], oneByOne(all), [bytes(text.replaceAll("\n", "\r\n"))], oneByOne(bytes(text.replaceAll("\n", "\r")))]
  }
  const start = frames(["session_start", { sessionId }])

  it.effect.each(failures)("an error of any shape fails the turn: %s", ([data, expected]) =>
    Effect.gen(function*() {
      const event = `event: error\ndata: ${data}\n\n`
      for (const text of [event, event.replace("data: \n", ""), `${event}${frames(["done", { sessionId }])}`]) {
        for (const chunks of chunkings(start + text)) {
          for (const ending of [Stream.empty, Stream.fail(lost)]) {
            const { error, events } = yield* turn(Stream.concat(Stream.fromIterable(chunks), ending))
            assert.deepStrictEqual(events, [{ _tag: "SessionStart", sessionId }], text)
            assert.strictEqual(error?.reason._tag, "TurnFailed")
            assert.strictEqual(error?.reason._tag === "TurnFailed" ? error.reason.error : undefined, expected)
          }
          const emitted = yield* turn(Stream.fromIterable(chunks), "emit")
          assert.isUndefined(emitted.error)
          assert.strictEqual(emitted.events.at(-1)?._tag, "TurnError")
        }
      }
    }))

  it.effect("behind an error that may be a block the connection is not waited for", () =>
    Effect.gen(function*() {
      const open = Stream.concat(Stream.make(bytes(frames(["error", typed]))), Stream.never)
      const fiber = yield* Effect.forkChild(turn(open))
      yield* TestClock.adjust("5 seconds")
      const { error } = yield* Fiber.join(fiber)
      assert.strictEqual(error?.reason._tag, "TurnFailed")
    }))

  it.effect("blocks of the agent whose types are error and done end nothing", () =>
    Effect.gen(function*() {
      const done = { type: "done", sessionId }
      const other = { type: "text", text: "Hi." }
      for (const blocks of [[typed], [done], [typed, other, done], [done, typed, typed], [typed, done]]) {
        const passedOn = blocks.filter((block) => block !== other).map((block) => [block.type, block] as const)
        const message = assistant(blocks)
        const text = start + frames(...passedOn, ["message", message], ["done", { sessionId }])
        for (const chunks of chunkings(text)) {
          const { error, events } = yield* turn(Stream.fromIterable(chunks))
          assert.isUndefined(error)
          assert.deepStrictEqual(
            events.slice(1, -2),
            passedOn.map(([event, data]) => ({ _tag: "Unknown" as const, event, data }))
          )
          assert.deepStrictEqual(events.slice(-2).map(({ _tag }) => _tag), ["Message", "Done"])
        }
      }
    }))
})
