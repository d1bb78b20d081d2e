/** What a caller gives as the content of a file, gathered into bytes. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { AshError, InvalidRequest } from "../schema/AshError.ts"

/** Bytes, text, which is sent as UTF-8, or a stream of bytes. */
export type Content<E = never, R = never> = Uint8Array | string | Stream.Stream<Uint8Array, E, R>

const tooLarge = (operation: string, field: string, limit: number) =>
  new AshError({
    operation,
    reason: new InvalidRequest({ message: `${field} must have at most ${limit} bytes`, field })
  })

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
  if (Predicate.isString(content)) return gather(operation, new TextEncoder().encode(content), field, limit)
  if (content instanceof Uint8Array) {
    return content.length > limit ? Effect.fail(tooLarge(operation, field, limit)) : Effect.succeed(content)
  }
  return Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    return content.pipe(
      Stream.runForEach((chunk) =>
        Effect.suspend((): Effect.Effect<void, AshError> => {
          size += chunk.length
          chunks.push(chunk)
          return size > limit ? Effect.fail(tooLarge(operation, field, limit)) : Effect.void
        })
      ),
      Effect.map(() => concat(chunks))
    )
  })
}
