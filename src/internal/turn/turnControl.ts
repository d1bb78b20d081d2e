/** A turn as its caller hands it over: what sends it, what holds it back and ends it, and what sees its events. */
import type * as Arr from "effect/Array"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { constVoid, identity } from "effect/Function"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { AshError, AshErrorReason } from "../../schema/AshError.ts"
import type { HttpExchange } from "../../schema/HttpExchange.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import type { Redact } from "../request/secrets.ts"
import type { Surround } from "../request/sending.ts"
import * as TurnFold from "./turnFold.ts"
import type { TurnLimits } from "./turnLimits.ts"

export interface TurnControl {
  /** Holds the turn back before it is sent. */
  readonly attempt: Surround
  /** Has something called when the turn is to end; at once where it was to end before. */
  readonly onAbort: (abort: (error: AshError) => void) => void
  readonly makeFold: TurnFold.Make
  /** Sees events before the consumer does. */
  readonly receive: (events: Arr.NonEmptyReadonlyArray<StreamEvent>) => void
  /** Sees the failure of the turn; answers what is known of it. */
  readonly fail: (error: AshError) => AshError
}

/** What becomes of an `error` event: it fails the stream, or it is the last event. */
export type OnTurnError = "fail" | "emit"

export interface TurnSource {
  readonly operation: string
  readonly sessionId: string
  readonly onTurnError: OnTurnError
  readonly limits: TurnLimits
  readonly control: TurnControl
}

/** A turn, and what sends its message. */
export interface TurnToSend {
  readonly source: TurnSource
  /** What it holds until the turn is over belongs to the scope of the turn; what sends it, to that in context. */
  readonly send: (turn: Scope.Scope) => Effect.Effect<TurnAnswer, AshError, Scope.Scope>
}

export interface TurnAnswer {
  readonly body: Stream.Stream<Uint8Array, AshError>
  /** When the message was sent, in nanoseconds of the monotonic clock. */
  readonly startedAt: bigint
  readonly http: (() => HttpExchange) | undefined
  readonly redact: Redact
}

/** Of a turn that nothing holds back, and of which no more is kept than its failure needs. */
export const uncontrolledTurn: TurnControl = {
  attempt: identity,
  onAbort: constVoid,
  makeFold: TurnFold.foldForFailure,
  receive: constVoid,
  fail: identity
}

/**
 * Is run right before the message of a turn goes out, when all that it waits for is there: its session, its key, the window
 * of a rate limit. Where it fails, nothing is sent. It rides the fiber, as what claims a turn across machines stands
 * outside of the handle that sends it.
 */
export class BeforeTurn extends Context.Reference<Effect.Effect<void, AshErrorReason> | undefined>(
  "effect-ash/internal/turn/turnControl/BeforeTurn",
  { defaultValue: () => undefined }
) {}
