/** The frames of a stream on the way to its reader, who may be slow, or take none at all. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as Frames from "../wire/Frames.ts"

export interface Outflow {
  /** The bytes of the frames. */
  readonly stream: Stream.Stream<Uint8Array>
  /** Sends frames, and waits for the reader while too many bytes wait: whether the reader takes them. */
  readonly write: (frames: ReadonlyArray<Frames.Frame>) => Effect.Effect<boolean>
  /** Sends the last frames, without a wait. */
  readonly end: (frames: ReadonlyArray<Frames.Frame>) => Effect.Effect<void>
  /** The reader is gone: nothing waits for it any more. */
  readonly abandon: Effect.Effect<void>
}

/** For how long a reader may take nothing while too many bytes wait for it. */
const patience = Duration.seconds(30)

/** What the reader takes at once, in bytes: about what a socket of Node does. */
export const portion = 65_536

/** Holds so many bytes for the reader before it waits for it; all there are, where that is `undefined`. */
export const make = Effect.fnUntraced(function*(capacity: number | undefined) {
  const queue = yield* Queue.unbounded<Uint8Array, Cause.Done>()
  const taken = yield* Latch.make()
  let limit = capacity ?? Infinity
  let waiting = 0
  let batch: ReadonlyArray<Uint8Array> = []
  let next = 0

  const take = Effect.gen(function*() {
    if (next === batch.length) {
      batch = yield* Queue.takeAll(queue)
      next = 0
    }
    const first = next
    let size = 0
    while (next < batch.length && size < portion) size += batch.at(next++)?.length ?? 0
    waiting -= size
    taken.openUnsafe()
    const [head, ...tail] = batch.slice(first, next)
    return head === undefined ? yield* Cause.done() : [head, ...tail] as const
  })

  const offer = (frames: ReadonlyArray<Frames.Frame>) => {
    for (const frame of frames) {
      const bytes = Frames.encode(frame)
      if (Queue.offerUnsafe(queue, bytes)) waiting += bytes.length
    }
  }

  /** Waits until so little is left that more may follow: each portion that is taken earns the reader more time. */
  const drain: Effect.Effect<boolean> = Effect.suspend(() => {
    if (waiting <= limit) return Effect.succeed(true)
    taken.closeUnsafe()
    return Effect.flatMap(
      Effect.timeoutOption(taken.await, patience),
      (read) => Option.isSome(read) ? drain : Effect.succeed(false)
    )
  })

  const outflow: Outflow = {
    stream: Stream.fromPull(Effect.succeed(take)),
    write: (frames) =>
      Effect.suspend(() => {
        offer(frames)
        return drain
      }),
    end: (frames) =>
      Effect.suspend(() => {
        offer(frames)
        return Effect.asVoid(Queue.end(queue))
      }),
    abandon: Effect.sync(() => {
      limit = Infinity
      taken.openUnsafe()
    })
  }
  return outflow
})
