import { assert, describe, it } from "@effect/vitest"
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/Scripts.ts"
import * as TurnStream from "../../src/functions/TurnStream.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { Sessions } from "../../src/services/Sessions.ts"

/** A model that answers the n-th question with the n-th answer, and keeps what it was asked. */
const scripted = (
  ...answers: ReadonlyArray<Stream.Stream<Response.StreamPartEncoded, AiError.AiError>>
) => {
  const asked: Array<LanguageModel.ProviderOptions> = []
  const answer = (options: LanguageModel.ProviderOptions) => {
    asked.push(options)
    return answers[asked.length - 1] ?? Stream.die(new Error("asked too often"))
  }
  const layer = Layer.effect(
    LanguageModel.LanguageModel,
    LanguageModel.make({
      streamText: (options) => Stream.suspend(() => answer(options)),
      generateText: (options) =>
        Effect.map(
          Stream.runCollect(Stream.suspend(() => answer(options))),
          (parts) =>
            parts.flatMap((part): ReadonlyArray<Response.PartEncoded> =>
              part.type === "text-delta"
                ? [{ type: "text", text: part.delta }]
                : part.type === "reasoning-delta"
                ? [{ type: "reasoning", text: part.delta }]
                : part.type === "finish"
                ? [part]
                : []
            )
        )
    })
  )
  return { asked, layer, prompts: () => asked.map(({ prompt }) => prompt.content.map(inWords)) }
}

const inWords = ({ content, role }: Prompt.Message) =>
  `${role}: ${typeof content === "string" ? content : content.map(partInWords).join(" ")}`

const partInWords = (part: Prompt.Part): string => {
  switch (part.type) {
    case "text":
    case "reasoning":
      return part.text
    case "file":
      return `${part.mediaType} ${part.data instanceof URL ? part.data.href : part.data.length}`
    case "tool-call":
      return `${part.name}(${JSON.stringify(part.params)})`
    case "tool-result":
      return `${part.name} -> ${JSON.stringify(part.result)}`
    default:
      return part.type
  }
}

const usage = (input: number, output: number, cacheRead?: number, cacheWrite?: number) => ({
  inputTokens: { uncached: undefined, total: input, cacheRead, cacheWrite },
  outputTokens: { total: output, text: undefined, reasoning: undefined }
})
const finish = (...numbers: Parameters<typeof usage>): Response.StreamPartEncoded => ({
  type: "finish",
  reason: "stop",
  usage: usage(...numbers),
  response: undefined
})
const text = (...pieces: ReadonlyArray<string>): ReadonlyArray<Response.StreamPartEncoded> => [
  { type: "text-start", id: "1" },
  ...pieces.map((delta) => ({ type: "text-delta", id: "1", delta } as const)),
  { type: "text-end", id: "1" }
]
const thinking = (...pieces: ReadonlyArray<string>): ReadonlyArray<Response.StreamPartEncoded> => [
  { type: "reasoning-start", id: "1" },
  ...pieces.map((delta) => ({ type: "reasoning-delta", id: "1", delta } as const)),
  { type: "reasoning-end", id: "1" }
]
const call = (id: string, name: string, params: unknown): Response.StreamPartEncoded => ({
  type: "tool-call",
  id,
  name,
  params
})

const GetWeather = Tool.make("GetWeather", {
  description: "Tells the weather",
  parameters: Schema.Struct({ place: Schema.String }),
  success: Schema.Struct({ degrees: Schema.Finite }),
  failure: Schema.String,
  failureMode: "return"
})
class Broken extends Schema.TaggedError<Broken>()("Broken", { message: Schema.String }) {}
const Break = Tool.make("Break", { parameters: Schema.Struct({}), success: Schema.String, failure: Broken })
const toolkit = Toolkit.make(GetWeather, Break)
const handlers = toolkit.toLayer({
  GetWeather: ({ place }) => place === "Nowhere" ? Effect.fail("no such place") : Effect.succeed({ degrees: 21 }),
  Break: () => Effect.fail(new Broken({ message: "the key sk-123 is wrong\n    at line 2" }))
})

const layerOf = (script: AgentScript.AgentScript) =>
  AshEmbedded.layer({ agents: { helper: { script, systemPrompt: "Be brief." } }, quirks: { content: "intact" } })

const plain = Layer.unwrap(Effect.map(AgentScript.languageModel({ system: "You are new." }), layerOf))
const equipped = Layer.unwrap(Effect.map(AgentScript.languageModel({ toolkit }), layerOf)).pipe(Layer.provide(handlers))

const open = Effect.flatMap(Sessions, (sessions) => sessions.open({ agent: "helper" }))

describe("a language model behind an agent", () => {
  it.effect("streams the thinking and the text of the model, and counts its usage", () => {
    const model = scripted(Stream.fromIterable([
      ...thinking("hm", " so"),
      ...text("It is", " sunny."),
      finish(100, 20, 60, 10)
    ]))
    return Effect.gen(function*() {
      const turn = yield* (yield* open).ask("How is it?")
      assert.strictEqual(turn.text, "It is sunny.")
      assert.strictEqual(turn.thinking, "hm so")
      assert.deepInclude(turn.usage, {
        input_tokens: 30,
        output_tokens: 20,
        cache_read_input_tokens: 60,
        cache_creation_input_tokens: 10
      })
      assert.deepStrictEqual(model.prompts(), [["system: You are new.\n\nBe brief.", "user: How is it?"]])
    }).pipe(Effect.scoped, Effect.provide(plain.pipe(Layer.provide(model.layer))))
  })

  it.effect("is read piece by piece, as it arrives", () =>
    Effect.gen(function*() {
      const read = yield* Deferred.make<void>()
      const [start, first, second, end] = text("It is", " sunny.")
      const model = scripted(Stream.concat(
        Stream.make(start!, first!),
        Stream.concat(Stream.drain(Stream.fromEffect(Deferred.await(read))), Stream.make(second!, end!, finish(1, 1)))
      ))
      const pieces = yield* Effect.gen(function*() {
        const turn = (yield* open).stream("How is it?", { includePartialMessages: true })
        return yield* TurnStream.textDeltas(turn).pipe(
          // The second piece does not come before the first was read.
          Stream.tap(() => Deferred.succeed(read, undefined)),
          Stream.runCollect
        )
      }).pipe(Effect.scoped, Effect.provide(plain.pipe(Layer.provide(model.layer))))
      assert.deepStrictEqual(pieces, ["It is", " sunny."])
    }))

  it.effect("calls tools, and goes on with their results, until it calls none", () => {
    const model = scripted(
      Stream.fromIterable([
        // Without its end: that of the answer is one.
        ...text("Let me see.").slice(0, 2),
        call("a", "GetWeather", { place: "Bonn" }),
        call("b", "GetWeather", { place: "Nowhere" }),
        finish(10, 1)
      ]),
      Stream.fromIterable([...text("21 degrees."), finish(20, 2)])
    )
    return Effect.gen(function*() {
      const turn = yield* (yield* open).ask("How is it?")
      assert.deepStrictEqual(turn.toolCalls.map(({ input, name, result }) => [name, input, result]), [
        ["GetWeather", { place: "Bonn" }, { content: "{\"degrees\":21}", isError: false }],
        ["GetWeather", { place: "Nowhere" }, { content: "no such place", isError: true }]
      ])
      assert.strictEqual(turn.result?.result, "21 degrees.")
      assert.deepInclude(turn.usage, { input_tokens: 30, output_tokens: 3 })
      assert.deepStrictEqual(model.asked[0]?.tools.map(({ name }) => name), ["GetWeather", "Break"])
      const [first, second, third, results] = model.prompts()[1] ?? []
      assert.deepStrictEqual([first, second, third], [
        "system: Be brief.",
        "user: How is it?",
        "assistant: Let me see. GetWeather({\"place\":\"Bonn\"}) GetWeather({\"place\":\"Nowhere\"})"
      ])
      // In the order in which the tools were done.
      assert.include(results, "GetWeather -> {\"degrees\":21}")
      assert.include(results, "GetWeather -> \"no such place\"")
    }).pipe(Effect.scoped, Effect.provide(equipped.pipe(Layer.provide(model.layer))))
  })

  it.effect("is not asked again before the script has played its calls", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const held = yield* Deferred.make<void>()
      const model = scripted(
        Stream.fromIterable([call("a", "GetWeather", { place: "Bonn" }), finish(1, 1)]),
        Stream.fromIterable([...text("21 degrees."), finish(1, 1)])
      )
      const script = yield* AgentScript.languageModel({ toolkit }).pipe(Effect.provide([model.layer, handlers]))
      const hold = Effect.andThen(Deferred.succeed(held, undefined), Deferred.await(gate))
      yield* Effect.gen(function*() {
        const asked = yield* Effect.forkChild((yield* open).ask("How is it?"))
        yield* Deferred.await(held)
        for (let round = 0; round < 20; round++) {
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        assert.strictEqual(model.asked.length, 1)
        yield* Deferred.succeed(gate, undefined)
        assert.strictEqual((yield* Fiber.join(asked)).result?.result, "21 degrees.")
        assert.strictEqual(model.asked.length, 2)
      }).pipe(
        Effect.scoped,
        Effect.provide(
          layerOf((turn) => Stream.tap(script(turn), ({ _tag }) => _tag === "UseTool" ? hold : Effect.void))
        )
      )
    }))

  it.effect("may call many tools at once", () => {
    const calls = Array.from({ length: 100 }, (_, index) => call(`${index}`, "GetWeather", { place: `Place ${index}` }))
    const model = scripted(
      Stream.fromIterable([...calls, finish(1, 1)]),
      Stream.fromIterable([...text("done"), finish(1, 1)])
    )
    return Effect.gen(function*() {
      const turn = yield* (yield* open).ask("How is it?")
      assert.strictEqual(turn.toolCalls.filter(({ result }) => result?.content === "{\"degrees\":21}").length, 100)
    }).pipe(Effect.scoped, Effect.provide(equipped.pipe(Layer.provide(model.layer))))
  })

  it.effect("gets the conversation so far, with pictures and documents", () => {
    const model = scripted(
      Stream.fromIterable([...thinking("hm"), ...text("Hello."), finish(1, 1)]),
      Stream.fromIterable([...text("Seen."), finish(1, 1)])
    )
    return Effect.gen(function*() {
      const session = yield* open
      yield* session.ask("Good day!")
      yield* session.ask([
        { type: "text", text: "Look:" },
        { type: "image", source: { type: "base64", media_type: "image/png", data: new Uint8Array(3) } },
        { type: "image", source: { type: "url", url: "https://example.com/a.png" } },
        { type: "document", source: { type: "text", media_type: "text/plain", data: "a text" }, title: "T" }
      ])
      assert.deepStrictEqual(model.prompts()[1], [
        "system: You are new.\n\nBe brief.",
        "user: Good day!",
        "assistant: Hello.",
        "user: Look: image/png 3 image/* https://example.com/a.png a text"
      ])
    }).pipe(Effect.scoped, Effect.provide(plain.pipe(Layer.provide(model.layer))))
  })

  const schema = { type: "object", properties: { degrees: { type: "number" } }, required: ["degrees"] }
  const outputFormat = { type: "json_schema", schema }

  it.effect("answers with an object, where the message asks for one", () => {
    const model = scripted(Stream.fromIterable([...text("{\"degrees\":21}"), finish(7, 3)]))
    return Effect.gen(function*() {
      const { result, text, usage } = yield* (yield* open).ask("How is it?", { outputFormat })
      assert.deepStrictEqual(result?.structured_output, { degrees: 21 })
      assert.strictEqual(text, "{\"degrees\":21}")
      assert.strictEqual(result?.result, "{\"degrees\":21}")
      assert.deepInclude(usage, { input_tokens: 7, output_tokens: 3 })
      assert.strictEqual(model.asked[0]?.responseFormat.type, "json")
    }).pipe(Effect.scoped, Effect.provide(plain.pipe(Layer.provide(model.layer))))
  })

  it.effect("uses its tools before it answers with an object", () => {
    const model = scripted(
      Stream.fromIterable([call("a", "GetWeather", { place: "Bonn" }), finish(1, 1)]),
      Stream.fromIterable([...text("21 degrees."), finish(1, 1)]),
      Stream.fromIterable([...text("{\"degrees\":21}"), finish(1, 1)])
    )
    return Effect.gen(function*() {
      const { result, toolCalls } = yield* (yield* open).ask("How is it?", { outputFormat })
      assert.deepStrictEqual(result?.structured_output, { degrees: 21 })
      assert.strictEqual(toolCalls.length, 1)
      assert.strictEqual(model.prompts()[2]?.at(-1), "assistant: 21 degrees.")
    }).pipe(Effect.scoped, Effect.provide(equipped.pipe(Layer.provide(model.layer))))
  })

  const failed = (reason: AiError.AiErrorReason) =>
    Stream.fail(AiError.make({ module: "OpenAi", method: "streamText", reason }))
  const refusal = new AiError.AuthenticationError({
    kind: "InvalidKey",
    http: {
      response: { status: 401, headers: { authorization: "Bearer sk-123" } },
      body: "no such key: sk-123\nat all"
    }
  })

  it.effect.each<
    readonly [what: string, answer: Stream.Stream<Response.StreamPartEncoded, AiError.AiError>, says: string]
  >([
    ["refuses the key", failed(refusal), "the model failed: AuthenticationError (401)"],
    [
      "fails within a text",
      Stream.concat(Stream.fromIterable(text("It is").slice(0, 2)), failed(new AiError.RateLimitError({}))),
      "the model failed: RateLimitError"
    ],
    [
      "breaks off",
      Stream.make<[Response.StreamPartEncoded]>({ type: "error", error: "sk-123" }),
      "the model aborted its answer"
    ],
    ["calls what is no tool", Stream.make(call("a", "Nothing", {})), "the model failed: InvalidOutputError"],
    ["calls a tool that fails", Stream.make(call("a", "Break", {})), "a tool failed: Broken"],
    ["is interrupted", Stream.fromEffect(Effect.interrupt), "a defect of the model or of a tool"],
    ["is broken", Stream.die(new TypeError("sk-123")), "a defect of the model or of a tool: TypeError"]
  ])("that %s fails the turn, in one line without secrets", ([, answer, says]) => {
    const model = scripted(answer)
    return Effect.gen(function*() {
      const error = yield* Effect.flip((yield* open).ask("How is it?"))
      assert.strictEqual(error.reason._tag, "TurnFailed")
      assert.include(error.message, says)
      assert.notInclude(JSON.stringify(error), "sk-123")
      assert.notInclude(error.message, "\n")
    }).pipe(Effect.scoped, Effect.provide(equipped.pipe(Layer.provide(model.layer))))
  })

  it.effect("that fails within a text leaves the text unfinished", () => {
    const model = scripted(
      Stream.concat(Stream.fromIterable(text("It is").slice(0, 2)), failed(new AiError.RateLimitError({})))
    )
    return Effect.gen(function*() {
      const seen: Array<string> = []
      yield* Effect.flip(
        (yield* open).stream("How is it?", { includePartialMessages: true }).pipe(
          Stream.runForEach((event) =>
            Effect.sync(() => seen.push(event._tag === "Message" ? event.message._tag : event._tag))
          )
        )
      )
      assert.include(seen, "TextDelta")
      assert.notInclude(seen, "Assistant")
    }).pipe(Effect.scoped, Effect.provide(plain.pipe(Layer.provide(model.layer))))
  })

  it.effect.each<readonly [what: string, schema: Record<string, boolean | string>, says: string]>([
    ["of no object", { type: "string" }, "the schema of outputFormat is not that of an object: ask for an object"],
    ["with an unknown keyword", { type: "object", unevaluatedProperties: false }, "is not supported"]
  ])("is not asked for a schema %s", ([, schema, says]) => {
    const model = scripted()
    return Effect.gen(function*() {
      const error = yield* Effect.flip(
        (yield* open).ask("How is it?", { outputFormat: { type: "json_schema", schema } })
      )
      assert.include(error.message, says)
    }).pipe(Effect.scoped, Effect.provide(plain.pipe(Layer.provide(model.layer))))
  })

  it.effect("ends with its session", () =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const model = scripted(
        Stream.fromEffect(Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)).pipe(
          Stream.ensuring(Deferred.succeed(ended, undefined))
        )
      )
      yield* Effect.gen(function*() {
        yield* Effect.scoped(Effect.gen(function*() {
          yield* Effect.forkChild((yield* open).ask("How is it?"))
          yield* Deferred.await(begun)
        }))
        yield* Deferred.await(ended)
      }).pipe(Effect.provide(plain.pipe(Layer.provide(model.layer))))
    }))
})
