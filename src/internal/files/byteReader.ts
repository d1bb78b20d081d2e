/** A stream of bytes that is read in pieces of the reader's size. */
import * as Bytes from "effect/Bytes"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

export interface ByteReader<E> {
  readonly fail: (why: string) => Effect.Effect<never, E>
  /** The next bytes: at least one, at most `most`; none where there are no more. */
  readonly some: (most: number) => Effect.Effect<Uint8Array, E>
  /** The next `count` bytes, or as many as there are. */
  readonly upTo: (count: number) => Effect.Effect<Uint8Array, E>
  /** The next `count` bytes; fewer are a failure, here and where they are skipped. */
  readonly exactly: (count: number) => Effect.Effect<Uint8Array, E>
  readonly skip: (count: number) => Effect.Effect<void, E>
}

/** Reads a stream while the scope is open. It fails with what is broken. */
export const make = <E, R, E2>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  broken: (why: string) => E2
): Effect.Effect<ByteReader<E | E2>, never, R | Scope.Scope> =>
  Effect.map(Stream.toPull(Stream.rechunk(bytes, 1)), (pull) => {
    const fail = (why: string) => Effect.fail(broken(why))
    const cutOff = fail("it is cut off")
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
    const upTo = Effect.fnUntraced(function*(count: number) {
      const parts: Array<Uint8Array> = []
      for (let missing = count; missing > 0;) {
        const part = yield* some(missing)
        if (part.length === 0) break
        parts.push(part)
        missing -= part.length
      }
      return parts.length === 1 && parts[0] !== undefined ? parts[0] : Bytes.concat(parts)
    })
    return {
      fail,
      some,
      upTo,
      exactly: (count) => Effect.filterOrElse(upTo(count), ({ length }) => length === count, () => cutOff),
      skip: Effect.fnUntraced(function*(count: number) {
        for (let left = count; left > 0;) {
          const { length } = yield* some(left)
          if (length === 0) return yield* cutOff
          left -= length
        }
      })
    }
  })
