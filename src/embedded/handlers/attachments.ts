/** The handlers of the group `attachments` (docs/ash.md 3.9). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import { Attachments } from "../sandbox/Attachments.ts"
import { sessionOf } from "../store/Store.ts"
import * as Bodies from "../wire/Bodies.ts"
import * as Errors from "../wire/Errors.ts"
import { disposition } from "../wire/MediaTypes.ts"
import { ServerApi } from "./ServerApi.ts"

const uploadBody = Bodies.accepted(Schema.Struct({
  filename: Schema.String,
  content: Schema.String,
  mimeType: Schema.optionalKey(Schema.String),
  messageId: Schema.optionalKey(Schema.String)
}))

const badHeader = Errors.framework(500, "Invalid character in header content [\"content-type\"]", "ERR_INVALID_CHAR")

export const AttachmentHandlers = HttpApiBuilder.group(ServerApi, "attachments", (handlers) =>
  Effect.gen(function*() {
    const attachments = yield* Attachments
    return handlers
      .handleRaw("upload", ({ params: { id: sessionId }, request }) =>
        Effect.gen(function*() {
          yield* sessionOf(sessionId)
          const body = yield* uploadBody(request)
          const { content, filename, messageId = "unlinked", mimeType = "application/octet-stream" } = body
          const bytes = Buffer.from(content, "base64")
          if (bytes.length === 0) return yield* Errors.badRequest("Empty attachment content")
          return { attachment: yield* attachments.add({ sessionId, messageId, filename, mimeType }, bytes) }
        }))
      .handleAll({
        list: ({ params: { id } }) =>
          Effect.andThen(sessionOf(id), Effect.bindTo(attachments.listOf(id), "attachments")),
        download: Effect.fnUntraced(function*({ params: { id } }) {
          const attachment = yield* attachments.find(id)
          const { filename, mimeType } = attachment
          if (!isHeader(mimeType)) return yield* badHeader
          return HttpServerResponse.uint8Array(yield* attachments.read(attachment), {
            contentType: mimeType,
            headers: { "content-disposition": disposition(filename), "x-content-type-options": "nosniff" }
          })
        }),
        delete: ({ params: { id } }) => Effect.flatMap(attachments.find(id), attachments.remove)
      })
  }))

/** Whether a text can be the value of a header (RFC 9110, section 5.5). */
const isHeader = (text: string) => /^[\t\x20-\x7e\x80-\xff]*$/.test(text)
