/** Reads the events of a turn in programs of promises: its text as it arrives, or the turn as one value. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Stream from "effect/Stream"
import * as TurnStream from "../functions/TurnStream.ts"
import { aFunction, checked, optionsOf } from "../internal/request/options.ts"
import type { Turn } from "../schema/Turn.ts"
import { iterableOf } from "./Runner.ts"
import { callbackOf } from "./uploads.ts"

const streamOf = (events: AsyncIterable<TurnStream.TurnEvent>) => Stream.fromAsyncIterable(events, identity)

/**
 * The text that the agent writes, as it arrives: pieces with `includePartialMessages`, whole blocks without, nothing
 * twice, and without what subagents write.
 */
export const textDeltas = (events: AsyncIterable<TurnStream.TurnEvent>): AsyncIterable<string> =>
  iterableOf(TurnStream.textDeltas(streamOf(events)), Context.empty())

/** How a turn is folded. */
export interface ToTurnOptions {
  /** Is called, and awaited, with each piece of text meanwhile. */
  readonly onText?: ((text: string) => unknown) | undefined
}

const rules = optionsOf<ToTurnOptions>({ onText: aFunction })

/** Reads a turn until it ends and folds it into one value. */
export const toTurn = (events: AsyncIterable<TurnStream.TurnEvent>, options?: ToTurnOptions): Promise<Turn> =>
  Effect.runPromise(
    Effect.flatMap(
      checked("TurnStream.toTurn", rules, options ?? undefined),
      ({ onText }) => TurnStream.toTurn(streamOf(events), { onText: callbackOf(onText) })
    )
  )
