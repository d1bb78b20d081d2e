/** Attachments: small files that are kept with a session. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as FileDownload from "../client/FileDownload.ts"
import { type FileContent, gather } from "../internal/request/content.ts"
import type { AshError } from "../schema/AshError.ts"
import type { Attachment } from "../schema/Attachment.ts"
import { layerOf } from "./layerOf.ts"

/** A file to attach. */
export interface NewAttachment<E = never, R = never> {
  /** The server keeps only the part after the last `/`. */
  readonly filename: string
  /** Bytes, text, or a stream of bytes; 1 byte to some 768 KiB. */
  readonly content: FileContent<E, R>
  /** @default "application/octet-stream" */
  readonly mimeType?: string | undefined
  /** The message that the file belongs to. */
  readonly messageId?: string | undefined
}

/** The methods for the attachments of a session, which `At` names where they are not of one session. */
export interface AttachmentMethods<At extends ReadonlyArray<string>> {
  /** Attaches a file. */
  readonly upload: <E = never, R = never>(
    ...args: [...At, attachment: NewAttachment<E, R>]
  ) => Effect.Effect<Attachment, AshError | E, R>
  /** Lists a session's attachments, oldest first. */
  readonly list: (...session: At) => Effect.Effect<ReadonlyArray<Attachment>, AshError>
  /** Fetches an attachment by its own id. The connection is held until the content is read or the scope closes. */
  readonly download: (attachmentId: string) => Effect.Effect<FileDownload.FileDownload, AshError, Scope.Scope>
  /** Deletes an attachment by its own id. */
  readonly delete: (attachmentId: string) => Effect.Effect<void, AshError>
}

/** Attaches files to sessions. The sandbox has a copy in `attachments/`; the model is not informed. */
export class Attachments extends Context.Service<Attachments, AttachmentMethods<[sessionId: string]>>()(
  "effect-ash/services/Attachments"
) {
  static readonly layer = layerOf(Attachments, ({ attachments: api }, { call, field, remove }) => ({
    upload: (id, file) => {
      const { content, ...attachment } = { ...file }
      return Effect.flatMap(
        gather("Attachments.upload", content, "content", maxSize),
        (bytes) => field(api.upload, { params: { id }, payload: { ...attachment, content: bytes } }, "attachment")
      )
    },
    list: (id) => field(api.list, { params: { id } }, "attachments"),
    download: (id) => Effect.map(call(api.download, { params: { id } }), FileDownload.fromResponse(id)),
    delete: (id) => remove(api.delete, { params: { id } })
  }))
}

/** What the body of a request leaves for content, in base64. */
const maxSize = 786_432
