/** What a caller gives as the content of a file, gathered into bytes. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { AshError } from "../../schema/AshError.ts"
import { bytesOf } from "../../schema/Bytes.ts"
import { isWellFormed, wellFormed } from "../../schema/Wire.ts"
import { safelyIs } from "./inspectUnknown.ts"
import { refusal, refuseOption } from "./options.ts"

/** Bytes, as a view or a buffer, or text, which is sent as UTF-8. */
export type WholeContent = ArrayBufferView | ArrayBufferLike | string

/** What is whole, or a stream of bytes. */
export type FileContent<E = never, R = never> = WholeContent | Stream.Stream<Uint8Array, E, R>

/** The bytes of chunks, of which there are so many. */
export const join = (chunks: Iterable<Uint8Array>, size: number): Uint8Array<ArrayBuffer> => {
  const all = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}

const growth = 4

/** The bytes of a content of at most so many. A stream is read no further than that. */
export const gather = <E, R>(operation: string, content: FileContent<E, R>, field: string, limit: number) => {
  const tooLarge = () => refusal(operation, field, `${field} must have at most ${limit} bytes`)
  const takeBytes = (input: unknown): Effect.Effect<Uint8Array, AshError> => {
    const bytes = bytesOf(input)
    return bytes === undefined
      ? refuseOption(operation, field, "text, bytes (a Uint8Array, another view or a buffer) or a stream of them")
      : Effect.succeed(bytes)
  }
  /** The bytes of a text in UTF-8, which has none for half of a character. */
  const encodeText = (text: string): Effect.Effect<Uint8Array, AshError> =>
    isWellFormed(text)
      ? Effect.succeed(new TextEncoder().encode(text))
      : refuseOption(operation, field, wellFormed)
  if (!safelyIs(content, Stream.isStream)) {
    return Effect.filterOrFail(
      Predicate.isString(content) ? encodeText(content) : takeBytes(content),
      ({ length }) => length <= limit,
      tooLarge
    )
  }
  return Effect.suspend(() => {
    let all = new Uint8Array()
    let size = 0
    return content.pipe(
      Stream.runForEach((chunk) =>
        Effect.flatMap(takeBytes(chunk), (bytes): Effect.Effect<void, AshError> => {
          const end = size + bytes.length
          if (end > limit) return Effect.fail(tooLarge())
          // Grows in few steps, as each is copied; what is not written to takes no memory of the machine.
          if (end > all.length) all = join([all], Math.max(end, Math.min(limit, all.length * growth)))
          all.set(bytes, size)
          size = end
          return Effect.void
        })
      ),
      Effect.map(() => all.subarray(0, size))
    )
  })
}
