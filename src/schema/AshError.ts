/**
 * The one error of this package: which operation failed, and for what reason. `Effect.catchReason("AshError", ...)` and
 * `Effect.unwrapReason("AshError")` work on it.
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { WriteFileResult } from "./File.ts"
import { omittable } from "./Wire.ts"

/** The exchange that an error came from. Holds no header, so no key. */
export interface HttpExchange extends Schema.Schema.Type<typeof HttpExchange> {}
export const HttpExchange = Schema.Struct({
  method: Schema.String,
  /** The path of the request, without the host and the query. */
  path: Schema.String,
  /** Absent when no response arrived. */
  status: omittable(Schema.Finite),
  /** The server's own code for the failure, such as `FST_ERR_VALIDATION`. */
  code: omittable(Schema.String),
  /** The start of the response's body, at most 1,000 characters, without the key. */
  body: omittable(Schema.String)
}).annotate({ identifier: "HttpExchange" })

const fields = { message: Schema.String, http: omittable(HttpExchange) }

/** The key is missing, malformed, unknown or revoked (401), or may not do this (403). */
export class Unauthorized extends Schema.TaggedClass<Unauthorized>("effect-ash/Unauthorized")("Unauthorized", fields) {
  readonly isRetryable = false
  readonly nothingHappened = true
}

/** There is no such thing, or not for this key (404). */
export class NotFound extends Schema.TaggedClass<NotFound>("effect-ash/NotFound")("NotFound", fields) {
  readonly isRetryable = false
  readonly nothingHappened = true
}

/** The input is not acceptable: refused here before it was sent (then `http` is absent), or by the server. */
export class InvalidRequest extends Schema.TaggedClass<InvalidRequest>("effect-ash/InvalidRequest")("InvalidRequest", {
  ...fields,
  /** The field at fault, `files[0].path` for example; absent where the server does not say. */
  field: omittable(Schema.String)
}) {
  readonly isRetryable = false
  readonly nothingHappened = true
}

/** The state of a session or an item does not allow this: a message to a paused session, a resume of an ended one. */
export class WrongState extends Schema.TaggedClass<WrongState>("effect-ash/WrongState")("WrongState", {
  ...fields,
  /** The state that it is in, where the server says it. */
  status: omittable(Schema.String)
}) {
  readonly isRetryable = false
  readonly nothingHappened = true
}

/** Too many requests (429). Nothing was done. */
export class RateLimited extends Schema.TaggedClass<RateLimited>("effect-ash/RateLimited")("RateLimited", {
  ...fields,
  /** How long the server asks to wait. */
  retryAfter: omittable(Schema.Duration)
}) {
  readonly isRetryable = true
  readonly nothingHappened = true
}

/** The server has no room for another sandbox (503). Nothing was done. */
export class AtCapacity extends Schema.TaggedClass<AtCapacity>("effect-ash/AtCapacity")("AtCapacity", {
  ...fields,
  retryAfter: omittable(Schema.Duration)
}) {
  readonly isRetryable = true
  readonly nothingHappened = true
}

/** The server, or a proxy before it, failed (5xx). What was asked may have been done. */
export class ServerFailure extends Schema.TaggedClass<ServerFailure>("effect-ash/ServerFailure")("ServerFailure", {
  ...fields,
  retryAfter: omittable(Schema.Duration)
}) {
  readonly isRetryable = true
  readonly nothingHappened = false
}

/** No connection to the server could be made. Nothing was sent. */
export class NotReached extends Schema.TaggedClass<NotReached>("effect-ash/NotReached")("NotReached", fields) {
  readonly isRetryable = true
  readonly nothingHappened = true
}

/** The connection broke after the request was sent. What was asked may have been done. */
export class ConnectionLost extends Schema.TaggedClass<ConnectionLost>("effect-ash/ConnectionLost")(
  "ConnectionLost",
  fields
) {
  readonly isRetryable = true
  readonly nothingHappened = false
}

/** A timer ran out. What was asked may have been done. */
export class TimedOut extends Schema.TaggedClass<TimedOut>("effect-ash/TimedOut")("TimedOut", {
  ...fields,
  /** Which of the timers: `attempt` is the time that one request may take until it is answered. */
  timer: Schema.Literal("attempt"),
  duration: Schema.Duration
}) {
  readonly isRetryable = true
  readonly nothingHappened = false
}

/** The server answered something that is not what it should be; `message` says where. */
export class Undecodable extends Schema.TaggedClass<Undecodable>("effect-ash/Undecodable")("Undecodable", fields) {
  readonly isRetryable = false
  readonly nothingHappened = false
}

/** The stream of a turn ended without `done` or `error`. The turn may go on; what it says is lost to this program. */
export class StreamTruncated extends Schema.TaggedClass<StreamTruncated>("effect-ash/StreamTruncated")(
  "StreamTruncated",
  { ...fields, sessionId: Schema.String }
) {
  readonly isRetryable = false
  readonly nothingHappened = false
}

/** The agent or the server ended the turn with an error. */
export class TurnFailed extends Schema.TaggedClass<TurnFailed>("effect-ash/TurnFailed")("TurnFailed", {
  ...fields,
  sessionId: Schema.String,
  /** What the server said, word for word. */
  error: Schema.String
}) {
  readonly isRetryable = false
  readonly nothingHappened = false
}

/** The server does not have this route: it is of another release, or the route is the hosted product's alone (404). */
export class NotSupported extends Schema.TaggedClass<NotSupported>("effect-ash/NotSupported")("NotSupported", fields) {
  readonly isRetryable = false
  readonly nothingHappened = true
}

/** The server wrote some of the files that were sent, and refused these. */
export class FilesRefused extends Schema.TaggedClass<FilesRefused>("effect-ash/FilesRefused")("FilesRefused", {
  ...fields,
  /** The files that were not written, each with the server's reason. */
  refused: Schema.Array(WriteFileResult)
}) {
  readonly isRetryable = false
  readonly nothingHappened = false
}

/** Why an operation failed. */
export type AshErrorReason = typeof AshErrorReason.Type
export const AshErrorReason = Schema.Union([
  Unauthorized,
  NotFound,
  NotSupported,
  InvalidRequest,
  WrongState,
  FilesRefused,
  RateLimited,
  AtCapacity,
  ServerFailure,
  NotReached,
  ConnectionLost,
  TimedOut,
  Undecodable,
  StreamTruncated,
  TurnFailed
])

/** An operation that failed, and why. */
export class AshError extends Schema.TaggedError<AshError>()("AshError", {
  /** The service's method, such as `Sessions.get`. */
  operation: Schema.String,
  reason: AshErrorReason
}) {
  /** Where in this package the error was made tells a caller nothing, so there is no trace; spans tell who called. */
  override readonly stack = `${this.name}: ${this.message}`

  override get message(): string {
    return `${this.operation}: ${this.reason.message}`
  }

  /** Whether the same call may succeed later. It says nothing of what a repeated call would do twice. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }

  /** Whether it is certain that the failed call changed nothing on the server. */
  get nothingHappened(): boolean {
    return this.reason.nothingHappened
  }

  /** How long the server asks to wait, where it says so. */
  get retryAfter(): Duration.Duration | undefined {
    return "retryAfter" in this.reason ? this.reason.retryAfter : undefined
  }

  override toJSON(): unknown {
    return { _tag: this._tag, message: this.message, operation: this.operation, reason: this.reason }
  }
}
