import * as NodeStream from "@effect/platform-node/NodeStream"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { once } from "node:events"
import { createServer, get } from "node:http"
import type { AddressInfo } from "node:net"
import { pipeline } from "node:stream"
import { closed } from "../../src/embedded/http/closed.ts"
import * as TurnStream from "../../src/functions/TurnStream.ts"
import { AshError } from "../../src/schema/AshError.ts"
import { TurnFailed } from "../../src/schema/Reasons.ts"
import type { StreamEvent } from "../../src/schema/StreamEvent.ts"
import { toHttpServerResponse, toResponse, toServerSentEvents } from "../../src/web.ts"

const message = (json: object): StreamEvent => ({ _tag: "Partial", json: JSON.stringify(json) })

const events: ReadonlyArray<StreamEvent> = [
  { _tag: "SessionStart", sessionId: "s", version: "1" },
  { _tag: "TextDelta", delta: "a line\nand \"another\" \u2028" },
  { _tag: "ThinkingDelta", delta: "" },
  message({ type: "stream_event", event: {} }),
  { _tag: "ToolUse", id: "t", name: "Read", input: { path: "a\r\nb" } },
  { _tag: "ToolResult", tool_use_id: null, content: [1, null], is_error: false },
  { _tag: "TurnComplete", numTurns: 1, result: "done" },
  { _tag: "Unknown", event: "heartbeat", data: { at: 1 } },
  { _tag: "TurnError", error: "it broke" },
  { _tag: "SessionEnd", sessionId: "s" },
  { _tag: "Done", sessionId: "s" }
]

const failure = new AshError({
  operation: "SessionHandle.stream",
  reason: new TurnFailed({ message: "a secret of the server", error: "a secret of the server", sessionId: "s" })
})

const read = (response: Response) => Effect.promise(() => response.text())

describe("toServerSentEvents", () => {
  it.effect("makes what a client of Ash reads, event by event", () =>
    Effect.gen(function*() {
      const { body } = toServerSentEvents(Stream.fromIterable(events))
      assert.deepStrictEqual(yield* Stream.runCollect(TurnStream.decodeEvents(body)), [...events])
    }))

  it.effect("an event that is nested too deep to be written is cut, and ends nothing", () =>
    Effect.gen(function*() {
      const input: Schema.Json = JSON.parse("[".repeat(50_000) + "]".repeat(50_000))
      const { body } = toServerSentEvents(Stream.make<ReadonlyArray<StreamEvent>>(
        { _tag: "ToolUse", id: "t", name: "Read", input },
        { _tag: "Done", sessionId: "s" }
      ))
      const [use, done] = yield* Stream.runCollect(TurnStream.decodeEvents(body))
      assert.deepInclude(use, { _tag: "ToolUse", id: "t", name: "Read" })
      assert.strictEqual(done?._tag, "Done")
    }))

  it.effect("a failure is the last event, without what the server said", () =>
    Effect.gen(function*() {
      const { body } = toServerSentEvents(Stream.concat(Stream.fromIterable(events.slice(0, 1)), Stream.fail(failure)))
      assert.deepStrictEqual(yield* Stream.runCollect(TurnStream.decodeEvents(body)), [
        ...events.slice(0, 1),
        { _tag: "TurnError", error: "The agent failed. Try again." }
      ])
    }))

  it.effect("is a response of the platform, of a program of promises as well", () =>
    Effect.gen(function*() {
      const iterable = Stream.toAsyncIterableWith(Stream.fromIterable(events), yield* Effect.context<never>())
      const [response, other] = [toServerSentEvents(Stream.fromIterable(events)), toServerSentEvents(iterable)].map(
        (stream) => toResponse(stream)
      )
      assert.strictEqual(response?.headers.get("content-type"), "text/event-stream; charset=utf-8")
      assert.include(response?.headers.get("cache-control"), "no-transform")
      assert.isTrue(response !== undefined && other !== undefined && (yield* read(response)) === (yield* read(other)))
    }))

  it("is a response of an HttpRouter", () => {
    const response = toHttpServerResponse(toServerSentEvents(Stream.fromIterable(events)))
    assert.strictEqual(response.headers["x-accel-buffering"], "no")
    assert.strictEqual(response.body._tag, "Stream")
  })

  it.live("a client of node:http that leaves a silent turn interrupts it at once, as the documents have it", () =>
    Effect.gen(function*() {
      const interrupted = yield* Deferred.make<void>()
      const turn = Stream.concat(Stream.fromIterable(events.slice(0, 1)), Stream.never).pipe(
        Stream.onExit(() => Deferred.succeed(interrupted, undefined))
      )
      const { body, headers } = toServerSentEvents(turn, { keepAlive: 0 })
      const server = yield* Effect.acquireRelease(
        Effect.sync(() =>
          createServer((_, response) => {
            response.writeHead(200, headers)
            pipeline(NodeStream.toReadableNever(body), response, () => {})
          }).listen(0, "127.0.0.1")
        ),
        closed
      )
      yield* Effect.promise(() => once(server, "listening"))
      const request = get({ port: (server.address() as AddressInfo).port, host: "127.0.0.1" }).on("error", () => {})
      const [response] = yield* Effect.promise(() => once(request, "response"))
      yield* Effect.promise(() => once(response, "data"))
      request.destroy()
      yield* Deferred.await(interrupted)
    }))

  it.effect("a silent turn sends comments, which keep the connection, and none behind its end", () =>
    Effect.gen(function*() {
      const silent = Stream.concat(Stream.fromIterable(events.slice(0, 1)), Stream.never)
      const { body } = toServerSentEvents(silent, { keepAlive: "10 seconds" })
      const reading = yield* body.pipe(Stream.decodeText, Stream.take(3), Stream.runCollect, Effect.forkChild)
      yield* TestClock.adjust("20 seconds")
      const [first, ...comments] = yield* Fiber.join(reading)
      assert.include(first, "event: session_start\n")
      assert.deepStrictEqual(comments, [": keep-alive\n\n", ": keep-alive\n\n"])
    }))

  it.effect.each<Duration.Input>([0, "0 seconds", Infinity])(
    "with %s between them no comments are sent",
    (keepAlive) =>
      Effect.gen(function*() {
        const slow = Stream.concat(
          Stream.fromIterable(events.slice(0, 1)),
          Stream.fromEffect(Effect.as(Effect.sleep("1 hour"), { _tag: "Done", sessionId: "s" } as const))
        )
        const { body } = toServerSentEvents(slow, { keepAlive })
        const reading = yield* Effect.forkChild(Stream.mkString(Stream.decodeText(body)))
        yield* TestClock.adjust("1 hour")
        assert.notInclude(yield* Fiber.join(reading), "keep-alive")
      })
  )
})
