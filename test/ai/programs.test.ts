/** Programs as those of other providers are written, with an agent in the place of a model. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, ExecutionPlan, Exit, Layer, Ref, Schema, Stream } from "effect"
import { AiError, Chat, LanguageModel, Model, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import { AshLanguageModel } from "../../src/ai.ts"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"

class LaunchPlan extends Schema.Class<LaunchPlan>("LaunchPlan")({
  audience: Schema.Literals(["developers", "operators"]),
  channels: Schema.Array(Schema.String),
  launchDate: Schema.String
}) {}

class WriterError extends Schema.TaggedError<WriterError>()("WriterError", { reason: AiError.AiErrorReason }) {
  static fromAiError({ reason }: AiError.AiError) {
    return new WriterError({ reason })
  }
}

const plan = { audience: "developers", channels: ["blog"], launchDate: "2026-12-01" }

const answering: AgentScript.AgentScript = ({ options, prompt }) =>
  Stream.make(
    AgentScript.say(`You wrote: ${prompt}`),
    AgentScript.finish(options.outputFormat === undefined ? {} : { structuredOutput: plan })
  )

const server = AshEmbedded.layer({
  agents: {
    writer: { script: answering },
    broken: { script: () => Stream.make(AgentScript.fail("it broke")) }
  },
  quirks: { content: "intact" }
})

const DraftPlan = ExecutionPlan.make(
  { provide: AshLanguageModel.model("broken"), attempts: 2 },
  { provide: AshLanguageModel.model("writer"), attempts: 2 }
)

class Writer extends Context.Service<Writer, {
  draft(product: string): Effect.Effect<{ readonly provider: string; readonly text: string }, WriterError>
  extract(notes: string): Effect.Effect<LaunchPlan, WriterError>
  highlights(version: string): Stream.Stream<string, WriterError>
}>()("test/Writer") {
  static readonly layer = Layer.effect(
    Writer,
    Effect.gen(function*() {
      const draftsModel = yield* DraftPlan.captureRequirements
      const planModel = yield* AshLanguageModel.model("writer").captureRequirements
      return Writer.of({
        draft: Effect.fn("Writer.draft")(
          function*(product: string) {
            const model = yield* LanguageModel.LanguageModel
            const provider = yield* Model.ProviderName
            const { text } = yield* model.generateText({ prompt: product })
            return { provider, text }
          },
          Effect.withExecutionPlan(draftsModel),
          Effect.mapError((error) => WriterError.fromAiError(error))
        ),
        extract: Effect.fn("Writer.extract")(
          function*(notes: string) {
            const model = yield* LanguageModel.LanguageModel
            const { value } = yield* model.generateObject({
              objectName: "launch_plan",
              prompt: notes,
              schema: LaunchPlan
            })
            return value
          },
          Effect.provide(planModel),
          Effect.mapError((error) => WriterError.fromAiError(error))
        ),
        highlights: (version) =>
          LanguageModel.streamText({ prompt: version }).pipe(
            Stream.filter((part): part is Response.TextDeltaPart => part.type === "text-delta"),
            Stream.map((part) => part.delta),
            Stream.provide(planModel),
            Stream.mapError((error) => WriterError.fromAiError(error))
          )
      })
    })
  )
}

const agents = Effect.flatMap(
  AshEmbedded.AskedTurns,
  ({ all }) => Effect.map(all, (turns) => turns.map(({ agent }) => agent.name))
)

describe("a service that writes", () => {
  it.effect("takes the next agent of a plan where one fails, extracts objects, and streams text", () =>
    Effect.gen(function*() {
      const writer = yield* Writer
      assert.deepStrictEqual(yield* writer.draft("Effect"), { provider: "ash", text: "You wrote: Effect" })
      assert.strictEqual((yield* agents).at(-1), "writer")
      const extracted = yield* writer.extract("notes")
      assert.instanceOf(extracted, LaunchPlan)
      assert.deepStrictEqual<unknown>({ ...extracted }, plan)
      const text = yield* Stream.mkString(writer.highlights("4.1"))
      assert.strictEqual(text, "You wrote: 4.1")
    }).pipe(Effect.provide(Writer.layer), Effect.provide(server)))
})

describe("an assistant that chats", () => {
  it.effect("keeps its conversation, over a chat that was stored, with the model provided call by call", () =>
    Effect.gen(function*() {
      const modelLayer = yield* AshLanguageModel.model("writer").captureRequirements
      const created = yield* Chat.fromPrompt(Prompt.empty.pipe(Prompt.setSystem("You are helpful.")))
      const chat = yield* Chat.fromJson(yield* created.exportJson)
      for (const prompt of ["One", "Two"]) {
        const { text } = yield* chat.generateText({ prompt }).pipe(Effect.provide(modelLayer))
        assert.strictEqual(text, `You wrote: ${prompt}`)
      }
      const { content } = yield* Ref.get(chat.history)
      assert.deepStrictEqual(content.map(({ role }) => role), ["system", "user", "assistant", "user", "assistant"])
    }).pipe(Effect.provide(server)))

  it.effect("answers a prompt that the chat was made with", () =>
    Effect.gen(function*() {
      const chat = yield* Chat.fromPrompt([
        { role: "system", content: "You are helpful." },
        { role: "user", content: "One" }
      ])
      const { text } = yield* chat.generateText({ prompt: [] })
      assert.strictEqual(text, "You wrote: One")
    }).pipe(Effect.provide(AshLanguageModel.model("writer")), Effect.provide(server)))
})

describe("an assistant with tools of its own", () => {
  const Tools = Toolkit.make(
    Tool.make("Search", { parameters: Schema.Struct({ query: Schema.String }), success: Schema.Array(Schema.String) })
  )
  it.effect("is refused before anything is sent", () =>
    Effect.gen(function*() {
      const toolkit = yield* Tools
      const exit = yield* Effect.exit(LanguageModel.generateText({ prompt: "Hello", toolkit, toolChoice: "required" }))
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.strictEqual(AiError.isAiError(error) ? error.reason._tag : error, "ToolConfigurationError")
      assert.deepStrictEqual(yield* agents, [])
    }).pipe(
      Effect.provide(Tools.toLayer({ Search: ({ query }) => Effect.succeed([query]) })),
      Effect.provide(AshLanguageModel.model("writer")),
      Effect.provide(server)
    ))
})
