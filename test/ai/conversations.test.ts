import { assert, describe, it } from "@effect/vitest"
import type * as AiError from "effect/ai/AiError"
import * as Chat from "effect/ai/Chat"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Telemetry from "effect/ai/Telemetry"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { AshLanguageModel } from "../../src/ai.ts"
import { AshApiClient } from "../../src/client/AshApiClient.ts"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import * as Fixtures from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"
import * as Tracing from "../support/tracing.ts"

const echo: AgentScript.AgentScript = ({ prompt }) => Stream.make(AgentScript.say(`You wrote: ${prompt}`))

const server = (script: AgentScript.AgentScript = echo) =>
  AshEmbedded.layer({ agents: { helper: { script } }, quirks: { content: "intact" } })

const model = AshLanguageModel.model("helper")

const statuses = Effect.flatMap(
  Sessions,
  (sessions) => Effect.map(sessions.list(), (all) => all.map(({ status }) => status))
)

const prompts = Effect.flatMap(
  AshEmbedded.AskedTurns,
  ({ all }) => Effect.map(all, (turns) => turns.map(({ prompt }) => prompt))
)

/** The same chat, stored as JSON and read again. */
const stored = (chat: Chat.Chat) => Effect.flatMap(chat.exportJson, Chat.fromJson)

const refusalOf = <A, R>(call: Effect.Effect<A, AiError.AiError, R>) =>
  Effect.map(Effect.flip(call), ({ isRetryable, reason }) => [
    reason._tag,
    reason._tag === "InvalidRequestError" ? reason.parameter : undefined,
    isRetryable
  ])

describe("a chat goes on in its session, also where it was stored", () => {
  const bytes = new Uint8Array([137, 80, 78, 71, 13])
  const fileOf = (data: Uint8Array | URL | string, mediaType = "image/png"): Prompt.RawInput => [
    { role: "user", content: [{ type: "text", text: "Look" }, { type: "file", mediaType, data }] }
  ]
  const rows: ReadonlyArray<readonly [what: string, prompt: Prompt.RawInput]> = [
    ["bytes", fileOf(bytes)],
    ["base64", fileOf("iVBORw0=")],
    ["a data URL", fileOf("data:image/png;base64,iVBORw0=")],
    ["a URL that is one of data", fileOf(new URL("data:image/png;base64,iVBORw0="))],
    ["a URL of the web", fileOf(new URL("https://example.com/ä b.png"))],
    ["a media type in capitals", fileOf(bytes, "IMAGE/PNG")],
    ["text with a character set", fileOf(new Uint8Array([0xe4]), "text/plain; charset=iso-8859-1")],
    ["line ends of both kinds", "a\r\nb\nc"],
    ["a lone surrogate", "a\ud800b"],
    ["characters of several code points", "👩‍👩‍👧 e\u0301 \u2028 \ufeff \0"],
    ["an empty text", ""],
    ["two messages", [{ role: "user", content: "One" }, { role: "user", content: "Two" }]]
  ]
  it.effect.each(rows)("with %s", ([, prompt]) =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt })
      const second = yield* stored(chat)
      yield* Stream.runDrain(second.streamText({ prompt }))
      yield* (yield* stored(second)).generateText({ prompt: "The end" })
      assert.deepStrictEqual(yield* statuses, ["active"])
    }).pipe(Effect.provide(model), Effect.provide(server())))

  const tool = (input: Schema.Json, outcome: AgentScript.ToolOutcome) =>
    AgentScript.useTool({ name: "Read", input, result: Effect.succeed(outcome) })
  const answers: ReadonlyArray<readonly [what: string, steps: ReadonlyArray<AgentScript.AgentStep>]> = [
    ["no text", []],
    ["thinking alone", [AgentScript.think("Hm.")]],
    ["several texts", [AgentScript.say("a"), AgentScript.think("Hm."), AgentScript.say("b"), AgentScript.say("c")]],
    ["a tool alone", [tool({ path: "a" }, { content: "it" })]],
    ["a tool that fails", [tool({ path: "a" }, { content: "no such file", isError: true }), AgentScript.say("No.")]],
    ["a tool with an input that is not declared", [tool({ file: "a" }, { content: "it" })]],
    ["a limit", [AgentScript.say("a"), AgentScript.finish({ subtype: "error_max_turns" })]]
  ]
  const read = Tool.providerDefined({
    id: "ash.read",
    customName: "ReadFile",
    providerName: "Read",
    args: Schema.Undefined,
    parameters: Schema.Struct({ path: Schema.String }),
    success: Schema.String
  })
  const toolkits = [Toolkit.empty, Toolkit.make(read(undefined))]
  it.effect.each(answers)("behind an answer of %s", ([, steps]) =>
    Effect.gen(function*() {
      for (const toolkit of toolkits) {
        const chat = yield* Chat.empty
        yield* chat.generateText({ prompt: "One", toolkit })
        const second = yield* stored(chat)
        yield* Stream.runDrain(second.streamText({ prompt: "Two", toolkit }))
        yield* (yield* stored(second)).generateText({ prompt: "Three", toolkit })
      }
      assert.deepStrictEqual(yield* statuses, ["active", "active"])
      assert.deepStrictEqual(yield* prompts, ["One", "Two", "Three", "One", "Two", "Three"])
    }).pipe(Effect.provide(model), Effect.provide(server(() => Stream.fromIterable(steps)))))

  it.effect("a tool's failure, and a result that is not declared, are results that failed", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(
        Tool.providerDefined({
          id: "ash.count",
          customName: "Count",
          providerName: "Count",
          args: Schema.Undefined,
          parameters: Schema.Unknown,
          success: Schema.FiniteFromString
        })(undefined)
      )
      const { toolResults } = yield* LanguageModel.generateText({ prompt: "Count", toolkit })
      assert.deepStrictEqual(
        toolResults.map(({ isFailure, result }) => isFailure ? Object(result).reason : result),
        [12, "the result of the tool is not of its success schema", "too many"]
      )
    }).pipe(
      Effect.provide(model),
      Effect.provide(server(() =>
        Stream.fromIterable(
          [{ content: "12" }, { content: "twelve" }, { content: "too many", isError: true }].map((outcome) =>
            AgentScript.useTool({ name: "Count", input: {}, result: Effect.succeed(outcome) })
          )
        )
      ))
    ))

  const roots: ReadonlyArray<readonly [what: string, schema: Schema.Codec<unknown, unknown>, output: Schema.Json]> = [
    ["an object", Schema.Struct({ a: Schema.Int }), { a: 1 }],
    ["a list", Schema.Array(Schema.Int), { value: [1] }],
    ["a literal", Schema.Literals(["a", "b"]), { value: "a" }],
    ["a union", Schema.Union([Schema.Struct({ a: Schema.Int }), Schema.String]), { value: "x" }],
    ["a date", Schema.DateFromString, { value: "2026-01-01T00:00:00.000Z" }]
  ]
  it.effect.each(roots)("behind an object that is %s", ([, schema, structuredOutput]) =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      // The type of `generateObject` has objects alone, as other providers do; what it does has not.
      const { value } = yield* chat.generateObject({
        prompt: "One",
        schema: Schema.make<Schema.Codec<object>>(schema.ast)
      })
      const plain = yield* Schema.encodeUnknownEffect(Schema.toCodecJson(schema))(value)
      assert.deepStrictEqual(Object(structuredOutput).value ?? structuredOutput, plain)
      yield* (yield* stored(chat)).generateText({ prompt: "Two" })
      assert.deepStrictEqual(yield* statuses, ["active"])
    }).pipe(
      Effect.provide(model),
      Effect.provide(server(() => Stream.make(AgentScript.say("Done."), AgentScript.finish({ structuredOutput }))))
    ))
})

describe("a consumer that leaves", () => {
  const leaving: ReadonlyArray<readonly [at: string, isLast: (type: string) => boolean, statuses: Array<string>]> = [
    ["at the first part", () => true, ["ended"]],
    ["within the text", (type) => type === "text-delta", ["ended"]],
    ["at the finish", (type) => type === "finish", ["active"]]
  ]
  it.effect.each(leaving)(
    "%s: a session goes on only behind a whole turn",
    ([, isLast, expected]) =>
      Effect.gen(function*() {
        const chat = yield* Chat.empty
        yield* Stream.runDrain(
          Stream.takeUntil(chat.streamText({ prompt: "One" }), ({ type }) => isLast(type))
        )
        assert.deepStrictEqual(yield* statuses, expected)
      }).pipe(Effect.provide(model), Effect.provide(server()))
  )

  it.effect("of a known conversation leaves it behind a turn that is not whole, and no later call is mixed in", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "One" })
      yield* Stream.runDrain(Stream.take(chat.streamText({ prompt: "Two" }), 1))
      assert.isFalse((yield* refusalOf(chat.generateText({ prompt: "Three" })))[2])
      assert.notInclude(yield* prompts, "Three")
    }).pipe(Effect.provide(model), Effect.provide(server())))
})

describe("a conversation whose session was changed between two prompts, by the server or another program,", () => {
  const changing = (how: "pause" | "stop" | "end") =>
    Effect.gen(function*() {
      const { list } = yield* Sessions
      const { sessions } = yield* AshApiClient
      return Effect.flatMap(list(), ([{ id } = Fixtures.session]) => sessions[how]({ params: { id } }))
    })
  const change = (how: "pause" | "stop" | "end") => Effect.flatten(changing(how))

  it.effect("goes on where its agent remembers it", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "One" })
      yield* change("pause")
      for (const prompt of ["Two", "Three"]) yield* chat.generateText({ prompt })
      assert.deepStrictEqual(yield* prompts, ["One", "Two", "Three"])
      assert.deepStrictEqual(yield* statuses, ["active"])
    }).pipe(Effect.provide(model), Effect.provide(server())))

  it.effect.each(["stop", "end"] as const)(
    "is none any more where its agent has forgotten it: nothing is sent, and its session ends (%s)",
    (how) =>
      Effect.gen(function*() {
        const chat = yield* Chat.empty
        yield* chat.generateText({ prompt: "One" })
        yield* change(how)
        for (let tries = 0; tries < 2; tries++) {
          const refusal = yield* refusalOf(chat.generateText({ prompt: "Two" }))
          assert.deepStrictEqual(refusal, ["InvalidRequestError", "prompt", false])
          assert.deepStrictEqual(yield* statuses, ["ended"])
        }
        assert.deepStrictEqual(yield* prompts, ["One"])
      }).pipe(Effect.provide(model), Effect.provide(server()))
  )

  it.effect.each(["stop", "end"] as const)(
    "before its first prompt was sent may begin anew, in another session (%s)",
    (how) =>
      Effect.gen(function*() {
        const sessions = yield* Sessions
        const change = yield* changing(how)
        let opened = 0
        const changed = Sessions.of({
          ...sessions,
          open: (...input) =>
            Effect.tap(sessions.open(...input), () => opened++ === 0 ? Effect.orDie(change) : Effect.void)
        })
        const chat = yield* Chat.empty
        yield* Effect.gen(function*() {
          const refusal = yield* refusalOf(chat.generateText({ prompt: "One" }))
          assert.deepStrictEqual(refusal, ["InternalProviderError", undefined, true])
          yield* chat.generateText({ prompt: "One" })
        }).pipe(Effect.provide(model), Effect.provideService(Sessions, changed))
        assert.deepStrictEqual(yield* prompts, ["One"])
        assert.deepStrictEqual((yield* statuses).toSorted(), ["active", "ended"])
      }).pipe(Effect.provide(server()))
  )
})

describe("a new conversation, where the layer has no place for another session,", () => {
  const crowded = AshEmbedded.layer({ agents: { helper: { script: echo }, other: { script: echo } }, maxSessions: 1 })
  const ask = (prompt: string) => LanguageModel.generateText({ prompt })

  it.effect("takes that of the one that waits for longest, of whatever agent", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "One" })
      for (const prompt of ["Two", "Three"]) yield* Effect.provide(ask(prompt), AshLanguageModel.model("other"))
      assert.deepStrictEqual((yield* statuses).toSorted(), ["active", "ended", "ended"])
      const refusal = yield* refusalOf(chat.generateText({ prompt: "Four" }))
      assert.deepStrictEqual(refusal, ["InvalidRequestError", "prompt", false])
    }).pipe(Effect.provide(model), Effect.provide(crowded)))

  it.effect("waits for one that is in use, and takes its place then", () =>
    Effect.gen(function*() {
      const texts = yield* Effect.forEach(["One", "Two", "Three"], ask, { concurrency: "unbounded" })
      assert.deepStrictEqual(texts.map(({ text }) => text), ["You wrote: One", "You wrote: Two", "You wrote: Three"])
      assert.deepStrictEqual((yield* statuses).toSorted(), ["active", "ended", "ended"])
    }).pipe(Effect.provide(model), Effect.provide(crowded)))

  it.effect("that is interrupted while it waits takes none", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      const session = yield* Scope.make()
      yield* Scope.provide((yield* Sessions).scoped({ agent: "helper" }), session)
      const fiber = yield* Effect.forkChild(ask("Never"), { startImmediately: true })
      yield* Effect.repeat(Effect.yieldNow, { times: 100 })
      yield* Fiber.interrupt(fiber)
      yield* Scope.close(session, Exit.void)
      for (const prompt of ["One", "Two"]) yield* chat.generateText({ prompt })
      assert.deepStrictEqual(yield* prompts, ["One", "Two"])
    }).pipe(Effect.provide(model), Effect.provide(crowded)))
})

describe("a session of the program's own, where the layer has no place for another,", () => {
  const ask = (prompt: string) => LanguageModel.generateText({ prompt })

  it.effect("takes that of a conversation that waits, and leaves the next to a conversation behind it", () =>
    Effect.gen(function*() {
      yield* Effect.forEach(["One", "Two"], ask, { concurrency: "unbounded" })
      const sessions = yield* Sessions
      const open = Effect.forkChild(sessions.open({ agent: "helper" }), { startImmediately: true })
      const opening = yield* open
      const { text } = yield* ask("Three")
      assert.strictEqual(text, "You wrote: Three")
      const { id } = yield* Fiber.join(opening)
      assert.strictEqual((yield* sessions.get(id)).status, "active")
      yield* Fiber.join(yield* open)
      assert.deepStrictEqual((yield* statuses).toSorted(), ["active", "active", "ended", "ended", "ended"])
    }).pipe(
      Effect.scoped,
      Effect.provide(model),
      Effect.provide(AshEmbedded.layer({ agents: { helper: { script: echo } }, maxSessions: 2 }))
    ))
})

describe("what is refused before anything is sent", () => {
  const options: ReadonlyArray<readonly [field: string, options: AshLanguageModel.ModelOptions]> = [
    ...[0, -1, 1.5, Number.NaN, Infinity].map((maxConversations) =>
      ["maxConversations", { maxConversations }] as const
    ),
    ["maxTurns", { maxTurns: Number.NaN }],
    ["maxBudgetUsd", { maxBudgetUsd: -1 }]
  ]
  it.effect.each(options)("an option that is none: %s", ([field, options]) =>
    Effect.gen(function*() {
      const refusal = yield* refusalOf(LanguageModel.generateText({ prompt: "Hello" }))
      assert.deepStrictEqual(refusal, ["InvalidRequestError", field, false])
      assert.deepStrictEqual(yield* prompts, [])
    }).pipe(Effect.provide(AshLanguageModel.model("helper", options)), Effect.provide(server())))

  it.effect("a history, where each call has a session; the conversation of another model stays", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* Effect.provide(chat.generateText({ prompt: "One" }), model)
      const refusal = yield* refusalOf(
        Effect.provide(chat.generateText({ prompt: "Two" }), AshLanguageModel.model("helper", { sessions: "call" }))
      )
      assert.deepStrictEqual(refusal, ["InvalidRequestError", "prompt", false])
      yield* Effect.provide(chat.generateText({ prompt: "Three" }), model)
      assert.deepStrictEqual(yield* prompts, ["One", "Three"])
    }).pipe(Effect.provide(server())))

  it.effect("a choice among tools, none of them too", () =>
    Effect.gen(function*() {
      const tool = Tool.providerDefined({
        id: "ash.read",
        customName: "Read",
        providerName: "Read",
        args: Schema.Undefined,
        parameters: Schema.Unknown,
        success: Schema.Unknown
      })
      for (const toolChoice of ["none", "required", { tool: "Read" }] as const) {
        const call = LanguageModel.generateText({ prompt: "Hello", toolkit: Toolkit.make(tool(undefined)), toolChoice })
        assert.deepStrictEqual(yield* refusalOf(call), ["InvalidRequestError", "toolChoice", false])
      }
      assert.deepStrictEqual(yield* statuses, [])
    }).pipe(Effect.provide(model), Effect.provide(server())))

  it.effect("a call behind the end of the layer of its server", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Layer.provide(model, server()), scope)
      const known = yield* Chat.empty
      yield* Effect.provideContext(known.generateText({ prompt: "One" }), context)
      yield* Scope.close(scope, Exit.void)
      for (const chat of [known, yield* Chat.empty]) {
        const refusal = yield* refusalOf(Effect.provideContext(chat.generateText({ prompt: "Two" }), context))
        assert.deepStrictEqual(refusal, ["UnknownError", undefined, false])
      }
    }))
})

describe("two servers", () => {
  it.effect("with agents of one name have conversations of their own", () =>
    Effect.gen(function*() {
      const one = yield* Layer.build(Layer.provide(model, server()))
      const other = yield* Layer.build(Layer.provide(model, server()))
      const chat = yield* Chat.empty
      yield* Effect.provideContext(chat.generateText({ prompt: "One" }), one)
      const refusal = yield* refusalOf(Effect.provideContext(chat.generateText({ prompt: "Two" }), other))
      assert.deepStrictEqual(refusal, ["InvalidRequestError", "prompt", false])
      yield* Effect.provideContext(chat.generateText({ prompt: "Two" }), one)
    }))
})

describe("usage and telemetry", () => {
  /** A server whose figures are sums over the session. */
  const summing = () => {
    let turns = 0
    return Server.make(({ method, path }) => {
      if (path.includes(Fixtures.noSession)) return Server.json({ error: "Session not found" }, 404)()
      if (method === "POST" && path.endsWith("/messages")) {
        const sum = ++turns * 10
        return Server.sse(Server.frames(
          ["session_start", { sessionId: Fixtures.sessionId }],
          ["message", {
            ...Fixtures.result,
            session_id: "sdk",
            total_cost_usd: sum / 10,
            usage: { input_tokens: 10, output_tokens: 10 },
            modelUsage: { claude: { inputTokens: sum, outputTokens: sum, costUSD: sum / 10 } }
          }],
          ["done", { sessionId: Fixtures.sessionId }]
        ))()
      }
      return Server.json({ session: Fixtures.session })()
    })
  }

  it.effect("are those of the turn, where the server has sums over the session", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.empty
      for (const prompt of ["One", "Two", "Three"]) {
        const { content, usage } = yield* chat.generateText({ prompt })
        assert.deepStrictEqual([usage.inputTokens.total, usage.outputTokens.total], [10, 10])
        const finish = content.find(({ type }) => type === "finish")
        assert.deepInclude(finish?.metadata["ash"], { costUsd: 1, usageScope: "turn" })
      }
    }).pipe(Effect.provide(model), Effect.provide(summing().layer)))

  it.effect("the span has what is known of the turn, and a transformer sees the parts", () => {
    const { spans, trace } = Tracing.make()
    const seen: Array<string> = []
    return Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: "Hello" })
      yield* Stream.runDrain(LanguageModel.streamText({ prompt: "Hello" }))
      for (const name of ["LanguageModel.generateText", "LanguageModel.streamText"]) {
        const attributes = Object.fromEntries(spans.find((span) => span.name === name)?.attributes ?? [])
        assert.deepInclude(attributes, {
          "gen_ai.provider.name": "ash",
          "gen_ai.agent.name": "helper",
          "gen_ai.response.finish_reasons": ["stop"]
        })
        assert.isNumber(attributes["gen_ai.usage.input_tokens"])
        assert.isNumber(attributes["gen_ai.usage.output_tokens"])
        assert.isString(attributes["gen_ai.response.model"])
      }
      assert.deepStrictEqual(seen.filter((type) => type === "finish").length, 2)
    }).pipe(
      Effect.provide(model),
      Effect.provideService(Telemetry.CurrentSpanTransformer, ({ response }) => {
        seen.push(...response.map(({ type }) => type))
      }),
      Effect.provide(server()),
      trace
    )
  })
})
