/** What methods take of a program that the types of services cannot give, as they are generic there: files, prompts, callbacks. */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { areOptions } from "../client/over.ts"
import type { Attachment } from "../schema/Attachment.ts"
import type { WriteFileResult } from "../schema/File.ts"
import type * as Attachments from "../services/Attachments.ts"
import type { NewSessionFile, SessionFileMethods, WriteFilesOptions, WriteProgress } from "../services/SessionFiles.ts"
import type { Prompts } from "../services/SessionHandle.ts"
import type * as Workspaces from "../services/Workspaces.ts"
import { type ByteContent, type Content, contentOf } from "./Download.ts"
import type { Promised } from "./Promised.ts"

/** A file to attach. */
export interface AttachmentInput extends Omit<Attachments.NewAttachment, "content"> {
  /** 1 byte to some 768 KiB. */
  readonly content: Content
}

/** A file to write into a workspace. */
export interface SessionFileInput extends Omit<NewSessionFile, "content"> {
  /** At most 50 MiB. */
  readonly content: Content
}

/** How files are written. */
export interface WriteOptions extends Omit<WriteFilesOptions, "onProgress"> {
  /** Is called, and awaited, after each request, and while a file of more than 768 KiB goes out, after every 192 KiB. */
  readonly onProgress?: ((progress: WriteProgress) => unknown) | undefined
}

/** The methods for the files of a workspace, whose session `At` names where they are not of one session. */
export interface FileMethods<At extends ReadonlyArray<string>> extends Promised<Omit<SessionFileMethods<At>, "write">> {
  /**
   * Writes files over those that are there, each of at most 50 MiB. Not all or nothing: where the server refuses files, the
   * others are written, and the promise rejects with `FilesRefused`, which names them.
   */
  readonly write: (
    ...args: [...At, files: ReadonlyArray<SessionFileInput>, options?: WriteOptions]
  ) => Promise<ReadonlyArray<WriteFileResult>>
}

/** The methods for a workspace as a whole. */
export interface WorkspaceMethods<At extends ReadonlyArray<string>>
  extends Promised<Omit<Workspaces.WorkspaceMethods<At>, "upload">>
{
  /** Lays a bundle of at most 100 MiB over a workspace. What is there and not in the bundle stays. */
  readonly upload: (...args: [...At, bundle: ByteContent]) => Promise<void>
}

/** The methods for the attachments of a session. */
export interface AttachmentMethods<At extends ReadonlyArray<string>>
  extends Promised<Omit<Attachments.AttachmentMethods<At>, "upload">>
{
  /** Attaches a file. */
  readonly upload: (...args: [...At, attachment: AttachmentInput]) => Promise<Attachment>
}

/** A file as the services take it, or refuse it: of a program without types it may be none. */
export const fileOf = <File extends { readonly content: Content }>(file: File) => {
  const given = { ...file }
  return { ...given, content: contentOf(given.content) }
}

const isList = (files: ReadonlyArray<SessionFileInput>): files is ReadonlyArray<SessionFileInput> =>
  Array.isArray(files)

/** Files as the services take them. */
export const filesOf = (files: ReadonlyArray<SessionFileInput>): ReadonlyArray<NewSessionFile<unknown>> =>
  isList(files) ? files.map(fileOf) : files

/** Runs a callback, and awaits what it answers. What it throws rejects the call as it is. */
export const callback = <A>(run: (value: A) => unknown) => (value: A): Effect.Effect<unknown> =>
  Effect.promise(() => Promise.resolve(value).then(run))

/** As {@link callback}. What is no function stays as it is, and is refused where it is read. */
export const callbackOf = <A>(run: ((value: A) => unknown) | undefined) =>
  Predicate.isFunction(run) ? callback(run) : run

/** The options as the services take them. What is none stays as it is, and is refused there. */
export const optionsOf = (options: WriteOptions | undefined): WriteFilesOptions | undefined =>
  areOptions(options) ? { ...options, onProgress: callbackOf(options.onProgress) } : options

/** Where prompts come from: of each source one is taken when it is its turn. */
export type PromptSource<P> = Iterable<P> | AsyncIterable<P>

/** Prompts as the services take them. What a source throws rejects the call as it is. */
export const promptsOf = <P>(prompts: PromptSource<P>): Prompts<P, unknown> =>
  Predicate.hasProperty(prompts, Symbol.asyncIterator) ? Stream.fromAsyncIterable(prompts, identity) : prompts
