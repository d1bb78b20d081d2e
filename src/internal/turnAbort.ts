/** Ends a turn from outside its stream. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { AshError } from "../schema/AshError.ts"

/** Fails when the turn that is streamed in this fiber is to end. */
export class TurnAbort extends Context.Reference<Effect.Effect<never, AshError>>(
  "effect-ash/internal/turnAbort/TurnAbort",
  { defaultValue: () => Effect.never }
) {}
