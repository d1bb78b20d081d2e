/**
 * Reads a turn's bytes ahead of who consumes its events, into a buffer bounded in bytes, so that a slow consumer is not
 * cut off by the server; and hears, on the bytes, whether the stream is still alive, so that a slow consumer is not taken
 * for a silent server.
 */
import * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { AshError, BufferFull, TimedOut } from "../schema/AshError.ts"
import { TurnControl } from "./turnControl.ts"
import type { TurnLimits } from "./turnLimits.ts"

const lineFeed = 10
const carriageReturn = 13
const colon = 58

/** Finds the comments in an event stream: lines that begin with a colon. Servers of heartbeats send them. */
const makeFindComment = () => {
  let atLineStart = true
  return (chunk: Uint8Array): boolean => {
    for (const byte of chunk) {
      if (atLineStart && byte === colon) return true
      atLineStart = byte === lineFeed || byte === carriageReturn
    }
    return false
  }
}

/** A turn that was silent, or took, for too long. */
export const timedOut = (operation: string, timer: "idle" | "turn", duration: Duration.Duration) =>
  new AshError({
    operation,
    reason: new TimedOut({
      message: timer === "idle"
        ? `the stream was silent for ${Duration.format(duration)}; its sandbox may be dead, or a tool may still run`
        : `the turn took longer than ${Duration.format(duration)}; it may still run`,
      timer,
      duration
    })
  })

const bufferFull = (operation: string, sessionId: string, size: number) =>
  new AshError({
    operation,
    reason: new BufferFull({
      message: `more than ${size} bytes arrived that were not consumed; consume faster, or give the stream more buffer`,
      sessionId,
      size
    })
  })

/** What a reader needs to know of its turn. */
export interface ReadAheadOptions {
  readonly operation: string
  readonly sessionId: string
  readonly limits: TurnLimits
  /** When the turn began, by the clock's nanoseconds. */
  readonly startedAt: bigint
}

/** Reads bytes ahead, and hands out whatever has arrived. */
export const readAhead =
  ({ limits, operation, sessionId, startedAt }: ReadAheadOptions) =>
  <R>(bytes: Stream.Stream<Uint8Array, AshError, R>): Stream.Stream<Uint8Array, AshError, R> =>
    Stream.transformPull(bytes, (pull, scope) =>
      Clock.clockWith((clock) =>
        Effect.gen(function*() {
          let chunks: Array<Uint8Array> = []
          let size = 0
          let end: Exit.Exit<never, AshError | Cause.Done> | undefined
          let heardAt = clock.currentTimeNanosUnsafe()
          const filled = Latch.makeUnsafe(false)
          const room = Latch.makeUnsafe(true)
          const heartbeat = Deferred.makeUnsafe<void>()
          const hasComment = makeFindComment()
          let awaitsHeartbeat = limits.idleAfterHeartbeat

          const take = (batch: Arr.NonEmptyReadonlyArray<Uint8Array>) => {
            heardAt = clock.currentTimeNanosUnsafe()
            for (const chunk of batch) {
              chunks.push(chunk)
              size += chunk.length
            }
            if (awaitsHeartbeat && batch.some(hasComment)) {
              awaitsHeartbeat = false
              Deferred.doneUnsafe(heartbeat, Effect.void)
            }
            filled.openUnsafe()
            if (size < limits.bufferSize) return Effect.void
            if (limits.whenFull === "fail") return Effect.fail(bufferFull(operation, sessionId, limits.bufferSize))
            room.closeUnsafe()
            return room.await
          }
          const read = Effect.forever(Effect.flatMap(pull, take), { disableYield: true })

          const silence = (allowed: bigint): Effect.Effect<never, AshError> =>
            Effect.suspend(() => {
              const rest = heardAt + allowed - clock.currentTimeNanosUnsafe()
              return rest > 0n
                ? Effect.andThen(Effect.sleep(Duration.nanos(rest)), silence(allowed))
                : size >= limits.bufferSize
                ? Effect.andThen(room.await, silence(allowed))
                : Effect.fail(timedOut(operation, "idle", limits.idle))
            })
          const watches = Array.of<Effect.Effect<never, AshError>>()
          const { abort } = yield* TurnControl
          if (abort !== Effect.never) watches.push(abort)
          if (Duration.isFinite(limits.idle)) {
            const watch = silence(Duration.toNanosUnsafe(limits.idle))
            watches.push(limits.idleAfterHeartbeat ? Effect.andThen(Deferred.await(heartbeat), watch) : watch)
          }
          if (Duration.isFinite(limits.turn)) {
            const rest = startedAt + Duration.toNanosUnsafe(limits.turn) - clock.currentTimeNanosUnsafe()
            watches.push(Effect.andThen(
              Effect.sleep(Duration.nanos(rest > 0n ? rest : 0n)),
              Effect.fail(timedOut(operation, "turn", limits.turn))
            ))
          }
          const finish = (exit: NonNullable<typeof end>) =>
            Effect.sync(() => {
              end ??= exit
              filled.openUnsafe()
            })
          const reader = yield* Effect.forkIn(Effect.onExit(read, finish), scope, { startImmediately: true })
          for (const watch of watches) {
            yield* watch.pipe(
              Effect.onError((cause) => Effect.andThen(finish(Exit.failCause(cause)), Fiber.interrupt(reader))),
              Effect.forkIn(scope)
            )
          }

          const next: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, AshError> = Effect.suspend(() => {
            if (Arr.isArrayNonEmpty(chunks)) {
              const batch = chunks
              // The server was not listened to until now.
              if (size >= limits.bufferSize) heardAt = clock.currentTimeNanosUnsafe()
              chunks = []
              size = 0
              filled.closeUnsafe()
              room.openUnsafe()
              return Effect.succeed(batch)
            }
            return end ?? Effect.andThen(filled.await, next)
          })
          return next
        })
      ))
