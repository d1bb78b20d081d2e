/** What a caller gives as the content of a file, gathered into bytes. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { AshError, InvalidRequest } from "../schema/AshError.ts"
import { bytesOf } from "../schema/Bytes.ts"
import { isWellFormed, wellFormed } from "../schema/Wire.ts"
import { isSurely } from "./foreign.ts"

/** Bytes, as a view or a buffer, or text, which is sent as UTF-8. */
export type WholeContent = ArrayBufferView | ArrayBufferLike | string

/** What is whole, or a stream of bytes. */
export type Content<E = never, R = never> = WholeContent | Stream.Stream<Uint8Array, E, R>

const refuse = (operation: string, field: string, must: string) =>
  new AshError({ operation, reason: new InvalidRequest({ message: `${field} must ${must}`, field }) })

const tooLarge = (operation: string, field: string, limit: number) =>
  refuse(operation, field, `have at most ${limit} bytes`)

const takeBytes = (operation: string, field: string, input: unknown): Effect.Effect<Uint8Array, AshError> => {
  const bytes = bytesOf(input)
  return bytes === undefined
    ? Effect.fail(
      refuse(operation, field, "be text, bytes (a Uint8Array, another view or a buffer) or a stream of them")
    )
    : Effect.succeed(bytes)
}

/** The bytes of a text in UTF-8, which has none for half of a character. */
const encodeText = (operation: string, field: string, text: string): Effect.Effect<Uint8Array, AshError> =>
  isWellFormed(text)
    ? Effect.succeed(new TextEncoder().encode(text))
    : Effect.fail(refuse(operation, field, `be ${wellFormed}`))

export const concat = (chunks: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const all = new Uint8Array(chunks.reduce((size, { length }) => size + length, 0))
  chunks.reduce((at, chunk) => {
    all.set(chunk, at)
    return at + chunk.length
  }, 0)
  return all
}

/** The bytes of a content of at most so many. A stream is read no further than that. */
export const gather = <E, R>(
  operation: string,
  content: Content<E, R>,
  field: string,
  limit: number
): Effect.Effect<Uint8Array, AshError | E, R> => {
  if (!isSurely(content, Stream.isStream)) {
    return Effect.filterOrFail(
      Predicate.isString(content)
        ? encodeText(operation, field, content)
        : takeBytes(operation, field, content),
      ({ length }) => length <= limit,
      () => tooLarge(operation, field, limit)
    )
  }
  return Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    return content.pipe(
      Stream.runForEach((chunk) =>
        Effect.flatMap(takeBytes(operation, field, chunk), (bytes): Effect.Effect<void, AshError> => {
          size += bytes.length
          chunks.push(bytes)
          return size > limit ? Effect.fail(tooLarge(operation, field, limit)) : Effect.void
        })
      ),
      Effect.map(() => concat(chunks))
    )
  })
}

/** Files with their contents as bytes. */
export const gatherFiles = <File extends { readonly content: WholeContent }>(
  operation: string,
  files: ReadonlyArray<File>
): Effect.Effect<ReadonlyArray<Omit<File, "content"> & { readonly content: Uint8Array }>, AshError> =>
  Effect.forEach(files, (file, index) =>
    Effect.map(
      gather(operation, file.content, `files[${index}].content`, Infinity),
      (content) => ({ ...file, content })
    ))
