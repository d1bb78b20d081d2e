/** The handlers of the group `attachments` (docs/ash.md 3.9). */
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
import type { Attachment } from "../../schema/Attachment.ts"
import { DataFolder } from "../sandbox/DataFolder.ts"
import * as FileTree from "../sandbox/FileTree.ts"
import { SessionFolders } from "../sandbox/SessionFolders.ts"
import { Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Bodies from "../wire/Bodies.ts"
import * as Errors from "../wire/Errors.ts"
import { disposition } from "../wire/mediaTypes.ts"
import { ServerApi } from "./ServerApi.ts"

const uploadBody = Bodies.accepted(Schema.Struct({
  filename: Schema.String,
  content: Schema.String,
  mimeType: Schema.optionalKey(Schema.String),
  messageId: Schema.optionalKey(Schema.String)
}))

export const AttachmentHandlers = HttpApiBuilder.group(
  ServerApi,
  "attachments",
  Effect.fnUntraced(function*(handlers) {
    const store = yield* Store
    const folders = yield* SessionFolders
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const random = yield* SecureRandom.SecureRandom
    const folder = path.join(yield* DataFolder, "attachments")
    const table = Tables.make<Attachment & { readonly tenantId: string }>()

    const attachmentOf = (id: string) => Tables.orNotFound("Attachment not found")(table.find(id))

    const disk = yield* Effect.context<FileSystem.FileSystem | Path.Path>()

    /** Puts a copy where the agent finds it. Where its workspace has no place for it, as it links elsewhere, it has none. */
    const copy = (workspace: string, name: string, bytes: Uint8Array) =>
      FileTree.within(workspace, path.join("attachments", name)).pipe(
        Effect.flatMap(Option.match({ onNone: () => Effect.void, onSome: (file) => FileTree.write(file, bytes) })),
        Effect.ignore,
        Effect.provide(disk)
      )

    return handlers
      .handleRaw(
        "upload",
        Effect.fnUntraced(function*({ params, request }) {
          const { session } = yield* store.session(params.id)
          const { content, filename, messageId = "unlinked", mimeType = "application/octet-stream" } =
            yield* uploadBody(request)
          const bytes = Buffer.from(content, "base64")
          if (bytes.length === 0) return yield* Errors.badRequest("Empty attachment content")
          const id = yield* random.uuidV4()
          const name = path.basename(filename)
          yield* Effect.orDie(Effect.provide(FileTree.write(path.join(folder, id), bytes), disk))
          const workspace = yield* Effect.option(folders.find(session.id))
          if (Option.isSome(workspace) && workspace.value.source === "sandbox") {
            yield* copy(workspace.value.directory, name, bytes)
          }
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
          const bytes = yield* Effect.mapError(
            fileSystem.readFile(path.join(folder, id)),
            () => Errors.notFound("Attachment file not found on disk")
          )
          return HttpServerResponse.uint8Array(bytes, {
            contentType: mimeType,
            headers: {
              "content-disposition": disposition(filename),
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
          yield* Effect.ignore(fileSystem.remove(path.join(folder, id)))
        })
      )
  })
)

/** Whether a text can be the value of a header (RFC 9110, section 5.5). */
const isHeader = (text: string) => /^[\t\x20-\x7e\x80-\xff]*$/.test(text)
