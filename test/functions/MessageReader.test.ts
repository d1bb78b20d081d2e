import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as MessageReader from "../../src/functions/MessageReader.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { claudeMessageFromJson } from "../../src/schema/ClaudeMessage.ts"
import type { MessageContent } from "../../src/schema/Message.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Messages } from "../../src/services/Messages.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { assistant, result, user } from "../support/fixtures.ts"

const image: MessageContent = [{
  type: "image",
  source: { type: "base64", media_type: "image/png", data: new Uint8Array([1]) }
}]

const texts = ["hello", "a", "😀", "日本語", "hello brave\nnew world", " padded ", "\u2060", "hello\u2060", "two words"]
const blank = ["", " ", "\n\t "]

const greet: AgentScript.AgentScript = () => Stream.make(AgentScript.say("Hi."))

describe("MessageReader.promptOf", () => {
  it.effect.each(["mangled", "strings", "intact"] as const)("reads a prompt as it was sent: content %s", (form) => {
    const received: Array<string> = []
    const script: AgentScript.AgentScript = (turn) => {
      received.push(turn.prompt)
      return greet(turn)
    }
    return Effect.gen(function*() {
      yield* (yield* Agents).create({ name: "demo" })
      const session = yield* (yield* Sessions).open({ agent: "demo" })
      const sent = [...texts, ...blank]
      for (const text of sent) yield* session.ask(text)
      for (const text of texts) yield* session.ask([{ type: "text", text }])
      const rows = yield* Stream.runCollect((yield* Messages).history(session.id))
      const prompts = rows.flatMap(({ content }) => Option.toArray(MessageReader.promptOf(content)))
      assert.deepStrictEqual(prompts, [...sent, ...texts])
      assert.deepStrictEqual(received, prompts)
    }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layer({ script, quirks: { content: form } })))
  })

  it.effect.each(["mangled", "intact"] as const)(
    "an image has no text, with a text beside it that text: %s",
    (form) =>
      Effect.gen(function*() {
        yield* (yield* Agents).create({ name: "demo" })
        const session = yield* (yield* Sessions).open({ agent: "demo" })
        yield* session.ask(image)
        yield* session.ask([...image, { type: "text", text: "look" }])
        const rows = yield* Stream.runCollect((yield* Messages).history(session.id))
        const prompts = rows.filter(({ role }) => role === "user").map(({ content }) => MessageReader.promptOf(content))
        assert.deepStrictEqual(prompts, [Option.none(), Option.some("look")])
        assert.deepStrictEqual(
          rows.filter(({ role }) => role !== "user").map(({ content }) => MessageReader.promptOf(content)),
          [
            Option.none(),
            Option.none(),
            Option.none(),
            Option.none()
          ]
        )
      }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layer({ script: greet, quirks: { content: form } })))
  )
})

const call = { type: "tool_use", id: "toolu_1", name: "Bash", input: { command: "ls" } }
const answer = { type: "tool_result", tool_use_id: "toolu_1", content: "a.txt" }
const stranger = { type: "redacted_thinking", data: "x" }

describe("MessageReader.displayItems", () => {
  it.each([
    ["a text", assistant("hello"), [{ _tag: "Text", text: "hello" }]],
    [
      "blocks of all kinds",
      assistant([
        { type: "thinking", thinking: "hm", signature: "s" },
        { type: "text", text: "hello" },
        call,
        stranger
      ]),
      [
        { _tag: "Thinking", text: "hm" },
        { _tag: "Text", text: "hello" },
        { _tag: "ToolUse", id: "toolu_1", name: "Bash", input: { command: "ls" } },
        { _tag: "Unknown", raw: stranger }
      ]
    ],
    [
      "a call without its fields",
      assistant([{ type: "tool_use", id: 1 }]),
      [{ _tag: "ToolUse", id: "", name: "", input: null }]
    ],
    [
      "answers, as they are errors or not",
      user([answer, { ...answer, is_error: true }, { ...answer, is_error: "true" }, { type: "tool_result" }]),
      [
        { _tag: "ToolResult", id: "toolu_1", content: "a.txt", isError: false },
        { _tag: "ToolResult", id: "toolu_1", content: "a.txt", isError: true },
        { _tag: "ToolResult", id: "toolu_1", content: "a.txt", isError: true },
        { _tag: "ToolResult", id: "", content: null, isError: false }
      ]
    ],
    ["nothing of a result", result, []],
    ["nothing of what is no message", "hello", []]
  ])("has %s", (_, json, items) => {
    assert.deepStrictEqual<unknown>(MessageReader.displayItems(claudeMessageFromJson(json)), items)
  })
})

describe("MessageReader.textOf", () => {
  it.each([
    ["of a text", assistant("hello"), "hello"],
    ["of several blocks", assistant([{ type: "text", text: "hel" }, call, { type: "text", text: "lo" }]), "hello"],
    ["of an empty text", assistant([{ type: "text", text: "" }]), undefined],
    ["of calls alone", assistant([call]), undefined],
    ["of a user", user("hello"), undefined]
  ])("%s", (_, json, text) => {
    assert.strictEqual(Option.getOrUndefined(MessageReader.textOf(claudeMessageFromJson(json))), text)
  })
})

describe("MessageReader.textDeltaOf", () => {
  const pieceOf = (event: unknown) => JSON.stringify({ type: "stream_event", event })
  it.each([
    [
      "a piece of text",
      pieceOf({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "hel" } }),
      "hel"
    ],
    [
      "no piece of thinking",
      pieceOf({ type: "content_block_delta", delta: { type: "thinking_delta", thinking: "hm" } }),
      undefined
    ],
    [
      "no text of another type",
      pieceOf({ type: "content_block_delta", delta: { type: "text_delta", text: 1 } }),
      undefined
    ],
    ["no beginning", pieceOf({ type: "content_block_start", content_block: { type: "text", text: "" } }), undefined],
    ["no other message", JSON.stringify(assistant("hello")), undefined],
    ["no broken JSON", "{", undefined]
  ])("has %s", (_, json, text) => {
    const piece = MessageReader.readPartial({ _tag: "Partial", json })
    assert.strictEqual(Option.getOrUndefined(MessageReader.textDeltaOf(piece)), text)
  })
})
