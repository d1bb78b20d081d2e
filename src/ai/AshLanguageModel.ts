/**
 * An agent of an Ash server as a `LanguageModel` of `effect/ai`. A session is a conversation: it is found by the history of a
 * prompt, opened with the first one, and ended with the layer of its server.
 */
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import { addGenAIAnnotations } from "effect/ai/Telemetry"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Span } from "effect/Tracer"
import { over } from "../client/over.ts"
import { RequestOptions } from "../client/RequestOptions.ts"
import { anObject, checked, type Rule } from "../internal/request/options.ts"
import { answerReader } from "../internal/turn/answer.ts"
import { type AnswerSchema, answerSchema } from "../internal/turn/answerSchema.ts"
import { finishReasonOf } from "../internal/turn/turnParts.ts"
import { usageOf } from "../internal/turn/turnUsage.ts"
import type { AshError } from "../schema/AshError.ts"
import type { SendMessageOptions } from "../schema/Message.ts"
import type { Turn } from "../schema/Turn.ts"
import type { Sessions } from "../services/Sessions.ts"
import * as Conversations from "./conversations.ts"
import { aiError, fromAsh } from "./errors.ts"
import * as Prompt from "./prompt.ts"
import * as ResponseParts from "./responseParts.ts"
import { checkTools, declaredTools } from "./tools.ts"

/** What an agent is asked with. */
export interface ConfigOptions extends Omit<SendMessageOptions, "includePartialMessages" | "outputFormat"> {}

/** The options of the calls in an effect, over those of the model: `withConfigOverride` sets them. */
export class Config extends Context.Service<Config, ConfigOptions>()("effect-ash/ai/AshLanguageModel/Config") {}

/** Lays options over those of the model, for the calls in an effect. */
export const withConfigOverride: {
  (overrides: ConfigOptions): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Config>>
  <A, E, R>(self: Effect.Effect<A, E, R>, overrides: ConfigOptions): Effect.Effect<A, E, Exclude<R, Config>>
} = dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, overrides: ConfigOptions) =>
  Effect.flatMap(
    Effect.serviceOption(Config),
    (config) => Effect.provideService(self, Config, over(Option.getOrUndefined(config), overrides) ?? overrides)
  ))

/** How an agent is used as a model. */
export interface ModelOptions extends ConfigOptions, Conversations.ConversationOptions {}

/** US dollars. A turn with structured output can go on for ever (docs/ash.md 3.6). */
const structuredBudget = 1

/** The form of a structured answer; `UnsupportedSchemaError` where there is none, before anything is sent. */
const formatOf = (method: string, schema: Schema.Constraint): Effect.Effect<AnswerSchema, AiError.AiError> =>
  Effect.mapError(
    Effect.fromResult(answerSchema(schema)),
    ({ field, text }) =>
      aiError(method, new AiError.UnsupportedSchemaError({ description: `${field} cannot be asked for: ${text}` }))
  )

const noResult = "the turn ended without a result; what it did is not known. Do not repeat it"

/** A structured answer as JSON. What is wrong with one is seen here, as the error that Effect makes of it is retryable. */
const answerOf = Effect.fnUntraced(function*(method: string, schema: Schema.Top, format: AnswerSchema, turn: Turn) {
  // The services that decoding needs are those of the caller, in whose fiber this runs.
  const codec = Schema.make<Schema.Codec<unknown>>(schema.ast)
  const found = yield* answerReader(codec, format.isWrapped)(turn)
  const json = Result.isSuccess(found)
    ? yield* Effect.option(Schema.encodeEffect(Schema.fromJsonString(Schema.toCodecJson(codec)))(found.success.value))
    : Option.none()
  if (Option.isSome(json)) return json.value
  const why = Result.isSuccess(found) ? "it cannot be encoded again" : found.failure.kind
  const description =
    `the agent gave no answer in the form of the schema (${why}); the outcome of the turn is ${turn.outcome._tag}`
  return yield* aiError(method, new AiError.InvalidResponseError({ description }))
})

/** Options that are none are refused by each call, as the layer of a model has no failures. */
const checkedBy = <Options extends object>(method: string, rule: Rule, options: Options | undefined) =>
  Effect.mapError(checked(`AshLanguageModel.${method}`, rule, options), fromAsh(method))

const sendOptions = Effect.fnUntraced(function*(
  method: string,
  defaults: ConfigOptions,
  format: AnswerSchema | undefined
): Effect.fn.Return<SendMessageOptions, AiError.AiError> {
  const config = yield* checkedBy(method, anObject, Option.getOrUndefined(yield* Effect.serviceOption(Config)))
  // What is none is refused where the turn is sent.
  const turn = (yield* RequestOptions)?.timeouts?.turn ?? "off"
  const isLimited = turn !== "off" && Option.exists(Duration.fromInput(turn), Duration.isFinite)
  const bounds: ConfigOptions = format === undefined || isLimited ? {} : { maxBudgetUsd: structuredBudget }
  return {
    ...over(over(bounds, defaults), config),
    includePartialMessages: method === "streamText",
    ...(format === undefined ? {} : { outputFormat: { type: "json_schema", schema: format.json } })
  }
})

const annotateEnd = (span: Span, model: string | undefined, turn: Turn) => {
  const { inputTokens, outputTokens } = ResponseParts.usageOf(turn.usage)
  addGenAIAnnotations(span, {
    response: { model, finishReasons: [finishReasonOf(turn)] },
    usage: { inputTokens: inputTokens.total, outputTokens: outputTokens.total }
  })
}

const isOfNoSession = ({ reason }: AshError) =>
  reason._tag === "NotFound" || (reason._tag === "WrongState" && reason.status === "ended")

/** The model of an agent. */
export const make = Effect.fnUntraced(function*(
  agent: string,
  options?: ModelOptions
): Effect.fn.Return<LanguageModel.LanguageModel, never, Sessions> {
  const { maxConversations, sessions, ...defaults } = { ...options }
  const find = yield* Conversations.make(agent, { maxConversations, sessions })

  /** A turn as parts, and what becomes of its conversation. */
  const stream = (method: string, asked: LanguageModel.ProviderOptions) =>
    Stream.unwrap(Effect.gen(function*() {
      yield* checkedBy(method, Conversations.areConversations, options)
      yield* checkTools(method, asked)
      const { prompt, responseFormat, span, tools } = asked
      const read = yield* Prompt.read(method, prompt)
      const format = responseFormat.type === "text" ? undefined : yield* formatOf(method, responseFormat.schema)
      const send = yield* sendOptions(method, defaults, format)
      const { answered, forgotten, session, usageBefore } = yield* find(method, read)
      addGenAIAnnotations(span, {
        provider: { name: "ash" },
        operation: { name: "invoke_agent" },
        request: { model: send.model ?? agent }
      })
      span.attribute("gen_ai.agent.name", agent)
      span.attribute("gen_ai.conversation.id", session.id)
      const parts = ResponseParts.make({
        sessionId: session.id,
        usageBefore,
        tools: declaredTools(tools),
        hasText: format === undefined
      })

      const end = Effect.gen(function*() {
        const turn = parts.turn()
        if (turn.result === undefined) {
          return yield* aiError(method, new AiError.UnknownError({ description: noResult }))
        }
        annotateEnd(span, parts.model(), turn)
        const answer = format === undefined || responseFormat.type === "text"
          ? undefined
          : yield* answerOf(method, responseFormat.schema, format, turn)
        const last = yield* parts.end(answer)
        // Of a turn that broke off, the gate of the session decides whether another one may follow.
        answered(Prompt.keyWith(prompt.content, parts.text()), usageOf(turn.result, usageBefore).after)
        return last
      })

      return session.stream(read.content, send).pipe(
        Stream.catch((error) =>
          Stream.fromEffect(isOfNoSession(error) ? forgotten : Effect.fail(fromAsh(method)(error)))
        ),
        Stream.mapAccumArrayEffect(() => parts, (_, events) => {
          const [first] = events
          // A restart comes before anything is sent behind it.
          return first._tag === "SessionRestarted" && first.lost.length > 0
            ? forgotten
            : Effect.map(parts.take(events), (taken) => [parts, taken] as const)
        }),
        Stream.concat(Stream.unwrap(Effect.map(end, Stream.fromArray)))
      )
    }))

  return yield* LanguageModel.make({
    codecTransformer: (schema) => ({
      codec: Schema.toCodecJson(schema),
      jsonSchema: Result.match(answerSchema(schema), { onSuccess: ({ json }) => json, onFailure: () => ({}) })
    }),
    generateText: (options) =>
      Effect.map(
        Stream.runCollect(stream(options.responseFormat.type === "json" ? "generateObject" : "generateText", options)),
        ResponseParts.whole
      ),
    streamText: (options) => stream("streamText", options)
  })
})

/** The model of an agent as a layer. */
export const layer = (
  agent: string,
  options?: ModelOptions
): Layer.Layer<LanguageModel.LanguageModel, never, Sessions> =>
  Layer.effect(LanguageModel.LanguageModel, make(agent, options))

/** An agent as a model that programs provide: `AshLanguageModel.model("helper")`, in the place of another provider's. */
export const model = (
  agent: string,
  options?: ModelOptions
): Model.Model<"ash", LanguageModel.LanguageModel, Sessions> => Model.make("ash", agent, layer(agent, options))
