/**
 * A turn as the UI message stream of the AI SDK, version 1, which `useChat` of `@ai-sdk/react`, assistant-ui and others
 * read.
 */
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { TurnEvent } from "../functions/TurnStream.ts"
import type { Kind, TextListener } from "../internal/turn/textAccumulator.ts"
import * as TurnFold from "../internal/turn/turnFold.ts"
import type { ToolCall, Turn } from "../schema/Turn.ts"
import * as EventStream from "./EventStream.ts"
import type { ServerSentEventsOptions } from "./serverSentEvents.ts"

/** How a turn is answered. */
export interface UiMessageStreamOptions extends ServerSentEventsOptions {
  /** The id of the message that the page makes of the turn. @default one that the page makes */
  readonly messageId?: string | undefined
}

/** What a page knows of a turn beside its parts, as `metadata` of its message. */
export interface UiMessageMetadata {
  readonly outcome: Turn["outcome"]["_tag"]
  readonly usage: Turn["usage"] | undefined
  readonly costUsd: number | undefined
}

/** The agent runs its tools itself, and a page need not know them. */
interface ToolPart {
  readonly toolCallId: string
  readonly dynamic: true
  readonly providerExecuted: true
}

/** A part of the stream. */
export type UiMessageChunk =
  | { readonly type: "start"; readonly messageId: string | undefined }
  | { readonly type: "text-start" | "text-end" | "reasoning-start" | "reasoning-end"; readonly id: string }
  | { readonly type: "text-delta" | "reasoning-delta"; readonly id: string; readonly delta: string }
  | { readonly type: "tool-input-available"; readonly toolName: string; readonly input: Schema.Json } & ToolPart
  | { readonly type: "tool-output-available"; readonly output: Schema.Json } & ToolPart
  | { readonly type: "tool-output-error"; readonly errorText: string } & ToolPart
  | { readonly type: "data-session-restarted"; readonly data: Schema.Json }
  | { readonly type: "error"; readonly errorText: string }
  | {
    readonly type: "finish"
    readonly finishReason: "content-filter" | "error" | "length" | "stop"
    readonly messageMetadata: UiMessageMetadata
  }

const kinds = { text: "text", thinking: "reasoning" } as const

/** Writes text and thinking as parts, one at a time. */
const makeWriter = (emit: (chunk: UiMessageChunk) => void) => {
  let count = 0
  let open: { readonly kind: (typeof kinds)[Kind]; readonly id: string } | undefined
  const close = () => {
    if (open !== undefined) emit({ type: `${open.kind}-end`, id: open.id })
    open = undefined
  }
  const write = (of: Kind, delta: string) => {
    const kind = kinds[of]
    if (open?.kind !== kind) {
      close()
      open = { kind, id: `${kind}-${++count}` }
      emit({ type: `${kind}-start`, id: open.id })
    }
    emit({ type: `${kind}-delta`, id: open.id, delta })
  }
  const listener: TextListener = {
    written: (kind, text, isBehindTool) => {
      if (isBehindTool) close()
      write(kind, text)
    },
    // A page cannot take back what it has: the text that is true follows as a part of its own.
    replaced: (kind, _, text) => {
      close()
      if (text !== "") write(kind, text)
      close()
    }
  }
  return { close, listener }
}

const toolPart = (toolCallId: string): ToolPart => ({ toolCallId, dynamic: true, providerExecuted: true })

const outputOf = (id: string, { content, isError }: NonNullable<ToolCall["result"]>): UiMessageChunk =>
  isError
    ? {
      type: "tool-output-error",
      errorText: typeof content === "string" ? content : JSON.stringify(content),
      ...toolPart(id)
    }
    : { type: "tool-output-available", output: content, ...toolPart(id) }

/** Announces the calls of tools, and their results, once each. */
const makeTools = (calls: ReadonlyArray<ToolCall>, emit: (chunk: UiMessageChunk) => void) => {
  let announced = 0
  const ids = new Set<string>()
  /** The ids of calls without a result, by their places. */
  const running = new Map<number, string>()
  return (): void => {
    for (; announced < calls.length; announced++) {
      const call = calls[announced]
      if (call === undefined) continue
      const id = call.id === "" || ids.has(call.id) ? `${call.id}#${announced}` : call.id
      ids.add(id)
      running.set(announced, id)
      emit({ type: "tool-input-available", toolName: call.name, input: call.input, ...toolPart(id) })
    }
    for (const [index, id] of running) {
      const result = calls[index]?.result
      if (result === undefined) continue
      running.delete(index)
      emit(outputOf(id, result))
    }
  }
}

const finishReasons = new Map<Turn["outcome"]["_tag"], "length" | "stop">([
  ["Success", "stop"],
  ["MaxTurns", "length"],
  ["MaxBudgetUsd", "length"]
])

const finishReasonOf = ({ outcome, stopReason }: Turn) =>
  stopReason === "refusal"
    ? "content-filter"
    : outcome._tag === "Success" && stopReason === "max_tokens"
    ? "length"
    : finishReasons.get(outcome._tag) ?? "error"

/** The parts of a turn, of event after event. */
const makeParts = (errorText: (error: unknown) => string) => {
  let chunks: Array<UiMessageChunk> = []
  const emit = (chunk: UiMessageChunk) => void chunks.push(chunk)
  const writer = makeWriter(emit)
  const state = TurnFold.initial({ listener: writer.listener })
  const tools = makeTools(state.toolCalls, (chunk) => {
    writer.close()
    emit(chunk)
  })
  const taken = () => {
    const out = chunks
    chunks = []
    return out
  }
  return {
    take: (events: ReadonlyArray<TurnEvent>) => {
      for (const event of events) {
        TurnFold.addEvent(state, event)
        if (event._tag === "Message") tools()
        if (event._tag === "SessionRestarted") emit({ type: "data-session-restarted", data: {} })
      }
      state.words.settleAtOnce()
      return taken()
    },
    end: () => {
      const turn = TurnFold.toTurn(state)
      writer.close()
      const finishReason = finishReasonOf(turn)
      if (finishReason === "error") emit({ type: "error", errorText: errorText(turn) })
      else {
        emit({
          type: "finish",
          finishReason,
          messageMetadata: { outcome: turn.outcome._tag, usage: turn.usage, costUsd: turn.costUsd }
        })
      }
      return taken()
    },
    fail: (error: unknown) => {
      state.words.settle()
      writer.close()
      emit({ type: "error", errorText: errorText(error) })
      return taken()
    }
  }
}

/** The parts of the message that a page makes of a turn. A failure is an `error` part, the last one. */
export const uiMessageChunks = <E, R = never>(
  events: EventStream.TurnEvents<E, R>,
  { errorText = EventStream.errorText, messageId }: UiMessageStreamOptions = {}
): Stream.Stream<UiMessageChunk, never, R> =>
  Stream.suspend(() => {
    const parts = makeParts(errorText)
    return Stream.succeed<UiMessageChunk>({ type: "start", messageId }).pipe(
      Stream.concat(
        EventStream.streamOf(events).pipe(
          Stream.mapAccumArray(() => parts, (_, batch) => [parts, parts.take(batch)]),
          Stream.concat(Stream.suspend(() => Stream.fromArray(parts.end()))),
          Stream.catch((error) => Stream.fromArray(parts.fail(error)))
        )
      )
    )
  })

/** The parts of a turn that is over. */
export const chunksOf = (events: ReadonlyArray<TurnEvent>): ReadonlyArray<UiMessageChunk> => {
  const parts = makeParts(EventStream.errorText)
  return [...parts.take(events), ...parts.end()]
}

/** The frames of parts, with the one that ends them. */
export const framesOf = <R>(chunks: Stream.Stream<UiMessageChunk, never, R>): Stream.Stream<string, never, R> =>
  Stream.concat(
    Stream.map(chunks, (chunk) => EventStream.frame(JSON.stringify(chunk))),
    Stream.succeed(EventStream.frame("[DONE]"))
  )

/** The headers by which readers know the stream. */
export const headers = { "x-vercel-ai-ui-message-stream": "v1" }

/** Makes a UI message stream of a turn. Send the message with `includePartialMessages`, so that its text comes as it is written. */
export const toUiMessageStream = <E, R = never>(
  events: EventStream.TurnEvents<E, R>,
  options: UiMessageStreamOptions = {}
): EventStream.EventStream<R> => EventStream.make(framesOf(uiMessageChunks(events, options)), options, headers)
