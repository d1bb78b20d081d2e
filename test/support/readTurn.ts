import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type * as Stream from "effect/Stream"
import {
  type OnTurnError,
  type TurnAnswer,
  type TurnSource,
  uncontrolledTurn
} from "../../src/internal/turn/turnControl.ts"
import { turnLimits, type TurnLimitsInput } from "../../src/internal/turn/turnLimits.ts"
import * as TurnReader from "../../src/internal/turn/turnReader.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import type { StreamEvent } from "../../src/schema/StreamEvent.ts"
import { sessionId } from "./fixtures.ts"

interface ReadOptions {
  readonly limits?: TurnLimitsInput
  readonly onTurnError?: OnTurnError
  readonly operation?: string
}

/** An answer that is there. */
export const answerOf = (body: Stream.Stream<Uint8Array, AshError>): TurnAnswer => ({
  body,
  startedAt: 0n,
  http: undefined,
  redact: identity
})

/** A turn that is to be read. */
export const sourceOf = (
  { limits = {}, onTurnError = "fail", operation = "test" }: ReadOptions = {}
): TurnSource => ({
  operation,
  sessionId,
  onTurnError,
  limits: turnLimits(limits),
  control: uncontrolledTurn
})

/** Reads a turn of which the answer is there. */
export const readTurn = (
  body: Stream.Stream<Uint8Array, AshError>,
  options?: ReadOptions
): Stream.Stream<StreamEvent, AshError> =>
  TurnReader.readTurn(Effect.succeed({ source: sourceOf(options), send: () => Effect.succeed(answerOf(body)) }))
