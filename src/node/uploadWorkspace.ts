/** Sends a folder on disk into a session's workspace. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { maxSize, maxUnpackedSize, packEntries } from "../internal/files/bundle.ts"
import { contentOf, type FolderOptions, folderRules, readFolder, refuse, refuseAs } from "../internal/files/folder.ts"
import { within } from "../internal/request/operations.ts"
import { checked, optionsOf } from "../internal/request/options.ts"
import type { AshError } from "../schema/AshError.ts"
import { Workspaces } from "../services/Workspaces.ts"

const operation = "uploadWorkspace"

/** What is sent of a folder. */
export interface UploadWorkspaceOptions extends FolderOptions {}

const rules = optionsOf<UploadWorkspaceOptions>(folderRules)

/**
 * Lays the files of a folder over a session's workspace and answers their number. What is left out is what `deployDirectory`
 * leaves out, with `.env` and `.env.local`. Empty folders are sent as well.
 *
 * A file may have 100 MiB, all of them 1 GiB, and as a bundle 100 MiB. That is looked at before anything is read, and the
 * files are read one after the other, as they are packed.
 */
export const uploadWorkspace: (
  sessionId: string,
  directory: string,
  options?: UploadWorkspaceOptions
) => Effect.Effect<number, AshError, Workspaces> = Effect.fn("uploadWorkspace")(
  function*(sessionId, directory, options) {
    const workspaces = yield* Workspaces
    const entries = yield* readFolder(operation, directory, yield* checked(operation, rules, options))
    const files = entries.filter((entry) => entry.kind === "file")
    const tooLarge = files.find(({ size }) => size > maxSize)
    if (tooLarge !== undefined) {
      return yield* refuse(operation, `${tooLarge.path} has ${tooLarge.size} bytes, of at most ${maxSize}; exclude it`)
    }
    const size = files.reduce((sum, file) => sum + file.size, 0)
    if (size > maxUnpackedSize) {
      return yield* refuse(operation, `the files have ${size} bytes, of at most ${maxUnpackedSize}; exclude some`)
    }
    const bundle = yield* packEntries(
      Stream.map(Stream.fromIterable(entries), (entry) =>
        entry.kind === "folder"
          ? Tar.directory(entry.path)
          : Tar.fileStream(entry.path, entry.size, contentOf(entry), { mode: entry.mode & 0o777 }))
    )
    yield* workspaces.upload(sessionId, bundle)
    return files.length
  },
  Effect.catchTag("PlatformError", refuseAs(operation, "the folder could not be read")),
  Effect.mapError(within(operation)),
  Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer))
)
