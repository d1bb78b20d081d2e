/** What a page sends: the messages of a chat, of which the last one is new. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { blockOf, isReadable } from "../internal/turn/filePart.ts"
import { type ContentBlock, MessageContent } from "../schema/Message.ts"

const TextPart = Schema.Struct({ type: Schema.Literal("text"), text: Schema.String })
const FilePart = Schema.Struct({
  type: Schema.Literal("file"),
  mediaType: Schema.String,
  url: Schema.String,
  filename: Schema.optional(Schema.String)
})
const OtherPart = Schema.Struct({ type: Schema.String })

const UiMessage = Schema.Struct({
  role: Schema.Literal("user"),
  parts: Schema.Array(Schema.Union([TextPart, FilePart, OtherPart]))
})

/**
 * The id of a chat, as a page makes it. Effect's router takes no longer one in a path, unless it is set up to; platforms take
 * dots for folders.
 */
export const ChatId = Schema.String.check(
  Schema.isPattern(/^(?!\.\.?$)[\w.:-]{1,100}$/, { expected: "1 to 100 of A-Z a-z 0-9 _ . : -, and not . or .." })
)

/** The body of a request of `useChat`. Of its messages the last one counts: those before may be of any form. */
export const ChatRequest = Schema.Struct({
  id: ChatId,
  messages: Schema.Array(Schema.Unknown),
  trigger: Schema.optional(Schema.String),
  /** The message that the new one replaces. */
  messageId: Schema.optional(Schema.NullOr(Schema.String))
})

/** Why a request is refused, in words that a page may show. */
export class Refusal extends Data.TaggedError("Refusal")<{ readonly status: number; readonly text: string }> {}

export const refuse = (status: number, text: string) => new Refusal({ status, text })

const isText = (part: { readonly type: string }): part is typeof TextPart.Type => "text" in part

const isFile = (part: { readonly type: string }): part is typeof FilePart.Type => "mediaType" in part

const decodeMessage = Schema.decodeUnknownOption(UiMessage)

export const contentOf = ({ messageId, messages, trigger }: typeof ChatRequest.Type) => {
  if (trigger === "regenerate-message" || Predicate.isString(messageId)) {
    return refuse(409, "An agent keeps its own history: no message of it can be replaced. Send a new one.")
  }
  const last = decodeMessage(messages.at(-1))
  if (Option.isNone(last)) return refuse(400, "The last message is not one of the user.")
  const blocks: Array<ContentBlock> = []
  for (const part of last.value.parts) {
    if (isText(part)) blocks.push({ type: "text", text: part.text })
    else if (isFile(part)) {
      const block = blockOf({ mediaType: part.mediaType, data: part.url, fileName: part.filename })
      if (Result.isFailure(block)) return refuse(415, `A file cannot be sent: ${block.failure}.`)
      blocks.push(block.success)
    } else return refuse(415, "A part of the message is neither text nor a file.")
  }
  const [first, ...more] = blocks.filter(isReadable)
  if (first === undefined) return refuse(400, "The message is empty.")
  const content = first.type === "text" && more.length === 0 ? first.text : [first, ...more]
  return Schema.is(MessageContent)(content)
    ? Effect.succeed(content)
    : refuse(413, "The message is too large.")
}
