/** A turn that runs beside its readers, each of which has it from its start. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as PubSub from "effect/PubSub"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as EventStream from "./EventStream.ts"
import type { UiMessageChunk } from "./uiMessageStream.ts"

export interface SharedTurn extends Effect.Success<ReturnType<typeof start>> {}

const end = "end"

/** The last chunk of a turn that came to no end of its own. */
const lastOf = (exit: Exit.Exit<void>): ReadonlyArray<UiMessageChunk> =>
  Exit.isSuccess(exit)
    ? []
    : [
      Cause.hasInterruptsOnly(exit.cause)
        ? { type: "abort" }
        : { type: "error", errorText: EventStream.errorText(exit.cause) }
    ]

const isAnswer = ({ type }: UiMessageChunk) => type !== "start" && type !== "data-session-restarted"

/** Starts a turn, which ends with the scope. */
export const start = Effect.fnUntraced(function*(
  chunks: Stream.Stream<UiMessageChunk>,
  options: { readonly stopsUnread: boolean; readonly onEnd: Effect.Effect<void> }
) {
  const scope = yield* Scope.Scope
  const published = yield* PubSub.unbounded<UiMessageChunk | typeof end>({ replay: Number.MAX_SAFE_INTEGER })
  let readers = 0
  let answered = false
  const finish = (exit: Exit.Exit<void>) => {
    for (const chunk of [...lastOf(exit), end] as const) PubSub.publishUnsafe(published, chunk)
  }
  const fiber = yield* chunks.pipe(
    Stream.runForEachArray((batch) => {
      answered ||= batch.some(isAnswer)
      return PubSub.publishAll(published, batch)
    }),
    Effect.interruptible,
    Effect.tapDefect((defect) => Effect.logError("a turn of a chat failed", defect)),
    // Before what is done behind it, which no reader waits for.
    Effect.onExit((exit) => Effect.sync(() => finish(exit))),
    Effect.ensuring(options.onEnd),
    // One that is stopped before it has begun has its end, too.
    Effect.forkIn(scope, { uninterruptible: true })
  )
  // Also of one that does not begin, as the scope has closed. Nothing reads beyond the first end.
  fiber.addObserver(finish)
  const stop = Fiber.interrupt(fiber)
  return {
    /** The turn from its start. It is read until the scope closes. */
    read: Effect.as(
      Effect.acquireRelease(
        Effect.sync(() => {
          readers += 1
        }),
        () => {
          readers -= 1
          return readers === 0 && options.stopsUnread ? Effect.forkIn(stop, scope) : Effect.void
        }
      ),
      Stream.takeWhile(Stream.fromPubSub(published), (chunk) => chunk !== end)
    ),
    stop,
    /** Whether something of the answer has been received, so that the server has stored the message. */
    hasAnswered: () => answered
  }
})
