import { assert, describe, it } from "@effect/vitest"
import * as Chat from "effect/ai/Chat"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { AshLanguageModel } from "../../src/ai.ts"
import { fromAsh } from "../../src/ai/errors.ts"
import * as RequestOptions from "../../src/client/RequestOptions.ts"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { AshError, type AshErrorReason } from "../../src/schema/AshError.ts"
import * as Reasons from "../../src/schema/Reasons.ts"
import { Sessions } from "../../src/services/Sessions.ts"

const echo: AgentScript.AgentScript = ({ prompt }) =>
  Stream.make(AgentScript.say(`You wrote: ${prompt}`), AgentScript.finish({ cost: 0.25 }))

const server = (script: AgentScript.AgentScript = echo) =>
  AshEmbedded.layer({ agents: { helper: { script } }, quirks: { content: "intact" } })

/** Provided call by call, as programs do. */
const model = AshLanguageModel.model("helper")

const sessions = Effect.flatMap(Sessions, (sessions) => sessions.list())

const errorOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    Effect.exit(effect),
    (exit) => Exit.isFailure(exit) ? Effect.succeed(Cause.squash(exit.cause)) : Effect.die(exit)
  )

/** The reason of an error, and whether a program may repeat what failed with it. */
const reasonOf = (error: unknown) => {
  const { isRetryable, reason } = Object(error)
  return [reason?._tag, isRetryable]
}

describe("generateText", () => {
  it.effect("answers text, usage, the reason of the end and what Ash knows of the turn", () =>
    Effect.gen(function*() {
      const response = yield* LanguageModel.generateText({ prompt: "Hello" })
      assert.strictEqual(response.text, "You wrote: Hello")
      assert.strictEqual(response.finishReason, "stop")
      assert.isNumber(response.usage.outputTokens.total)
      const finish = response.content.find(({ type }) => type === "finish")
      const [session] = yield* sessions
      assert.deepInclude(finish?.metadata["ash"], { sessionId: session?.id, costUsd: 0.25, outcome: "Success" })
      assert.strictEqual(yield* Model.ProviderName, "ash")
      assert.strictEqual(yield* Model.ModelName, "helper")
    }).pipe(Effect.provide(model), Effect.provide(server())))

  const ends: ReadonlyArray<readonly [subtype: string, reason: string]> = [
    ["success", "stop"],
    ["error_max_turns", "length"],
    ["error_max_budget_usd", "length"],
    ["error_during_execution", "error"]
  ]

  it.effect.each(ends)(
    "answers the reason of the end of a turn: %s, %s",
    ([subtype, reason]) =>
      Effect.gen(function*() {
        const { finishReason } = yield* LanguageModel.generateText({ prompt: "Hello" })
        assert.strictEqual(finishReason, reason)
      }).pipe(Effect.provide(model), Effect.provide(server(() => Stream.make(AgentScript.finish({ subtype })))))
  )

  it.effect("counts what caches gave and took among the tokens in", () =>
    Effect.gen(function*() {
      const { usage } = yield* LanguageModel.generateText({ prompt: "Hello" })
      assert.deepStrictEqual(usage.inputTokens, { uncached: 1, cacheRead: 20, cacheWrite: 300, total: 321 })
    }).pipe(
      Effect.provide(model),
      Effect.provide(server(() =>
        Stream.make(AgentScript.finish({
          usage: { input_tokens: 1, cache_read_input_tokens: 20, cache_creation_input_tokens: 300, output_tokens: 4 }
        }))
      ))
    ))

  // Of no use, and of what Effect takes for a response with an error that programs repeat.
  it.effect("leaves out counts of tokens that are none, alone and in their sum", () =>
    Effect.gen(function*() {
      const counts = [[1.5], [2 ** 53], [1e300], [2 ** 53 - 1, 2 ** 53 - 1]] as const
      for (const [input_tokens, uncached] of counts) {
        const finish = AgentScript.finish({
          usage: { input_tokens, cache_read_input_tokens: 20, output_tokens: input_tokens }
        })
        const { usage } = yield* LanguageModel.generateText({ prompt: "Hello" }).pipe(
          Effect.provide(model),
          Effect.provide(server(() => Stream.make(finish)))
        )
        assert.deepStrictEqual(
          usage.inputTokens,
          { uncached, cacheRead: 20, cacheWrite: 0, total: uncached === undefined ? 20 : undefined }
        )
        assert.strictEqual(usage.outputTokens.total, uncached)
      }
    }))

  it.effect("leaves out a blank text beside a file, as models refuse it, and goes on in the chat", () =>
    Effect.gen(function*() {
      const text = (text: string) => ({ type: "text", text }) as const
      const picture = { type: "file", mediaType: "image/png", data: new Uint8Array([1]) } as const
      const contents = [[picture, text("")], [text(" \n"), picture], [text(""), text("Look"), text(" ")], [text("")]]
      for (const content of contents) {
        const chat = yield* Chat.empty
        for (const prompt of [[{ role: "user", content }], "And?"] as const) yield* chat.generateText({ prompt })
      }
      const asked = yield* (yield* AshEmbedded.AskedTurns).all
      assert.deepStrictEqual(
        asked.map(({ content }) => Array.isArray(content) ? content.map(({ type }) => type) : content),
        [["image"], "And?", ["image"], "And?", "Look", "And?", "", "And?"]
      )
    }).pipe(Effect.provide(model), Effect.provide(server())))

  it.effect("refuses an empty file", () =>
    Effect.gen(function*() {
      for (const data of [new Uint8Array(), "", "data:text/plain,", "data:text/plain;base64,"]) {
        const prompt = Prompt.make([{ role: "user", content: [{ type: "file", mediaType: "text/plain", data }] }])
        const error = yield* errorOf(LanguageModel.generateText({ prompt }))
        assert.deepStrictEqual(reasonOf(error), ["InvalidRequestError", false])
      }
      assert.deepStrictEqual(yield* sessions, [])
    }).pipe(Effect.provide(model), Effect.provide(server())))

  it.effect("sends files that agents take, and refuses others before anything is sent", () =>
    Effect.gen(function*() {
      const prompt = (mediaType: string, data: Uint8Array | string) =>
        Prompt.make([{ role: "user", content: [{ type: "text", text: "Look" }, { type: "file", mediaType, data }] }])
      yield* LanguageModel.generateText({ prompt: prompt("image/png", new Uint8Array([1, 2])) })
      const [asked] = yield* (yield* AshEmbedded.AskedTurns).all
      assert.deepStrictEqual(Array.isArray(asked?.content) ? asked.content.map(({ type }) => type) : [], [
        "text",
        "image"
      ])
      const error = yield* errorOf(LanguageModel.generateText({ prompt: prompt("video/mp4", new Uint8Array([1])) }))
      assert.deepStrictEqual(reasonOf(error), ["InvalidRequestError", false])
      assert.strictEqual((yield* sessions).length, 1)
    }).pipe(Effect.provide(model), Effect.provide(server())))
})

describe("conversations", () => {
  it.effect("a chat is a session, also where the model is provided call by call, and where the chat was stored", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.fromPrompt(Prompt.empty.pipe(Prompt.setSystem("Be brief.")))
      yield* Effect.provide(chat.generateText({ prompt: "One" }), model)
      const stored = yield* Chat.fromJson(yield* chat.exportJson)
      const response = yield* Effect.provide(stored.generateText({ prompt: "Two" }), model)
      assert.strictEqual(response.text, "You wrote: Two")
      assert.strictEqual((yield* sessions).length, 1)
      const asked = yield* (yield* AshEmbedded.AskedTurns).all
      assert.deepStrictEqual(asked.map(({ prompt }) => prompt), ["One", "Two"])
    }).pipe(Effect.provide(server())))

  it.effect("two chats with one history have sessions of their own", () =>
    Effect.gen(function*() {
      const chats = [yield* Chat.empty, yield* Chat.empty]
      for (const chat of chats) yield* chat.generateText({ prompt: "One" })
      for (const chat of chats) yield* chat.generateText({ prompt: "Two" })
      assert.strictEqual((yield* sessions).length, 2)
      const asked = yield* (yield* AshEmbedded.AskedTurns).all
      const prompts = (yield* sessions).map(({ id }) =>
        asked.flatMap(({ prompt, session }) => session.id === id ? [prompt] : [])
      )
      assert.deepStrictEqual(prompts, [["One", "Two"], ["One", "Two"]])
    }).pipe(Effect.provide(model), Effect.provide(server())))

  const histories: ReadonlyArray<readonly [what: string, change: (history: Prompt.Prompt) => Prompt.RawInput]> = [
    ["a foreign history", () => [
      { role: "user", content: "One" },
      { role: "assistant", content: "I never said that." }
    ]],
    [
      "an edited history",
      (history) =>
        history.content.map((message) =>
          message.role === "user"
            ? Prompt.makeMessage("user", { content: [Prompt.makePart("text", { text: "Edited" })] })
            : message
        )
    ]
  ]
  it.effect.each(histories)("%s is refused, and nothing is sent", ([, change]) =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "One" })
      const history = Prompt.make(change(yield* Ref.get(chat.history)))
      const error = yield* errorOf(LanguageModel.generateText({ prompt: Prompt.concat(history, "Two") }))
      assert.deepStrictEqual(reasonOf(error), ["InvalidRequestError", false])
      assert.strictEqual((yield* (yield* AshEmbedded.AskedTurns).all).length, 1)
      assert.strictEqual((yield* chat.generateText({ prompt: "Two" })).text, "You wrote: Two")
    }).pipe(Effect.provide(model), Effect.provide(server())))

  it.effect("a history without marks that two conversations have is refused", () =>
    Effect.gen(function*() {
      for (const chat of [yield* Chat.empty, yield* Chat.empty]) yield* chat.generateText({ prompt: "One" })
      const prompt = Prompt.make([
        { role: "user", content: "One" },
        { role: "assistant", content: "You wrote: One" },
        { role: "user", content: "Two" }
      ])
      assert.deepStrictEqual(reasonOf(yield* errorOf(LanguageModel.generateText({ prompt }))), [
        "InvalidRequestError",
        false
      ])
      assert.strictEqual((yield* (yield* AshEmbedded.AskedTurns).all).length, 2)
    }).pipe(Effect.provide(model), Effect.provide(server())))

  it.effect("a second branch is refused, never mixed in", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "One" })
      const branch = yield* Chat.fromJson(yield* chat.exportJson)
      yield* chat.generateText({ prompt: "Two" })
      assert.deepStrictEqual(reasonOf(yield* errorOf(branch.generateText({ prompt: "Other" }))), [
        "InvalidRequestError",
        false
      ])
      assert.strictEqual((yield* chat.generateText({ prompt: "Three" })).text, "You wrote: Three")
    }).pipe(Effect.provide(model), Effect.provide(server())))

  it.effect("beyond the number that is kept, the one that waits for longest ends", () =>
    Effect.gen(function*() {
      const chats = yield* Effect.all([Chat.empty, Chat.empty, Chat.empty])
      for (const chat of chats) yield* chat.generateText({ prompt: "One" })
      assert.deepStrictEqual((yield* sessions).map(({ status }) => status).toSorted(), ["active", "active", "ended"])
      assert.deepStrictEqual(reasonOf(yield* errorOf(chats[0].generateText({ prompt: "Two" }))), [
        "InvalidRequestError",
        false
      ])
    }).pipe(Effect.provide(AshLanguageModel.model("helper", { maxConversations: 2 })), Effect.provide(server())))

  it.effect("a session for each call ends with it", () =>
    Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: "One" })
      assert.deepStrictEqual((yield* sessions).map(({ status }) => status), ["ended"])
    }).pipe(Effect.provide(AshLanguageModel.model("helper", { sessions: "call" })), Effect.provide(server())))
})

describe("streamText", () => {
  it.effect("gives text as it is written, thinking, and the tools of the agent that the program declares", () => {
    const read = Tool.providerDefined({
      id: "ash.read",
      customName: "ReadFile",
      providerName: "Read",
      args: Schema.Undefined,
      parameters: Schema.Struct({ path: Schema.String }),
      success: Schema.String
    })
    const script: AgentScript.AgentScript = () =>
      Stream.make(
        AgentScript.think("Hm."),
        AgentScript.say("I look."),
        AgentScript.useTool({ name: "Read", input: { path: "a" }, result: Effect.succeed({ content: "it" }) }),
        AgentScript.useTool({ name: "Grep", input: {}, result: Effect.succeed({ content: "no" }) }),
        AgentScript.say("Here.")
      )
    return Effect.gen(function*() {
      const toolkit = Toolkit.make(read(undefined))
      const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Hello", toolkit }))
      const text = parts.flatMap((part) => part.type === "text-delta" ? [part.delta] : []).join("")
      assert.strictEqual(text, "I look.Here.")
      assert.include(parts.map(({ type }) => type), "reasoning-delta")
      const tools = parts.flatMap((part) =>
        part.type === "tool-call" ? [part.name] : part.type === "tool-result" ? [part.result] : []
      )
      assert.deepStrictEqual(tools, ["ReadFile", "it"])
      const finish = parts.find(({ type }) => type === "finish")
      assert.deepInclude(finish?.metadata["ash"], { undeclaredTools: ["Grep"] })
    }).pipe(Effect.provide(model), Effect.provide(server(script)))
  })

  it.effect("one that is interrupted is not taken for an answer: the next call of the chat fails, and no program repeats it", () => {
    const begun = Deferred.makeUnsafe<void>()
    const script: AgentScript.AgentScript = (turn) =>
      turn.prompt === "Go on for ever"
        ? Stream.concat(
          Stream.make(AgentScript.say("I begin.")),
          Stream.fromEffectDrain(Deferred.succeed(begun, undefined))
        ).pipe(
          Stream.concat(Stream.never)
        )
        : echo(turn)
    return Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "One" })
      const fiber = yield* Effect.forkChild(Stream.runDrain(chat.streamText({ prompt: "Go on for ever" })))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      const error = yield* errorOf(chat.generateText({ prompt: "Two" }))
      assert.isFalse(reasonOf(error)[1])
      assert.strictEqual((yield* (yield* AshEmbedded.AskedTurns).all).length, 2)
    }).pipe(Effect.provide(model), Effect.provide(server(script)))
  })
})

describe("generateObject", () => {
  const Plan = Schema.Struct({ title: Schema.String, due: Schema.DateFromString })
  const answering = (structuredOutput: Schema.Json): AgentScript.AgentScript => () =>
    Stream.make(AgentScript.say("Done."), AgentScript.finish({ structuredOutput }))

  it.effect("answers a value of the schema, bounded by a budget", () =>
    Effect.gen(function*() {
      const { value } = yield* LanguageModel.generateObject({ prompt: "Plan", schema: Plan })
      assert.deepStrictEqual(value, { title: "a", due: new Date("2026-01-01T00:00:00.000Z") })
      const [asked] = yield* (yield* AshEmbedded.AskedTurns).all
      assert.strictEqual(asked?.options.maxBudgetUsd, 1)
    }).pipe(
      Effect.provide(model),
      Effect.provide(server(answering({ title: "a", due: "2026-01-01T00:00:00.000Z" })))
    ))

  const limits: ReadonlyArray<readonly [turn: RequestOptions.TurnTimeouts["turn"], budget: number | undefined]> = [
    ["5 minutes", undefined],
    [300_000, undefined],
    [{ minutes: 5 }, undefined],
    [undefined, 1],
    ["off", 1],
    ["Infinity", 1],
    [Duration.infinity, 1]
  ]
  it.effect.each(limits)(
    "is bounded by a time limit of the program in the place of a budget: %s",
    ([turn, budget]) =>
      Effect.gen(function*() {
        yield* LanguageModel.generateObject({ prompt: "Plan", schema: Plan }).pipe(
          RequestOptions.withTimeouts({ turn })
        )
        const [asked] = yield* (yield* AshEmbedded.AskedTurns).all
        assert.strictEqual(asked?.options.maxBudgetUsd, budget)
      }).pipe(
        Effect.provide(model),
        Effect.provide(server(answering({ title: "a", due: "2026-01-01T00:00:00.000Z" })))
      )
  )

  it.effect("an answer that does not match is an error that no program repeats", () =>
    Effect.gen(function*() {
      const error = yield* errorOf(LanguageModel.generateObject({ prompt: "Plan", schema: Plan }))
      assert.deepStrictEqual(reasonOf(error), ["InvalidResponseError", false])
    }).pipe(Effect.provide(model), Effect.provide(server(answering({ title: 1 })))))

  it.effect("a schema that cannot be asked for is refused before anything is sent", () =>
    Effect.gen(function*() {
      const schema = Schema.Struct({ it: Schema.declare((input): input is symbol => typeof input === "symbol") })
      const error = yield* errorOf(LanguageModel.generateObject({ prompt: "Plan", schema }))
      assert.deepStrictEqual(reasonOf(error), ["UnsupportedSchemaError", false])
      assert.deepStrictEqual(yield* sessions, [])
    }).pipe(Effect.provide(model), Effect.provide(server())))
})

describe("what is refused before anything is sent", () => {
  it.effect("a toolkit with handlers", () =>
    Effect.gen(function*() {
      const toolkit = yield* Toolkit.make(Tool.make("time", { success: Schema.String }))
      const error = yield* errorOf(LanguageModel.generateText({ prompt: "Hello", toolkit }))
      assert.deepStrictEqual(reasonOf(error), ["ToolConfigurationError", false])
      assert.deepStrictEqual(yield* sessions, [])
    }).pipe(
      Effect.provide(model),
      Effect.provide(
        Toolkit.make(Tool.make("time", { success: Schema.String })).toLayer({ time: () => Effect.succeed("now") })
      ),
      Effect.provide(server())
    ))

  it.effect("a system message behind an answer", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "One" })
      const prompt = [{ role: "system", content: "Be brief." }, { role: "user", content: "Two" }] as const
      assert.deepStrictEqual(reasonOf(yield* errorOf(chat.generateText({ prompt }))), ["InvalidRequestError", false])
      assert.strictEqual((yield* (yield* AshEmbedded.AskedTurns).all).length, 1)
    }).pipe(Effect.provide(model), Effect.provide(server())))

  it.effect("a prompt of more than agents take", () =>
    Effect.gen(function*() {
      const parts = Array.from({ length: 21 }, () => Prompt.makePart("text", { text: "a" }))
      for (const prompt of ["x".repeat(500_001), [Prompt.makeMessage("user", { content: parts })]]) {
        const error = yield* errorOf(LanguageModel.generateText({ prompt }))
        assert.deepStrictEqual(reasonOf(error), ["InvalidRequestError", false])
      }
      assert.deepStrictEqual(yield* sessions, [])
    }).pipe(Effect.provide(model), Effect.provide(server())))

  it.effect("a prompt without a user's message", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(reasonOf(yield* errorOf(LanguageModel.generateText({ prompt: [] }))), [
        "InvalidRequestError",
        false
      ])
      assert.deepStrictEqual(yield* sessions, [])
    }).pipe(Effect.provide(model), Effect.provide(server())))
})

describe("options", () => {
  it.effect("those of a call lie over those of the model", () =>
    Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: "Hello" }).pipe(AshLanguageModel.withConfigOverride({ maxTurns: 3 }))
      const [asked] = yield* (yield* AshEmbedded.AskedTurns).all
      assert.deepInclude(asked?.options, { maxTurns: 3, effort: "low" })
    }).pipe(Effect.provide(AshLanguageModel.model("helper", { maxTurns: 9, effort: "low" })), Effect.provide(server())))

  const none = { maxTurns: undefined, maxBudgetUsd: undefined, effort: undefined }
  const layers: ReadonlyArray<readonly [layers: ReadonlyArray<AshLanguageModel.ConfigOptions>, due: object]> = [
    [[none], { maxBudgetUsd: 1 }],
    [[none, none, none], { maxBudgetUsd: 1 }],
    [[{ maxTurns: 9, maxBudgetUsd: 0.3 }, none], { maxTurns: 9, maxBudgetUsd: 0.3 }],
    [[{ maxTurns: 9 }, { maxTurns: 3, effort: "low" }, none], { maxTurns: 3, effort: "low", maxBudgetUsd: 1 }],
    [[none, { maxBudgetUsd: 0.2 }, { maxTurns: 3 }], { maxTurns: 3, maxBudgetUsd: 0.2 }]
  ]
  it.effect.each(layers)(
    "that are undefined keep what is under them: %o",
    ([[ofModel, ...ofCalls], due]) =>
      Effect.gen(function*() {
        const call = LanguageModel.generateObject({ prompt: "One", schema: Schema.Struct({ a: Schema.Int }) })
        // The last one is nearest to the call.
        yield* ofCalls.reduceRight((inner, options) => AshLanguageModel.withConfigOverride(inner, options), call)
        const [asked] = yield* (yield* AshEmbedded.AskedTurns).all
        const { includePartialMessages: _, outputFormat: __, ...options } = asked?.options ?? {}
        assert.deepStrictEqual<object>(options, due)
      }).pipe(
        Effect.provide(AshLanguageModel.model("helper", ofModel)),
        Effect.provide(server(() => Stream.make(AgentScript.finish({ structuredOutput: { a: 1 } }))))
      )
  )
})

describe("errors", () => {
  const message = "it failed"
  const kinds: ReadonlyArray<readonly [reason: AshErrorReason, kind: string, isRetryable: boolean]> = [
    [new Reasons.RateLimited({ message }), "RateLimitError", true],
    [new Reasons.Unauthorized({ message }), "AuthenticationError", false],
    [new Reasons.InvalidRequest({ message, field: "content" }), "InvalidRequestError", false],
    [new Reasons.NotReached({ message }), "InternalProviderError", true],
    [new Reasons.AtCapacity({ message }), "InternalProviderError", true],
    [new Reasons.ConnectionLost({ message }), "UnknownError", false],
    [new Reasons.NotFound({ message }), "UnknownError", false]
  ]
  it.each(kinds.map((kind) => [kind[0]._tag, ...kind] as const))("%s", (_, reason, kind, isRetryable) => {
    const error = fromAsh("generateText")(new AshError({ operation: "SessionHandle.stream", reason }))
    assert.deepStrictEqual(reasonOf(error), [kind, isRetryable])
  })

  it.effect("of what did something are not repeated, of what did nothing are", () => {
    let fails = true
    const script: AgentScript.AgentScript = (turn) => fails ? Stream.make(AgentScript.fail("it broke")) : echo(turn)
    return Effect.gen(function*() {
      const chat = yield* Chat.empty
      const error = yield* errorOf(
        chat.generateText({ prompt: "One" }).pipe(Effect.retry({ times: 3, while: ({ isRetryable }) => isRetryable }))
      )
      assert.deepStrictEqual(reasonOf(error), ["UnknownError", false])
      assert.strictEqual((yield* (yield* AshEmbedded.AskedTurns).all).length, 1)
      fails = false
      assert.strictEqual((yield* chat.generateText({ prompt: "One" })).text, "You wrote: One")
    }).pipe(Effect.provide(model), Effect.provide(server(script)))
  })
})
