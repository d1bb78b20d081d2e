/** Attachments: small files that are kept with a session. */
import * as Schema from "effect/Schema"
import { bytesUpTo } from "./File.ts"
import { Uuid } from "./Ids.ts"
import { harmless, omittable, rowFields, WellFormed } from "./Wire.ts"

/** A file that is kept with a session. */
export interface Attachment extends Schema.Schema.Type<typeof Attachment> {}
export const Attachment = Schema.Struct({
  ...rowFields,
  sessionId: Schema.String,
  /** The message that the file belongs to, or `unlinked`. */
  messageId: Schema.String,
  /** Without folders. */
  filename: Schema.String,
  mimeType: Schema.String,
  /** Bytes. */
  size: Schema.Finite
}).annotate({ identifier: "Attachment" })

/** The body of `POST /api/sessions/:id/attachments`. As JSON at most 1 MiB, so some 768 KiB of content. */
export interface CreateAttachmentRequest extends Schema.Schema.Type<typeof CreateAttachmentRequest> {}
export const CreateAttachmentRequest = Schema.Struct({
  /** The server keeps only the part after the last `/`. */
  filename: WellFormed.check(Schema.isNonEmpty({ expected: "not empty" })).annotate(harmless),
  /** On the wire base64. Empty content is refused. */
  content: bytesUpTo(786_432).check(
    Schema.makeFilter((bytes: Uint8Array) => bytes.byteLength > 0, { expected: "at least one byte" })
  ),
  /** A header carries it when the attachment is read, so it has visible ASCII characters only. */
  mimeType: omittable(
    Schema.String.check(Schema.isPattern(/^[\x20-\x7e]+$/, { expected: "a media type, such as image/png" }))
      .annotate(harmless)
  ),
  messageId: omittable(Uuid)
}).annotate({ identifier: "CreateAttachmentRequest" })
