/** Lets a session handle hold back a turn before it is sent, and end it from outside its stream. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { AshError } from "../schema/AshError.ts"

export interface TurnControlService {
  /** Is run right before the message is sent; a failure is that of the turn, and nothing is sent. */
  readonly begin: Effect.Effect<void, AshError>
  /** Fails when the turn is to end. */
  readonly abort: Effect.Effect<never, AshError>
}

/** What controls the turn that is streamed in this fiber. */
export class TurnControl extends Context.Reference<TurnControlService>("effect-ash/internal/turnControl/TurnControl", {
  defaultValue: () => ({ begin: Effect.void, abort: Effect.never })
}) {}
