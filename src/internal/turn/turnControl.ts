/** What a turn is handed by its caller: what holds it back and ends it, and what its events are folded into. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type { AshError, AshErrorReason } from "../../schema/AshError.ts"
import type { Attempt } from "../request/sending.ts"
import * as TurnFold from "./turnFold.ts"

/** Holds back a turn or a command before it is sent, and ends it from outside. */
export interface Control {
  /** Surrounds each sending; where it fails by itself, nothing is sent. */
  readonly attempt: <A, R>(send: Attempt<A, R>) => Attempt<A, R>
  /** Fails when the turn or the command is to end; absent where nothing ends it. */
  readonly abort: Effect.Effect<never, AshError> | undefined
}

/** Of a turn or a command that nothing holds back. */
export const uncontrolled: Control = { attempt: identity, abort: undefined }

export interface TurnControl extends Control {
  /** Makes what the events are folded into. */
  readonly makeFold: TurnFold.Make
}

/** Of a turn that nothing holds back, and of which no more is kept than its failure needs. */
export const uncontrolledTurn: TurnControl = { ...uncontrolled, makeFold: TurnFold.foldForFailure }

/**
 * Is run right before the message of a turn goes out, when all that it waits for is there: its session, its key, the window
 * of a rate limit. Where it fails, nothing is sent. It rides the fiber, as what claims a turn across machines stands
 * outside of the handle that sends it.
 */
export class BeforeTurn extends Context.Reference<Effect.Effect<void, AshErrorReason> | undefined>(
  "effect-ash/internal/turn/turnControl/BeforeTurn",
  { defaultValue: () => undefined }
) {}
