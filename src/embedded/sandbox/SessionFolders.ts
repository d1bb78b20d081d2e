/** The workspaces of sessions on the disk: in a live sandbox, or what is kept of one (docs/ash.md 3.7 and 3.8). */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { Buffer } from "node:buffer"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import type { FileEntry, WriteFileResult } from "../../schema/File.ts"
import { Store } from "../store/Store.ts"
import * as Errors from "../wire/Errors.ts"
import type { IncomingFile } from "./AgentFolders.ts"
import * as Bundles from "./Bundles.ts"
import * as FileTree from "./FileTree.ts"
import { Sandboxes } from "./Sandboxes.ts"

/** Where a session's workspace is. */
export interface SessionFolder {
  readonly directory: string
  readonly source: "sandbox" | "snapshot"
}

const maxFileSize = 52_428_800
const maxBatchSize = 104_857_600
const maxReadSize = 104_857_600

/** The name of what no workspace keeps. */
const skipped = ".DS_Store"

export class SessionFolders extends Context.Service<SessionFolders, {
  /** The workspace of a session. */
  readonly find: (sessionId: string) => Effect.Effect<SessionFolder, ErrorResponse>
  readonly list: (folder: SessionFolder, includeHidden: boolean) => Effect.Effect<ReadonlyArray<FileEntry>>
  /** Reads a file of at most so many bytes, and of no more than 100 MiB. */
  readonly read: (folder: SessionFolder, file: string, limit?: number) => Effect.Effect<Uint8Array, ErrorResponse>
  /** Writes files, each for itself. */
  readonly write: (
    folder: SessionFolder,
    files: ReadonlyArray<IncomingFile>,
    targetPath: string
  ) => Effect.Effect<ReadonlyArray<WriteFileResult>>
  readonly remove: (folder: SessionFolder, file: string) => Effect.Effect<void, ErrorResponse>
  /** Packs a workspace. */
  readonly pack: (folder: SessionFolder) => Effect.Effect<Uint8Array, ErrorResponse>
  /** Lays a bundle over a workspace. */
  readonly unpack: (folder: SessionFolder, bundle: Uint8Array) => Effect.Effect<void, ErrorResponse>
}>()("effect-ash/embedded/sandbox/SessionFolders") {
  static readonly layer = Layer.effect(
    SessionFolders,
    Effect.gen(function*() {
      const disk = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
      const fileSystem = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const store = yield* Store
      const sandboxes = yield* Sandboxes

      const within = ({ directory }: SessionFolder, file: string) =>
        Effect.provide(FileTree.within(directory, file), disk)

      /** Whether a folder is there, and no link in its place that a command put there. */
      const isItself = (directory: string) =>
        Effect.match(fileSystem.realPath(directory), {
          onFailure: () => false,
          onSuccess: (real) => real === directory
        })

      /** A file that is there, with what the disk says of it. */
      const fileOf = Effect.fnUntraced(function*(folder: SessionFolder, file: string) {
        const target = yield* within(folder, file)
        const info = Option.isSome(target) ? yield* Effect.option(fileSystem.stat(target.value)) : Option.none()
        if (Option.isNone(target) || Option.isNone(info)) return yield* Errors.notFound("File not found")
        if (info.value.type !== "File") return yield* Errors.badRequest("Path is not a file")
        return { target: target.value, size: info.value.size }
      })

      const writeFile = Effect.fnUntraced(function*(folder: SessionFolder, file: string, content: Uint8Array) {
        const target = yield* within(folder, file)
        if (Option.isNone(target)) return "Invalid file path"
        return yield* Effect.match(Effect.provide(FileTree.write(target.value, content), disk), {
          onFailure: FileTree.textOf,
          onSuccess: () => undefined
        })
      })

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
        }),
        list: ({ directory }, includeHidden) =>
          FileTree.list(
            directory,
            (name) => FileTree.alwaysHidden.has(name) || (!includeHidden && FileTree.caches.has(name))
          ).pipe(Effect.provide(disk)),
        read: Effect.fnUntraced(function*(folder, file, limit = maxReadSize) {
          const { size, target } = yield* fileOf(folder, file)
          if (size > limit) return yield* Errors.badRequest(`File too large (${size} bytes, max ${limit})`)
          return yield* Effect.orDie(fileSystem.readFile(target))
        }),
        // The folder to write into is spelt as it likes, and never leads out: it begins at the workspace. A path may not.
        write: Effect.fnUntraced(function*(folder, files, targetPath) {
          const into = path.join(path.sep, targetPath)
          let total = 0
          const results: Array<WriteFileResult> = []
          for (const { content, path: file } of files) {
            const bytes = Buffer.from(content, "base64")
            const isTooLarge = bytes.length > maxFileSize
            const isSkipped = path.basename(file) === skipped
            if (!isTooLarge && !isSkipped) total += bytes.length
            const error = isSkipped
              ? `Skipped: ${skipped}`
              : file === "" || file.includes("..") || file.startsWith("/")
              ? "Invalid file path"
              : isTooLarge
              ? `File too large (${bytes.length} bytes, max ${maxFileSize})`
              : total > maxBatchSize
              ? "Batch size limit exceeded"
              : yield* writeFile(folder, path.join(into, file), bytes)
            results.push(
              error === undefined
                ? { path: file, written: true, size: bytes.length }
                : { path: file, written: false, error }
            )
          }
          return results
        }),
        remove: Effect.fnUntraced(function*(folder, file) {
          yield* fileOf(folder, file)
          yield* Effect.mapError(
            Effect.provide(FileTree.remove(folder.directory, file), disk),
            (error) => Errors.serverError(FileTree.textOf(error))
          )
        }),
        pack: ({ directory }) => Effect.provide(Bundles.pack(directory), disk),
        unpack: ({ directory }, bundle) => Effect.provide(Bundles.unpack(directory, bundle), disk)
      })
    })
  )
}
