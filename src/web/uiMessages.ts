/** A stored conversation as the messages of a page, as `useChat` takes them. */
import type * as Schema from "effect/Schema"
import type { MessageContent, StoredMessage } from "../schema/Message.ts"
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

const promptOf = (id: string, texts: ReadonlyArray<string>): UiMessage => ({
  id,
  role: "user",
  parts: [{ type: "text", text: texts.join(""), state: "done" }]
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
      messages.push(promptOf(id, textsOf(content.content)))
    } else {
      if (turn.length === 0) turnId = id
      turn.push({ _tag: "Message", message: content })
    }
  }
  endTurn()
  return messages
}

const textOf = ({ parts }: UiMessage) => parts.flatMap((part) => part.type === "text" ? [part.text] : []).join("")

/**
 * The messages of a chat in which turns run and wait: each of these is there as its prompt alone. What is stored of the one
 * that runs is left out; as long as it has no answer, its prompt may be stored or not.
 */
export const withRunning = (
  messages: ReadonlyArray<UiMessage>,
  prompts: ReadonlyArray<MessageContent>,
  hasAnswered: boolean
): ReadonlyArray<UiMessage> => {
  const running = prompts.map((content, index) => promptOf(`running-${index}`, textsOf(content)))
  const [first] = running
  const last = messages.findLastIndex(({ role }) => role === "user")
  const stored = messages[last]
  if (first === undefined || stored === undefined) return [...messages, ...running]
  const isStored = hasAnswered || (last === messages.length - 1 && textOf(stored) === textOf(first))
  return [...(isStored ? messages.slice(0, last) : messages), ...running]
}
