/** Makes steps of a script of the answer of a model, part by part. */
import type * as Response from "effect/ai/Response"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { TokenUsage } from "../../schema/ClaudeMessage.ts"
import * as AgentScript from "../AgentScript.ts"
import { ModelFailure } from "./ModelFailure.ts"

/** The answer of a model while it arrives: parts of it are still to be written, and calls to be answered. */
export type Answer = ReturnType<typeof make>

const hasEnded = new ModelFailure({ message: "the answer has ended" })

interface Call {
  readonly played: Deferred.Deferred<void>
  readonly outcome: Deferred.Deferred<AgentScript.ToolOutcome, Error>
}

export const make = (offer: (step: AgentScript.AgentStep) => Effect.Effect<void>) => {
  const texts = new Map<string, Queue.Queue<string, Error | Cause.Done>>()
  const calls = new Map<string, Call>()
  const used = { input_tokens: 0, output_tokens: 0, cache_creation_input_tokens: 0, cache_read_input_tokens: 0 }
  const endText = (key: string) =>
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
  /** Adds a piece to a text that is being written; the step is offered with the first of them. */
  const write = Effect.fnUntraced(function*(
    key: string,
    piece: string,
    step: (pieces: Stream.Stream<string, Error>) => AgentScript.AgentStep
  ) {
    const known = texts.get(key)
    const text = known ?? (yield* Queue.unbounded<string, Error | Cause.Done>())
    texts.set(key, text)
    yield* Queue.offer(text, piece)
    if (known === undefined) yield* offer(step(Stream.fromQueue(text)))
  })
  /** The outcome of a tool that is called, once it is there. */
  const outcomeOf = (id: string) => {
    const { outcome, played } = callOf(id)
    return Effect.andThen(Deferred.succeed(played, undefined), Deferred.await(outcome))
  }
  const addUsage = ({ inputTokens, outputTokens }: Response.Usage) =>
    Effect.sync(() => {
      const { cacheRead = 0, cacheWrite = 0, total = 0, uncached = total - cacheRead - cacheWrite } = inputTokens
      used.input_tokens += Math.max(uncached, 0)
      used.cache_read_input_tokens += cacheRead
      used.cache_creation_input_tokens += cacheWrite
      used.output_tokens += outputTokens.total ?? (outputTokens.text ?? 0) + (outputTokens.reasoning ?? 0)
    })
  return {
    offer,
    /** Makes steps of a part of the answer, or goes on with earlier ones. */
    play: (part: Response.AnyPart): Effect.Effect<void, Error> => {
      switch (part.type) {
        case "text-delta":
          return write(`text ${part.id}`, part.delta, (pieces) => AgentScript.say("", { pieces }))
        case "reasoning-delta":
          return write(`reasoning ${part.id}`, part.delta, (pieces) => AgentScript.think("", { pieces }))
        case "text-end":
          return endText(`text ${part.id}`)
        case "reasoning-end":
          return endText(`reasoning ${part.id}`)
        case "tool-call":
          return offer(
            AgentScript.useTool({ name: part.name, input: toJson(part.params), result: outcomeOf(part.id) })
          )
        case "tool-result": {
          if (part.preliminary === true) return Effect.void
          const raw = toJson(part.encodedResult)
          const content = typeof raw === "string" ? raw : JSON.stringify(raw)
          return Effect.asVoid(Deferred.succeed(callOf(part.id).outcome, { content, isError: part.isFailure, raw }))
        }
        case "tool-approval-request":
          return Effect.fail(new ModelFailure({ message: "a tool needs an approval, and an agent cannot ask for one" }))
        case "error":
          return Effect.fail(new ModelFailure({ message: "the model aborted its answer" }))
        case "finish":
          return addUsage(part.usage)
        default:
          return Effect.void
      }
    },
    endTexts: Effect.suspend(() => Effect.forEach([...texts.keys()], endText, { discard: true })),
    /** Waits until the performance of the script has reached all calls, and so all that came before them. */
    callsPlayed: Effect.suspend(() =>
      Effect.forEach(calls.values(), ({ played }) => Deferred.await(played), { discard: true })
    ),
    usage: (): TokenUsage => ({ ...used }),
    /** Ends the texts that are still open, and fails the calls without an outcome. */
    close: (exit: Exit.Exit<unknown, ModelFailure>) => {
      const error = Option.getOrElse(Exit.findErrorOption(exit), () => hasEnded)
      return Effect.all([
        ...Array.from(texts.values(), (text) => Exit.isSuccess(exit) ? Queue.end(text) : Queue.fail(text, error)),
        ...Array.from(calls.values(), ({ outcome }) => Deferred.fail(outcome, error))
      ], { discard: true })
    }
  }
}

const decodeJson = Schema.decodeUnknownOption(Schema.Json)

const toJson = (value: unknown): Schema.Json => Option.getOrElse(decodeJson(value), () => null)
