/** Reads the events of a turn: its text as it arrives, or the turn as one value. Decodes events out of bytes. */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as TurnFold from "../internal/turn/turnFold.ts"
import { decodeEvents as decodeEventsOf } from "../internal/turn/turnStream.ts"
import type { AshError } from "../schema/AshError.ts"
import type { StreamEvent } from "../schema/StreamEvent.ts"
import type { Turn } from "../schema/Turn.ts"

/** An event of a turn, as `Messages.send` or a session handle streams it. */
export type TurnEvent = TurnFold.TurnEvent

/** What to do while a turn is folded. */
export type ToTurnOptions<E, R> = TurnFold.FoldOptions<E, R>

/**
 * The text that the agent writes, as it arrives: pieces with `includePartialMessages`, whole blocks without, nothing
 * twice, and without what subagents write.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Messages, TurnStream } from "effect-ash"
 *
 * const print = Effect.fn(function*(sessionId: string) {
 *   const turn = (yield* Messages).send(sessionId, "Hello!", { includePartialMessages: true })
 *   yield* Stream.runForEach(TurnStream.textDeltas(turn), (text) => Effect.sync(() => process.stdout.write(text)))
 * })
 * ```
 */
export const textDeltas: <E, R>(events: Stream.Stream<TurnEvent, E, R>) => Stream.Stream<string, E, R> =
  TurnFold.textDeltas

/**
 * Runs a stream until it ends and folds it into one `Turn`; `onText` is run with each piece of text meanwhile.
 *
 * **Example**
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Messages, TurnStream } from "effect-ash"
 *
 * const ask = Effect.fn(function*(sessionId: string) {
 *   const turn = yield* TurnStream.toTurn((yield* Messages).send(sessionId, "Hello!"), { onText: Console.log })
 *   return turn.usage
 * })
 * ```
 */
export const toTurn: <E, R, E2 = never, R2 = never>(
  events: Stream.Stream<TurnEvent, E, R>,
  options?: ToTurnOptions<E2, R2>
) => Effect.Effect<Turn, E | E2, R | R2> = TurnFold.fold

/**
 * Decodes the bytes of an event stream that was obtained otherwise. The stream ends where the bytes end: no rule of a
 * turn's end is applied.
 *
 * **Example**
 *
 * ```ts
 * import { Stream } from "effect"
 * import { TurnStream } from "effect-ash"
 *
 * const events = (recorded: Uint8Array) => TurnStream.decodeEvents(Stream.succeed(recorded))
 * ```
 */
export const decodeEvents = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<StreamEvent, AshError | E, R> => decodeEventsOf("TurnStream.decodeEvents")(bytes)
