/** Lets the gate of a session hold back a turn before it is sent, know when it runs, and end it from outside its stream. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type { AshError } from "../../schema/AshError.ts"

export interface TurnControlService {
  /** Surrounds each sending of the message; where it fails by itself, nothing is sent. */
  readonly attempt: <A, R>(send: Effect.Effect<A, AshError, R>) => Effect.Effect<A, AshError, R>
  /** Fails when the turn is to end. */
  readonly abort: Effect.Effect<never, AshError>
}

/** What controls the turn that is streamed in this fiber. */
export class TurnControl
  extends Context.Reference<TurnControlService>("effect-ash/internal/turn/turnControl/TurnControl", {
    defaultValue: () => ({ attempt: identity, abort: Effect.never })
  })
{}
