import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { RequestOptionsInput } from "../../src/client/RequestOptions.ts"
import * as TurnStream from "../../src/functions/TurnStream.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import type { MessageContent } from "../../src/schema/Message.ts"
import { Messages } from "../../src/services/Messages.ts"
import { assistant, noSession, result, sessionId, storedMessage, user } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

/** How each kind of server answers a message to no session. */
const servers = {
  newest: (blocks: number) => blocks === 1 ? 400 : 404,
  intact: () => 404,
  textOnly: () => 400
}

const turn = Server.frames(
  ["session_start", { sessionId, version: "0.2.0" }],
  ["text_delta", { delta: "Hel" }],
  ["text_delta", { delta: "lo" }],
  ["message", assistant([{ type: "text", text: "Hello" }], { uuid: "u" })],
  ["turn_complete", { numTurns: 2, result: "Hello" }],
  ["message", { ...result, future: true }],
  ["done", { sessionId }]
)

const isProbe = ({ path }: Server.Received) => path.includes(noSession)

const conversation = (
  kind: keyof typeof servers,
  answer: Server.Script = Server.sse(turn),
  options: RequestOptionsInput = {}
) =>
  Server.make((request) => {
    if (!isProbe(request)) return answer(request)
    const { content } = Server.jsonOf(request) as { readonly content: ReadonlyArray<unknown> }
    const status = servers[kind](content.length)
    return Server.json({ error: status === 400 ? "Bad Request" : "Session not found", statusCode: status }, status)()
  }, { retry: { times: 0 }, ...options })

const send = (content: MessageContent) =>
  Stream.unwrap(Effect.map(Messages, (messages) => messages.send(sessionId, content)))

const bodies = (server: ReturnType<typeof conversation>) =>
  server.requests.filter((request) => !isProbe(request)).map(Server.jsonOf)

describe("list", () => {
  it.effect("decodes what is stored in each of its shapes", () => {
    const contents = [
      "{\"type\":\"user\",\"content\":[\"hello\"]}",
      "{\"type\":\"user\",\"content\":\"hello\"}",
      "{\"type\":\"result\",\"subtype\":\"success\"}",
      "no json"
    ]
    const server = Server.make(
      Server.json({ messages: contents.map((content, index) => storedMessage(index + 1, "user", content)) })
    )
    return Effect.gen(function*() {
      const messages = yield* (yield* Messages).list(sessionId, { limit: 4, after: 0 })
      assert.strictEqual(server.requests[0]?.method, "GET")
      assert.strictEqual(server.requests[0]?.path, `/api/sessions/${sessionId}/messages?limit=4&after=0`)
      assert.deepStrictEqual(messages.map(({ content }) => content._tag), [
        "UserPrompt",
        "UserPrompt",
        "Result",
        "Unknown"
      ])
      assert.deepInclude(messages[0]?.content, { content: ["hello"] })
      assert.deepInclude(messages[3]?.content, { raw: "no json" })
    }).pipe(Effect.provide(server.layer))
  })
})

describe("send", () => {
  it.effect("streams the events of a turn, and folds them into one", () =>
    Effect.gen(function*() {
      const { layer } = conversation("intact")
      const tags = yield* Stream.runCollect(Stream.map(send("Hi"), ({ _tag }) => _tag)).pipe(Effect.provide(layer))
      assert.deepStrictEqual(tags, [
        "SessionStart",
        "TextDelta",
        "TextDelta",
        "Message",
        "TurnComplete",
        "Message",
        "Done"
      ])
      const texts: Array<string> = []
      const folded = yield* TurnStream.toTurn(send("Hi"), { onText: (text) => Effect.sync(() => texts.push(text)) })
        .pipe(
          Effect.provide(layer)
        )
      assert.deepStrictEqual(texts, ["Hel", "lo"])
      assert.deepInclude(folded, { text: "Hello", numTurns: 2, stopReason: "end_turn", toolCalls: [] })
      assert.strictEqual(folded.costUsd, result.total_cost_usd)
      assert.deepStrictEqual<object>({ ...folded.usage }, result.usage)
      assert.deepInclude(folded.result?.raw, { future: true })
    }))

  it.effect("sends every option", () =>
    Effect.gen(function*() {
      const server = conversation("intact")
      const options = {
        includePartialMessages: true,
        model: "m",
        maxTurns: 3,
        maxBudgetUsd: 0.5,
        effort: "low",
        thinking: { type: "enabled", budgetTokens: 2000 },
        outputFormat: { type: "json_schema", schema: { type: "object" } }
      } as const
      yield* Effect.flatMap(Messages, (messages) => Stream.runDrain(messages.send(sessionId, "Hi", options))).pipe(
        Effect.provide(server.layer)
      )
      assert.deepStrictEqual(bodies(server), [{ content: "Hi", ...options }])
    }))

  const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "AQI=" } }
  const imageContent: MessageContent = [
    { type: "image", source: { type: "base64", media_type: "image/png", data: new Uint8Array([1, 2]) } }
  ]
  const text = (text: string) => ({ type: "text", text } as const)
  const forms = [
    ["intact", "Hello world", "Hello world", 1],
    ["intact", [text("Hello")], [text("Hello")], 1],
    ["newest", "Hello world", [text("Hello"), text(" world")], 2],
    ["newest", [text("one two")], [text("one"), text(" two")], 2],
    ["newest", [text("a"), text("b")], [text("a"), text("b")], 2],
    ["newest", imageContent, [image, text("\u2060")], 2],
    ["textOnly", "Hello world", "Hello world", 2],
    ["textOnly", [text("one"), text(" two")], "one two", 2]
  ] as const
  it.effect.each(forms)(
    "on a server of the kind %s content arrives as it was given: %j",
    ([kind, content, body, probes]) =>
      Effect.gen(function*() {
        const server = conversation(kind)
        yield* Effect.andThen(Stream.runDrain(send(content)), Stream.runDrain(send(content))).pipe(
          Effect.provide(server.layer)
        )
        assert.deepStrictEqual(bodies(server), [{ content: body }, { content: body }])
        assert.strictEqual(server.requests.filter(isProbe).length, probes)
      })
  )

  it.effect("refuses an image where only texts are taken", () =>
    Effect.gen(function*() {
      const server = conversation("textOnly")
      const error = yield* Effect.flip(Stream.runDrain(send(imageContent)).pipe(Effect.provide(server.layer)))
      assert.deepInclude(error.reason, { _tag: "InvalidRequest", field: "content" })
      assert.deepStrictEqual(bodies(server), [])
    }))

  const bad: ReadonlyArray<readonly [string, MessageContent]> = [
    ["no blocks", []],
    ["21 blocks", Array.from({ length: 21 }, () => text("x"))],
    ["500,001 characters", "x".repeat(500_001)]
  ]
  it.effect.each(bad)("refuses %s before anything is sent", ([, content]) =>
    Effect.gen(function*() {
      const server = conversation("newest")
      const error = yield* Effect.flip(Stream.runDrain(send(content)).pipe(Effect.provide(server.layer)))
      assert.deepInclude(error.reason, { _tag: "InvalidRequest", field: "content" })
      assert.deepStrictEqual(server.requests, [])
    }))

  it.effect("refuses a body of more than 50 MiB", () =>
    Effect.gen(function*() {
      const server = conversation("intact")
      const error = yield* Effect.flip(
        Stream.runDrain(send([text("x".repeat(60_000_000))])).pipe(Effect.provide(server.layer))
      )
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.include(error.message, "52428800")
      assert.deepStrictEqual(bodies(server), [])
    }))

  const failures: ReadonlyArray<readonly [string, AshError["reason"]["_tag"], Server.Script]> = [
    ["a paused session", "WrongState", Server.json({ error: "Session is paused", statusCode: 400 }, 400)],
    ["an unknown session", "NotFound", Server.json({ error: "Session not found", statusCode: 404 }, 404)],
    ["a failing server", "ServerFailure", Server.json({ error: "Sandbox not found", statusCode: 500 }, 500)],
    ["an empty 502", "ServerFailure", () => new Response(null, { status: 502 })],
    ["a page of a proxy", "Undecodable", Server.text("<html></html>", 200, { "content-type": "text/html" })],
    ["an empty 204", "Undecodable", () => new Response(null, { status: 204 })],
    ["an empty stream", "StreamTruncated", Server.sse("")],
    ["a stream without an end", "StreamTruncated", Server.sse(turn.slice(0, turn.indexOf("event: done")))],
    ["a stream cut in its last event", "StreamTruncated", Server.sse(turn.slice(0, -1))],
    ["a stream that breaks", "StreamTruncated", Server.breaking(turn.slice(0, 300))],
    [
      "an error event",
      "TurnFailed",
      Server.sse(Server.frames(["session_start", { sessionId }], ["error", { error: "no" }]))
    ]
  ]
  it.effect.each(failures)(
    "fails typed on %s, and sends the message once",
    ([, tag, answer]) =>
      Effect.gen(function*() {
        const server = conversation("intact", answer)
        const error = yield* Effect.flip(Stream.runDrain(send("Hi")).pipe(Effect.provide(server.layer)))
        assert.strictEqual(error.reason._tag, tag)
        assert.strictEqual(error.operation, "Messages.send")
        assert.strictEqual(bodies(server).length, 1)
      })
  )

  it.effect("keeps of an event no more than the layer allows", () =>
    Effect.gen(function*() {
      const answer = Server.sse(
        `${Server.frames(["session_start", { sessionId }])}event: x\ndata: ${"x".repeat(20_000)}`
      )
      const failing = (maxEventSize: number) =>
        Effect.flip(Stream.runDrain(send("Hi"))).pipe(
          Effect.provide(conversation("intact", answer, { maxEventSize }).layer)
        )
      const { message, reason } = yield* failing(10_000)
      assert.strictEqual(reason._tag, "Undecodable")
      assert.include(message, "10000 characters")
      assert.strictEqual((yield* failing(30_000)).reason._tag, "StreamTruncated")
    }))

  it.effect("delivers what came before a failure", () =>
    Effect.gen(function*() {
      const { layer } = conversation(
        "intact",
        Server.sse(Server.frames(["text_delta", { delta: "Hel" }], ["error", { error: "no" }], ["done", { sessionId }]))
      )
      const results = yield* Stream.runCollect(Stream.result(send("Hi"))).pipe(Effect.provide(layer))
      assert.strictEqual(results.length, 2)
      assert.deepStrictEqual(results[0] && Result.getOrUndefined(results[0]), { _tag: "TextDelta", delta: "Hel" })
      assert.isTrue(results[1] !== undefined && Result.isFailure(results[1]))
    }))

  it.effect("sendWithErrors keeps an error event as the last element", () =>
    Effect.gen(function*() {
      const { layer } = conversation(
        "intact",
        Server.sse(Server.frames(["error", { error: "no" }], ["done", { sessionId }]))
      )
      const all = yield* Effect.flatMap(
        Messages,
        (messages) => Stream.runCollect(messages.sendWithErrors(sessionId, "Hi"))
      ).pipe(Effect.provide(layer))
      assert.deepStrictEqual(all, [{ _tag: "TurnError", error: "no" }])
    }))

  const endings: ReadonlyArray<readonly [words: string, isDropped: boolean]> = [
    ["Client write timeout — closing stream", true],
    ["Client write timeout after 30 s", true],
    ["a Client write timeout", false]
  ]
  const prompts = ["Hi", ...endings.map(([words]) => `What is "${words}"?`)]
  it.effect.each(endings.flatMap((ending) => prompts.map((prompt) => [...ending, prompt] as const)))(
    "fences the session where the server drops its reader by \"%s\": %s, of the prompt %s",
    ([error, isDropped, prompt]) =>
      Effect.gen(function*() {
        for (const method of ["send", "sendWithErrors"] as const) {
          const dropped = Server.frames(["session_start", { sessionId }], ["error", { error }], ["done", { sessionId }])
          const { layer } = conversation("intact", Server.inOrder(Server.sse(dropped), Server.sse(turn)))
          yield* Effect.gen(function*() {
            const messages = yield* Messages
            const sent = yield* Effect.result(Stream.runCollect(messages[method](sessionId, prompt)))
            assert.strictEqual(
              Result.isFailure(sent) ? sent.failure.reason._tag : sent.success.at(-1)?._tag,
              isDropped ? "StreamTruncated" : method === "send" ? "TurnFailed" : "TurnError"
            )
            const next = yield* Effect.result(Stream.runDrain(messages.send(sessionId, "again")))
            assert.strictEqual(
              Result.isFailure(next) ? next.failure.reason._tag : "",
              isDropped ? "SessionFenced" : ""
            )
          }).pipe(Effect.provide(layer))
        }
      })
  )

  it.effect("keeps events that it does not know", () =>
    Effect.gen(function*() {
      const odd = "event: hologram\ndata: {\"a\":1}\n\nevent: odd\ndata: no json\n\n"
      const { layer } = conversation("intact", Server.sse(odd + Server.frames(["text_delta", {}], ["done", {}])))
      const all = yield* Stream.runCollect(send("Hi")).pipe(Effect.provide(layer))
      assert.deepStrictEqual(all.slice(0, 3), [
        { _tag: "Unknown", event: "hologram", data: { a: 1 } },
        { _tag: "Unknown", event: "odd", data: "no json" },
        { _tag: "Unknown", event: "text_delta", data: {} }
      ])
    }))
})

describe("a turn that is folded", () => {
  type Frame = readonly [event: string, data: unknown]
  const message = (...[content, more]: Parameters<typeof assistant>): Frame => ["message", assistant(content, more)]
  const fold = (...frames: ReadonlyArray<Frame>) => {
    const { layer } = conversation("intact", Server.sse(Server.frames(...frames, ["done", { sessionId }])))
    return Effect.all({
      turn: TurnStream.toTurn(send("Hi")),
      deltas: Effect.map(Stream.runCollect(TurnStream.textDeltas(send("Hi"))), (pieces) => pieces.join(""))
    }).pipe(Effect.provide(layer))
  }

  it.effect("matches tool calls with their results, and parts what was written before and after", () =>
    Effect.gen(function*() {
      const { deltas, turn } = yield* fold(
        message([{ type: "text", text: "Let me look." }]),
        ["tool_use", { id: "t1", name: "Bash", input: { command: "ls" } }],
        message([{ type: "tool_use", id: "t1", name: "Bash", input: { command: "ls" } }]),
        message([{ type: "tool_use", id: "t2", name: "Read", input: {} }]),
        ["tool_result", { content: "a.txt" }],
        ["message", user([{ type: "tool_result", tool_use_id: "t1", content: "a.txt", is_error: false }])],
        message([{ type: "text", text: "Done." }])
      )
      assert.strictEqual(turn.text, "Let me look.\n\nDone.")
      assert.strictEqual(deltas, turn.text)
      assert.deepStrictEqual(turn.toolCalls, [
        {
          id: "t1",
          name: "Bash",
          input: { command: "ls" },
          result: { content: "a.txt", isError: false },
          parentToolUseId: undefined
        },
        { id: "t2", name: "Read", input: {}, result: undefined, parentToolUseId: undefined }
      ])
    }))

  it.effect("doubles neither text nor thinking, and leaves out what subagents write", () =>
    Effect.gen(function*() {
      const { deltas, turn } = yield* fold(
        ["thinking_delta", { delta: "Hm" }],
        ["thinking_delta", { delta: "m." }],
        ["thinking_delta", { delta: "Hmm." }],
        message([{ type: "thinking", thinking: "Hmm." }]),
        message([{ type: "text", text: "from a subagent" }], { parent_tool_use_id: "t" }),
        ["text_delta", { delta: "An" }],
        ["text_delta", { delta: "swer" }],
        message([{ type: "text", text: "Answer" }], { uuid: "u" }),
        message([{ type: "text", text: "Answer" }], { uuid: "u" })
      )
      assert.strictEqual(turn.thinking, "Hmm.")
      assert.strictEqual(turn.text, "Answer")
      assert.strictEqual(deltas, "Answer")
      assert.strictEqual(turn.result, undefined)
    }))

  it.effect("gives whole blocks where there are no pieces", () =>
    Effect.gen(function*() {
      const { deltas, turn } = yield* fold(message("as a string"), message([{ type: "hologram" }]))
      assert.strictEqual(turn.text, "as a string")
      assert.strictEqual(deltas, "as a string")
    }))
})
