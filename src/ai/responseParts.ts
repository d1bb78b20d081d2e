/** From the events of a turn to the parts of a response of `effect/ai`. */
import type * as Response from "effect/ai/Response"
import * as Predicate from "effect/Predicate"
import type { TurnEvent } from "../functions/TurnStream.ts"
import * as TurnParts from "../internal/turn/turnParts.ts"
import type { TokenUsage } from "../schema/ClaudeMessage.ts"
import type { Turn } from "../schema/Turn.ts"
import { markOf } from "./prompt.ts"

declare module "effect/ai/Response" {
  /** What Ash knows of a turn beside its parts. */
  export interface FinishPartMetadata {
    readonly ash?: {
      readonly sessionId: string
      /** US dollars: an estimate of the vendor's. */
      readonly costUsd: number | null
      readonly numTurns: number | null
      readonly outcome: string
      /** Tools that the agent used, and that the program's toolkit does not name. */
      readonly undeclaredTools: ReadonlyArray<string>
    }
  }
}

const kinds = { text: "text", thinking: "reasoning" } as const

/** A count of tokens; one that is none is left out. */
const count = (value: number | null | undefined) => Number.isInteger(value) ? value ?? undefined : undefined

const sum = (...counts: ReadonlyArray<number | undefined>) => {
  const known = counts.filter(Predicate.isNotUndefined)
  return known.length === 0 ? undefined : known.reduce((total, value) => total + value, 0)
}

const usageOf = (usage: TokenUsage | undefined): Response.FinishPartEncoded["usage"] => {
  const uncached = count(usage?.input_tokens)
  const cacheRead = count(usage?.cache_read_input_tokens)
  const cacheWrite = count(usage?.cache_creation_input_tokens)
  return {
    inputTokens: { uncached, cacheRead, cacheWrite, total: sum(uncached, cacheRead, cacheWrite) },
    outputTokens: { total: count(usage?.output_tokens), text: undefined, reasoning: undefined }
  }
}

const reasons = new Map<Turn["outcome"]["_tag"], Response.FinishReason>([
  ["Success", "stop"],
  ["MaxTurns", "length"],
  ["MaxBudgetUsd", "length"]
])

const finishReasonOf = ({ outcome, stopReason }: Turn): Response.FinishReason =>
  stopReason === "refusal"
    ? "content-filter"
    : outcome._tag === "Success" && stopReason === "max_tokens"
    ? "length"
    : reasons.get(outcome._tag) ?? "error"

/** The parts of a turn, batch by batch. */
export interface ResponseParts {
  readonly take: (events: ReadonlyArray<TurnEvent>) => Array<Response.StreamPartEncoded>
  /** The last parts of a turn that came to its end; `answer` takes the place of its text. */
  readonly end: (turn: Turn, answer: string | undefined) => Array<Response.StreamPartEncoded>
  readonly turn: () => Turn
  /** The text of the response so far. */
  readonly text: () => string
}

/** Makes parts of a turn. Of tools, those come through that the program declares, by the agent's names. */
export const make = (sessionId: string, tools: ReadonlyMap<string, string>, hasText: boolean): ResponseParts => {
  const parts = TurnParts.make()
  const mark = markOf(sessionId)
  let text = ""
  const undeclaredTools = new Set<string>()

  const partOf = (part: TurnParts.TurnPart): ReadonlyArray<Response.StreamPartEncoded> => {
    if (part._tag === "ToolCall" || part._tag === "ToolResult") {
      const name = tools.get(part.call.name)
      if (name === undefined) {
        undeclaredTools.add(part.call.name)
        return []
      }
      const shared = { id: part.id, name, providerExecuted: true, metadata: mark }
      return part._tag === "ToolCall"
        ? [{ type: "tool-call", params: part.call.input, ...shared }]
        : [{ type: "tool-result", result: part.result.content, isFailure: part.result.isError, ...shared }]
    }
    if (part.kind === "text" && !hasText) return []
    const kind = kinds[part.kind]
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

  const modelOf = (event: TurnEvent): ReadonlyArray<Response.StreamPartEncoded> =>
    event._tag === "Message" && event.message._tag === "SystemInit" && Predicate.isString(event.message.model)
      ? [{ type: "response-metadata", modelId: event.message.model }]
      : []

  const answerParts = (answer: string): ReadonlyArray<Response.StreamPartEncoded> => {
    text = answer
    return [
      { type: "text-start", id: "answer", metadata: mark },
      { type: "text-delta", id: "answer", delta: answer },
      { type: "text-end", id: "answer" }
    ]
  }

  return {
    take: (events) => [...events.flatMap(modelOf), ...parts.take(events).flatMap(partOf)],
    end: (turn, answer) => [
      ...parts.end().flatMap(partOf),
      ...(answer === undefined ? [] : answerParts(answer)),
      {
        type: "finish",
        reason: finishReasonOf(turn),
        usage: usageOf(turn.usage),
        metadata: {
          ash: {
            sessionId,
            costUsd: turn.costUsd ?? null,
            numTurns: turn.numTurns ?? null,
            outcome: turn.outcome._tag,
            undeclaredTools: [...undeclaredTools]
          }
        }
      }
    ],
    turn: parts.turn,
    text: () => text
  }
}

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
