import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import {
  ask,
  at,
  type Frame,
  listAt,
  named,
  open,
  saidIn,
  say,
  send,
  statusOf,
  textAt,
  withServer
} from "../../support/embeddedServer.ts"

const echo = { script: AgentScript.echo }
/** Names the frames: `message` ones by the type of their message. */
const outline = (frames: ReadonlyArray<Frame>) =>
  frames.map(({ data, event }) => event === "message" ? textAt(data, "type") : event)
const scripted = (...steps: ReadonlyArray<AgentScript.AgentStep>) => ({ script: () => Stream.fromIterable(steps) })

describe("the stream of a turn", () => {
  it.effect("has the head of a stream that is written past the framework", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const response = yield* send("POST", `${path}/messages`, {
        json: { content: "hi" },
        headers: { origin: "http://example.test" }
      })
      assert.strictEqual(response.status, 200)
      assert.deepStrictEqual({ ...response.headers }, {
        "content-type": "text/event-stream",
        "cache-control": "no-cache",
        connection: "keep-alive"
      })
    }).pipe(withServer(echo)))

  it.effect("is framed to the byte", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open()
      const { text } = yield* ask("POST", `${path}/messages`, { json: { content: "hi" } })
      const odd = "{\"type\":\"odd\",\"text\":\"a\\nb\u2028c\u0085d 😀\"}"
      assert.strictEqual(
        text.replace(/event: message\ndata: \{"type":"system".*\n\n/, ""),
        `event: session_start\ndata: {"sessionId":"${id}","version":"0.2.0"}\n\n` +
          `event: message\ndata: ${odd}\n\n` +
          `event: error\ndata: {"error":"enough"}\n\n`
      )
    }).pipe(withServer(scripted(
      AgentScript.message({ type: "odd", text: "a\nb\u2028c\u0085d 😀" }),
      AgentScript.fail("enough")
    ))))

  it.effect("without partial messages has whole messages", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open()
      const frames = yield* say(path, "hi")
      assert.deepStrictEqual(outline(frames), [
        "session_start",
        "system",
        "assistant",
        "turn_complete",
        "result",
        "done"
      ])
      assert.deepStrictEqual(frames.at(-3)?.data, { numTurns: 1, result: "hi" })
      assert.deepStrictEqual(frames.at(-1)?.data, { sessionId: id })
    }).pipe(withServer(echo)))

  it.effect("with partial messages has each piece, and then the whole", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "one two", { includePartialMessages: true })
      assert.deepStrictEqual(outline(frames), [
        "session_start",
        "system",
        "stream_event",
        "stream_event",
        "text_delta",
        "stream_event",
        "text_delta",
        "stream_event",
        "assistant",
        "stream_event",
        "stream_event",
        "stream_event",
        "turn_complete",
        "result",
        "done"
      ])
      assert.deepStrictEqual(
        frames.filter(({ data }) => at(data, "type") === "stream_event").map(({ data }) => at(data, "event", "type")),
        [
          "message_start",
          "content_block_start",
          "content_block_delta",
          "content_block_delta",
          "content_block_stop",
          "message_delta",
          "message_stop"
        ]
      )
      assert.deepStrictEqual(frames.filter(named("text_delta")).map(({ data }) => data), [
        { delta: "one" },
        { delta: " two" }
      ])
    }).pipe(withServer(echo)))

  const mapping: ReadonlyArray<readonly [string, Schema.JsonObject, ReadonlyArray<Frame>]> = [
    ["other deltas go by their own name", {
      type: "stream_event",
      event: { type: "content_block_delta", delta: { type: "citations_delta", citation: 1 } }
    }, [{ event: "citations_delta", data: { type: "citations_delta", citation: 1 } }]],
    ["a message_delta is no delta", {
      type: "stream_event",
      event: { type: "message_delta", delta: { stop_reason: "end_turn" } }
    }, []],
    ["blocks in their order, unknown ones by their own name, texts by none", {
      type: "assistant",
      message: {
        content: [
          { type: "redacted_thinking", data: "x" },
          { type: "text", text: "t" },
          { type: "tool_use", id: "1", name: "Bash", input: {}, caller: "x" },
          { type: "thinking", thinking: "hm" }
        ]
      }
    }, [
      { event: "redacted_thinking", data: { type: "redacted_thinking", data: "x" } },
      { event: "tool_use", data: { id: "1", name: "Bash", input: {} } },
      { event: "thinking_delta", data: { delta: "hm" } }
    ]],
    ["blocks without a type, whatever they are, as undefined", {
      type: "assistant",
      message: { content: [{ text: "t" }, {}, "hi", 5, ["a"], { type: null }] }
    }, [
      { event: "undefined", data: { text: "t" } },
      { event: "undefined", data: {} },
      { event: "undefined", data: "hi" },
      { event: "undefined", data: 5 },
      { event: "undefined", data: ["a"] },
      { event: "null", data: { type: null } }
    ]],
    ...[{ text: "t" }, {}, "hi", 5, ["a"]].map((delta): (typeof mapping)[number] => [
      `a delta without a type, as undefined: ${JSON.stringify(delta)}`,
      { type: "stream_event", event: { type: "content_block_delta", delta } },
      [{ event: "undefined", data: delta }]
    ]),
    ...[null, "", 0, false].map((delta): (typeof mapping)[number] => [
      `no delta at all: ${JSON.stringify(delta)}`,
      { type: "stream_event", event: { type: "content_block_delta", delta } },
      []
    ]),
    ["thinking that is no text, or none, as it is", {
      type: "assistant",
      message: { content: [{ type: "thinking", thinking: 5 }, { type: "thinking" }] }
    }, [{ event: "thinking_delta", data: { delta: 5 } }, { event: "thinking_delta", data: {} }]],
    ["a tool's answer without an id", { type: "user", tool_use_result: { stdout: "out", stderr: "" } }, [
      { event: "tool_result", data: { content: "out" } }
    ]],
    ["a tool's answer with an id", {
      type: "user",
      tool_use_result: { tool_use_id: "1", content: "c", is_error: true }
    }, [{ event: "tool_result", data: { tool_use_id: "1", content: "c", is_error: true } }]],
    ["a tool's answer as a text", { type: "user", tool_use_result: "Error: x" }, [{ event: "tool_result", data: {} }]],
    ["what a user said", { type: "user", message: { content: "hi" } }, []],
    ["a result without an answer", { type: "result", subtype: "error_max_turns", num_turns: 2 }, [
      { event: "turn_complete", data: { numTurns: 2 } }
    ]],
    ["a type that is unknown", { type: "rate_limit_event" }, []]
  ]
  for (const [name, message, expected] of mapping) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const { path } = yield* open()
        const frames = yield* say(path, "hi")
        assert.deepStrictEqual(frames.slice(2, -1), [...expected, { event: "message", data: message }])
      }).pipe(withServer(scripted(AgentScript.message(message), AgentScript.fail("end")))))
  }

  it.effect("ends with the error of an agent, without a done", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "hi")
      assert.deepStrictEqual(outline(frames), ["session_start", "system", "assistant", "error"])
      assert.deepStrictEqual(frames.at(-1)?.data, { error: "broken" })
      assert.strictEqual(yield* statusOf(path), "active")
    }).pipe(withServer(scripted(AgentScript.say("well"), AgentScript.fail("broken"), AgentScript.say("never")))))

  it.effect("ends so too when the script fails or throws", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      assert.deepStrictEqual((yield* say(path, "fail")).at(-1)?.data, { error: "failed" })
      assert.deepStrictEqual((yield* say(path, "throw")).at(-1)?.data, { error: "thrown" })
    }).pipe(withServer({
      script: ({ prompt }) => {
        if (prompt === "throw") throw new Error("thrown")
        return Stream.fail(new Error("failed"))
      }
    })))
})

describe("stored messages", () => {
  const rows = (path: string, query = "") =>
    Effect.map(ask("GET", `${path}/messages${query}`), ({ body }) => listAt(body, "messages"))

  it.effect("are the prompt, what the agent wrote, and the result", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open()
      const frames = yield* say(path, "hi", { includePartialMessages: true })
      const messages = yield* rows(path)
      assert.deepStrictEqual(messages.map((row) => [at(row, "role"), at(row, "sequence")]), [
        ["user", 1],
        ["assistant", 2],
        ["assistant", 3],
        ["assistant", 4]
      ])
      assert.hasAllKeys(messages[0], ["id", "sessionId", "tenantId", "role", "content", "sequence", "createdAt"])
      assert.strictEqual(at(messages[0], "sessionId"), id)
      assert.strictEqual(at(messages[0], "content"), "{\"type\":\"user\",\"content\":[\"hi\"]}")
      const sent = frames.filter(({ data }) => at(data, "type") === "assistant" || at(data, "type") === "result")
      assert.deepStrictEqual(
        messages.slice(1).map((row) => at(row, "content")),
        sent.map(({ data }) => JSON.stringify(data))
      )
    }).pipe(withServer({
      script: (turn) => Stream.make(AgentScript.bash(turn, "true"), AgentScript.say("done"))
    })))

  it.effect("are read by after and limit", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* say(path, "one")
      yield* say(path, "two")
      const sequences = (query: string) =>
        Effect.map(rows(path, query), (messages) => messages.map((row) => at(row, "sequence")))
      assert.deepStrictEqual(yield* sequences(""), [1, 2, 3, 4, 5, 6])
      assert.deepStrictEqual(yield* sequences("?limit=2"), [1, 2])
      assert.deepStrictEqual(yield* sequences("?after=3&limit=2"), [4, 5])
      assert.deepStrictEqual(yield* sequences("?after=6"), [])
    }).pipe(withServer(echo)))

  it.effect("are the history of the next turn", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* say(path, "one")
      assert.deepStrictEqual(saidIn(yield* say(path, "two")), ["user,assistant,assistant"])
    }).pipe(withServer({
      script: ({ history }) => Stream.make(AgentScript.say(history.map(({ role }) => role).join()))
    })))

  it.effect("number 100 at most in a page that asks for no other", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* say(path, "hi")
      assert.strictEqual((yield* rows(path)).length, 100)
      assert.strictEqual((yield* rows(path, "?limit=1000")).length, 122)
    }).pipe(withServer(scripted(...Array.from({ length: 120 }, (_, index) => AgentScript.say(String(index)))))))
})

describe("the timeline", () => {
  it.effect("has the texts and tool calls of the agent, numbered apart from the messages", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* say(path, "hi")
      yield* say(path, "fail")
      const { body } = yield* ask("GET", `${path}/events`)
      assert.deepStrictEqual(
        listAt(body, "events").map((event) => [at(event, "sequence"), at(event, "type"), at(event, "data")]),
        [
          [1, "lifecycle", "{\"action\":\"created\",\"agentName\":\"demo\"}"],
          [2, "reasoning", "{\"thinking\":\"hm\"}"],
          [3, "tool_start", "{\"toolName\":\"Ask\",\"toolId\":\"toolu\",\"input\":{\"q\":1}}"],
          [4, "tool_result", "{\"stdout\":\"a\",\"stderr\":\"\"}"],
          [5, "text", "{\"text\":\"done\"}"],
          [6, "turn_complete", "{\"numTurns\":2,\"result\":\"done\"}"],
          [7, "error", "{\"error\":\"broken\"}"]
        ].map(([sequence, type, data]) => [
          sequence,
          type,
          type === "tool_start"
            ? String(data).replace("toolu", /toolu_\w+/.exec(textAt(listAt(body, "events")[2], "data"))?.[0] ?? "")
            : data
        ])
      )
      const errors = yield* ask("GET", `${path}/events?type=error&limit=1`)
      assert.deepStrictEqual(listAt(errors.body, "events").map((event) => at(event, "sequence")), [7])
      assert.deepStrictEqual((yield* ask("GET", `${path}/events?type=bogus`)).body, { events: [] })
      const page = yield* ask("GET", `${path}/events?after=2&limit=2`)
      assert.deepStrictEqual(listAt(page.body, "events").map((event) => at(event, "sequence")), [3, 4])
    }).pipe(withServer({
      script: ({ prompt }) =>
        prompt === "fail" ? Stream.make(AgentScript.fail("broken")) : Stream.make(
          AgentScript.think("hm"),
          AgentScript.useTool({ name: "Ask", input: { q: 1 }, result: Effect.succeed({ content: "a" }) }),
          AgentScript.say("done")
        )
    })))
})

describe("content", () => {
  const block = (text: string) => ({ type: "text", text })
  const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } }
  const accepted: ReadonlyArray<readonly ["mangled" | "strings" | "intact", Schema.Json, Schema.Json]> = [
    ["mangled", "hi", ["hi"]],
    ["mangled", "", [""]],
    ["mangled", 42, ["42"]],
    ["mangled", true, ["true"]],
    ["mangled", null, [""]],
    ["mangled", [], []],
    ["mangled", ["hi"], ["hi"]],
    ["mangled", [block("a"), image], [block("a"), image]],
    ["strings", "hi", "hi"],
    ["strings", "x".repeat(100_000), "x".repeat(100_000)],
    ["strings", 42, "42"],
    ["intact", "hi", "hi"],
    ["intact", [block("a")], [block("a")]],
    ["intact", [block("a"), image], [block("a"), image]]
  ]
  for (const [content, sent, delivered] of accepted) {
    it.effect(`${content}: ${JSON.stringify(sent).slice(0, 40)} is delivered, and stored`, () =>
      Effect.gen(function*() {
        const { path } = yield* open()
        const frames = yield* say(path, sent)
        assert.deepStrictEqual(saidIn(frames), [JSON.stringify(delivered)])
        const { body } = yield* ask("GET", `${path}/messages?limit=1`)
        assert.strictEqual(
          textAt(body, "messages", 0, "content"),
          JSON.stringify({ type: "user", content: delivered })
        )
      }).pipe(withServer({
        quirks: { content },
        script: (turn) => Stream.make(AgentScript.say(JSON.stringify(turn.content)))
      })))
  }

  const many = Array.from({ length: 21 }, () => block("x"))
  const refused: ReadonlyArray<readonly ["mangled" | "strings" | "intact", Schema.Json]> = [
    ["mangled", [block("a")]],
    ["mangled", [image]],
    ["mangled", [block("a"), { type: "audio" }]],
    ["mangled", many],
    ["mangled", { type: "text" }],
    ["mangled", "x".repeat(500_001)],
    ["strings", [block("a"), block("b")]],
    ["strings", [block("a")]],
    ["strings", "x".repeat(100_001)],
    ["intact", many],
    ["intact", 42],
    ["intact", [block("a"), { type: "audio" }]]
  ]
  for (const [content, sent] of refused) {
    it.effect(`${content}: ${JSON.stringify(sent).slice(0, 40)} is refused`, () =>
      Effect.gen(function*() {
        const { path } = yield* open()
        const { body, status } = yield* ask("POST", `${path}/messages`, { json: { content: sent } })
        assert.strictEqual(status, 400)
        assert.deepStrictEqual(body, { error: "Bad Request", statusCode: 400 })
        assert.deepStrictEqual((yield* ask("GET", `${path}/messages`)).body, { messages: [] })
      }).pipe(withServer({ ...echo, quirks: { content } })))
  }

  it.effect("reads as the prompt, whatever its form", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      assert.deepStrictEqual(saidIn(yield* say(path, "hi")), ["hi"])
      assert.deepStrictEqual(saidIn(yield* say(path, [block("a"), image, block("b")])), ["ab"])
    }).pipe(withServer(echo)))
})
