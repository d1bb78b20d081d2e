/** A stream of bytes that is read in pieces of the reader's size. */
import * as Bytes from "effect/Bytes"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** Reads bytes. Fewer bytes than requested mean the end. */
export interface ByteReader<E> {
  /** The next bytes: at least one, at most `most`. */
  readonly some: (most: number) => Effect.Effect<Uint8Array, E>
  /** The next `count` bytes. */
  readonly exactly: (count: number) => Effect.Effect<Uint8Array, E>
}

/** Reads a stream while the scope is open. */
export const make = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<ByteReader<E>, never, R | Scope.Scope> =>
  Effect.map(Stream.toPull(Stream.rechunk(bytes, 1)), (pull) => {
    let chunk: Uint8Array = new Uint8Array()
    const some = (most: number): Effect.Effect<Uint8Array, E> =>
      Effect.suspend(() => {
        if (chunk.length > 0) {
          const part = chunk.subarray(0, most)
          chunk = chunk.subarray(part.length)
          return Effect.succeed(part)
        }
        return pull.pipe(
          Effect.flatMap(([next]) => {
            chunk = next
            return some(most)
          }),
          Pull.catchDone(() => Effect.succeed(chunk))
        )
      })
    const exactly = Effect.fnUntraced(function*(count: number) {
      const parts: Array<Uint8Array> = []
      for (let missing = count; missing > 0;) {
        const part = yield* some(missing)
        if (part.length === 0) break
        parts.push(part)
        missing -= part.length
      }
      return parts.length === 1 && parts[0] !== undefined ? parts[0] : Bytes.concat(parts)
    })
    return { some, exactly }
  })
