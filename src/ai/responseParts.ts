/** From the events of a turn to the parts of a response of `effect/ai`. */
import type * as Response from "effect/ai/Response"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { TurnEvent } from "../functions/TurnStream.ts"
import * as TurnParts from "../internal/turn/turnParts.ts"
import type { UsageBefore } from "../internal/turn/turnUsage.ts"
import type { TokenUsage } from "../schema/ClaudeMessage.ts"
import type { Turn } from "../schema/Turn.ts"
import { markOf } from "./prompt.ts"
import type { DeclaredTool } from "./tools.ts"

declare module "effect/ai/Response" {
  /** What Ash knows of a turn beside its parts. */
  export interface FinishPartMetadata {
    readonly ash?: {
      readonly sessionId: string
      /** US dollars: an estimate of the vendor's. */
      readonly costUsd: number | null
      readonly numTurns: number | null
      /** Whether usage and cost are those of the turn, or of its session so far, where the two cannot be told apart. */
      readonly usageScope: Turn["usageScope"]
      readonly outcome: string
      /** Tools that the agent used, and that the program's toolkit does not name, or declares with another input. */
      readonly undeclaredTools: ReadonlyArray<string>
    }
  }
}

/** A count of tokens; one that is none, or beyond what a number counts, is left out: no response may have it. */
const count = (value: number | null | undefined) => Number.isSafeInteger(value) ? value ?? undefined : undefined

const sum = (...counts: ReadonlyArray<number | undefined>) => {
  const known = counts.filter(Predicate.isNotUndefined)
  return known.length === 0 ? undefined : count(known.reduce((total, value) => total + value, 0))
}

/** The tokens of a turn, as responses count them. */
export const usageOf = (usage: TokenUsage | undefined): Response.FinishPartEncoded["usage"] => {
  const uncached = count(usage?.input_tokens)
  const cacheRead = count(usage?.cache_read_input_tokens)
  const cacheWrite = count(usage?.cache_creation_input_tokens)
  return {
    inputTokens: { uncached, cacheRead, cacheWrite, total: sum(uncached, cacheRead, cacheWrite) },
    outputTokens: { total: count(usage?.output_tokens), text: undefined, reasoning: undefined }
  }
}

export interface ResponseOptions {
  readonly sessionId: string
  readonly usageBefore: UsageBefore
  /** Of tools, those come through that the program declares, by the agent's names. */
  readonly tools: ReadonlyMap<string, DeclaredTool>
  readonly hasText: boolean
}

const textParts = (text: string, metadata: ReturnType<typeof markOf>): Array<Response.StreamPartEncoded> => [
  { type: "text-start", id: "answer", metadata },
  { type: "text-delta", id: "answer", delta: text },
  { type: "text-end", id: "answer" }
]

export const make = ({ hasText, sessionId, tools, usageBefore }: ResponseOptions) => {
  const parts = TurnParts.make(usageBefore)
  const mark = markOf(sessionId)
  const undeclaredTools = new Set<string>()
  const shownTools = new Map<string, DeclaredTool>()
  let text = ""
  let model: string | undefined
  let isEmpty = true

  /** The parts of those tools that are declared; the names of the others are kept. */
  const toolPartsOf = Effect.fnUntraced(function*(part: Extract<TurnParts.TurnPart, { readonly call: unknown }>) {
    const { call, id } = part
    const common = { id, providerExecuted: true, metadata: mark } as const
    if (part._tag === "ToolCall") {
      const tool = tools.get(call.name)
      if (tool === undefined || !(yield* tool.takes(call.input))) {
        undeclaredTools.add(call.name)
        return []
      }
      shownTools.set(id, tool)
      return [{ type: "tool-call", name: tool.name, params: call.input, ...common } as const]
    }
    const tool = shownTools.get(id)
    if (tool === undefined) return []
    return [{ type: "tool-result", name: tool.name, ...yield* tool.resultOf(part.result), ...common } as const]
  })

  const wordsOf = (
    part: Exclude<TurnParts.TurnPart, { readonly call: unknown }>
  ): ReadonlyArray<Response.StreamPartEncoded> => {
    if (part.kind === "text" && !hasText) return []
    const kind = TurnParts.kinds[part.kind]
    switch (part._tag) {
      case "Start":
        return [{ type: `${kind}-start`, id: part.id, metadata: mark }]
      case "Delta":
        if (part.kind === "text") text += part.delta
        return [{ type: `${kind}-delta`, id: part.id, delta: part.delta }]
      case "End":
        return [{ type: `${kind}-end`, id: part.id }]
    }
  }

  const partsOf = (taken: ReadonlyArray<TurnParts.TurnPart>) =>
    Effect.map(
      Effect.forEach(
        taken,
        (part): Effect.Effect<ReadonlyArray<Response.StreamPartEncoded>> =>
          "call" in part ? toolPartsOf(part) : Effect.succeed(wordsOf(part))
      ),
      (made) => {
        const all = made.flat()
        if (all.length > 0) isEmpty = false
        return all
      }
    )

  const modelOf = (event: TurnEvent): ReadonlyArray<Response.StreamPartEncoded> => {
    if (event._tag !== "Message" || event.message._tag !== "SystemInit") return []
    if (!Predicate.isString(event.message.model)) return []
    model = event.message.model
    return [{ type: "response-metadata", modelId: model }]
  }

  return {
    take: (events: ReadonlyArray<TurnEvent>) =>
      Effect.map(partsOf(parts.take(events)), (taken) => [...events.flatMap(modelOf), ...taken]),
    /** The last parts of a turn that came to its end; `answer` takes the place of its text. */
    end: (answer: string | undefined) =>
      Effect.map(partsOf(parts.end()), (taken) => {
        text = answer ?? text
        const turn = parts.turn()
        // A history has no message for a response without parts, and could not be told from one without the turn.
        const last = answer !== undefined || isEmpty ? textParts(text, mark) : []
        return [...taken, ...last, finishOf(turn, sessionId, [...undeclaredTools])]
      }),
    turn: parts.turn,
    model: () => model,
    text: () => text
  }
}

const finishOf = (
  turn: Turn,
  sessionId: string,
  undeclaredTools: ReadonlyArray<string>
): Response.StreamPartEncoded => ({
  type: "finish",
  reason: TurnParts.finishReasonOf(turn),
  usage: usageOf(turn.usage),
  metadata: {
    ash: {
      sessionId,
      costUsd: turn.costUsd ?? null,
      numTurns: turn.numTurns ?? null,
      usageScope: turn.usageScope,
      outcome: turn.outcome._tag,
      undeclaredTools
    }
  }
})

/** The parts of a stream as those of a whole response. */
export const whole = (streamed: ReadonlyArray<Response.StreamPartEncoded>): Array<Response.PartEncoded> => {
  const texts = new Map<string, string>()
  for (const part of streamed) {
    if (part.type === "text-delta" || part.type === "reasoning-delta") {
      texts.set(part.id, (texts.get(part.id) ?? "") + part.delta)
    }
  }
  return streamed.flatMap((part): ReadonlyArray<Response.PartEncoded> => {
    switch (part.type) {
      case "text-start":
        return [{ type: "text", text: texts.get(part.id) ?? "", metadata: part.metadata }]
      case "reasoning-start":
        return [{ type: "reasoning", text: texts.get(part.id) ?? "", metadata: part.metadata }]
      case "tool-call":
      case "tool-result":
      case "response-metadata":
      case "finish":
        return [part]
      default:
        return []
    }
  })
}
