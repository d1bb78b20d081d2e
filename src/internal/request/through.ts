/** Bytes on their way through a transformation of the platform: compression and its reverse. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** What the platform takes: only memory that no other thread shares. */
export type ByteTransform = ReadableWritablePair<Uint8Array, Uint8Array<ArrayBuffer>>

/** Sends bytes through a transformation; an error of theirs stays theirs. */
export const through =
  <E2>(make: () => ByteTransform, onError: (cause: unknown) => E2) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E | E2, R> =>
    Stream.suspend(() => {
      let failure = Option.none<E>()
      const watched = Stream.tapError(Stream.map(bytes, (chunk) => new Uint8Array(chunk)), (error) =>
        Effect.sync(() => {
          failure = Option.some(error)
        }))
      return Stream.unwrap(Effect.map(Stream.toReadableStreamEffect(watched), (readable) =>
        Stream.fromReadableStream({
          evaluate: () => readable.pipeThrough(make()),
          onError: (cause) => Option.getOrElse(failure, () => onError(cause))
        })))
    })
