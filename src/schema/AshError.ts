/**
 * The one error of this package: which operation failed, and for what reason. `Effect.catchReason("AshError", ...)` and
 * `Effect.unwrapReason("AshError")` work on it.
 */
import type * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Reasons from "./Reasons.ts"
import type { Turn } from "./Turn.ts"
import { omittable } from "./Wire.ts"

/**
 * Why an operation failed. Later versions may add reasons: match those that you use, and handle the rest in `Match.orElse`,
 * `default` or `Effect.catch`. `AshError.isRetryable` and `AshError.nothingHappened` hold for every reason.
 */
export type AshErrorReason = typeof AshErrorReason.Type
export const AshErrorReason = Schema.Union([
  Reasons.Unauthorized,
  Reasons.NotFound,
  Reasons.NotSupported,
  Reasons.InvalidRequest,
  Reasons.WrongState,
  Reasons.FilesRefused,
  Reasons.SessionBusy,
  Reasons.SessionFenced,
  Reasons.SettingsIgnored,
  Reasons.BudgetExhausted,
  Reasons.RateLimited,
  Reasons.AtCapacity,
  Reasons.ServerFailure,
  Reasons.NotReached,
  Reasons.ConnectionLost,
  Reasons.TimedOut,
  Reasons.Undecodable,
  Reasons.StreamTruncated,
  Reasons.BufferFull,
  Reasons.TurnCancelled,
  Reasons.TurnFailed,
  Reasons.TurnMixed,
  Reasons.TurnUnsuccessful,
  Reasons.AnswerInvalid
])

/** An operation that failed, and why. */
export class AshError extends Schema.TaggedError<AshError>()("AshError", {
  /** The method that was called, such as `Sessions.get`. */
  operation: Schema.String,
  /** The method that failed within it, if another of this package, such as `Attachments.upload` in `Sessions.open`. */
  during: omittable(Schema.String),
  reason: AshErrorReason
}) {
  /** Which operation failed, and why. The error's own, so that `structuredClone` and `postMessage` keep it. */
  override readonly message: string = `${this.operation}: ${
    this.during === undefined ? "" : `${this.during}: `
  }${this.reason.message}`

  /** There is no trace: the place in this package does not help a caller. Spans have the callers. */
  override readonly stack = `${this.name}: ${this.message}`

  /** Whether the same call may succeed later. A repeated call may still do its work twice: see `nothingHappened`. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }

  /** Whether it is certain that the failed call changed nothing on the server. */
  get nothingHappened(): boolean {
    return this.reason.nothingHappened
  }

  /** How long the server asks to wait, if it does. */
  get retryAfter(): Duration.Duration | undefined {
    return "retryAfter" in this.reason ? this.reason.retryAfter : undefined
  }

  /** What was received of a turn that broke off or failed. */
  get partialTurn(): Turn | undefined {
    return "partialTurn" in this.reason && this.reason.partialTurn !== undefined
      ? Redacted.value(this.reason.partialTurn)
      : undefined
  }

  /** The sequence number of the last message that was stored before the turn, if a session handle knows it. */
  get lastSequence(): number | undefined {
    return "lastSequence" in this.reason ? this.reason.lastSequence : undefined
  }

  override toJSON(): unknown {
    const { _tag, during, message, operation, reason } = this
    return { _tag, message, operation, during, reason }
  }
}
