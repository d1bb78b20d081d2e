/**
 * A script that a language model of `effect/ai` is behind. Of that, modules are imported when such a script is made: a
 * program without one loads none of them.
 */
import type { AiError } from "effect/ai/AiError"
import type { LanguageModel } from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as JsonSchema from "effect/JsonSchema"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaRepresentation from "effect/SchemaRepresentation"
import * as Stream from "effect/Stream"
import type { TokenUsage } from "../schema/ClaudeMessage.ts"
import { type StoredMessage, UserPrompt } from "../schema/Message.ts"
import { besideBlock, textsOf } from "../schema/promptText.ts"
import type { JsonInput } from "../schema/Wire.ts"
import * as AgentScript from "./AgentScript.ts"
import { isObject } from "./wire/Json.ts"

/** How a model is asked. */
export interface LanguageModelOptions {
  /** What the model is told, in addition to the agent's `CLAUDE.md`. */
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

/** Why there is no answer, in one line that repeats nothing of what was asked and answered. */
class ModelFailure extends Data.TaggedError("ModelFailure")<{ readonly message: string }> {}

/**
 * A script whose turns are made by the `LanguageModel` in context: its text and its thinking as they arrive, its calls of
 * tools and what they gave, its usage, and an object where the message asks for an `outputFormat`. The model is asked again
 * with what its tools gave until it calls none. It is told the `CLAUDE.md` of the agent, and the texts of the session's
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
): Effect.Effect<AgentScript.AgentScript, never, LanguageModel>
/** As above, with tools that the model may call. */
export function languageModel<Tools extends Record<string, Tool.Any>, R = never>(
  options: LanguageModelOptions & {
    /** The tools that the model may call. */
    readonly toolkit: ToolkitOf<Tools, R>
  }
): Effect.Effect<
  AgentScript.AgentScript,
  never,
  | LanguageModel
  | R
  | Tool.HandlerServices<Tools[keyof Tools]>
  | Tool.ResultDecodingServices<Tools[keyof Tools]>
  | Tool.ParametersEncodingServices<Tools[keyof Tools]>
>
export function languageModel(
  { system = "", toolkit }: LanguageModelOptions & { readonly toolkit?: ToolkitOf<Tools, LanguageModel> | undefined } =
    {}
): Effect.Effect<AgentScript.AgentScript, never, LanguageModel> {
  return Effect.gen(function*() {
    const { AiError, LanguageModel, Prompt } = yield* modules
    const context = yield* Effect.context<LanguageModel>()
    const model = yield* LanguageModel.LanguageModel

    /** Asks the model once, and tells all that it answered. */
    const askOnce = (prompt: Prompt.Prompt, stage: Stage) => {
      const parts: Array<Response.AnyPart> = []
      const answer: Stream.Stream<Response.AnyPart, Error, LanguageModel> = toolkit === undefined
        ? model.streamText({ prompt })
        : model.streamText({ prompt, toolkit })
      return answer.pipe(
        Stream.runForEach((part) => {
          parts.push(part)
          return play(part, stage)
        }),
        Effect.andThen(stage.endTexts),
        Effect.as(parts)
      )
    }

    /** Asks the model, and goes on with what its tools gave until it calls none. */
    const ask = Effect.fnUntraced(function*(prompt: Prompt.Prompt, stage: Stage) {
      let conversation = prompt
      while (true) {
        const parts = yield* askOnce(conversation, stage)
        conversation = Prompt.concat(conversation, Prompt.fromResponseParts(parts))
        if (!parts.some((part) => part.type === "tool-result" && part.providerExecuted !== true)) return conversation
        // A turn that is cut at a limit asks no further.
        yield* stage.callsPlayed
      }
    })

    /** Asks the model for an object. */
    const askObject = Effect.fnUntraced(function*(prompt: Prompt.Prompt, format: JsonInput, stage: Stage) {
      const schema = yield* objectSchema(toJson(format))
      const { content, reasoningText, value } = yield* model.generateObject({ prompt, schema, objectName: "answer" })
      if (reasoningText !== undefined) yield* stage.offer(AgentScript.think(reasoningText))
      yield* stage.offer(AgentScript.say(JSON.stringify(value)))
      yield* Effect.forEach(content, (part) => part.type === "finish" ? play(part, stage) : Effect.void)
      return value
    })

    const perform = Effect.fnUntraced(function*(turn: AgentScript.AgentTurn, stage: Stage) {
      const format = turn.options.outputFormat?.schema
      const prompt = Prompt.make(messagesOf(turn, system))
      const conversation = format === undefined || toolkit !== undefined ? yield* ask(prompt, stage) : prompt
      const answer = format === undefined ? {} : { structuredOutput: yield* askObject(conversation, format, stage) }
      yield* stage.offer(AgentScript.finish({ ...answer, usage: stage.usage() }))
    })

    return (turn) =>
      Stream.callback<AgentScript.AgentStep, ModelFailure>((steps) => {
        const stage = makeStage((step) => Effect.asVoid(Queue.offer(steps, step)))
        return perform(turn, stage).pipe(
          Effect.provideContext(context),
          Effect.catchCause((cause) =>
            Cause.hasInterrupts(cause)
              ? Effect.interrupt
              : Effect.fail(new ModelFailure({ message: describe(cause, AiError.isAiError) }))
          ),
          Effect.onExit(stage.close),
          Effect.andThen(Queue.end(steps))
        )
      })
  })
}

const modules = Effect.map(
  Effect.promise(() =>
    Promise.all([import("effect/ai/AiError"), import("effect/ai/LanguageModel"), import("effect/ai/Prompt")])
  ),
  ([AiError, LanguageModel, Prompt]) => ({ AiError, LanguageModel, Prompt })
)

/** What the parts of an answer become steps on. */
interface Stage {
  readonly offer: (step: AgentScript.AgentStep) => Effect.Effect<void>
  /** The pieces of a text that is being written; the step is offered with the first of them. */
  readonly write: (
    key: string,
    piece: string,
    step: (pieces: Stream.Stream<string, Error>) => AgentScript.AgentStep
  ) => Effect.Effect<void>
  readonly endText: (key: string) => Effect.Effect<void>
  readonly endTexts: Effect.Effect<void>
  /** What a tool that is called is going to give. */
  readonly call: (id: string) => Effect.Effect<AgentScript.ToolOutcome, Error>
  readonly answerCall: (id: string, outcome: AgentScript.ToolOutcome) => Effect.Effect<void>
  /** Waits until all calls were looked at, and so all that came before them. */
  readonly callsPlayed: Effect.Effect<void>
  readonly addUsage: (usage: Response.Usage) => Effect.Effect<void>
  readonly usage: () => TokenUsage
  /** Ends what is not at its end. */
  readonly close: (exit: Exit.Exit<unknown, ModelFailure>) => Effect.Effect<void>
}

/** A call of a tool. */
interface Call {
  readonly played: Deferred.Deferred<void>
  readonly outcome: Deferred.Deferred<AgentScript.ToolOutcome, Error>
}

const makeStage = (offer: Stage["offer"]): Stage => {
  const texts = new Map<string, Queue.Queue<string, Error | Cause.Done>>()
  const calls = new Map<string, Call>()
  const used = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }
  const endText: Stage["endText"] = (key) =>
    Effect.suspend(() => {
      const text = texts.get(key)
      texts.delete(key)
      return text === undefined ? Effect.void : Effect.asVoid(Queue.end(text))
    })
  const callOf = (id: string) => {
    const call = calls.get(id) ??
      { played: Deferred.makeUnsafe<void>(), outcome: Deferred.makeUnsafe<AgentScript.ToolOutcome, Error>() }
    calls.set(id, call)
    return call
  }
  return {
    offer,
    write: Effect.fnUntraced(function*(key, piece, step) {
      const known = texts.get(key)
      const text = known ?? (yield* Queue.unbounded<string, Error | Cause.Done>())
      texts.set(key, text)
      yield* Queue.offer(text, piece)
      if (known === undefined) yield* offer(step(Stream.fromQueue(text)))
    }),
    endText,
    endTexts: Effect.suspend(() => Effect.forEach([...texts.keys()], endText, { discard: true })),
    call: (id) => {
      const { outcome, played } = callOf(id)
      return Effect.andThen(Deferred.succeed(played, undefined), Deferred.await(outcome))
    },
    answerCall: (id, outcome) => Effect.asVoid(Deferred.succeed(callOf(id).outcome, outcome)),
    callsPlayed: Effect.suspend(() =>
      Effect.forEach(calls.values(), ({ played }) => Deferred.await(played), { discard: true })
    ),
    addUsage: ({ inputTokens, outputTokens }) =>
      Effect.sync(() => {
        const { cacheRead = 0, cacheWrite = 0, total = 0, uncached = total - cacheRead - cacheWrite } = inputTokens
        used.input_tokens += Math.max(uncached, 0)
        used.cache_read_input_tokens += cacheRead
        used.cache_creation_input_tokens += cacheWrite
        used.output_tokens += outputTokens.total ?? (outputTokens.text ?? 0) + (outputTokens.reasoning ?? 0)
      }),
    usage: () => ({ ...used }),
    close: (exit) => {
      const error = Option.getOrElse(
        Exit.findErrorOption(exit),
        () => new ModelFailure({ message: "the answer has ended" })
      )
      return Effect.all([
        ...Array.from(texts.values(), (text) => Exit.isSuccess(exit) ? Queue.end(text) : Queue.fail(text, error)),
        ...Array.from(calls.values(), ({ outcome }) => Deferred.fail(outcome, error))
      ], { discard: true })
    }
  }
}

/** What a part of an answer does. */
const play = (part: Response.AnyPart, stage: Stage): Effect.Effect<void, Error> => {
  switch (part.type) {
    case "text-delta":
      return stage.write(`text ${part.id}`, part.delta, (pieces) => AgentScript.say("", { pieces }))
    case "reasoning-delta":
      return stage.write(`reasoning ${part.id}`, part.delta, (pieces) => AgentScript.think("", { pieces }))
    case "text-end":
      return stage.endText(`text ${part.id}`)
    case "reasoning-end":
      return stage.endText(`reasoning ${part.id}`)
    case "tool-call":
      return stage.offer(
        AgentScript.useTool({ name: part.name, input: toJson(part.params), result: stage.call(part.id) })
      )
    case "tool-result": {
      const raw = toJson(part.encodedResult)
      return part.preliminary === true ? Effect.void : stage.answerCall(part.id, {
        content: typeof raw === "string" ? raw : JSON.stringify(raw),
        isError: part.isFailure,
        raw
      })
    }
    case "tool-approval-request":
      return Effect.fail(new ModelFailure({ message: "a tool needs an approval, and an agent cannot ask for one" }))
    case "error":
      return Effect.fail(new ModelFailure({ message: "the model broke off its answer" }))
    case "finish":
      return stage.addUsage(part.usage)
    default:
      return Effect.void
  }
}

const decodeJson = Schema.decodeUnknownOption(Schema.Json)

const toJson = (value: unknown): Schema.Json => Option.getOrElse(decodeJson(value), () => null)

/** The conversation up to this turn. What the session keeps has the calls of tools, but not what they gave: it goes without. */
const messagesOf = (turn: AgentScript.AgentTurn, system: string): ReadonlyArray<Prompt.MessageEncoded> => {
  const told = [system, turn.agent.systemPrompt].filter((text) => text.trim() !== "").join("\n\n")
  return [
    ...(told === "" ? [] : [{ role: "system" as const, content: told }]),
    ...turn.history.flatMap(messageOf),
    ...userMessage(Option.match(decodePrompt({ type: "user", content: turn.content }), {
      onNone: () => turn.prompt,
      onSome: ({ content }) => content
    }))
  ]
}

const decodePrompt = Schema.decodeUnknownOption(UserPrompt)

const messageOf = ({ content: stored }: StoredMessage): ReadonlyArray<Prompt.MessageEncoded> => {
  if (stored._tag === "UserPrompt") return userMessage(stored.content)
  if (stored._tag !== "Assistant") return []
  const { content } = stored.message
  const text = typeof content === "string"
    ? content
    : content.map((block) => block._tag === "Text" ? block.text : "").join("")
  return text === "" ? [] : [{ role: "assistant", content: text }]
}

const userMessage = (content: UserPrompt["content"]): ReadonlyArray<Prompt.MessageEncoded> => {
  const hasMore = typeof content !== "string" && content.some((block) => typeof block !== "string" && "source" in block)
  const said = hasMore ? content.flatMap(partOf) : textsOf(content).join("")
  return said.length === 0 ? [] : [{ role: "user", content: said }]
}

/** A block of what was said as a model takes it. */
const partOf = (
  block: Exclude<UserPrompt["content"], string>[number]
): ReadonlyArray<Prompt.UserMessagePartEncoded> => {
  if (typeof block === "string") return textPart(block)
  if (!("type" in block)) return []
  if (block.type === "text") return textPart(block.text)
  const { source } = block
  const name = block.type === "document" && typeof block.title === "string" ? { fileName: block.title } : {}
  switch (source.type) {
    case "base64":
      return [{ type: "file", mediaType: source.media_type, data: source.data, ...name }]
    case "url":
      return URL.canParse(source.url)
        ? [{
          type: "file",
          mediaType: block.type === "image" ? "image/*" : "application/pdf",
          data: new URL(source.url),
          ...name
        }]
        : []
    case "text":
      // Not every model takes a text as a file.
      return textPart(source.data)
  }
}

const textPart = (text: string) => text === besideBlock ? [] : [{ type: "text" as const, text }]

/** The schema of an object, from that of `outputFormat`. Its patterns are the model's to keep. */
const objectSchema = (schema: Schema.Json) =>
  Effect.filterOrFail(
    Effect.try({
      try: () =>
        SchemaRepresentation.fromJsonSchemaDocument(
          JsonSchema.fromSchemaDraft2020_12(isObject(schema) ? schema : {}),
          { patterns: "ignore" }
        ),
      catch: () => new ModelFailure({ message: "the schema of outputFormat has what models are not asked for" })
    }),
    isObjectSchema,
    () => new ModelFailure({ message: "the schema of outputFormat is that of no object" })
  )

const isObjectSchema = (schema: Schema.Top): schema is Schema.Codec<Schema.JsonObject> =>
  SchemaAST.isObjects(schema.ast)

/** A failure in one line: what models, providers and tools say of it may hold keys and prompts. */
const describe = (cause: Cause.Cause<Error>, isAiError: (error: unknown) => error is AiError): string => {
  const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (failure === undefined) return `a defect of the model or of a tool: ${nameOf(Cause.squash(cause))}`
  if (failure instanceof ModelFailure) return failure.message
  if (!isAiError(failure)) return `a tool failed: ${nameOf(failure)}`
  const { reason } = failure
  const status = "http" in reason ? reason.http?.response?.status : undefined
  return `the model failed: ${reason._tag}${status === undefined ? "" : ` (${status})`}`
}

const nameOf = (error: unknown) => error instanceof Error ? error.name : "unknown"
