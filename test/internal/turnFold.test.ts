import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { decodeEvents, endTurn } from "../../src/internal/turnStream.ts"
import type { TurnOutcome } from "../../src/schema/Turn.ts"
import { Messages } from "../../src/services/Messages.ts"
import { assistant, result, sessionId, user } from "../support/fixtures.ts"
import { frames } from "../support/ScriptedServer.ts"

type Frame = readonly [event: string, data: unknown]

const events = (...all: ReadonlyArray<Frame>) =>
  Stream.make(new TextEncoder().encode(frames(["session_start", { sessionId }], ...all))).pipe(
    decodeEvents("test"),
    endTurn("test", sessionId)
  )
const done: Frame = ["done", { sessionId }]
const message = (data: unknown): Frame => ["message", data]
const says = (text: string) => message(assistant([{ type: "text", text }]))
const turnOf = (...all: ReadonlyArray<Frame>) => Messages.toTurn(events(...all, done))
const delta = (text: string): Frame => ["text_delta", { delta: text }]
const retry = message({ type: "system", subtype: "api_retry", attempt: 1 })
const begin = message({
  type: "stream_event",
  event: { type: "message_start", message: { id: "m" } },
  parent_tool_use_id: null
})

describe("text", () => {
  const cases: ReadonlyArray<readonly [name: string, frames: ReadonlyArray<Frame>, text: string, deltas: string]> = [
    [
      "of a model that was asked again",
      [delta("Let me look at the first file and"), retry, begin, says("The answer is 42.")],
      "The answer is 42.",
      "Let me look at the first file and\n\nThe answer is 42."
    ],
    [
      "that is another than its pieces",
      [delta("I think that it might perhaps be"), says("It is 42.")],
      "It is 42.",
      "I think that it might perhaps be\n\nIt is 42."
    ],
    ["that goes on behind its pieces", [delta("It is "), says("It is 42.")], "It is 42.", "It is 42."],
    ["that is shorter than its pieces", [delta("It is 42."), says("It is")], "It is", "It is 42.\n\nIt is"],
    ["without a complete message", [delta("It "), delta("is")], "It is", "It is"],
    ["of a model that was asked again, without an answer", [delta("It "), retry], "It ", "It "],
    [
      "of messages that have an empty id, or one id",
      ["", "u"].flatMap((uuid) => ["a", "b"].map((text) => message(assistant([{ type: "text", text }], { uuid })))),
      "abab",
      "abab"
    ],
    [
      "of messages whose subagent has no id",
      [message(assistant([{ type: "text", text: "a" }], { parent_tool_use_id: "" }))],
      "a",
      "a"
    ],
    [
      "of several blocks in one message",
      [
        delta("a"),
        delta("b"),
        message(assistant([{ type: "text", text: "a" }, { type: "tool_use", id: "t", name: "Bash", input: {} }, {
          type: "text",
          text: "b"
        }])),
        says("c")
      ],
      "a\n\nbc",
      "a\n\nbc"
    ]
  ]
  it.effect.each(cases)("%s", ([, all, text, deltas]) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* turnOf(...all)).text, text)
      assert.strictEqual((yield* Stream.runCollect(Messages.textDeltas(events(...all, done)))).join(""), deltas)
    }))

  it.effect("that is taken back is told before the message that says otherwise", () =>
    Effect.gen(function*() {
      const all = yield* Stream.runCollect(events(
        delta("I think"),
        says("It is 42."),
        ["thinking_delta", { delta: "Hm" }],
        message(assistant([{ type: "thinking", thinking: "No." }])),
        done
      ))
      assert.deepStrictEqual(all.filter(({ _tag }) => _tag.endsWith("Replaced")), [
        { _tag: "TextReplaced", abandoned: "I think", text: "It is 42." },
        { _tag: "ThinkingReplaced", abandoned: "Hm", text: "No." }
      ])
      assert.deepStrictEqual(all.map(({ _tag }) => _tag), [
        "SessionStart",
        "TextDelta",
        "TextReplaced",
        "Message",
        "ThinkingDelta",
        "ThinkingReplaced",
        "Message",
        "Done"
      ])
    }))
})

describe("tool calls", () => {
  const call = (id: string | undefined, input: string) =>
    message(assistant([{ type: "tool_use", ...(id === undefined ? {} : { id }), name: "Bash", input }]))
  const answer = (id: string | undefined, content: string) =>
    message(user([{ type: "tool_result", ...(id === undefined ? {} : { tool_use_id: id }), content }]))

  it.effect.each([{ id: "" }, { id: "t" }, { id: undefined }])(
    "with the id $id are kept apart",
    ({ id }) =>
      Effect.gen(function*() {
        for (
          const all of [
            [call(id, "1"), call(id, "2"), answer(id, "one"), answer(id, "two")],
            [call(id, "1"), answer(id, "one"), call(id, "2"), answer(id, "two")]
          ]
        ) {
          const { toolCalls } = yield* turnOf(...all)
          assert.deepStrictEqual(toolCalls.map(({ input, result }) => [input, result?.content]), [["1", "one"], [
            "2",
            "two"
          ]])
        }
      })
  )
})

describe("the end of a turn", () => {
  const ends: ReadonlyArray<readonly [end: object | undefined, outcome: TurnOutcome]> = [
    [{}, { _tag: "Success" }],
    [{ is_error: null }, { _tag: "Success" }],
    [{ is_error: true, result: "API Error: 529" }, { _tag: "IsError", error: "API Error: 529" }],
    [{ subtype: "error_max_turns" }, { _tag: "MaxTurns" }],
    [{ subtype: "error_max_turns", is_error: true }, { _tag: "MaxTurns" }],
    [{ subtype: "error_max_budget_usd" }, { _tag: "MaxBudgetUsd" }],
    [{ subtype: "error_max_structured_output_retries" }, { _tag: "MaxStructuredOutputRetries" }],
    [{ subtype: "error_during_execution", errors: ["x"] }, { _tag: "ErrorDuringExecution", errors: ["x"] }],
    [{ subtype: "constructor" }, { _tag: "Other", subtype: "constructor" }],
    [{ subtype: "of_the_future" }, { _tag: "Other", subtype: "of_the_future" }],
    [undefined, { _tag: "NoResult" }]
  ]
  it.effect.each(ends.map(([end, outcome]) => ({ end, outcome })))(
    "$end is $outcome._tag",
    ({ end, outcome }) =>
      Effect.gen(function*() {
        const turn = yield* turnOf(...(end === undefined ? [] : [message({ ...result, ...end })]))
        assert.deepStrictEqual(turn.outcome, outcome)
      })
  )
})

describe("two turns in one stream", () => {
  const init = (more: object) => message({ type: "system", subtype: "init", session_id: "s", ...more })
  const mixed: ReadonlyArray<readonly [name: string, ...frames: ReadonlyArray<Frame>]> = [
    ["another id", init({ uuid: "a" }), says("a"), init({ uuid: "b" })],
    ["no ids", init({}), init({})],
    ["empty ids", init({ uuid: "" }), init({ uuid: "" })],
    ["behind a result", init({ uuid: "a" }), says("foreign"), message(result), init({ uuid: "b" })]
  ]
  it.effect.each(mixed)("are told by their first messages: %s", ([, ...all]) =>
    Effect.gen(function*() {
      const outcome = yield* Effect.result(turnOf(...all))
      const error = Result.isFailure(outcome) ? outcome.failure : undefined
      assert.strictEqual(error?.reason._tag, "TurnMixed")
      assert.isUndefined(error?.partialTurn)
    }))

  it.effect("are one where the first message was delivered twice", () =>
    Effect.gen(function*() {
      const turn = yield* turnOf(init({ uuid: "a" }), init({ uuid: "a" }), says("a"), message(result))
      assert.strictEqual(turn.text, "a")
    }))
})

describe("what is kept of a turn for its failure's sake", () => {
  it.effect("is bounded, and says so", () =>
    Effect.gen(function*() {
      const large = "x".repeat(40_000)
      const all = Array.from({ length: 300 }, (_, index): ReadonlyArray<Frame> => [
        message(assistant([{ type: "tool_use", id: `t${index}`, name: "Read", input: { index } }])),
        message(user([{ type: "tool_result", tool_use_id: `t${index}`, content: [{ type: "text", text: large }] }]))
      ]).flat()
      const failed = Result.merge(yield* Effect.result(Stream.runDrain(events(says("a"), ...all))))
      const partial = failed !== undefined ? failed.partialTurn : undefined
      assert.isTrue(partial?.isPartial)
      assert.strictEqual(partial?.text, "a")
      assert.isAbove(JSON.stringify(partial).length, 100_000)
      assert.isBelow(JSON.stringify(partial).length, 1_048_576)
      const whole = yield* turnOf(says("a"), ...all)
      assert.isFalse(whole.isPartial)
      assert.strictEqual(whole.toolCalls.filter(({ result }) => result?.content !== null).length, 300)
    }))
})

describe("usage", () => {
  it.effect("is that of the main loop where there is nothing else", () =>
    Effect.gen(function*() {
      const { modelUsage: _, ...older } = result
      const turn = yield* turnOf(message(older))
      assert.deepStrictEqual<object>({ ...turn.usage }, result.usage)
    }))
})
