import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import * as Transcript from "../../../src/functions/Transcript.ts"
import * as TurnStream from "../../../src/functions/TurnStream.ts"
import { TurnEnding } from "../../../src/internal/turn/turnEnd.ts"
import * as TurnParts from "../../../src/internal/turn/turnParts.ts"
import { claudeMessageFromJson } from "../../../src/schema/ClaudeMessage.ts"
import type { StreamEvent } from "../../../src/schema/StreamEvent.ts"
import type { TurnOutcome } from "../../../src/schema/Turn.ts"
import { assistant, result, sessionId, user } from "../../support/fixtures.ts"
import { answerOf, readTurn, sourceOf } from "../../support/readTurn.ts"
import { frames } from "../../support/ScriptedServer.ts"

V8.setFlagsFromString("--expose_gc")
const collectGarbage: () => void = Vm.runInNewContext("gc")

type Frame = readonly [event: string, data: unknown]

const events = (...all: ReadonlyArray<Frame>) =>
  readTurn(Stream.make(new TextEncoder().encode(frames(["session_start", { sessionId }], ...all))))
const done: Frame = ["done", { sessionId }]
const message = (data: unknown): Frame => ["message", data]
const says = (text: string) => message(assistant([{ type: "text", text }]))
const turnOf = (...all: ReadonlyArray<Frame>) => TurnStream.toTurn(events(...all, done))
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
      "of messages that have one id, and nearly one text",
      ["Aa", "BB", "a?", "b ", "C#", "Bb", "aC", "bb"].map((text) =>
        message(assistant([{ type: "text", text }], { uuid: "u" }))
      ),
      "AaBBa?b C#BbaCbb",
      "AaBBa?b C#BbaCbb"
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
      assert.strictEqual((yield* Stream.runCollect(TurnStream.textDeltas(events(...all, done)))).join(""), deltas)
    }))

  it.effect("that is taken back is reported before the message that replaces it", () =>
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

const ofModel = (event: object, more: object = {}) =>
  message({ type: "stream_event", event, parent_tool_use_id: null, ...more })
const start = (id: string) => ofModel({ type: "message_start", message: { id } })
const blockStart = ofModel({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } })
/** A piece with its twin. */
const piece = (text: string, uuid = `piece of ${text}`): ReadonlyArray<Frame> => [
  delta(text),
  ofModel({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } }, { uuid })
]
const complete = (id: string, ...content: ReadonlyArray<Schema.Json>) =>
  message({ ...assistant(content), message: { id, role: "assistant", content } })
const text = (text: string) => ({ type: "text", text })
const tool = { type: "tool_use", id: "t", name: "Bash", input: {} }

describe("a block of text that something else comes in between of", () => {
  const cases: ReadonlyArray<readonly [name: string, frames: ReadonlyArray<Frame>, text: string, deltas?: string]> = [
    ...[{ type: "thinking", thinking: "hm" }, tool, { type: "of_the_future" }].map((block) =>
      [
        `${block.type}, whole`,
        [
          start("m"),
          blockStart,
          ...piece("It is "),
          complete("m", block),
          ...piece("42."),
          complete("m", text("It is 42."))
        ],
        "It is 42."
      ] as const
    ),
    [
      "a tool, of a server that sends no message_start",
      [delta("It is "), complete("m", tool), delta("42."), complete("m", text("It is 42."))],
      "It is 42.",
      "It is \n\n42."
    ],
    [
      "a tool, of a server that sends no message_start, without a complete message",
      [delta("I look"), complete("m", tool), delta("It "), delta("is"), complete("n", text("It is"))],
      "I look\n\nIt is"
    ],
    [
      "the message before it, whole",
      [
        start("a"),
        blockStart,
        ...piece("Hello"),
        start("b"),
        blockStart,
        ...piece("It is "),
        complete("a", text("Hello")),
        ...piece("42."),
        complete("b", text("It is 42."))
      ],
      "HelloIt is 42."
    ],
    [
      "the block before it, whole",
      [
        start("m"),
        blockStart,
        ...piece("A"),
        blockStart,
        ...piece("B"),
        complete("m", text("A")),
        ...piece("1"),
        complete("m", text("B1"))
      ],
      "AB1"
    ],
    [
      "a block that has the same text, and more, and has no complete message",
      [start("m"), blockStart, ...piece("A1"), blockStart, ...piece("A1B"), complete("m", text("A1B"))],
      "A1A1B"
    ],
    ["an empty block", [start("m"), blockStart, ...piece("It"), complete("m", text(""), text("It is"))], "It is"],
    [
      "a block without pieces, and a tool",
      [
        start("m"),
        blockStart,
        ...piece("It "),
        ofModel({ type: "content_block_start", index: 2, content_block: tool }),
        blockStart,
        ...piece("42."),
        complete("m", text("It "), text("is"), tool, text("42."))
      ],
      "It is\n\n42.",
      "It \n\n42.\n\nis\n\n42."
    ]
  ]
  it.effect.each(cases)("%s", ([, all, said, deltas = said]) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* turnOf(...all)).text, said)
      assert.strictEqual((yield* Stream.runCollect(TurnStream.textDeltas(events(...all, done)))).join(""), deltas)
    }))
})

describe("pieces", () => {
  const ids: ReadonlyArray<readonly [name: string, first: string, second: string]> = [
    ["one id", "u1", "u1"],
    ["ids with one end", "0001-aaaa-bbbb-cccc", "0002-aaaa-bbbb-cccc"],
    ["ids of their own", "fe6a08d8-3d31-4c3c-a7c9-5c5f0ad6bb30", "0c4ab1a5-3d31-4c3c-a7c9-5c5f0ad6bb30"]
  ]
  it.effect.each(ids)("with %s are all counted", ([, first, second]) =>
    Effect.gen(function*() {
      for (const own of [piece, (text: string, uuid: string) => piece(text, uuid).slice(1)]) {
        const turn = yield* turnOf(start("m"), blockStart, ...own("Hello", first), ...own("world", second))
        assert.strictEqual(turn.text, "Helloworld")
      }
    }))

  it.effect("with the same text both count, those that were delivered twice once", () =>
    Effect.gen(function*() {
      for (const from of [0, 1]) {
        const same = (uuid: string) => piece("ha", uuid).slice(from)
        const twice = yield* turnOf(start("m"), ...same("u1-aaaaaaaaaaaa"), ...same("u2-aaaaaaaaaaaa"))
        assert.strictEqual(twice.text, "haha")
        const once = yield* turnOf(start("m"), ...same("u1"), ...same("u1"))
        assert.strictEqual(once.text, "ha")
      }
    }))

  it.effect.each([1, 2, 36, 37, 45, 46, 100])(
    "are told apart by their ids of %d characters",
    (length) =>
      Effect.gen(function*() {
        const [first, second] = ["a".padEnd(length, "0"), "b".padEnd(length, "0")]
        const read = (...all: ReadonlyArray<Frame>) => {
          const bytes = [...all, done].map((frame) => new TextEncoder().encode(frames(frame)))
          return Effect.forEach(
            [Stream.fromIterable(bytes), Stream.fromIterable(bytes, { chunkSize: 1 })],
            (body) => Effect.map(TurnStream.toTurn(readTurn(body)), ({ text }) => text)
          )
        }
        for (const from of [0, 1]) {
          const same = (uuid: string) => piece("ha", uuid).slice(from)
          assert.deepStrictEqual(yield* read(start("m"), ...same(first), ...same(second)), ["haha", "haha"])
          assert.deepStrictEqual(yield* read(start("m"), ...same(first), ...same(first)), ["ha", "ha"])
        }
      })
  )
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

describe("an answer to a tool call", () => {
  const calls = ["1", "2"].map((input) => message(assistant([{ type: "tool_use", id: "", name: "Bash", input }])))
  const answer = (content: Schema.Json, uuid: string) =>
    message(user([{ type: "tool_result", tool_use_id: "", content }], { uuid }))
  const answered = (...all: ReadonlyArray<Frame>) =>
    Effect.map(turnOf(...calls, ...all), ({ toolCalls }) => toolCalls.map(({ result }) => result?.content))

  it.effect("however long is one where it is delivered twice, and another where it has another start, end or length", () =>
    Effect.gen(function*() {
      const long = "x".repeat(100_000)
      assert.deepStrictEqual<unknown>(yield* answered(answer(long, "u"), answer(long, "u")), [long, undefined])
      for (const other of [`a${long.slice(1)}`, `${long.slice(1)}a`, `${long}x`]) {
        for (const json of [(text: string) => text, (text: string) => [{ type: "text", text }]]) {
          const both = [json(long), json(other)]
          assert.deepStrictEqual<unknown>(yield* answered(...both.map((content) => answer(content, "u"))), both)
        }
      }
    }))

  it.effect("that is delivered twice is one", () =>
    Effect.gen(function*() {
      const one = [{ type: "text", text: "one" }]
      assert.deepStrictEqual<unknown>(yield* answered(answer(one, "u"), answer(one, "u")), [one, undefined])
      assert.deepStrictEqual<unknown>(
        yield* answered(answer(one, "u"), answer(one, "u"), answer("two", "v")),
        [one, "two"]
      )
      const ofNone = message(
        user(["none", ""].map((id) => ({ type: "tool_result", tool_use_id: id, content: "one" })), { uuid: "u" })
      )
      assert.deepStrictEqual<unknown>(yield* answered(ofNone, ofNone), ["one", undefined])
    }))

  it.effect.each(
    [
      { contents: ["one", "two"], ids: ["u", "u"] },
      { contents: ["ok", "ok"], ids: ["u", "v"] },
      { contents: ["ok", "ok"], ids: ["", ""] }
    ] as const
  )("of a message of its own is one of its own: $contents, $ids", ({ contents, ids }) =>
    Effect.gen(function*() {
      const [first, second] = contents
      assert.deepStrictEqual(yield* answered(answer(first, ids[0]), answer(second, ids[1])), [first, second])
    }))

  it.effect("counts where it is the first one of its call, as what was shown of that cannot be taken back", () =>
    Effect.gen(function*() {
      const all = ["one", "two", "three"].map((content) => answer(content, content))
      assert.deepStrictEqual<unknown>(yield* answered(...all), ["one", "two"])
    }))

  it.effect("finds its call among any number with one id", () =>
    Effect.gen(function*() {
      const count = 20_000
      const many = Array.from({ length: count }, () => ({ type: "tool_use", id: "", name: "Bash", input: {} }))
      const all = [message(assistant(many)), ...Array.from({ length: count }, (_, index) => answer(index, `u${index}`))]
      const { toolCalls } = yield* turnOf(...all)
      assert.isTrue(toolCalls.every(({ result }, index) => result?.content === index))
    }))
})

describe("a tool of any kind", () => {
  it.effect.each(["tool_use", "server_tool_use", "mcp_tool_use"])("is set apart: %s", (type) =>
    Effect.gen(function*() {
      const used = { type, id: "t", name: "web_search", input: {} }
      const began = ofModel({ type: "content_block_start", index: 1, content_block: used })
      const whole = complete("m", text("Let me search."), used, text("Found."))
      const separate = [complete("m", text("Let me search.")), complete("m", used), complete("m", text("Found."))]
      const pieces = [start("m"), blockStart, ...piece("Let me search."), began, blockStart, ...piece("Found.")]
      for (const all of [[whole], separate, pieces, [...pieces, whole], [...pieces, ...separate]]) {
        assert.strictEqual((yield* turnOf(...all)).text, "Let me search.\n\nFound.")
        const deltas = (yield* Stream.runCollect(TurnStream.textDeltas(events(...all, done)))).join("")
        assert.strictEqual(deltas, "Let me search.\n\nFound.")
      }
    }))
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
  const pieceOfInput = ofModel({ type: "content_block_delta", delta: { type: "input_json_delta", partial_json: "{" } })
  const mixed: ReadonlyArray<readonly [name: string, ...frames: ReadonlyArray<Frame>]> = [
    ["another id", init({ uuid: "a" }), says("a"), init({ uuid: "b" })],
    ["no ids", init({}), init({})],
    ["empty ids", init({ uuid: "" }), init({ uuid: "" })],
    ["behind a result", init({ uuid: "a" }), says("foreign"), message(result), init({ uuid: "b" })],
    ["pieces before it", ...piece("foreign "), init({}), start("m"), blockStart, ...piece("mine")],
    ["pieces of a tool's input before it", pieceOfInput, init({})],
    ["a complete message before it", says("foreign "), init({}), says("mine")],
    ["a result before it", message(result), init({})],
    ["a beginning before it", start("m"), ...piece("foreign"), init({})],
    ["pieces before any beginning", ...piece("foreign "), start("m"), ...piece("mine"), says("mine")],
    ["pieces behind a result", start("m"), ...piece("mine"), says("mine"), message(result), ...piece("foreign")],
    ["input behind a result", start("m"), ...piece("mine"), says("mine"), message(result), pieceOfInput]
  ]
  it.effect.each(mixed)(
    "are recognised by what comes before their beginnings: %s",
    ([, ...all]) =>
      Effect.gen(function*() {
        const outcome = yield* Effect.result(turnOf(...all))
        const error = Result.isFailure(outcome) ? outcome.failure : undefined
        assert.strictEqual(error?.reason._tag, "TurnMixed")
        assert.isUndefined(error?.partialTurn)
      })
  )

  const one: ReadonlyArray<readonly [name: string, ...frames: ReadonlyArray<Frame>]> = [
    ["pieces alone", delta("a")],
    ["pieces with twins, no beginnings", ...piece("a")],
    ["no twins", delta("a"), init({})],
    ["no twins, a beginning behind", delta("a"), retry, start("m"), says("a")],
    [
      "a subagent's pieces",
      init({}),
      ofModel({ type: "content_block_delta" }, { parent_tool_use_id: "t" }),
      start("m"),
      ...piece("a")
    ],
    ["another message behind the first", init({}), start("m"), ...piece("a"), says("a"), start("n")],
    [
      "pieces of no author, however long",
      start("m"),
      ...piece("a"),
      says("a"),
      message(result),
      ...Array.from(
        { length: 60 },
        (_, size) => message({ type: "stream_event", event: { type: "content_block_delta", x: "x".repeat(size) } })
      )
    ]
  ]
  it.effect.each(one)("are one where nothing shows otherwise: %s", ([, ...all]) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* turnOf(...all, message(result))).text, "a")
    }))

  it.effect("are one where the first message was delivered twice", () =>
    Effect.gen(function*() {
      const turn = yield* turnOf(init({ uuid: "a" }), init({ uuid: "a" }), says("a"), message(result))
      assert.strictEqual(turn.text, "a")
    }))
})

describe("what is kept of a turn for its failure's sake", () => {
  it.effect("is bounded, and reports it", () =>
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

describe("what a stream keeps", () => {
  const start = (id: string): StreamEvent => ({
    _tag: "Partial",
    json: JSON.stringify({
      type: "stream_event",
      event: { type: "message_start", message: { id } },
      parent_tool_use_id: null
    })
  })
  const written = (block: Schema.Json, more: Readonly<Record<string, Schema.Json>> = {}): StreamEvent => ({
    _tag: "Message",
    message: claudeMessageFromJson(assistant([block], more))
  })
  const large = 200_000
  const count = 100
  const textAt = (index: number) => Buffer.alloc(large, 97 + index % 26).toString("latin1")
  const kinds: ReadonlyArray<readonly [name: string, (index: number) => ReadonlyArray<StreamEvent>]> = [
    ["pieces without complete messages", (index) => [start(`m${index}`), { _tag: "TextDelta", delta: textAt(index) }]],
    ["ids of messages", (index) => [start(textAt(index)), { _tag: "TextDelta", delta: "a" }]],
    ["complete messages", (index) => [written({ type: "text", text: textAt(index) })]],
    ["thinking", (index) => [written({ type: "thinking", thinking: textAt(index) })]],
    ["ids of parents", (index) => [
      written({ type: "tool_use", id: `t${index}`, name: "Bash" }, { parent_tool_use_id: textAt(index) })
    ]]
  ]
  const heap = () => {
    collectGarbage()
    return process.memoryUsage().heapUsed
  }
  it.effect.each(kinds.flatMap(([name, make]) => [false, true].map((isText) => [name, isText, make] as const)))(
    "is bounded: %s, of the text alone: %s",
    ([, isText, make]) =>
      Effect.gen(function*() {
        let most = 0
        const before = heap()
        const all = function*() {
          for (let index = 0; index < count; index++) {
            yield* make(index)
            if (index % 20 === 19) most = Math.max(most, heap() - before)
          }
          yield { _tag: "Done" } as const
        }
        const ending = new TurnEnding(sourceOf(), answerOf(Stream.empty))
        const stream = Stream.fromIterable(all(), { chunkSize: 1 }).pipe(
          Stream.flatMap((event) => Stream.fromIterable(ending.take([event])))
        )
        yield* isText ? Stream.runDrain(TurnStream.textDeltas(stream)) : Stream.runDrain(stream)
        assert.isBelow(most, large * count / 2)
      })
  )

  type Consume = (events: Stream.Stream<StreamEvent>) => Stream.Stream<unknown, unknown>
  it.effect.each<readonly [name: string, consume: Consume]>([
    ["a turn", (all) => {
      const ending = new TurnEnding(sourceOf(), answerOf(Stream.empty))
      return Stream.map(all, (event) => ending.take([event]))
    }],
    ["its text", TurnStream.textDeltas],
    ["a fold", (all) => Stream.fromEffect(TurnStream.toTurn(all))],
    ["a fold with its text", (all) => Stream.fromEffect(TurnStream.toTurn(all, { onText: () => Effect.void }))],
    ["its parts", (all) => {
      const parts = TurnParts.make()
      return Stream.map(all, (event) => parts.take([event]))
    }],
    ["a transcript", (all) => Transcript.text(all)]
  ])(
    "has nothing of what arrived with the last piece, while nothing arrives: %s",
    ([, consume]) =>
      Effect.gen(function*() {
        const size = 20_000_000
        const pieceOf = (): StreamEvent => {
          const json = JSON.stringify(piece("a", "u1")[1]?.[1])
          return { _tag: "Partial", json: json.padEnd(size).slice(0, json.length) }
        }
        let kept = size
        const all = function*() {
          const before = heap()
          yield pieceOf()
          yield { _tag: "SessionStart", sessionId } as const
          kept = heap() - before
        }
        yield* Stream.runDrain(consume(Stream.fromIterable(all(), { chunkSize: 1 })))
        assert.isBelow(kept, size / 2)
      })
  )

  it.effect("leaves nothing out of the text that is written, and doubles nothing", () =>
    Effect.gen(function*() {
      const all = Array.from({ length: 20 }, (_, index) => index).flatMap((index): ReadonlyArray<StreamEvent> => {
        const text = textAt(index)
        return [
          start(`m${index}`),
          { _tag: "TextDelta", delta: text.slice(0, -10) },
          written({ type: "text", text }, { uuid: `u${index}` }),
          written({ type: "text", text }, { uuid: `u${index}` })
        ]
      })
      const deltas = yield* Stream.runCollect(TurnStream.textDeltas(Stream.fromIterable(all)))
      assert.strictEqual(deltas.join(""), Array.from({ length: 20 }, (_, index) => textAt(index)).join(""))
    }))

  it.effect("leaves nothing out of a block that is larger than what is kept", () =>
    Effect.gen(function*() {
      const text = Array.from({ length: 12 }, (_, index) => textAt(index)).join("")
      const pieces = Array.from(
        { length: 11 },
        (_, index): StreamEvent => ({ _tag: "TextDelta", delta: textAt(index) })
      )
      const deltas = yield* Stream.runCollect(
        TurnStream.textDeltas(Stream.fromIterable([start("m"), ...pieces, written({ type: "text", text })]))
      )
      assert.strictEqual(deltas.join(""), text)
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
