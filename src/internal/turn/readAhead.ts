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
import { AshError } from "../../schema/AshError.ts"
import { BufferFull, TimedOut } from "../../schema/Reasons.ts"
import { takeIn } from "../request/eventLoop.ts"
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

/** Nanoseconds after which it is looked again whether the consumer has found an event in what has arrived. */
const aLittle = 1_000_000_000n

const limitPassed = {
  firstEvent: (limit: string) => `no event within ${limit} of the server's answer; the turn may still run`,
  idle: (limit: string) => `the stream was silent for ${limit}; its sandbox may be dead, or a tool may still run`,
  done: (limit: string) => `the turn gave its result, and did not end within ${limit}; its sandbox may be dead`,
  turn: (limit: string) => `the turn took longer than ${limit}; it may still run`
}

/** A turn that did not begin, was silent, or took, for too long. */
export const timedOut = (operation: string, timer: keyof typeof limitPassed, duration: Duration.Duration) =>
  new AshError({
    operation,
    reason: new TimedOut({ message: limitPassed[timer](Duration.format(duration)), timer, duration })
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

/** What the stages of a turn's stream tell each other. */
export interface TurnProgress {
  /** Whether an event has arrived. */
  hasBegun: boolean
  /** Whether the result has arrived, and nothing of the agent's behind it: what is missing is the end. */
  hasResult: boolean
  /** Messages that have arrived. */
  messages: number
  /** Whether the stream has ended, be it in failure. */
  hasEnded: boolean
}

export const initialProgress = (): TurnProgress => ({
  hasBegun: false,
  hasResult: false,
  messages: 0,
  hasEnded: false
})

/** What a reader needs to know of its turn. */
export interface ReadAheadOptions {
  readonly operation: string
  readonly sessionId: string
  readonly limits: TurnLimits
  /** When the turn began, by the clock's nanoseconds. */
  readonly startedAt: bigint
  readonly progress: TurnProgress
  /** Fails when the turn is to end. */
  readonly abort?: Effect.Effect<never, AshError> | undefined
}

/** Reads bytes ahead, and hands out whatever has arrived. */
export const readAhead =
  ({ abort, limits, operation, progress, sessionId, startedAt }: ReadAheadOptions) =>
  <R>(bytes: Stream.Stream<Uint8Array, AshError, R>): Stream.Stream<Uint8Array, AshError, R> =>
    Stream.transformPull(bytes, (pull, scope) =>
      Clock.clockWith((clock) =>
        Effect.gen(function*() {
          let chunks: Array<Uint8Array> = []
          let size = 0
          let arrivals = 0
          let end: Exit.Exit<never, AshError | Cause.Done> | undefined
          const answeredAt = clock.currentTimeNanosUnsafe()
          let heardAt = answeredAt
          const filled = Latch.makeUnsafe(false)
          const room = Latch.makeUnsafe(true)
          const heartbeat = Deferred.makeUnsafe<void>()
          const hasComment = makeFindComment()
          let awaitsHeartbeat = limits.idleAfterHeartbeat

          const take = (batch: Arr.NonEmptyReadonlyArray<Uint8Array>) => {
            heardAt = clock.currentTimeNanosUnsafe()
            arrivals += 1
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

          /** The limit that passes next, as things are. */
          const nextLimit = (now: bigint) => {
            let next: { readonly timer: "firstEvent" | "idle" | "turn"; readonly at: bigint } | undefined
            const consider = (timer: "firstEvent" | "idle" | "turn", since: bigint, notBefore = 0n) => {
              if (!Duration.isFinite(limits[timer])) return
              const passes = since + Duration.toNanosUnsafe(limits[timer])
              const at = passes < notBefore ? notBefore : passes
              if (next === undefined || at < next.at) next = { timer, at }
            }
            // What has arrived and is not consumed may have the event: it is asked again a little later.
            if (!progress.hasBegun) consider("firstEvent", answeredAt, chunks.length === 0 ? 0n : now + aLittle)
            // A server is not silent while it is not listened to.
            if (!awaitsHeartbeat) consider("idle", size < limits.bufferSize ? heardAt : now)
            consider("turn", startedAt)
            return next
          }
          const limitThatPassed = (now: bigint) => {
            const next = nextLimit(now)
            return next !== undefined && next.at <= now ? next.timer : undefined
          }
          const takeInArrived = takeIn(() => arrivals)
          /** Fails where a limit has passed though what has arrived was read. */
          const judge = Effect.flatMap(takeInArrived, () => {
            const timer = limitThatPassed(clock.currentTimeNanosUnsafe())
            return timer === undefined ? watchLimits : Effect.fail(timedOut(operation, timer, limits[timer]))
          })
          const watchLimits: Effect.Effect<never, AshError> = Effect.suspend(() => {
            const now = clock.currentTimeNanosUnsafe()
            if (limitThatPassed(now) !== undefined) return judge
            const next = nextLimit(now)
            const wait = next === undefined ? Effect.never : Effect.sleep(Duration.nanos(next.at - now))
            return Effect.andThen(
              awaitsHeartbeat ? Effect.raceFirst(wait, Deferred.await(heartbeat)) : wait,
              watchLimits
            )
          })

          const finish = (exit: NonNullable<typeof end>) =>
            Effect.sync(() => {
              end ??= exit
              progress.hasEnded = true
              filled.openUnsafe()
            })
          const reader = yield* Effect.forkIn(Effect.onExit(read, finish), scope, { startImmediately: true })
          const watch = (watched: Effect.Effect<void, AshError>) =>
            watched.pipe(
              Effect.onError((cause) => Effect.andThen(finish(Exit.failCause(cause)), Fiber.interrupt(reader))),
              Effect.forkIn(scope)
            )
          yield* watch(watchLimits)
          if (abort !== undefined) yield* watch(abort)

          const canBeLate = Duration.isFinite(limits.done)
          let awaitsDone = false
          let messages = 0
          let messageAt = 0n
          /** When the end is too late, counted from the last message; as things are, it may be in what is not consumed. */
          const doneAt = (now: bigint) => {
            if (messages !== progress.messages) {
              messages = progress.messages
              messageAt = now
            }
            const at = messageAt + Duration.toNanosUnsafe(limits.done)
            return chunks.length > 0 && at <= now ? now + aLittle : at
          }
          const watchDone: Effect.Effect<void, AshError> = Effect.suspend(() => {
            const now = clock.currentTimeNanosUnsafe()
            const at = doneAt(now)
            if (!progress.hasResult) {
              awaitsDone = false
              return Effect.void
            }
            if (at > now) return Effect.andThen(Effect.sleep(Duration.nanos(at - now)), watchDone)
            return Effect.flatMap(takeInArrived, () => {
              const now = clock.currentTimeNanosUnsafe()
              return progress.hasResult && doneAt(now) <= now
                ? Effect.fail(timedOut(operation, "done", limits.done))
                : watchDone
            })
          })

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
            if (end !== undefined) return end
            if (progress.hasResult && canBeLate) doneAt(clock.currentTimeNanosUnsafe())
            if (!progress.hasResult || !canBeLate || awaitsDone) return Effect.andThen(filled.await, next)
            awaitsDone = true
            return Effect.andThen(watch(watchDone), next)
          })
          return next
        })
      ))
