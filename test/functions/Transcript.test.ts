import { assert, describe, it } from "@effect/vitest"
import { type Node, Parser } from "commonmark"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as Transcript from "../../src/functions/Transcript.ts"
import * as TurnStream from "../../src/functions/TurnStream.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { claudeMessageFromJson } from "../../src/schema/ClaudeMessage.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { bytesOf, found, none, recordings } from "../support/recordings.ts"

type Source = Transcript.TranscriptSource

const message = (json: Schema.Json): Source => ({ _tag: "Message", message: claudeMessageFromJson(json) })

const assistant = (content: Schema.Json, more: Schema.JsonObject = {}) =>
  message({ type: "assistant", message: { content }, ...more })

const text = (words: string, more?: Schema.JsonObject) => assistant([{ type: "text", text: words }], more)

const call = (id: string, name: string, input: Schema.Json, more?: Schema.JsonObject) =>
  assistant([{ type: "tool_use", id, name, input }], more)

const answer = (id: string, content: Schema.Json, more: Schema.JsonObject = {}) =>
  message({ type: "user", message: { content: [{ type: "tool_result", tool_use_id: id, content, ...more }] } })

const result = (more: Schema.JsonObject = {}) => message({ type: "result", subtype: "success", ...more })

/** A turn with two calls at once, one of them of a subagent that calls a tool itself. */
const nested: ReadonlyArray<Source> = [
  Transcript.prompt("Look around."),
  text("I look."),
  call("a", "Agent", { prompt: "look" }),
  call("b", "Bash", { command: "ls" }),
  text("I am a subagent.", { parent_tool_use_id: "a" }),
  call("c", "Grep", { pattern: "x" }, { parent_tool_use_id: "a" }),
  answer("b", "one\ntwo", { is_error: true }),
  answer("c", [{ type: "text", text: "found" }]),
  answer("a", "nothing"),
  text("Done."),
  result()
]

const written = `> Look around.

I look.

[Agent] {"prompt":"look"}
    I am a subagent.

    [Grep] {"pattern":"x"}
        found

    nothing

[Bash] {"command":"ls"} failed
    one
    two

Done.

`

const forms = [["text", Transcript.text], ["markdown", Transcript.markdown]] as const

describe("Transcript", () => {
  it("has calls with their results, and what a subagent did inside of its call", () => {
    assert.strictEqual(Transcript.text(nested), written)
    const markdown = Transcript.markdown(nested)
    assert.include(markdown, "<summary><b>Agent</b> {\"prompt\":\"look\"}</summary>")
    assert.include(markdown, "> I am a subagent.\n\n> <details>\n> <summary><b>Grep</b>")
    assert.include(markdown, "<summary><b>Bash</b> {\"command\":\"ls\"} failed</summary>")
  })

  it.effect.each(forms)("%s of a stream is that of its list, piece by piece", ([, form]) =>
    Effect.gen(function*() {
      const pieces = yield* Stream.runCollect(form(Stream.fromIterable(nested).pipe(Stream.rechunk(1))))
      assert.strictEqual(pieces.join(""), form(nested))
      assert.lengthOf(pieces, 5)
    }))

  it.effect("of a stream has an entry before what follows it", () =>
    Effect.gen(function*() {
      const events = Stream.concat(Stream.make(text("I begin."), call("a", "Bash", {}), answer("a", "x")), Stream.never)
      const pieces = yield* Stream.runCollect(Stream.take(Transcript.text(events), 2))
      assert.deepStrictEqual(pieces, ["I begin.\n\n", "[Bash] {}\n    x\n\n"])
    }))

  const ids = Schema.Literals(["", "a", "b", "c"])
  const Steps = Schema.Array(Schema.Struct({
    act: Schema.Literals(["say", "call", "answer", "answer"]),
    id: ids,
    parent: ids,
    uuid: Schema.Literals(["", "u"])
  })).check(Schema.isMaxLength(14))

  it.effect.prop(
    "of calls, results and subagents in any order has each once, and is that of their stream",
    { steps: Steps },
    ({ steps }) =>
      Effect.gen(function*() {
        const sources = steps.map(({ act, id, parent, uuid }, index) => {
          const more = { parent_tool_use_id: parent, uuid }
          if (act === "say") return text(`word-${index};`, more)
          if (act === "call") return call(id, "Agent", { step: `word-${index};` }, more)
          return message({
            type: "user",
            message: { content: [{ type: "tool_result", tool_use_id: id, content: `word-${index};` }] },
            ...more
          })
        })
        const whole = Transcript.text([...sources, result()])
        steps.forEach(({ act, parent }, index) => {
          const lines = whole.split("\n").filter((line) => line.includes(`word-${index};`))
          assert.lengthOf(lines, 1, whole)
          const isInside = steps.slice(0, index).some((step) => step.act !== "say" && step.id === parent)
          if (act === "say") assert.strictEqual(lines[0]?.startsWith(" "), isInside && parent !== "", whole)
        })
        for (const size of [1, 3]) {
          const stream = Stream.fromIterable([...sources, result()]).pipe(Stream.rechunk(size))
          assert.strictEqual(yield* Stream.mkString(Transcript.text(stream)), whole)
        }
      }),
    { arbitrary: { runs: 2000 } }
  )

  const script: AgentScript.AgentScript = ({ prompt }) =>
    Stream.make(AgentScript.think("Hm."), AgentScript.say(`You said: ${prompt}`), AgentScript.say("That is all."))

  it.effect.each(forms)(
    "%s is the same of events, of stored messages, and of many turns",
    ([, form]) =>
      Effect.gen(function*() {
        const session = yield* (yield* Sessions).open({ agent: "demo" })
        const live: Array<Source> = []
        for (const prompt of ["Hello, you", "And\nagain"]) {
          live.push(Transcript.prompt(prompt))
          live.push(...yield* Stream.runCollect(session.stream(prompt, { includePartialMessages: true })))
        }
        const stored = yield* Stream.mkString(form(session.history()))
        assert.strictEqual(stored, form(live))
        assert.include(stored, "You said: Hello, you\n\nThat is all.\n\n> And\n> again\n\n")
      }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layer({ agents: { demo: { script } } })))
  )

  it.effect("has of turns their calls, texts and ends", () =>
    Effect.gen(function*() {
      const events = nested.flatMap((source) => "_tag" in source && source._tag === "Message" ? [source] : [])
      const turn = yield* TurnStream.toTurn(Stream.fromIterable(events))
      const transcript = Transcript.text([Transcript.prompt("Look around."), turn])
      assert.include(
        transcript,
        `[Agent] {"prompt":"look"}\n    [Grep] {"pattern":"x"}\n        found\n\n    nothing\n\n`
      )
      assert.include(transcript, "I look.\n\nDone.")
      assert.include(Transcript.text([{ ...turn, outcome: { _tag: "MaxTurns" } }]), "(The turn ended: MaxTurns)")
    }))

  const nestedDeep: Schema.Json = JSON.parse("[".repeat(50_000) + "]".repeat(50_000))
  const writtenDeep = `${"[".repeat(100)}"nested too deep"${"]".repeat(100)}`

  const turns: ReadonlyArray<readonly [string, ReadonlyArray<Source>, string]> = [
    ["a message that is delivered twice, once", [text("Hi.", { uuid: "1" }), text("Hi.", { uuid: "1" })], "Hi.\n\n"],
    ["the answer of a turn that said nothing", [result({ result: "42" })], "42\n\n"],
    ["structured output", [result({ structured_output: { a: 1 } })], "[Structured output] {\"a\":1}\n\n"],
    ["pieces that no message completed", [{ _tag: "TextDelta", delta: "Half a" }], "Half a\n\n"],
    ["an end that is no success", [result({ subtype: "error_max_turns" })], "(The turn ended: MaxTurns)\n\n"],
    ["a failure", [{ _tag: "TurnError", error: "gone" }], "(The turn failed: gone)\n\n"],
    ["a call without a result", [call("a", "Bash", {}), text("On."), result()], "[Bash] {}\n\nOn.\n\n"],
    ["a result without a call", [answer("a", "x")], "[a tool]\n    x\n\n"],
    ["a block that is not known", [assistant([{ type: "new", a: 1 }])], "[new] {\"type\":\"new\",\"a\":1}\n\n"],
    ["what a subagent says behind its result", [
      call("a", "Agent", { in: "background" }),
      answer("a", "started"),
      text("On."),
      text("Inside.", { parent_tool_use_id: "a" }),
      result()
    ], "[Agent] {\"in\":\"background\"}\n    started\n\nOn.\n\n[Agent]\n    Inside.\n\n"],
    ["what is nested too deep to be written, up to there", [
      call("a", "Bash", nestedDeep),
      result({ is_error: true, errors: [nestedDeep] })
    ], `[Bash] ${writtenDeep}\n\n(The turn ended with an error: ${writtenDeep})\n\n`],
    ["a restart", [{ _tag: "SessionRestarted" }], "(The session was restarted)\n\n"],
    ["an end of a kind that is not known", [result({ subtype: "new" })], "(The turn ended: new)\n\n"],
    ["what goes to the model in the user's place", [
      message({ type: "user", message: { content: [{ type: "text", text: "Go on." }, { type: "image", a: 1 }] } })
    ], "> Go on.\n\n[image] {\"type\":\"image\",\"a\":1}\n\n"],
    ["a subagent's prompt as the input of its call alone", [
      call("a", "Agent", "look"),
      message({ type: "user", parent_tool_use_id: "a", message: { content: [{ type: "text", text: "look" }] } }),
      answer("a", "nothing")
    ], "[Agent] \"look\"\n    nothing\n\n"],
    ["an answer of a tool among what the agent says", [
      call("a", "Search", "x"),
      assistant([{ type: "tool_result", tool_use_id: "a", content: "none", is_error: true }])
    ], "[Search] \"x\" failed\n    none\n\n"],
    ["control characters, escaped", [text("a\u001b[2J\r\nb")], "a\\u001b[2J\nb\n\n"],
    ["a prompt of blocks", [
      Transcript.prompt([
        { type: "text", text: "See:" },
        { type: "image", source: { type: "url", url: "https://x/y.png" } }
      ])
    ], "> See:\n>\n> [image]\n\n"]
  ]
  it.each(turns)("has %s", (_, sources, expected) => {
    assert.strictEqual(Transcript.text(sources), expected)
  })
})

/** The nodes of a Markdown text, each with the node that it is in. */
const nodesOf = (markdown: string) => {
  const nodes: Array<Node> = []
  const walker = new Parser().parse(markdown).walker()
  for (let event = walker.next(); event !== null; event = walker.next()) if (event.entering) nodes.push(event.node)
  return nodes
}

describe("Transcript.markdown", () => {
  const marks = ["```", "````js", "~~~", "`", "``", "\\`", "</details>", "<b>", "<!--", "<?", "<a href=\"`\">"]
  const lines = ["\n", "\n\n", "\n```\n", "\r\n", "> ", "- ", "1. ", " ", "   ", "    ", "\t", "# ", "---", "[a]: b"]
  const Nasty = Schema.Array(Schema.Union([Schema.Literals([...marks, ...lines]), Schema.String])).check(
    Schema.isMaxLength(20)
  )

  /** What is HTML around these texts, and what the last of them is in. */
  const around = (texts: {
    readonly prompt: string
    readonly said: string
    readonly input: string
    readonly output: string
  }) => {
    const markdown = Transcript.markdown([
      Transcript.prompt(texts.prompt),
      text(texts.said),
      call("a", "Agent<b>", { [texts.input]: texts.input }),
      text(texts.said, { parent_tool_use_id: "a" }),
      answer("a", texts.output),
      text("The end.")
    ])
    const nodes = nodesOf(markdown)
    const html = nodes.flatMap(({ literal, type }) =>
      type === "html_block" || type === "html_inline" ? [literal?.replace(/ [^<>]*(?=<\/summary>)/, "")] : []
    )
    const last = nodes.at(-1)
    return [...html, last?.literal, last?.parent?.parent?.type]
  }
  const whole = [
    "<details>\n<summary><b>Agent&lt;b&gt;</b></summary>",
    "</details>",
    "The end.",
    "document"
  ]

  it.prop(
    "is not broken by what is in it",
    { prompt: Nasty, said: Nasty, input: Nasty, output: Nasty },
    ({ input, output, prompt, said }) => {
      const texts = { prompt: prompt.join(""), said: said.join(""), input: input.join(""), output: output.join("") }
      assert.deepStrictEqual(around(texts), whole)
    },
    { arbitrary: { runs: 500 } }
  )

  it("folds what is no prose", () => {
    assert.strictEqual(
      Transcript.markdown([assistant([{ type: "new", a: 1 }]), { _tag: "TurnError", error: "gone" }]),
      "<details>\n<summary>new</summary>\n\n```json\n{\n  \"type\": \"new\",\n  \"a\": 1\n}\n```\n\n</details>\n\n" +
        "<details>\n<summary>Note</summary>\n\n```\nThe turn failed: gone\n```\n\n</details>\n\n"
    )
  })

  it.each([
    "1. a\n   ```\nx\n   ```",
    "- ```\n  ```\n```\nx",
    "1. a\n   ```\n   x\n```",
    "> ```\nx",
    "```\n<b>",
    "\\`<b>`",
    "<!--",
    "a\n~~~``"
  ])("is not broken by %j", (words) => {
    assert.deepStrictEqual(around({ prompt: words, said: words, input: words, output: words }), whole)
  })

  it("leaves Markdown of an agent as it is, where it is whole", () => {
    const said = "# Title\n\n```html\n<b>bold</b>\n```\n\nAn `Array<string>` and a < b."
    assert.strictEqual(Transcript.markdown([text(said)]), `${said}\n\n`)
  })
})

const withoutSpace = (words: string) => words.replace(/\s+/g, "")

describe.skipIf(!found)(`recorded turns${none}`, () => {
  const turns = recordings.filter(({ request, response }) =>
    request.method === "POST" && request.path.endsWith("/messages") && response.status === 200 &&
    (response.sse !== undefined || response.sseFile !== undefined)
  )

  it.effect.each(turns.map((recording) => [recording.file, recording] as const))(
    "%s have a transcript",
    ([, recording]) =>
      Effect.gen(function*() {
        const events = yield* Stream.runCollect(
          TurnStream.decodeEvents(Stream.succeed(new Uint8Array(bytesOf(recording.response))))
        )
        const turn = yield* TurnStream.toTurn(Stream.fromIterable(events))
        const transcript = Transcript.text(events)
        for (const { name } of turn.toolCalls) assert.include(transcript, `[${name}]`)
        for (const paragraph of turn.text.split("\n\n")) {
          assert.include(withoutSpace(transcript), withoutSpace(Transcript.text([text(paragraph)])))
        }
        assert.strictEqual(yield* Stream.mkString(Transcript.text(Stream.fromIterable(events))), transcript)
      })
  )
})
