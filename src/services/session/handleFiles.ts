/** What a session's handle offers for files: those of the workspace, the workspace as a whole, and attachments. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as FileDownload from "../../client/FileDownload.ts"
import { renamed } from "../../internal/request/operations.ts"
import { AshError } from "../../schema/AshError.ts"
import type { AttachmentMethods, Attachments } from "../Attachments.ts"
import type { SessionFileMethods, SessionFiles } from "../SessionFiles.ts"
import type { WorkspaceMethods, Workspaces } from "../Workspaces.ts"

/** The files of a session's workspace, as `SessionFiles` has them. */
export interface SessionHandleFiles extends SessionFileMethods<[]> {}

/** The session's workspace as a whole, as `Workspaces` has it. */
export interface SessionHandleWorkspace extends WorkspaceMethods<[]> {}

/** The session's attachments, as `Attachments` has them. */
export interface SessionHandleAttachments extends AttachmentMethods<[]> {}

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
