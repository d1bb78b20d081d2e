import { assert, describe, it } from "@effect/vitest"
import { readUIMessageStream, type UIMessage, type UIMessageChunk, uiMessageChunkSchema } from "ai"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TurnStream from "../../src/functions/TurnStream.ts"
import { claudeMessageFromJson } from "../../src/schema/ClaudeMessage.ts"
import type { StreamEvent } from "../../src/schema/StreamEvent.ts"
import { uiMessageChunks } from "../../src/web.ts"
import { bytesOf, found, none, recordings } from "../support/recordings.ts"

const message = (json: object): StreamEvent => ({ _tag: "Message", message: claudeMessageFromJson(json as never) })

const assistant = (...content: ReadonlyArray<object>) => message({ type: "assistant", message: { content } })

const text = (text: string) => ({ type: "text", text })
const call = (id: string) => ({ type: "tool_use", id, name: "Read", input: {} })
const answer = (tool_use_id: string, content: string) =>
  message({ type: "user", message: { content: [{ type: "tool_result", tool_use_id, content }] } })

const result = message({ type: "result", subtype: "success", is_error: false, total_cost_usd: 0.5 })
const done: StreamEvent = { _tag: "Done", sessionId: "s" }

/** The chunks of events, each as the AI SDK takes it. */
const chunksOf = Effect.fnUntraced(function*(events: Stream.Stream<StreamEvent, unknown>) {
  const chunks = yield* Stream.runCollect(uiMessageChunks(events))
  const { validate } = uiMessageChunkSchema()
  for (const chunk of chunks) {
    const checked = yield* Effect.promise(() => Promise.resolve(validate?.(chunk)))
    assert.isTrue(checked?.success, JSON.stringify(chunk))
  }
  return chunks
})

/** The message that the AI SDK makes of chunks. */
const messageOf = (chunks: ReadonlyArray<unknown>) =>
  Effect.promise(async () => {
    let last: UIMessage | undefined
    const stream = Stream.toReadableStream(Stream.fromIterable(chunks as ReadonlyArray<UIMessageChunk>))
    for await (const message of readUIMessageStream({ stream })) last = message
    return last
  })

const partsOf = (parts: UIMessage["parts"] = []) =>
  parts.map((part) =>
    "toolName" in part
      ? `${part.toolName} ${part.toolCallId}: ${String(part.output)}`
      : "text" in part
      ? part.text
      : part.type
  )

describe("uiMessageChunks", () => {
  it.effect("text, thinking and tools are parts in their order", () =>
    Effect.gen(function*() {
      const chunks = yield* chunksOf(Stream.make(
        assistant({ type: "thinking", thinking: "Hm." }),
        assistant(text("I look."), call("1")),
        answer("1", "it"),
        assistant(text("Here.")),
        result,
        done
      ))
      const made = yield* messageOf(chunks)
      assert.deepStrictEqual(partsOf(made?.parts), ["Hm.", "I look.", "Read 1: it", "Here."])
      assert.deepInclude(made?.metadata, { outcome: "Success", costUsd: 0.5 })
    }))

  it.effect("text that comes in pieces is there once", () =>
    Effect.gen(function*() {
      const made = yield* messageOf(
        yield* chunksOf(Stream.make(
          { _tag: "TextDelta", delta: "Hel" },
          { _tag: "TextDelta", delta: "lo" },
          assistant(text("Hello")),
          result,
          done
        ))
      )
      assert.deepStrictEqual(partsOf(made?.parts), ["Hello"])
    }))

  it.effect("calls of one id, or of none, are calls of their own", () =>
    Effect.gen(function*() {
      const made = yield* messageOf(
        yield* chunksOf(Stream.make(
          assistant(call("1")),
          answer("1", "first"),
          assistant(call("1")),
          answer("1", "second"),
          assistant(call("")),
          result,
          done
        ))
      )
      assert.deepStrictEqual(partsOf(made?.parts), ["Read 1: first", "Read 1#1: second", "Read #2: undefined"])
    }))

  const ends: ReadonlyArray<readonly [fields: object, reason: string]> = [
    [{}, "stop"],
    [{ stop_reason: "max_tokens" }, "length"],
    [{ stop_reason: "refusal" }, "content-filter"],
    [{ subtype: "error_max_turns", is_error: true }, "length"],
    [{ subtype: "error_max_budget_usd", is_error: true }, "length"],
    [{ subtype: "error_during_execution", is_error: true }, "error"],
    [{ is_error: true, stop_reason: "max_tokens" }, "error"]
  ]

  it.effect.each(ends)("the last chunk has why the turn ended: %j, %s", ([fields, reason]) =>
    Effect.gen(function*() {
      const end = message({ type: "result", subtype: "success", is_error: false, ...fields })
      const last = (yield* chunksOf(Stream.make(assistant(text("I am done.")), end, done))).at(-1)
      assert.strictEqual(last?.type === "finish" ? last.finishReason : last?.type, reason)
    }))

  it.effect("a failure ends the parts that are open, and is the last chunk", () =>
    Effect.gen(function*() {
      const chunks = yield* chunksOf(Stream.concat(Stream.make(assistant(text("I begin."))), Stream.fail("secret")))
      assert.deepStrictEqual(chunks.map(({ type }) => type), ["start", "text-start", "text-delta", "text-end", "error"])
      assert.notInclude(JSON.stringify(chunks), "secret")
    }))

  it.effect.skipIf(!found)(`the turns of real servers, whose text is that of the turn${none}`, () =>
    Effect.forEach(
      recordings.filter(({ response }) => (response.sse ?? response.sseFile) !== undefined),
      Effect.fnUntraced(function*({ file, response }) {
        const events = yield* TurnStream.decodeEvents(Stream.succeed(bytesOf(response))).pipe(
          Stream.takeUntil(({ _tag }) => _tag === "Done" || _tag === "TurnError"),
          Stream.runCollect
        )
        const made = yield* messageOf(
          (yield* chunksOf(Stream.fromIterable(events))).filter(({ type }) => type !== "error")
        )
        const turn = yield* TurnStream.toTurn(Stream.fromIterable(events))
        const written = made?.parts.flatMap((part) => part.type === "text" ? [part.text] : []) ?? []
        for (const block of turn.text.split("\n\n")) assert.include(written.join("\n\n"), block, file)
        assert.strictEqual(
          made?.parts.filter(({ type }) => type === "dynamic-tool").length ?? 0,
          turn.toolCalls.length,
          file
        )
      })
    ))
})
