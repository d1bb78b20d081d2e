/** A stored conversation as the messages of a page, as `useChat` takes them. */
import type * as Schema from "effect/Schema"
import type { StoredMessage } from "../schema/Message.ts"
import { textsOf } from "../schema/promptText.ts"
import type { ClaudeMessageEvent } from "../schema/StreamEvent.ts"
import { chunksOf, type UiMessageChunk } from "./uiMessageStream.ts"

/** A part of a message. */
export type UiMessagePart =
  | { readonly type: "reasoning" | "text"; readonly text: string; readonly state: "done" }
  | {
    readonly type: "dynamic-tool"
    readonly toolName: string
    readonly toolCallId: string
    readonly state: "output-available"
    readonly input: Schema.Json
    /** Null: a server does not keep the results of tools. */
    readonly output: Schema.Json
  }

/** A message of a page. */
export interface UiMessage {
  readonly id: string
  readonly role: "assistant" | "user"
  readonly parts: ReadonlyArray<UiMessagePart>
}

const partsOf = (chunks: ReadonlyArray<UiMessageChunk>): ReadonlyArray<UiMessagePart> =>
  chunks.flatMap((chunk): ReadonlyArray<UiMessagePart> => {
    switch (chunk.type) {
      case "text-delta":
        return [{ type: "text", text: chunk.delta, state: "done" }]
      case "reasoning-delta":
        return [{ type: "reasoning", text: chunk.delta, state: "done" }]
      case "tool-input-available": {
        const { input, toolCallId, toolName } = chunk
        return [{ type: "dynamic-tool", toolName, toolCallId, state: "output-available", input, output: null }]
      }
      default:
        return []
    }
  })

/** The messages of a conversation: one for each prompt, and one for each turn. */
export const uiMessagesOf = (stored: ReadonlyArray<StoredMessage>): ReadonlyArray<UiMessage> => {
  const messages: Array<UiMessage> = []
  let turn: Array<ClaudeMessageEvent> = []
  let turnId = ""
  const endTurn = () => {
    const parts = partsOf(chunksOf(turn))
    if (parts.length > 0) messages.push({ id: turnId, role: "assistant", parts })
    turn = []
  }
  for (const { content, id } of stored) {
    if (content._tag === "UserPrompt") {
      endTurn()
      const text = textsOf(content.content).join("")
      messages.push({ id, role: "user", parts: [{ type: "text", text, state: "done" }] })
    } else {
      if (turn.length === 0) turnId = id
      turn.push({ _tag: "Message", message: content })
    }
  }
  endTurn()
  return messages
}
