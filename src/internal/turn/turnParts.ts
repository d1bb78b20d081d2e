/**
 * A turn as parts, as they begin, grow and end: text and thinking, one at a time, and the calls of tools with their results.
 * Streams of other formats are made of them.
 */
import type { ToolCall, Turn } from "../../schema/Turn.ts"
import type { Kind, TextListener } from "./textAccumulator.ts"
import * as TurnFold from "./turnFold.ts"
import type { UsageBefore } from "./turnUsage.ts"

export type TurnPart =
  | { readonly _tag: "Start" | "End"; readonly kind: Kind; readonly id: string }
  | { readonly _tag: "Delta"; readonly kind: Kind; readonly id: string; readonly delta: string }
  /** The id is that of the call, unless it has none, or another call has it. */
  | { readonly _tag: "ToolCall"; readonly id: string; readonly call: ToolCall }
  | {
    readonly _tag: "ToolResult"
    readonly id: string
    readonly call: ToolCall
    readonly result: NonNullable<ToolCall["result"]>
  }

type Emit = (part: TurnPart) => void

const makeWriter = (emit: Emit) => {
  let count = 0
  let open: { readonly kind: Kind; readonly id: string } | undefined
  const close = () => {
    if (open !== undefined) emit({ _tag: "End", ...open })
    open = undefined
  }
  const write = (kind: Kind, delta: string) => {
    if (open?.kind !== kind) {
      close()
      open = { kind, id: `${kind}-${++count}` }
      emit({ _tag: "Start", ...open })
    }
    emit({ _tag: "Delta", ...open, delta })
  }
  const listener: TextListener = {
    written: (kind, text, isBehindTool) => {
      if (isBehindTool) close()
      write(kind, text)
    },
    // What has been sent cannot be taken back: the text that is true follows as a part of its own.
    replaced: (kind, _, text) => {
      close()
      if (text !== "") write(kind, text)
      close()
    }
  }
  return { close, listener }
}

/** Announces the calls of tools, and their results, once each. */
const makeTools = (calls: ReadonlyArray<ToolCall>, emit: Emit) => {
  let announced = 0
  const ids = new Set<string>()
  /** The ids of calls without a result, by their places. */
  const running = new Map<number, string>()
  return () => {
    for (; announced < calls.length; announced++) {
      const call = calls[announced]
      if (call === undefined) continue
      const id = call.id === "" || ids.has(call.id) ? `${call.id}#${announced}` : call.id
      ids.add(id)
      running.set(announced, id)
      emit({ _tag: "ToolCall", id, call })
    }
    for (const [index, id] of running) {
      const call = calls[index]
      if (call?.result === undefined) continue
      running.delete(index)
      emit({ _tag: "ToolResult", id, call, result: call.result })
    }
  }
}

/** What other formats call text and thinking. */
export const kinds = { text: "text", thinking: "reasoning" } as const

const finishReasons = new Map<Turn["outcome"]["_tag"], "length" | "stop">([
  ["Success", "stop"],
  ["MaxTurns", "length"],
  ["MaxBudgetUsd", "length"]
])

/** Why a turn ended, as other formats have it. */
export const finishReasonOf = ({ outcome, stopReason }: Turn): "content-filter" | "error" | "length" | "stop" =>
  stopReason === "refusal"
    ? "content-filter"
    : outcome._tag === "Success" && stopReason === "max_tokens"
    ? "length"
    : finishReasons.get(outcome._tag) ?? "error"

export type TurnParts = ReturnType<typeof make>

/** Makes the parts of a turn, batch by batch, by what is known of the turns before. */
export const make = (before?: UsageBefore) => {
  const parts: Array<TurnPart> = []
  const emit = (part: TurnPart) => void parts.push(part)
  const writer = makeWriter(emit)
  const state = TurnFold.initial({ listener: writer.listener, ...(before && { before }) })
  const announceTools = makeTools(state.toolCalls, (part) => {
    writer.close()
    emit(part)
  })
  return {
    /** The parts that events begin, grow or end. */
    take: (events: ReadonlyArray<TurnFold.TurnEvent>): ReadonlyArray<TurnPart> => {
      for (const event of events) {
        TurnFold.addEvent(state, event)
        if (event._tag === "Message") announceTools()
      }
      state.words.endBatch()
      state.words.settleAtOnce()
      return parts.splice(0)
    },
    /** The last parts, where nothing more comes. */
    end: (): ReadonlyArray<TurnPart> => {
      state.words.settle()
      writer.close()
      return parts.splice(0)
    },
    turn: () => TurnFold.toTurn(state)
  }
}
