/**
 * A turn as the UI message stream of the AI SDK, version 1, which `useChat` of `@ai-sdk/react`, assistant-ui and others
 * read.
 */
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { TurnEvent } from "../functions/TurnStream.ts"
import { optionsOf, text } from "../internal/request/options.ts"
import * as TurnParts from "../internal/turn/turnParts.ts"
import type { ToolCall, Turn } from "../schema/Turn.ts"
import { jsonText, textOrJson } from "../schema/Wire.ts"
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
  | { readonly type: "abort" }
  | {
    readonly type: "finish"
    readonly finishReason: "content-filter" | "error" | "length" | "stop"
    readonly messageMetadata: UiMessageMetadata
  }

const toolPart = (toolCallId: string): ToolPart => ({ toolCallId, dynamic: true, providerExecuted: true })

const outputOf = (id: string, { content, isError }: NonNullable<ToolCall["result"]>): UiMessageChunk =>
  isError
    ? { type: "tool-output-error", errorText: textOrJson(content), ...toolPart(id) }
    : { type: "tool-output-available", output: content, ...toolPart(id) }

const chunkOf = (part: TurnParts.TurnPart): UiMessageChunk => {
  switch (part._tag) {
    case "Start":
      return { type: `${TurnParts.kinds[part.kind]}-start`, id: part.id }
    case "Delta":
      return { type: `${TurnParts.kinds[part.kind]}-delta`, id: part.id, delta: part.delta }
    case "End":
      return { type: `${TurnParts.kinds[part.kind]}-end`, id: part.id }
    case "ToolCall":
      return { type: "tool-input-available", toolName: part.call.name, input: part.call.input, ...toolPart(part.id) }
    case "ToolResult":
      return outputOf(part.id, part.result)
  }
}

/** The last chunk of a turn that came to its end. */
const finish = (turn: Turn, errorText: (error: unknown) => string): UiMessageChunk => {
  const finishReason = TurnParts.finishReasonOf(turn)
  if (finishReason === "error") return { type: "error", errorText: errorText(turn) }
  const { costUsd, outcome, usage } = turn
  return { type: "finish", finishReason, messageMetadata: { outcome: outcome._tag, usage, costUsd } }
}

const restarted: UiMessageChunk = { type: "data-session-restarted", data: {} }

const chunksOfBatch = (parts: TurnParts.TurnParts, batch: ReadonlyArray<TurnEvent>) => [
  ...batch.flatMap((event) => event._tag === "SessionRestarted" ? [restarted] : []),
  ...parts.take(batch).map(chunkOf)
]

const rules = optionsOf<UiMessageStreamOptions>({ ...EventStream.rules, messageId: text })

/** The parts of the message that a page makes of a turn. */
export const chunksOfTurn = <E, R>(
  events: EventStream.TurnEvents<E, R>,
  { errorText = EventStream.errorText, messageId }: UiMessageStreamOptions
): Stream.Stream<UiMessageChunk, never, R> =>
  Stream.suspend(() => {
    const parts = TurnParts.make()
    const end = (last: UiMessageChunk) => Stream.fromArray([...parts.end().map(chunkOf), last])
    return Stream.succeed<UiMessageChunk>({ type: "start", messageId }).pipe(
      Stream.concat(
        EventStream.streamOf(events).pipe(
          Stream.mapAccumArray(() => parts, (_, batch) => [parts, chunksOfBatch(parts, batch)]),
          Stream.concat(Stream.suspend(() => end(finish(parts.turn(), errorText)))),
          Stream.catch((error) => end({ type: "error", errorText: errorText(error) }))
        )
      )
    )
  })

/**
 * The parts of the message that a page makes of a turn. A failure is an `error` part, the last one. Throws as
 * {@link toUiMessageStream} does.
 */
export const uiMessageChunks = <E, R = never>(
  events: EventStream.TurnEvents<E, R>,
  options?: UiMessageStreamOptions
): Stream.Stream<UiMessageChunk, never, R> => chunksOfTurn(events, EventStream.given("uiMessageChunks", rules, options))

/** The parts of messages that are stored, without what ends them. */
export const chunksOf = (events: ReadonlyArray<TurnEvent>): ReadonlyArray<UiMessageChunk> => {
  const parts = TurnParts.make()
  return [...parts.take(events), ...parts.end()].map(chunkOf)
}

export const framesOf = <R>(chunks: Stream.Stream<UiMessageChunk, never, R>): Stream.Stream<string, never, R> =>
  Stream.concat(
    Stream.map(chunks, (chunk) => EventStream.frame(jsonText(chunk))),
    Stream.succeed(EventStream.frame("[DONE]"))
  )

/** The headers by which readers know the stream. */
export const headers = { "x-vercel-ai-ui-message-stream": "v1" }

/**
 * Makes a UI message stream of a turn. Send the message with `includePartialMessages`, so that its text comes as it is written.
 * Throws an `AshError` with `InvalidRequest` for options that are none.
 */
export const toUiMessageStream = <E, R = never>(
  events: EventStream.TurnEvents<E, R>,
  options?: UiMessageStreamOptions
): EventStream.EventStream<R> => {
  const how = EventStream.given("toUiMessageStream", rules, options)
  return EventStream.make(framesOf(chunksOfTurn(events, how)), how, headers)
}
