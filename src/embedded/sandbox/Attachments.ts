/** Files that are attached to sessions: kept beside the sandboxes, and copied to where the agent finds them (docs/ash.md 3.9). */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { basename, join } from "node:path"
import type { Attachment } from "../../schema/Attachment.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { DataFolder } from "./DataFolder.ts"
import * as FileTree from "./FileTree.ts"
import * as SessionFolders from "./SessionFolders.ts"

type NewAttachment = Pick<Attachment, "sessionId" | "messageId" | "filename" | "mimeType">

export class Attachments extends Context.Service<Attachments>()("effect-ash/embedded/sandbox/Attachments", {
  make: Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const folder = join(yield* DataFolder, "attachments")
    const table = Tables.make<Attachment>()

    /** Copies a file into a workspace. One that leads outside by a link has no place for it, and gets none. */
    const copy = Effect.fnUntraced(
      function*(sessionId: string, name: string, bytes: Uint8Array) {
        const { directory, source } = yield* SessionFolders.find(sessionId)
        if (source !== "sandbox") return
        yield* FileTree.writeWithin(directory, join("attachments", name), bytes)
      },
      (copying) => Effect.ignore(copying)
    )

    return {
      add: Effect.fnUntraced(function*(fields: NewAttachment, bytes: Uint8Array) {
        const row = yield* Tables.newRow
        const filename = basename(fields.filename)
        yield* Effect.orDie(FileTree.write(join(folder, row.id), bytes))
        yield* copy(fields.sessionId, filename, bytes)
        return yield* table.put({ ...row, ...fields, filename, size: bytes.length })
      }),
      listOf: (id: string) => table.where(({ sessionId }) => sessionId === id),
      find: (id: string) => Tables.orNotFound("Attachment not found")(table.find(id)),
      read: ({ id }: Attachment) =>
        Effect.mapError(
          fileSystem.readFile(join(folder, id)),
          () => Errors.notFound("Attachment file not found on disk")
        ),
      remove: ({ id }: Attachment) =>
        Effect.andThen(table.remove(id), Effect.ignore(fileSystem.remove(join(folder, id))))
    }
  })
}) {
  static readonly layer = Layer.effect(Attachments, Attachments.make)
}
