/** The files of a session's workspace. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as FileDownload from "../client/FileDownload.ts"
import { checkPaths } from "../internal/files/newFiles.ts"
import { type FileContent, gather } from "../internal/request/content.ts"
import { failure, renamed } from "../internal/request/operations.ts"
import { aFunction, checked, optionsOf } from "../internal/request/options.ts"
import { printable } from "../internal/request/printable.ts"
import { type Redact, redactOf, redactTogether } from "../internal/request/secrets.ts"
import { withUploadProgress } from "../internal/request/sending.ts"
import type { AshError } from "../schema/AshError.ts"
import type { FileUpload, SessionFileList, WriteFileResult } from "../schema/File.ts"
import { FilesRefused } from "../schema/Reasons.ts"
import { layerOf } from "./layerOf.ts"

export type { FileContent, WholeContent } from "../internal/request/content.ts"

/**
 * A file to write into a workspace: its content as bytes, which must stay as they are until they are written, as text, or as
 * a stream of bytes; at most 50 MiB.
 */
export interface NewSessionFile<E = never, R = never> {
  /** Relative, its segments separated by `/`. */
  readonly path: string
  readonly content: FileContent<E, R>
}

/** How far the writing of files has come. No number ever falls, not where a request is repeated either. */
export interface WriteProgress {
  readonly filesWritten: number
  /** Bytes of the files that the server has answered for. */
  readonly bytesWritten: number
  /** Bytes that went out to the server, answered for or not. */
  readonly bytesSent: number
  readonly totalFiles: number
}

/** How files are written. */
export interface WriteFilesOptions<E = never, R = never> {
  /** A folder of the workspace to write into. @default the workspace itself */
  readonly targetPath?: string | undefined
  /**
   * Is run after each request, of which files need one for some 4 MiB of them, and while a file of more than 768 KiB goes
   * out, after every 192 KiB; in browsers, which send a request as a whole, only after each.
   */
  readonly onProgress?: ((progress: WriteProgress) => Effect.Effect<unknown, E, R>) | undefined
}

const rules = optionsOf<Pick<WriteFilesOptions, "onProgress">>({ onProgress: aFunction })

/** The methods for the files of a workspace, whose session `At` names where they are not of one session. */
export interface SessionFileMethods<At extends ReadonlyArray<string>> {
  /**
   * Lists files, and where they were read. Never listed are `node_modules`, `.git`, `__pycache__`, `.DS_Store`, and
   * files that end in `.sock`, `.lock` or `.pid`; without hidden ones, folders of caches neither. `includeHidden` is true by
   * default.
   */
  readonly list: (
    ...args: [...At, options?: { readonly includeHidden?: boolean | undefined }]
  ) => Effect.Effect<SessionFileList, AshError>
  /** Reads a file of at most 100 MiB. The connection is held until the content is read or the scope closes. */
  readonly read: (...args: [...At, path: string]) => Effect.Effect<FileDownload.FileDownload, AshError, Scope.Scope>
  /** Reads a file as UTF-8 text, of at most 100 MiB: `responseLimits.text`. */
  readonly readText: (...args: [...At, path: string]) => Effect.Effect<string, AshError>
  /**
   * Writes files over those that are there, each of at most 50 MiB, in as many requests as they need. Not all or nothing:
   * where the server refuses files, the others are written, and the effect fails with `FilesRefused`, which names them.
   */
  readonly write: <E = never, R = never, E2 = never, R2 = never>(
    ...args: [...At, files: ReadonlyArray<NewSessionFile<E, R>>, options?: WriteFilesOptions<E2, R2>]
  ) => Effect.Effect<ReadonlyArray<WriteFileResult>, AshError | E | E2, R | R2>
  /** Deletes a file. */
  readonly delete: (...args: [...At, path: string]) => Effect.Effect<void, AshError>
}

/** Reads and writes the files of workspaces. Those of a stopped or ended session are read from what was kept of it. */
export class SessionFiles extends Context.Service<SessionFiles, SessionFileMethods<[sessionId: string]>>()(
  "effect-ash/services/SessionFiles"
) {
  static readonly layer = layerOf(
    SessionFiles,
    ({ sessionFiles: api }, policy) => {
      const { call, remove } = policy

      const read = (id: string, path: string) =>
        Effect.map(call(api.read, { params: { id, path }, query: { format: "raw" } }), FileDownload.fromResponse(path))
      return {
        list: (id, query = {}) => call(api.list, { params: { id }, query }),
        read,
        readText: (id, path) =>
          Effect.flatMap(policy.settings("SessionFiles.readText"), ({ options: { responseLimits } }) =>
            Effect.scoped(
              Effect.flatMap(read(id, path), FileDownload.text("SessionFiles.readText", responseLimits?.text))
            )).pipe(Effect.mapError(renamed("SessionFiles.readText"))),
        write: (id, files, options) => {
          const { onProgress, targetPath } = { ...options }
          const write: Write = (files, onSent) =>
            Effect.map(
              policy.exchange(api.write, { params: { id }, payload: { files, targetPath } }, { onSent }),
              ({ response, value }) => withoutSecrets(value.files, redactOf(response.request))
            )
          return checked("SessionFiles.write", rules, options).pipe(
            Effect.andThen(checkPaths("SessionFiles.write", files)),
            Effect.andThen(writeAll(files, write, onProgress))
          )
        },
        delete: (id, path) => remove(api.delete, { params: { id, path } })
      }
    }
  )
}

/** Writes what one request carries. */
type Write = (
  batch: ReadonlyArray<FileUpload>,
  onSent: (bytes: number) => void
) => Effect.Effect<ReadonlyArray<WriteFileResult>, AshError>

const writeAll = <E, R, E2, R2>(
  files: ReadonlyArray<NewSessionFile<E, R>>,
  write: Write,
  onProgress: WriteFilesOptions<E2, R2>["onProgress"]
): Effect.Effect<ReadonlyArray<WriteFileResult>, AshError | E | E2, R | R2> =>
  Effect.gen(function*() {
    const results: Array<WriteFileResult> = []
    let bytesWritten = 0
    let batch: Array<FileUpload> = []
    let batchSize = 0
    const report = (bytesSent: number) =>
      onProgress?.({
        filesWritten: results.filter(({ written }) => written).length,
        bytesWritten,
        bytesSent: bytesWritten + bytesSent,
        totalFiles: files.length
      }) ?? Effect.void
    const flush = Effect.gen(function*() {
      if (batch.length === 0) return
      results.push(...(yield* withUploadProgress((onSent) => write(batch, onSent), report)))
      bytesWritten += batchSize
      batch = []
      batchSize = 0
      yield* report(0)
    })
    for (const [index, file] of files.entries()) {
      const content = yield* gather("SessionFiles.write", file.content, `files[${index}].content`, maxFileSize)
      if (batch.length === maxFiles || batchSize + content.length > maxBatchSize) yield* flush
      batch.push({ path: file.path, content })
      batchSize += content.length
    }
    yield* flush
    const refused = results.filter(({ written }) => !written)
    return refused.length === 0 ? results : yield* refuse(refused, results.length)
  })

/** What became of files, without what a server repeats of them in its reasons. */
const withoutSecrets = (files: ReadonlyArray<WriteFileResult>, redact: Redact): ReadonlyArray<WriteFileResult> => {
  const shown = files.filter(({ written }) => !written).map(({ error, path }) =>
    [printable(path), printable(error ?? "no reason given")] as const
  )
  const redactShown = redactTogether(shown.flat(), redact)
  return [
    ...files.filter(({ written }) => written),
    ...shown.map(([path, error]) => ({ path: redactShown(path), written: false, error: redactShown(error) }))
  ]
}

const maxFileSize = 52_428_800
const maxFiles = 500
/** A server takes 100 MiB; less at a time shows progress, and needs less memory on both sides. */
const maxBatchSize = 4_194_304

const refuse = (refused: ReadonlyArray<WriteFileResult>, total: number) =>
  failure("SessionFiles.write", FilesRefused, {
    message: `the server refused ${refused.length} of ${total} files: ${
      refused.slice(0, 3).map(({ error, path }) => `${path} (${error})`).join(", ")
    }; the other ${total - refused.length} are written`,
    refused
  })
