/** What a session's handle offers for files: those of the workspace, the workspace as a whole, and attachments. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as FileDownload from "../../client/FileDownload.ts"
import type { FileContent } from "../../internal/request/content.ts"
import { renamed } from "../../internal/request/operations.ts"
import { AshError } from "../../schema/AshError.ts"
import type { Attachment } from "../../schema/Attachment.ts"
import type { SessionFileList, WriteFileResult } from "../../schema/File.ts"
import type { Attachments, NewAttachment } from "../Attachments.ts"
import type { NewSessionFile, SessionFiles, WriteFilesOptions } from "../SessionFiles.ts"
import type { WorkspaceFile, Workspaces } from "../Workspaces.ts"

/** The files of a session's workspace, as `SessionFiles` has them. */
export interface SessionHandleFiles {
  /** Lists files, and where they were read: in the sandbox, or in what was kept of it. `includeHidden` is true by default. */
  readonly list: (
    options?: { readonly includeHidden?: boolean | undefined }
  ) => Effect.Effect<SessionFileList, AshError>
  /** Reads a file of at most 100 MiB. The connection is held until the content is read or the scope closes. */
  readonly read: (path: string) => Effect.Effect<FileDownload.FileDownload, AshError, Scope.Scope>
  /** Reads a file as UTF-8 text, of at most 100 MiB: `responseLimits.text`. */
  readonly readText: (path: string) => Effect.Effect<string, AshError>
  /**
   * Writes files over those that are there, each of at most 50 MiB. Not all or nothing: where the server refuses files, the
   * others are written, and the effect fails with `FilesRefused`, which names them.
   */
  readonly write: <E = never, R = never, E2 = never, R2 = never>(
    files: ReadonlyArray<NewSessionFile<E, R>>,
    options?: WriteFilesOptions<E2, R2>
  ) => Effect.Effect<ReadonlyArray<WriteFileResult>, AshError | E | E2, R | R2>
  /** Deletes a file. */
  readonly delete: (path: string) => Effect.Effect<void, AshError>
}

/** The session's workspace as a whole, as `Workspaces` has it. */
export interface SessionHandleWorkspace {
  /** Fetches the workspace as a bundle of at most 100 MiB. The connection is held until the content is read or the scope closes. */
  readonly download: () => Effect.Effect<FileDownload.FileDownload, AshError, Scope.Scope>
  /** Lays a bundle of at most 100 MiB over the workspace. What is there and not in the bundle stays. */
  readonly upload: <E = never, R = never>(
    bundle: Exclude<FileContent<E, R>, string>
  ) => Effect.Effect<void, AshError | E, R>
  /** Fetches the files of the workspace, one after the other, within the limits of `Workspaces.files`. */
  readonly files: () => Stream.Stream<WorkspaceFile, AshError>
}

/** The session's attachments, as `Attachments` has them. */
export interface SessionHandleAttachments {
  /** Attaches a file. */
  readonly upload: <E = never, R = never>(attachment: NewAttachment<E, R>) => Effect.Effect<Attachment, AshError | E, R>
  /** Lists the session's attachments, oldest first. */
  readonly list: () => Effect.Effect<ReadonlyArray<Attachment>, AshError>
  /** Fetches an attachment by its own id. The connection is held until the content is read or the scope closes. */
  readonly download: (attachmentId: string) => Effect.Effect<FileDownload.FileDownload, AshError, Scope.Scope>
  /** Deletes an attachment by its own id. */
  readonly delete: (attachmentId: string) => Effect.Effect<void, AshError>
}

/** A call of another service, whose failures are named after the handle's method. */
export const named = (method: string) => <A, R>(call: Effect.Effect<A, AshError, R>) =>
  Effect.mapError(call, renamed(`SessionHandle.${method}`))

/** As `named`, for a file, whose content fails so, too. */
const namedFile = (method: string) => <R>(call: Effect.Effect<FileDownload.FileDownload, AshError, R>) =>
  named(method)(
    Effect.map(call, (file) => ({
      ...file,
      content: Stream.mapError(file.content, renamed(`SessionHandle.${method}`))
    }))
  )

/** As `named`, for a call that may also fail with an error of the caller's own, which is left as it is. */
const namedOf = (operation: string, method: string) => <A, E, R>(call: Effect.Effect<A, AshError | E, R>) =>
  Effect.mapError(
    call,
    (error) =>
      error instanceof AshError && error.operation === operation ? renamed(`SessionHandle.${method}`)(error) : error
  )

export const filesOf = (id: string, files: SessionFiles["Service"]): SessionHandleFiles => ({
  list: (listOptions) => named("files.list")(files.list(id, listOptions)),
  read: (path) => namedFile("files.read")(files.read(id, path)),
  readText: (path) => named("files.readText")(files.readText(id, path)),
  write: (newFiles, writeOptions) =>
    namedOf("SessionFiles.write", "files.write")(files.write(id, newFiles, writeOptions)),
  delete: (path) => named("files.delete")(files.delete(id, path))
})

export const workspaceOf = (id: string, workspaces: Workspaces["Service"]): SessionHandleWorkspace => ({
  download: () => namedFile("workspace.download")(workspaces.download(id)),
  upload: (bundle) => namedOf("Workspaces.upload", "workspace.upload")(workspaces.upload(id, bundle)),
  files: () => Stream.mapError(workspaces.files(id), renamed("SessionHandle.workspace.files"))
})

export const attachmentsOf = (id: string, attachments: Attachments["Service"]): SessionHandleAttachments => ({
  upload: (attachment) => namedOf("Attachments.upload", "attachments.upload")(attachments.upload(id, attachment)),
  list: () => named("attachments.list")(attachments.list(id)),
  download: (attachmentId) => namedFile("attachments.download")(attachments.download(attachmentId)),
  delete: (attachmentId) => named("attachments.delete")(attachments.delete(attachmentId))
})
