/** A stored conversation as the messages of a page, as `useChat` takes them. */
import * as Base64 from "effect/encoding/Base64"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type { MessageContent, StoredMessage, UserPrompt } from "../schema/Message.ts"
import { textsOf } from "../schema/promptText.ts"
import type { ClaudeMessageEvent } from "../schema/StreamEvent.ts"
import { chunksOf, type UiMessageChunk } from "./uiMessageStream.ts"

/** A part of a message. */
export type UiMessagePart =
  | { readonly type: "reasoning" | "text"; readonly text: string; readonly state: "done" }
  | { readonly type: "file"; readonly mediaType: string; readonly url: string; readonly filename: string | undefined }
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

type Content = MessageContent | UserPrompt["content"]

type FileBlock = Extract<Exclude<Content, string>[number], { readonly source: unknown }>

/** A file as a part. The type of one by its URL is not stored: agents take images and PDF by theirs. */
const filePart = (block: FileBlock): UiMessagePart => {
  const { source, type } = block
  const file = { type: "file", filename: type === "image" ? undefined : block.title ?? undefined } as const
  if (source.type === "url") {
    return { ...file, mediaType: type === "image" ? "image/*" : "application/pdf", url: source.url }
  }
  const { data, media_type: mediaType } = source
  const charset = source.type === "text" ? ";charset=utf-8" : ""
  return { ...file, mediaType, url: `data:${mediaType}${charset};base64,${Base64.encode(data)}` }
}

/** The message of a prompt: its files, and its text, which a server may have cut. */
const promptOf = (id: string, content: Content): UiMessage => {
  const files = [content].flat().flatMap((block) => Predicate.hasProperty(block, "source") ? [filePart(block)] : [])
  const text = textsOf(content).join("")
  return { id, role: "user", parts: text === "" ? files : [...files, { type: "text", text, state: "done" }] }
}

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
      messages.push(promptOf(id, content.content))
    } else {
      if (turn.length === 0) turnId = id
      turn.push({ _tag: "Message", message: content })
    }
  }
  endTurn()
  return messages
}

/**
 * The messages of a chat in which turns run and wait: each of these is there as its prompt alone. What is stored of the one
 * that runs is left out; as long as it has no answer, its prompt may be stored or not.
 */
export const withRunning = (
  messages: ReadonlyArray<UiMessage>,
  prompts: ReadonlyArray<MessageContent>,
  hasAnswered: boolean
): ReadonlyArray<UiMessage> => {
  const running = prompts.map((content, index) => promptOf(`running-${index}`, content))
  const [first] = running
  const last = messages.findLastIndex(({ role }) => role === "user")
  const stored = messages[last]
  if (first === undefined || stored === undefined) return [...messages, ...running]
  const isSame = JSON.stringify(stored.parts) === JSON.stringify(first.parts)
  const isStored = hasAnswered || (last === messages.length - 1 && isSame)
  return [...(isStored ? messages.slice(0, last) : messages), ...running]
}
