/** The workspaces of sessions on the disk: in a live sandbox, or what is kept of one (docs/ash.md 3.7 and 3.8). */
import * as Effect from "effect/Effect"
import { basename, join, sep } from "node:path"
import type { WriteFileResult } from "../../schema/File.ts"
import { sessionOf } from "../store/Store.ts"
import * as Errors from "../wire/Errors.ts"
import * as FileTree from "./FileTree.ts"
import * as RequestedFiles from "./RequestedFiles.ts"
import { Sandboxes } from "./Sandboxes.ts"

const maxFileSize = 52_428_800
const maxBatchSize = 104_857_600
const maxReadSize = 104_857_600

/** The name of a file that is never written. */
const skipped = ".DS_Store"

const invalidPath = "Invalid file path"

/** Whether a folder is there itself. A command may have put a link in its place. */
const isItself = (directory: string) =>
  FileTree.finds(({ realPath }) => realPath(directory), (real) => real === directory)

export const find = Effect.fnUntraced(function*(sessionId: string) {
  const sandboxes = yield* Sandboxes
  const { sandboxId } = yield* sessionOf(sessionId)
  const sandbox = yield* sandboxes.find(sandboxId)
  if (sandbox !== undefined && (yield* isItself(sandbox.directory))) {
    return { directory: sandbox.directory, source: "sandbox" as const }
  }
  const snapshot = yield* sandboxes.snapshot(sessionId)
  if (snapshot !== undefined && (yield* isItself(snapshot))) {
    return { directory: snapshot, source: "snapshot" as const }
  }
  return yield* Errors.notFound("No workspace available for this session")
})

/** The files of a workspace. Hidden ones are those of caches; some are never listed. */
export const list = (directory: string, includeHidden: boolean) =>
  FileTree.list(directory, (name) => includeHidden ? FileTree.alwaysHidden.has(name) : FileTree.isHidden(name))

export const read = (directory: string, file: string) => RequestedFiles.read(directory, file, maxReadSize)

/**
 * Writes files. One that is refused does not keep the others from being written. The target folder begins at the workspace
 * and cannot lead out of it, unlike the path of a file.
 */
export const write = Effect.fnUntraced(function*(
  directory: string,
  files: RequestedFiles.IncomingFiles,
  targetPath: string
) {
  const into = join(sep, targetPath)
  const results: Array<WriteFileResult> = []
  let total = 0
  for (const file of files) {
    const { path } = file
    const bytes = RequestedFiles.contentOf(file)
    const isTooLarge = bytes.length > maxFileSize
    const isSkipped = basename(path) === skipped
    if (!isTooLarge && !isSkipped) total += bytes.length
    const error = isSkipped
      ? `Skipped: ${skipped}`
      : path === "" || path.includes("..") || path.startsWith("/")
      ? invalidPath
      : isTooLarge
      ? `File too large (${bytes.length} bytes, max ${maxFileSize})`
      : total > maxBatchSize
      ? "Batch size limit exceeded"
      : yield* Effect.match(FileTree.writeWithin(directory, join(into, path), bytes), {
        onFailure: FileTree.textOf,
        onSuccess: (isWritten) => isWritten ? undefined : invalidPath
      })
    results.push(error === undefined ? { path, written: true, size: bytes.length } : { path, written: false, error })
  }
  return results
})

export const remove = Effect.fnUntraced(function*(directory: string, file: string) {
  yield* RequestedFiles.findFile(directory, file)
  yield* Effect.mapError(FileTree.remove(directory, file), (error) => Errors.serverError(FileTree.textOf(error)))
})
