/** Reads single messages of the Claude Agent SDK: their text, their deltas, what there is to show of them. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { blocksOf } from "../internal/turn/agentText.ts"
import { type ClaudeMessage, claudeMessageFromJson, type MessageBlock } from "../schema/ClaudeMessage.ts"
import type { StoredContent } from "../schema/Message.ts"
import { textsOf } from "../schema/promptText.ts"
import type { PartialEvent } from "../schema/StreamEvent.ts"
import { isToolError, parseJson } from "../schema/Wire.ts"

/** Something of a message that is worth showing, whole: nothing is cut. An id or a name that the message lacks is empty. */
export type DisplayItem =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Thinking"; readonly text: string }
  | { readonly _tag: "ToolUse"; readonly id: string; readonly name: string; readonly input: Schema.Json }
  | { readonly _tag: "ToolResult"; readonly id: string; readonly content: Schema.Json; readonly isError: boolean }
  | { readonly _tag: "Unknown"; readonly raw: Schema.Json }

/** Reads the piece of a message that a `Partial` event has: total, one that is not as expected is `Unknown`. */
export const readPartial = ({ json }: PartialEvent): ClaudeMessage => claudeMessageFromJson(parseJson(json))

/** The text of an `Assistant` message; none where it is another message, or has no text. */
export const textOf = (message: ClaudeMessage): Option.Option<string> => {
  if (message._tag !== "Assistant") return Option.none()
  const text = blocksOf(message).map((block) => block._tag === "Text" ? block.text : "").join("")
  return text === "" ? Option.none() : Option.some(text)
}

/**
 * The text of a prompt, as it was sent, whatever form it traveled in: that of several blocks is joined. None where the
 * content is another message, or has no text.
 */
export const promptOf = (stored: StoredContent): Option.Option<string> => {
  const texts = stored._tag === "UserPrompt" ? textsOf(stored.content) : []
  return texts.length === 0 ? Option.none() : Option.some(texts.join(""))
}

const decodeTextDelta = Schema.decodeUnknownOption(Schema.Struct({
  type: Schema.Literal("content_block_delta"),
  delta: Schema.Struct({ type: Schema.Literal("text_delta"), text: Schema.String })
}))

/** The piece of text in a `Partial` message; none where it is another message, or a piece of something else. */
export const textDeltaOf = (message: ClaudeMessage): Option.Option<string> =>
  message._tag === "Partial" ? Option.map(decodeTextDelta(message.event), ({ delta }) => delta.text) : Option.none()

const itemOf = (block: MessageBlock, raw: Schema.Json, index: number): DisplayItem => {
  switch (block._tag) {
    case "Text":
      return { _tag: "Text", text: block.text }
    case "Thinking":
      return { _tag: "Thinking", text: block.thinking }
    case "ToolUse":
      return { _tag: "ToolUse", id: block.id ?? "", name: block.name ?? "", input: block.input ?? null }
    case "ToolResult":
      return {
        _tag: "ToolResult",
        id: block.tool_use_id ?? "",
        content: block.content ?? null,
        isError: isToolError(block.is_error, raw, index)
      }
    case "Unknown":
      return block
  }
}

/** What there is to show of an `Assistant` or a `User` message, block by block; nothing of any other. */
export const displayItems = (message: ClaudeMessage): ReadonlyArray<DisplayItem> =>
  message._tag === "Assistant" || message._tag === "User"
    ? blocksOf(message).map((block, index) => itemOf(block, message.raw, index))
    : []
