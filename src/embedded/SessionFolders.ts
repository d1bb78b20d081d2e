/** The workspaces of sessions on the disk: in a live sandbox, or what is kept of one (contract 3.7). */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { gunzipSync, gzipSync } from "node:zlib"
import type { ErrorResponse } from "../schema/ErrorResponse.ts"
import type { FileEntry, WriteFileResult } from "../schema/File.ts"
import type { IncomingFile } from "./AgentFolders.ts"
import * as Errors from "./Errors.ts"
import * as FileTree from "./FileTree.ts"
import { Sandboxes } from "./Sandboxes.ts"
import { Store } from "./Store.ts"

/** Where a session's workspace is. */
export interface SessionFolder {
  readonly directory: string
  readonly source: "sandbox" | "snapshot"
}

const maxFileSize = 52_428_800
const maxBatchSize = 104_857_600
const maxReadSize = 104_857_600
const maxBundleSize = 104_857_600

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
}>()("effect-ash/embedded/SessionFolders") {
  static readonly layer = Layer.effect(
    SessionFolders,
    Effect.gen(function*() {
      const disk = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
      const fileSystem = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const store = yield* Store
      const sandboxes = yield* Sandboxes

      const statOf = Effect.fnUntraced(function*(target: string) {
        const info = yield* Effect.option(fileSystem.stat(target))
        if (Option.isNone(info)) return yield* Errors.notFound("File not found")
        return info.value.type === "File" ? info.value : yield* Errors.badRequest("Path is not a file")
      })

      const writeFile = (file: string, content: Uint8Array, mode?: number): Effect.Effect<void, PlatformError> =>
        Effect.andThen(
          fileSystem.makeDirectory(path.dirname(file), { recursive: true }),
          fileSystem.writeFile(file, content, mode === undefined ? {} : { mode })
        )

      const isWithin = (root: string, target: string) => target.startsWith(root + path.sep)

      return SessionFolders.of({
        find: Effect.fnUntraced(function*(sessionId) {
          const { session: { sandboxId } } = yield* store.session(sessionId)
          const sandbox = yield* sandboxes.find(sandboxId)
          if (Option.isSome(sandbox)) return { directory: sandbox.value.directory, source: "sandbox" as const }
          const snapshot = yield* sandboxes.snapshot(sessionId)
          if (Option.isSome(snapshot)) return { directory: snapshot.value, source: "snapshot" as const }
          return yield* Errors.notFound("No workspace available for this session")
        }),
        list: ({ directory }, includeHidden) =>
          FileTree.list(
            directory,
            (name) => FileTree.alwaysHidden.has(name) || (!includeHidden && FileTree.caches.has(name))
          ).pipe(Effect.orDie, Effect.provide(disk)),
        read: Effect.fnUntraced(function*({ directory }, file, limit = maxReadSize) {
          const target = path.join(directory, file)
          const { size } = yield* statOf(target)
          if (Number(size) > limit) {
            return yield* Errors.badRequest(`File too large (${size} bytes, max ${limit})`)
          }
          return yield* Effect.orDie(fileSystem.readFile(target))
        }),
        write: Effect.fnUntraced(function*({ directory }, files, targetPath) {
          let total = 0
          const results: Array<WriteFileResult> = []
          for (const { content, path: file } of files) {
            if (path.basename(file) === ".DS_Store") continue
            const bytes = Buffer.from(content, "base64")
            const target = path.resolve(directory, targetPath, file)
            const isTooLarge = bytes.length > maxFileSize
            if (!isTooLarge) total += bytes.length
            const error = file.includes("..") || file.startsWith("/") || !isWithin(directory, target)
              ? "Path escapes workspace"
              : isTooLarge
              ? `File too large (${bytes.length} bytes, max ${maxFileSize})`
              : total > maxBatchSize
              ? `Total size exceeds ${maxBatchSize} bytes`
              : yield* Effect.match(writeFile(target, bytes), { onFailure: textOf, onSuccess: () => undefined })
            results.push(
              error === undefined
                ? { path: file, written: true, size: bytes.length }
                : { path: file, written: false, error }
            )
          }
          return results
        }),
        remove: Effect.fnUntraced(function*({ directory }, file) {
          const target = path.join(directory, file)
          yield* statOf(target)
          yield* Effect.mapError(fileSystem.remove(target), (error) => Errors.serverError(textOf(error)))
        }),
        pack: Effect.fnUntraced(function*({ directory }) {
          const files = yield* FileTree.list(directory, isKeptBack).pipe(Effect.orDie, Effect.provide(disk))
          const entries = yield* Effect.orDie(Effect.forEach(files, ({ path: file }) =>
            Effect.map(
              Effect.all([
                fileSystem.readFile(path.join(directory, file)),
                fileSystem.stat(path.join(directory, file))
              ]),
              ([content, { mode }]) => Tar.file(file, content, { mode })
            )))
          const chunks = yield* Effect.orDie(
            Stream.runCollect(Stream.pipeThroughChannel(Stream.fromIterable(entries), Tar.encode()))
          )
          const bundle = gzipSync(Buffer.concat(chunks))
          return bundle.length > maxBundleSize ? yield* tooLarge(bundle) : bundle
        }),
        unpack: Effect.fnUntraced(function*({ directory }, bundle) {
          if (bundle.length > maxBundleSize) return yield* tooLarge(bundle)
          if (bundle[0] !== 0x1f || bundle[1] !== 0x8b) {
            return yield* Errors.framework(500, "Invalid bundle: not a gzip file")
          }
          const archive = yield* Effect.mapError(
            Effect.try(() => gunzipSync(bundle)),
            () => Errors.framework(500, "Failed to extract bundle")
          )
          yield* Stream.pipeThroughChannel(Stream.succeed(new Uint8Array(archive)), Tar.decode()).pipe(
            Stream.filter(({ header }) =>
              header.type === "File" && isWithin(directory, path.resolve(directory, header.path))
            ),
            Stream.runForEach(({ body, header }) =>
              Effect.flatMap(
                Stream.runCollect(body),
                (chunks) => writeFile(path.resolve(directory, header.path), Buffer.concat(chunks), header.mode)
              )
            ),
            Effect.mapError(() => Errors.framework(500, "Failed to extract bundle"))
          )
        })
      })
    })
  )
}

/** What no bundle has. */
const isKeptBack = (name: string) =>
  FileTree.alwaysHidden.has(name) || FileTree.caches.has(name) || name.startsWith(".env")

const tooLarge = (bundle: Uint8Array) =>
  Errors.framework(500, `Bundle too large: ${bundle.length} bytes (max ${maxBundleSize})`)

/** What the system said of a failure. */
const textOf = (error: PlatformError): string => error.cause instanceof Error ? error.cause.message : error.message
