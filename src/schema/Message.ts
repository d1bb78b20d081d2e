/** What is sent to an agent, and what the server stores of a conversation. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { BytesFromBase64 } from "./Bytes.ts"
import { type ClaudeMessage, claudeMessageFromJson, ClaudeMessageType, type WithRaw, withRaw } from "./ClaudeMessage.ts"
import { jsonDecoder, readBy } from "./jsonDecoder.ts"
import {
  atLeast,
  atMost,
  carriedJson,
  harmless,
  JsonObjectInput,
  JsonText,
  nullish,
  omittable,
  open,
  rowFields,
  tagged,
  UnknownJson,
  WellFormed
} from "./Wire.ts"

const Base64Source = Schema.Struct({
  type: Schema.Literal("base64"),
  media_type: Schema.String.annotate(harmless),
  data: BytesFromBase64
})
const UrlSource = Schema.Struct({ type: Schema.Literal("url"), url: Schema.String })
const TextSource = Schema.Struct({
  type: Schema.Literal("text"),
  media_type: Schema.Literal("text/plain"),
  data: Schema.String
})

/** Text for the agent. */
export interface TextContent extends Schema.Schema.Type<typeof TextContent> {}
export const TextContent = Schema.Struct({ type: Schema.Literal("text"), text: Schema.String })
  .annotate({ identifier: "TextContent" })

/** An image for the agent: its bytes with their media type, or a URL. */
export interface ImageContent extends Schema.Schema.Type<typeof ImageContent> {}
export const ImageContent = Schema.Struct({
  type: Schema.Literal("image"),
  source: Schema.Union([Base64Source, UrlSource])
}).annotate({ identifier: "ImageContent" })

/** A document for the agent: a PDF by its bytes or a URL, or plain text. */
export interface DocumentContent extends Schema.Schema.Type<typeof DocumentContent> {}
export const DocumentContent = Schema.Struct({
  type: Schema.Literal("document"),
  source: Schema.Union([Base64Source, UrlSource, TextSource]),
  title: omittable(Schema.String),
  context: omittable(Schema.String)
}).annotate({ identifier: "DocumentContent" })

/** A block of content, in the Claude API's form. */
export type ContentBlock = TextContent | ImageContent | DocumentContent
export const ContentBlock = Schema.Union([TextContent, ImageContent, DocumentContent])
  .annotate({ identifier: "ContentBlock" })

/** A prompt: a text of at most 500,000 characters, or 1 to 20 blocks; at most 50 MiB as JSON. */
export type MessageContent = string | ReadonlyArray<ContentBlock>
export const MessageContent = Schema.Union([
  Schema.String.check(atMost(500_000)),
  Schema.Array(ContentBlock).check(Schema.isBetweenLength(1, 20, { expected: "1 to 20 content blocks" }))
]).annotate({ identifier: "MessageContent" })

/** Options of one turn. */
export interface SendMessageOptions extends Schema.Schema.Type<typeof SendMessageOptions> {}
export const SendMessageOptions = Schema.Struct({
  /** Whether the agent's text also arrives in pieces, as `TextDelta` and `Partial` events. */
  includePartialMessages: omittable(Schema.Boolean),
  /** The model of this turn; at most 100 characters. */
  model: omittable(WellFormed.check(atMost(100)).annotate(harmless)),
  /** The number of model calls after which the turn ends with `error_max_turns`; at least 1. */
  maxTurns: atLeast(1),
  /** US dollars after which the turn ends with `error_max_budget_usd`; at least 0. */
  maxBudgetUsd: omittable(
    Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0, { expected: "a number of at least 0" }))
  ),
  effort: omittable(Schema.Literals(["low", "medium", "high", "max"])),
  /** For example `{ type: "enabled", budgetTokens: 2000 }`. */
  thinking: omittable(Schema.Struct({ type: Schema.String.annotate(harmless), budgetTokens: omittable(Schema.Int) })),
  /** A JSON schema for the answer: `{ type: "json_schema", schema }`. It comes back as `structured_output`. */
  outputFormat: omittable(Schema.Struct({ type: Schema.String.annotate(harmless), schema: JsonObjectInput }))
}).annotate({ identifier: "SendMessageOptions" })

/** The body of `POST /api/sessions/:id/messages`. */
export interface SendMessageRequest extends Schema.Schema.Type<typeof SendMessageRequest> {}
export const SendMessageRequest = Schema.Struct({ content: MessageContent, ...SendMessageOptions.fields })
  .annotate({ identifier: "SendMessageRequest" })

/** A document as the server stores it. */
const StoredDocument = Schema.Struct({
  ...DocumentContent.fields,
  title: nullish(Schema.String),
  context: nullish(Schema.String)
})

const PromptBlock = Schema.Union([Schema.String, TextContent, ImageContent, StoredDocument, UnknownJson])

/** A user's prompt, as the server stores it. One release of the server turns a text into a list with that text. */
export interface UserPrompt extends Schema.Schema.Type<typeof UserPrompt> {}
export const UserPrompt = tagged("UserPrompt", {
  type: Schema.Literal("user"),
  content: Schema.Union([Schema.String, Schema.Array(PromptBlock)])
}).annotate({ identifier: "UserPrompt" })

const decodePrompt = jsonDecoder(UserPrompt)

const storedContentFromJson = (raw: Schema.Json): StoredContent =>
  Option.match(decodePrompt(raw), {
    onNone: () => claudeMessageFromJson(raw),
    onSome: (prompt) => ({ ...prompt, raw })
  })

/** The content of a stored message: a user's prompt, or a message of the Claude Agent SDK. Each keeps its JSON in `raw`. */
export type StoredContent = WithRaw<UserPrompt> | ClaudeMessage
const StoredContentType = Schema.Union([withRaw(UserPrompt), ClaudeMessageType])
export const StoredContent = readBy(
  JsonText.pipe(
    Schema.decodeTo(StoredContentType, {
      decode: SchemaGetter.transform(storedContentFromJson),
      encode: SchemaGetter.transform(({ raw }) => raw)
    })
  ).annotate({ identifier: "StoredContent" }),
  (carried) => Option.some(storedContentFromJson(carriedJson(carried)))
)

/** A stored message. The result of a turn is stored as one, with the role `assistant`; tool results are not stored. */
export interface StoredMessage extends Schema.Schema.Type<typeof StoredMessage> {}
export const StoredMessage = Schema.Struct({
  ...rowFields,
  sessionId: Schema.String,
  role: open(["user", "assistant"]),
  content: StoredContent,
  /** Counts from 1 in each session. */
  sequence: Schema.Finite
}).annotate({ identifier: "StoredMessage" })
