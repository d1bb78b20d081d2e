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

/** Attaches files to sessions. The sandbox has a copy in `attachments/`; the model is not informed. */
export class Attachments extends Context.Service<Attachments, {
  /** Attaches a file. */
  readonly upload: <E = never, R = never>(
    sessionId: string,
    attachment: NewAttachment<E, R>
  ) => Effect.Effect<Attachment, AshError | E, R>
  /** Lists a session's attachments, oldest first. */
  readonly list: (sessionId: string) => Effect.Effect<ReadonlyArray<Attachment>, AshError>
  /** Fetches an attachment. The connection is held until the content is read or the scope closes. */
  readonly download: (id: string) => Effect.Effect<FileDownload.FileDownload, AshError, Scope.Scope>
  /** Deletes an attachment. */
  readonly delete: (id: string) => Effect.Effect<void, AshError>
}>()("effect-ash/services/Attachments") {
  static readonly layer = layerOf(
    Attachments,
    ({ attachments: api }, { call, remove }) => ({
      upload: (id, file) => {
        const { content, ...attachment } = { ...file }
        return Effect.flatMap(gather("Attachments.upload", content, "content", maxSize), (bytes) =>
          Effect.map(
            call(api.upload, { params: { id }, payload: { ...attachment, content: bytes } }),
            ({ attachment }) => attachment
          ))
      },
      list: (id) => Effect.map(call(api.list, { params: { id } }), ({ attachments }) => attachments),
      download: (id) =>
        Effect.map(
          call(api.download, { params: { id } }),
          (response) => FileDownload.fromResponse("Attachments.download", id, response)
        ),
      delete: (id) => remove(api.delete, { params: { id } })
    })
  )
}

/** What the body of a request leaves for content, in base64. */
const maxSize = 786_432
