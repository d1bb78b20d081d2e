/** The workspaces of sessions on the disk: in a live sandbox, or what is kept of one (docs/ash.md 3.7 and 3.8). */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import type { FileEntry, WriteFileResult } from "../../schema/File.ts"
import { Store } from "../store/Store.ts"
import * as Errors from "../wire/Errors.ts"
import * as Bundles from "./Bundles.ts"
import * as FileTree from "./FileTree.ts"
import * as RequestedFiles from "./RequestedFiles.ts"
import { Sandboxes } from "./Sandboxes.ts"

/** Where a session's workspace is. */
export interface SessionFolder {
  readonly directory: string
  readonly source: "sandbox" | "snapshot"
}

type IncomingFiles = ReadonlyArray<RequestedFiles.IncomingFile>

export class SessionFolders extends Context.Service<SessionFolders, {
  /** The workspace of a session. */
  readonly find: (sessionId: string) => Effect.Effect<SessionFolder, ErrorResponse>
  /** The files of a workspace. Hidden ones are those of caches; some are never listed. */
  readonly list: (folder: SessionFolder, includeHidden: boolean) => Effect.Effect<ReadonlyArray<FileEntry>>
  /** Reads a file of at most so many bytes, and of no more than 100 MiB. */
  readonly read: (folder: SessionFolder, file: string, limit?: number) => Effect.Effect<Uint8Array, ErrorResponse>
  /** Writes files. One that is refused does not keep the others from being written. */
  readonly write: (
    folder: SessionFolder,
    files: IncomingFiles,
    targetPath: string
  ) => Effect.Effect<ReadonlyArray<WriteFileResult>>
  /** Removes a file. */
  readonly remove: (folder: SessionFolder, file: string) => Effect.Effect<void, ErrorResponse>
  /** Packs a workspace. */
  readonly pack: (folder: SessionFolder) => Effect.Effect<Uint8Array, ErrorResponse>
  /** Lays a bundle over a workspace. */
  readonly unpack: (folder: SessionFolder, bundle: Uint8Array) => Effect.Effect<void, ErrorResponse>
}>()("effect-ash/embedded/sandbox/SessionFolders") {
  static readonly layer: Layer.Layer<SessionFolders, never, Store | Sandboxes | FileSystem.FileSystem | Path.Path> =
    Layer.effect(
      SessionFolders,
      Effect.gen(function*() {
        const disk = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
        const store = yield* Store
        const sandboxes = yield* Sandboxes
        return SessionFolders.of({
          find: Effect.fnUntraced(function*(sessionId) {
            const { session: { sandboxId } } = yield* store.session(sessionId)
            const sandbox = yield* sandboxes.find(sandboxId)
            if (Option.isSome(sandbox) && (yield* isItself(sandbox.value.directory))) {
              return { directory: sandbox.value.directory, source: "sandbox" as const }
            }
            const snapshot = yield* sandboxes.snapshot(sessionId)
            if (Option.isSome(snapshot) && (yield* isItself(snapshot.value))) {
              return { directory: snapshot.value, source: "snapshot" as const }
            }
            return yield* Errors.notFound("No workspace available for this session")
          }, Effect.provide(disk)),
          list: ({ directory }, includeHidden) =>
            FileTree.list(
              directory,
              (name) => FileTree.alwaysHidden.has(name) || (!includeHidden && FileTree.caches.has(name))
            ).pipe(Effect.provide(disk)),
          read: ({ directory }, file, limit = maxReadSize) =>
            Effect.provide(RequestedFiles.read(directory, file, limit), disk),
          write: ({ directory }, files, targetPath) => Effect.provide(write(directory, files, targetPath), disk),
          remove: ({ directory }, file) => Effect.provide(remove(directory, file), disk),
          pack: ({ directory }) => Effect.provide(Bundles.pack(directory), disk),
          unpack: ({ directory }, bundle) => Effect.provide(Bundles.unpack(directory, bundle), disk)
        })
      })
    )
}

const maxFileSize = 52_428_800
const maxBatchSize = 104_857_600
const maxReadSize = 104_857_600

/** The name of a file that is never written. */
const skipped = ".DS_Store"

/** Whether a folder is there itself. A command may have put a link in its place. */
const isItself = (directory: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fileSystem) =>
    Effect.match(fileSystem.realPath(directory), {
      onFailure: () => false,
      onSuccess: (real) => real === directory
    }))

// The target folder begins at the workspace and cannot lead out of it, unlike the path of a file.
const write = Effect.fnUntraced(function*(directory: string, files: IncomingFiles, targetPath: string) {
  const path = yield* Path.Path
  const into = path.join(path.sep, targetPath)
  const results: Array<WriteFileResult> = []
  let total = 0
  for (const file of files) {
    const bytes = RequestedFiles.contentOf(file)
    const isTooLarge = bytes.length > maxFileSize
    const isSkipped = path.basename(file.path) === skipped
    if (!isTooLarge && !isSkipped) total += bytes.length
    const error = isSkipped
      ? `Skipped: ${skipped}`
      : file.path === "" || file.path.includes("..") || file.path.startsWith("/")
      ? "Invalid file path"
      : isTooLarge
      ? `File too large (${bytes.length} bytes, max ${maxFileSize})`
      : total > maxBatchSize
      ? "Batch size limit exceeded"
      : yield* writeFile(directory, path.join(into, file.path), bytes)
    results.push(
      error === undefined
        ? { path: file.path, written: true, size: bytes.length }
        : { path: file.path, written: false, error }
    )
  }
  return results
})

const writeFile = Effect.fnUntraced(function*(directory: string, file: string, content: Uint8Array) {
  const target = yield* FileTree.within(directory, file)
  if (Option.isNone(target)) return "Invalid file path"
  return yield* Effect.match(FileTree.write(target.value, content), {
    onFailure: FileTree.textOf,
    onSuccess: () => undefined
  })
})

const remove = Effect.fnUntraced(function*(directory: string, file: string) {
  yield* RequestedFiles.findFile(directory, file)
  yield* Effect.mapError(
    FileTree.remove(directory, file),
    (error) => Errors.serverError(FileTree.textOf(error))
  )
})
