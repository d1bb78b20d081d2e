/**
 * In what form content reaches the agent as it was given. Servers differ (docs/ash.md 6.1), and which one is which
 * shows only in what they refuse.
 */
import * as Result from "effect/Result"
import type { ContentBlock, MessageContent } from "../../schema/Message.ts"
import { besideBlock, toTwoTexts } from "../../schema/promptText.ts"
import { InvalidRequest } from "../../schema/Reasons.ts"

/**
 * - `AsGiven`: texts and blocks both arrive intact.
 * - `SeveralBlocks`: a text would arrive as a list with that text, and a single block is refused; two blocks or more
 *   arrive intact.
 * - `TextOnly`: only texts are taken, of at most 100,000 characters.
 */
export type ContentForm = "AsGiven" | "SeveralBlocks" | "TextOnly"

const text = (text: string): ContentBlock => ({ type: "text", text })

const inSeveralBlocks = (content: MessageContent): MessageContent => {
  if (typeof content === "string") return toTwoTexts(content).map(text)
  const [block, ...others] = content
  if (block === undefined || others.length > 0) return content
  return block.type === "text" ? toTwoTexts(block.text).map(text) : [block, text(besideBlock)]
}

const refuse = (message: string) => Result.fail(new InvalidRequest({ message, field: "content" }))

const asText = (content: MessageContent): Result.Result<MessageContent, InvalidRequest> => {
  const texts = typeof content === "string"
    ? [content]
    : content.flatMap((block) => block.type === "text" ? [block.text] : [])
  if (typeof content !== "string" && texts.length < content.length) {
    return refuse("content must be text: this server takes no images and no documents")
  }
  const joined = texts.join("")
  return joined.length > 100_000
    ? refuse("content must be at most 100,000 characters on this server")
    : Result.succeed(joined)
}

/** The form in which content arrives intact, if there is one. */
export const toForm = (content: MessageContent, form: ContentForm): Result.Result<MessageContent, InvalidRequest> => {
  switch (form) {
    case "AsGiven":
      return Result.succeed(content)
    case "SeveralBlocks":
      return Result.succeed(inSeveralBlocks(content))
    case "TextOnly":
      return asText(content)
  }
}
