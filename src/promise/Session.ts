/// <reference lib="esnext.disposable" preserve="true" />
/** A session for programs of promises. */
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { MessageContent, SendMessageOptions } from "../schema/Message.ts"
import type { Turn } from "../schema/Turn.ts"
import type { AskAsOptions, Prompt, SessionHandle, TypedAnswer } from "../services/SessionHandle.ts"
import { type ByteContent, bytesOf } from "./Download.ts"
import { type Promised, promised } from "./Promised.ts"
import type { Runner } from "./Runner.ts"
import {
  type AttachmentInput,
  type AttachmentMethods,
  type FileMethods,
  fileOf,
  filesOf,
  optionsOf,
  promptsOf,
  type PromptSource,
  type SessionFileInput,
  type WorkspaceMethods,
  type WriteOptions
} from "./uploads.ts"

/** The files of a session's workspace. */
export interface PromiseSessionFiles extends FileMethods<[]> {}

/** The session's workspace as a whole. */
export interface PromiseSessionWorkspace extends WorkspaceMethods<[]> {}

/** The session's attachments. */
export interface PromiseSessionAttachments extends AttachmentMethods<[]> {}

/**
 * A session to work with, in which one turn or command runs at a time. `await using` ends it, as does the end of its
 * client; one of `attach` is left as it is.
 */
export interface PromiseSession
  extends Promised<Omit<SessionHandle, "askAs" | "attachments" | "files" | "turns" | "workspace">>, AsyncDisposable
{
  /** Runs a turn until it ends, and decodes its answer by a schema, as `SessionHandle.askAs`. */
  readonly askAs: <A>(
    schema: Schema.ConstraintDecoder<A>,
    content: MessageContent,
    options?: AskAsOptions
  ) => Promise<TypedAnswer<A>>
  /**
   * Runs a turn for each prompt, in their order and one at a time, as `ask`, each when the loop takes it. A prompt that cannot
   * be had, or a turn that fails, ends the loop behind the turns before it.
   */
  readonly turns: (prompts: PromptSource<Prompt>, options?: SendMessageOptions) => AsyncIterable<Turn>
  /** The files of the session's workspace. */
  readonly files: PromiseSessionFiles
  /** The session's workspace as a whole. */
  readonly workspace: PromiseSessionWorkspace
  /** The session's attachments. */
  readonly attachments: PromiseSessionAttachments
}

/** Makes a session of a handle, and of what ends it. */
export const make = (runner: Runner, handle: SessionHandle, end: Effect.Effect<void>): PromiseSession => {
  const { attachments, files, workspace } = handle
  return {
    ...promised(runner)({
      ...handle,
      turns: (prompts: PromptSource<Prompt>, options?: SendMessageOptions) => handle.turns(promptsOf(prompts), options),
      files: {
        ...files,
        write: (inputs: ReadonlyArray<SessionFileInput>, options?: WriteOptions) =>
          files.write(filesOf(inputs), optionsOf(options))
      },
      workspace: { ...workspace, upload: (bundle: ByteContent) => workspace.upload(bytesOf(bundle)) },
      attachments: {
        ...attachments,
        upload: (attachment: AttachmentInput) => attachments.upload(fileOf(attachment))
      }
    }),
    askAs: (schema, content, options) => runner.promise(handle.askAs(schema, content, options ?? undefined)),
    [Symbol.asyncDispose]: () => runner.close(end)
  }
}
