/** What methods take of a program that the types of services cannot give, as they are generic there: files, prompts, callbacks. */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { areOptions } from "../client/over.ts"
import type { NewAttachment } from "../services/Attachments.ts"
import type { NewSessionFile, WriteFilesOptions, WriteProgress } from "../services/SessionFiles.ts"
import type { Prompts } from "../services/SessionHandle.ts"
import { type Content, contentOf } from "./Download.ts"

/** A file to attach. */
export interface AttachmentInput extends Omit<NewAttachment, "content"> {
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

/** A file as the services take it, or refuse it: of a program without types it may be none. */
const fileOf = <File extends { readonly content: Content }>(file: File) => {
  const given = { ...file }
  return { ...given, content: contentOf(given.content) }
}

/** An attachment as the services take it. */
export const attachmentOf = (attachment: AttachmentInput): NewAttachment<unknown> => fileOf(attachment)

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
