/// <reference lib="esnext.disposable" preserve="true" />
/** Files on their way from a server, and contents on their way to it, for programs of promises. */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as FileDownload from "../client/FileDownload.ts"
import type { FileContent, WholeContent } from "../internal/request/content.ts"
import type { Runner } from "./Runner.ts"

/**
 * A file, as the server describes it, and its bytes. The connection is held until the content is read, in one of three
 * ways and once, or the download is disposed.
 */
export interface Download extends Omit<FileDownload.FileDownload, "content">, AsyncDisposable {
  /** The bytes, as they arrive. */
  readonly content: AsyncIterable<Uint8Array>
  /** The whole content as UTF-8 text, of at most 100 MiB. */
  readonly text: () => Promise<string>
  /** The whole content, of at most 100 MiB. */
  readonly bytes: () => Promise<Uint8Array>
}

/** Bytes, or a source of bytes. */
export type ByteContent = Exclude<WholeContent, string> | Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>

/** What a file is made of: bytes, a source of bytes, or text, which is sent as UTF-8. */
export type Content = ByteContent | string

export const isFile = (answer: unknown): answer is FileDownload.FileDownload =>
  Predicate.hasProperty(answer, "content") && Stream.isStream(answer.content)

const limit = 104_857_600

/** Makes a download of a file whose connection is held until `close` is run. */
export const make = (
  runner: Runner,
  { content, ...file }: FileDownload.FileDownload,
  close: Effect.Effect<void>
): Download => {
  let isBegun = false
  const whole = {
    ...file,
    content: Stream.suspend(() => {
      // One that is refused, as it is not the first, leaves the connection to the one that reads.
      if (isBegun) return content
      isBegun = true
      return Stream.ensuring(content, close)
    })
  }
  return {
    ...file,
    content: runner.iterable(whole.content),
    text: () => runner.promise(FileDownload.text("Download.text", limit, "read its content")(whole)),
    bytes: () => runner.promise(FileDownload.bytes("Download.bytes", limit)(whole)),
    [Symbol.asyncDispose]: () => runner.close(close)
  }
}

const isReadable = (content: ByteContent): content is ReadableStream<Uint8Array> =>
  Predicate.hasProperty(content, "getReader")

const isBlob = (content: ByteContent): content is Blob => Predicate.hasProperty(content, "stream")

const isAsyncIterable = (content: ByteContent): content is AsyncIterable<Uint8Array> =>
  Predicate.hasProperty(content, Symbol.asyncIterator)

/** Bytes as the services take them. The failures of a source reject the call as they are. */
export const bytesOf = (content: ByteContent): Exclude<FileContent<unknown>, string> =>
  isReadable(content)
    ? Stream.fromReadableStream({ evaluate: () => content, onError: identity })
    : isBlob(content)
    ? Stream.fromReadableStream({ evaluate: () => content.stream(), onError: identity })
    : isAsyncIterable(content)
    ? Stream.fromAsyncIterable(content, identity)
    : content

export const contentOf = (content: Content): FileContent<unknown> =>
  Predicate.isString(content) ? content : bytesOf(content)
