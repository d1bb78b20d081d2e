/**
 * A script with a language model of `effect/ai` behind it. The modules of `effect/ai` are imported when such a script is
 * made: a program without one loads none of them.
 */
import type { LanguageModel } from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaRepresentation from "effect/SchemaRepresentation"
import * as Stream from "effect/Stream"
import { checked, optionsOf, rule } from "../internal/request/options.ts"
import type { AshError } from "../schema/AshError.ts"
import { type JsonInput, withoutUndefined } from "../schema/Wire.ts"
import * as AgentScript from "./AgentScript.ts"
import * as Answer from "./model/Answer.ts"
import { messagesOf } from "./model/Conversation.ts"
import { describe, ModelFailure } from "./model/ModelFailure.ts"

/** How a model is asked. */
export interface LanguageModelOptions {
  /** Instructions for the model, in addition to the agent's `CLAUDE.md`. */
  readonly system?: string | undefined
}

/** The tools that a model may call, or what makes them: a `Toolkit` is that, given its handlers. */
type ToolkitOf<Tools extends Record<string, Tool.Any>, R> =
  | Toolkit.WithHandler<Tools>
  | Effect.Effect<Toolkit.WithHandler<Tools>, never, R>

/** Tools of which nothing is known but that they need nothing more. */
type Tools = Record<
  string,
  Tool.Tool<string, {
    readonly parameters: Schema.Codec<unknown>
    readonly success: Schema.Codec<unknown>
    readonly failure: Schema.Codec<Error>
    readonly failureMode: "error"
  }>
>

/**
 * A script whose turns are made by the `LanguageModel` in context: its text and its thinking as they arrive, its calls of
 * tools and their results, its usage, and an object where the message asks for an `outputFormat`. The model is asked again
 * with the results of its tools until it calls none. It gets the `CLAUDE.md` of the agent, and the texts of the session's
 * stored messages. Where it fails, the turn fails with the kind of the failure.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { AgentScript, AshEmbedded } from "effect-ash/embedded"
 *
 * // Provide it with the layer of a model, such as `OpenAiLanguageModel.model("gpt-5.2")`
 * const layer = Layer.unwrap(Effect.map(
 *   AgentScript.languageModel(),
 *   (script) => AshEmbedded.layer({ agents: { helper: { script, systemPrompt: "You are a helpful assistant." } } })
 * ))
 * ```
 */
export function languageModel(
  options?: LanguageModelOptions & { readonly toolkit?: undefined }
): Effect.Effect<AgentScript.AgentScript, AshError, LanguageModel>
/** As above, with tools that the model may call. */
export function languageModel<Tools extends Record<string, Tool.Any>, R = never>(
  options: LanguageModelOptions & {
    /** The tools that the model may call. */
    readonly toolkit: ToolkitOf<Tools, R>
  }
): Effect.Effect<
  AgentScript.AgentScript,
  AshError,
  | LanguageModel
  | R
  | Tool.HandlerServices<Tools[keyof Tools]>
  | Tool.ResultDecodingServices<Tools[keyof Tools]>
  | Tool.ParametersEncodingServices<Tools[keyof Tools]>
>
export function languageModel(
  options?: LanguageModelOptions & { readonly toolkit?: ToolkitOf<Tools, LanguageModel> | undefined }
): Effect.Effect<AgentScript.AgentScript, AshError, LanguageModel> {
  return Effect.gen(function*() {
    const { system = "", toolkit } = yield* checked("AgentScript.languageModel", rules, options)
    const [AiError, LanguageModel, Prompt] = yield* modules
    const context = yield* Effect.context<LanguageModel>()
    const model = yield* LanguageModel.LanguageModel

    const askOnce = (prompt: Prompt.Prompt, answer: Answer.Answer) => {
      const parts: Array<Response.AnyPart> = []
      const received: Stream.Stream<Response.AnyPart, Error, LanguageModel> = toolkit === undefined
        ? model.streamText({ prompt })
        : model.streamText({ prompt, toolkit })
      return received.pipe(
        Stream.runForEach((part) => {
          parts.push(part)
          return answer.play(part)
        }),
        Effect.andThen(answer.endTexts),
        Effect.as(parts)
      )
    }

    /** Asks the model, and again with the results of its tools, until it calls none; answers with the whole conversation. */
    const ask = Effect.fnUntraced(function*(prompt: Prompt.Prompt, answer: Answer.Answer) {
      let conversation = prompt
      while (true) {
        const parts = yield* askOnce(conversation, answer)
        conversation = Prompt.concat(conversation, Prompt.fromResponseParts(parts))
        if (!parts.some((part) => part.type === "tool-result" && part.providerExecuted !== true)) return conversation
        // A turn that is cut at a limit asks no further.
        yield* answer.callsPlayed
      }
    })

    const askObject = Effect.fnUntraced(function*(prompt: Prompt.Prompt, format: JsonInput, answer: Answer.Answer) {
      const schema = yield* objectSchema(withoutUndefined(format))
      const { content, reasoningText, value } = yield* model.generateObject({ prompt, schema, objectName: "answer" })
      if (reasoningText !== undefined) yield* answer.offer(AgentScript.think(reasoningText))
      yield* answer.offer(AgentScript.say(JSON.stringify(value)))
      yield* Effect.forEach(content, (part) => part.type === "finish" ? answer.play(part) : Effect.void)
      return value
    })

    /** Answers a turn: with texts and calls of tools, with an object, or with both, one behind the other. */
    const answerTurn = Effect.fnUntraced(function*(turn: AgentScript.AgentTurn, answer: Answer.Answer) {
      const format = turn.options.outputFormat?.schema
      const prompt = Prompt.make(messagesOf(turn, system))
      const conversation = format === undefined || toolkit !== undefined ? yield* ask(prompt, answer) : prompt
      const object = format === undefined ? {} : { structuredOutput: yield* askObject(conversation, format, answer) }
      yield* answer.offer(AgentScript.finish({ ...object, usage: answer.usage() }))
    })

    return (turn) =>
      Stream.callback<AgentScript.AgentStep, ModelFailure>((steps) => {
        const answer = Answer.make((step) => Effect.asVoid(Queue.offer(steps, step)))
        return answerTurn(turn, answer).pipe(
          Effect.provideContext(context),
          Effect.catchCause((cause) => Effect.fail(new ModelFailure({ message: describe(cause, AiError.isAiError) }))),
          Effect.onExit(answer.close),
          Effect.andThen(Queue.end(steps))
        )
      })
  })
}

const rules = optionsOf<LanguageModelOptions & { readonly toolkit: unknown }>({
  system: rule("a text", Predicate.isString),
  toolkit: rule("a toolkit", Predicate.isObjectKeyword)
})

const modules = Effect.promise(() =>
  Promise.all([import("effect/ai/AiError"), import("effect/ai/LanguageModel"), import("effect/ai/Prompt")])
)

/** The schema of an object, from that of `outputFormat`. The model alone checks its patterns. */
const objectSchema = (schema: Schema.JsonObject) =>
  Effect.filterOrFail(
    Effect.try({
      try: () =>
        SchemaRepresentation.fromJsonSchemaDocument(
          JsonSchema.fromSchemaDraft2020_12(schema),
          { patterns: "ignore" }
        ),
      catch: () =>
        new ModelFailure({ message: "the schema of outputFormat has a part that is not supported: simplify it" })
    }),
    isObjectSchema,
    () => new ModelFailure({ message: "the schema of outputFormat is not that of an object: ask for an object" })
  )

const isObjectSchema = (schema: Schema.Top): schema is Schema.Codec<Schema.JsonObject> =>
  SchemaAST.isObjects(schema.ast)
