/** The frames of a stream on the way to a reader that may be slow, or stalled. */
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as Frames from "../wire/Frames.ts"

export type FrameWriter = Effect.Success<ReturnType<typeof make>>

/** How long a reader may stall while too many bytes are unread. */
const stallTime = Duration.seconds(30)

/** How many bytes the reader reads at once: about as many as a socket of Node. */
export const chunkSize = 65_536

/** Makes a writer of which so many bytes may be unread before a write waits; `undefined` is no limit. */
export const make = Effect.fnUntraced(function*(capacity: number | undefined) {
  const queue = yield* Queue.unbounded<Uint8Array, Cause.Done>()
  const taken = yield* Latch.make()
  let limit = capacity ?? Infinity
  let waiting = 0

  const take = Effect.map(Queue.take(queue), (first) => {
    const chunk: Arr.NonEmptyArray<Uint8Array> = [first]
    let size = first.length
    while (size < chunkSize) {
      const next = Queue.takeUnsafe(queue)
      if (next === undefined || Exit.isFailure(next)) break
      chunk.push(next.value)
      size += next.value.length
    }
    waiting -= size
    taken.openUnsafe()
    return chunk
  })

  const offer = (frames: ReadonlyArray<Frames.Frame>) => {
    for (const frame of frames) {
      const bytes = Frames.encode(frame)
      if (Queue.offerUnsafe(queue, bytes)) waiting += bytes.length
    }
  }

  /** Waits until more may follow. Each chunk that is read starts the time of the reader anew. */
  const drain: Effect.Effect<boolean> = Effect.suspend(() => {
    if (waiting <= limit) return Effect.succeed(true)
    taken.closeUnsafe()
    return Effect.flatMap(
      Effect.timeoutOption(taken.await, stallTime),
      (read) => Option.isSome(read) ? drain : Effect.succeed(false)
    )
  })

  return {
    stream: Stream.fromPull(Effect.succeed(take)),
    /** Sends frames, and waits while too many bytes are unread: whether the reader reads on in time. */
    write: (frames: ReadonlyArray<Frames.Frame>) =>
      Effect.suspend(() => {
        offer(frames)
        return drain
      }),
    /** Sends the last frames, without a wait. */
    end: (frames: ReadonlyArray<Frames.Frame>) =>
      Effect.suspend(() => {
        offer(frames)
        return Queue.end(queue)
      }),
    /** The reader is gone: from now on nothing waits for it. */
    abandon: Effect.sync(() => {
      limit = Infinity
      taken.openUnsafe()
    })
  }
})
