/** The conversation of a session, as a model takes it. */
import type * as Prompt from "effect/ai/Prompt"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type StoredMessage, UserPrompt } from "../../schema/Message.ts"
import { besideBlock, textsOf } from "../../schema/promptText.ts"
import type { AgentTurn } from "../AgentScript.ts"

/** The conversation up to this turn, without calls of tools: the session stores them, but not their results. */
export const messagesOf = (turn: AgentTurn, system: string): ReadonlyArray<Prompt.MessageEncoded> => {
  const instructions = [system, turn.agent.systemPrompt].filter((text) => text.trim() !== "").join("\n\n")
  return [
    ...(instructions === "" ? [] : [{ role: "system" as const, content: instructions }]),
    ...turn.history.flatMap(messageOf),
    ...userMessage(Option.getOrUndefined(decodePrompt({ type: "user", content: turn.content }))?.content ?? turn.prompt)
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
  const parts = hasMore ? content.flatMap(partOf) : textsOf(content).join("")
  return parts.length === 0 ? [] : [{ role: "user", content: parts }]
}

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
    case "url": {
      const mediaType = block.type === "image" ? "image/*" : "application/pdf"
      return URL.canParse(source.url) ? [{ type: "file", mediaType, data: new URL(source.url), ...name }] : []
    }
    case "text":
      // Not every model takes a text as a file.
      return textPart(source.data)
  }
}

const textPart = (text: string) => text === besideBlock ? [] : [{ type: "text" as const, text }]
