/** The handlers of the group `attachments` (contract 3.7). */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import { AshApi } from "../schema/AshApi.ts"
import type { Attachment } from "../schema/Attachment.ts"
import { DataFolder } from "./DataFolder.ts"
import * as Errors from "./Errors.ts"
import { Sandboxes } from "./Sandboxes.ts"
import { Store } from "./Store.ts"
import * as Tables from "./Tables.ts"

// Looser than the schema of clients: every text passes as base64.
const decodeBody = Schema.decodeUnknownEffect(Schema.Struct({
  filename: Schema.String,
  content: Schema.String,
  mimeType: Schema.optionalKey(Schema.String),
  messageId: Schema.optionalKey(Schema.String)
}))

export const AttachmentHandlers = HttpApiBuilder.group(
  AshApi,
  "attachments",
  Effect.fnUntraced(function*(handlers) {
    const store = yield* Store
    const sandboxes = yield* Sandboxes
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const random = yield* SecureRandom.SecureRandom
    const folder = path.join(yield* DataFolder, "attachments")
    const table = Tables.make<Attachment & { readonly tenantId: string }>()

    const attachmentOf = (id: string) => Tables.orNotFound("Attachment not found")(table.find(id))

    const writeFile = (file: string, bytes: Uint8Array) =>
      Effect.orDie(Effect.andThen(
        fileSystem.makeDirectory(path.dirname(file), { recursive: true }),
        fileSystem.writeFile(file, bytes)
      ))

    return handlers
      .handleRaw(
        "upload",
        Effect.fnUntraced(function*({ params, request }) {
          const { session } = yield* store.session(params.id)
          const { content, filename, messageId = "unlinked", mimeType = "application/octet-stream" } = yield* Effect
            .orDie(Effect.flatMap(request.json, decodeBody))
          const bytes = Buffer.from(content, "base64")
          if (bytes.length === 0) return yield* Errors.badRequest("Attachment content is empty")
          const id = yield* random.uuidV4()
          const name = path.basename(filename)
          yield* writeFile(path.join(folder, id), bytes)
          const sandbox = yield* sandboxes.find(session.sandboxId)
          if (Option.isSome(sandbox)) yield* writeFile(path.join(sandbox.value.directory, "attachments", name), bytes)
          const attachment = {
            id,
            sessionId: session.id,
            tenantId: yield* Tables.Tenant,
            messageId,
            filename: name,
            mimeType,
            size: bytes.length,
            createdAt: yield* DateTime.now
          }
          yield* table.put(attachment)
          return { attachment }
        })
      )
      .handle(
        "list",
        Effect.fnUntraced(function*({ params }) {
          yield* store.session(params.id)
          return { attachments: (yield* table.all).filter(({ sessionId }) => sessionId === params.id) }
        })
      )
      .handle(
        "download",
        Effect.fnUntraced(function*({ params }) {
          const { filename, id, mimeType } = yield* attachmentOf(params.id)
          if (!isHeader(mimeType)) {
            return yield* Errors.framework(
              500,
              "Invalid character in header content [\"content-type\"]",
              "ERR_INVALID_CHAR"
            )
          }
          const bytes = yield* Effect.orDie(fileSystem.readFile(path.join(folder, id)))
          return HttpServerResponse.uint8Array(bytes, {
            contentType: mimeType,
            headers: {
              "content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent(filename)}`,
              "x-content-type-options": "nosniff"
            }
          })
        })
      )
      .handle(
        "delete",
        Effect.fnUntraced(function*({ params }) {
          const { id } = yield* attachmentOf(params.id)
          yield* table.remove(id)
          yield* Effect.orDie(fileSystem.remove(path.join(folder, id)))
        })
      )
  })
)

/** Whether a text can be the value of a header (RFC 9110, section 5.5). */
const isHeader = (text: string) => /^[\t\x20-\x7e\x80-\xff]*$/.test(text)
