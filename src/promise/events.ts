/** Reads the events of a turn in programs of promises: its text as it arrives, or the turn as one value. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { areOptions } from "../client/over.ts"
import * as TurnStream from "../functions/TurnStream.ts"
import type { Turn } from "../schema/Turn.ts"
import { iterableOf } from "./Runner.ts"
import { callbackOf } from "./uploads.ts"

const streamOf = (events: AsyncIterable<TurnStream.TurnEvent>) => Stream.fromAsyncIterable(events, (error) => error)

/**
 * The text that the agent writes, as it arrives: pieces with `includePartialMessages`, whole blocks without, nothing
 * twice, and without what subagents write.
 */
export const textDeltas = (events: AsyncIterable<TurnStream.TurnEvent>): AsyncIterable<string> =>
  iterableOf(TurnStream.textDeltas(streamOf(events)), Context.empty())

/** Reads a turn until it ends and folds it into one value; `onText` is called, and awaited, with each piece of text meanwhile. */
export const toTurn = (
  events: AsyncIterable<TurnStream.TurnEvent>,
  options?: { readonly onText?: ((text: string) => unknown) | undefined }
): Promise<Turn> =>
  Effect.runPromise(
    TurnStream.toTurn(
      streamOf(events),
      areOptions(options) ? { onText: callbackOf(options.onText) } : options ?? undefined
    )
  )
