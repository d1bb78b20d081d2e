/**
 * The one error of this package: which operation failed, and for what reason. `Effect.catchReason("AshError", ...)` and
 * `Effect.unwrapReason("AshError")` work on it.
 */
import type * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { WriteFileResult } from "./File.ts"
import { Turn, TurnOutcome } from "./Turn.ts"
import { omittable } from "./Wire.ts"

/**
 * The exchange that an error came from. Holds no header but the request id. What a server repeats of the request is taken
 * out of what it says, here and in messages, and its control characters are escaped.
 */
export interface HttpExchange extends Schema.Schema.Type<typeof HttpExchange> {}
export const HttpExchange = Schema.Struct({
  method: Schema.String,
  /** The path of the request, without the host and the query. */
  path: Schema.String,
  /** Absent when no response arrived. */
  status: omittable(Schema.Finite),
  /** The name by which the logs of the server, or of a proxy before it, know the request: `x-request-id` or a like header. */
  requestId: omittable(Schema.String),
  /** The server's own code for the failure, such as `FST_ERR_VALIDATION`. */
  code: omittable(Schema.String),
  /**
   * The start of the response's body, at most 1,000 characters, without what it repeats of the request. Absent where it is
   * an answer that may hold secrets or what was said, and could not be decoded.
   */
  body: omittable(Schema.String)
}).annotate({ identifier: "HttpExchange" })

const fields = { message: Schema.String, http: omittable(HttpExchange) }

/** What is known of a turn that broke off. */
const turnFields = {
  ...fields,
  /**
   * What was received of it. Hidden from logs, as it holds the conversation. It is readable in `AshError.partialTurn`, and in
   * the JSON of an error that its schema encodes: keep that JSON only where conversations may be kept.
   */
  partialTurn: omittable(Schema.Redacted(Turn)),
  /** The sequence number of the last message that was stored before the turn, where a session handle knows it. */
  lastSequence: omittable(Schema.Finite)
}

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
  turnFields
) {
  readonly isRetryable = true
  readonly nothingHappened = false
}

/** A timer ran out. What was asked may have been done. */
export class TimedOut extends Schema.TaggedClass<TimedOut>("effect-ash/TimedOut")("TimedOut", {
  ...turnFields,
  /**
   * Which of the timers: `attempt`, until a request was answered; and of a turn `headers`, until it was answered,
   * `firstEvent`, from then to its first event, `idle`, between two pieces of the stream, `done`, from its result to its
   * end, and `turn`, as a whole.
   */
  timer: Schema.Literals(["attempt", "headers", "firstEvent", "idle", "done", "turn"]),
  duration: Schema.Duration
}) {
  readonly isRetryable = true
  readonly nothingHappened = false
}

/** The server answered something that is not what it should be; `message` says where. */
export class Undecodable extends Schema.TaggedClass<Undecodable>("effect-ash/Undecodable")("Undecodable", turnFields) {
  readonly isRetryable = false
  readonly nothingHappened = false
}

/** The stream of a turn ended without `done` or `error`. The turn may go on; what it says is lost to this program. */
export class StreamTruncated extends Schema.TaggedClass<StreamTruncated>("effect-ash/StreamTruncated")(
  "StreamTruncated",
  { ...turnFields, sessionId: Schema.String }
) {
  readonly isRetryable = false
  readonly nothingHappened = false
}

/** More arrived than the stream's buffer holds, and it was not to wait. The turn goes on; what it says is lost. */
export class BufferFull extends Schema.TaggedClass<BufferFull>("effect-ash/BufferFull")("BufferFull", {
  ...turnFields,
  sessionId: Schema.String,
  /** Bytes. */
  size: Schema.Finite
}) {
  readonly isRetryable = false
  readonly nothingHappened = false
}

/** This program ended the turn or the command: it was cancelled, or its session was stopped or ended. */
export class TurnCancelled extends Schema.TaggedClass<TurnCancelled>("effect-ash/TurnCancelled")("TurnCancelled", {
  ...turnFields,
  sessionId: Schema.String
}) {
  readonly isRetryable = false
  readonly nothingHappened = false
}

/** The agent or the server ended the turn with an error. */
export class TurnFailed extends Schema.TaggedClass<TurnFailed>("effect-ash/TurnFailed")("TurnFailed", {
  ...turnFields,
  sessionId: Schema.String,
  /** What the server said of it; empty where it said nothing. */
  error: Schema.String
}) {
  readonly isRetryable = false
  readonly nothingHappened = false
}

/** Another turn ran in the session at the same time, and what arrived is of both. What this turn says is lost. */
export class TurnMixed extends Schema.TaggedClass<TurnMixed>("effect-ash/TurnMixed")("TurnMixed", {
  ...turnFields,
  sessionId: Schema.String
}) {
  readonly isRetryable = false
  readonly nothingHappened = false
}

/**
 * The turn ended without success: a limit was reached, or the agent failed. `partialTurn` has what the agent wrote and did.
 * The session is usable.
 */
export class TurnUnsuccessful extends Schema.TaggedClass<TurnUnsuccessful>("effect-ash/TurnUnsuccessful")(
  "TurnUnsuccessful",
  {
    ...turnFields,
    sessionId: Schema.String,
    /** How it ended; `partialTurn.outcome` has what the agent says of it. */
    outcome: Schema.Literals(TurnOutcome.members.map((member) => member.fields._tag.schema.literal))
  }
) {
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

/** A turn or a command runs in the session, in this program. Nothing was sent. */
export class SessionBusy extends Schema.TaggedClass<SessionBusy>("effect-ash/SessionBusy")("SessionBusy", {
  ...fields,
  sessionId: Schema.String
}) {
  readonly isRetryable = true
  readonly nothingHappened = true
}

/**
 * The stream of the session's last turn broke off, and the turn may still run: a new turn would mix with it. Nothing was
 * sent. `SessionHandle.recover` makes the session usable again.
 */
export class SessionFenced extends Schema.TaggedClass<SessionFenced>("effect-ash/SessionFenced")("SessionFenced", {
  ...fields,
  sessionId: Schema.String
}) {
  readonly isRetryable = false
  readonly nothingHappened = true
}

/** The session got a sandbox that was made before it and ignores these settings, and a fresh one was required. It was ended. */
export class SettingsIgnored extends Schema.TaggedClass<SettingsIgnored>("effect-ash/SettingsIgnored")(
  "SettingsIgnored",
  { ...fields, sessionId: Schema.String, settings: Schema.Array(Schema.String) }
) {
  readonly isRetryable = true
  readonly nothingHappened = false
}

/**
 * Why an operation failed. Later versions may add reasons: match those that you use, and handle the rest in `Match.orElse`,
 * `default` or `Effect.catch`. `AshError.isRetryable` and `AshError.nothingHappened` hold for every reason.
 */
export type AshErrorReason = typeof AshErrorReason.Type
export const AshErrorReason = Schema.Union([
  Unauthorized,
  NotFound,
  NotSupported,
  InvalidRequest,
  WrongState,
  FilesRefused,
  SessionBusy,
  SessionFenced,
  SettingsIgnored,
  RateLimited,
  AtCapacity,
  ServerFailure,
  NotReached,
  ConnectionLost,
  TimedOut,
  Undecodable,
  StreamTruncated,
  BufferFull,
  TurnCancelled,
  TurnFailed,
  TurnMixed,
  TurnUnsuccessful
])

/** An operation that failed, and why. */
export class AshError extends Schema.TaggedError<AshError>()("AshError", {
  /** The method that was called, such as `Sessions.get`. */
  operation: Schema.String,
  /** What it was doing, where that is another method of the package, such as `Attachments.upload` in `Sessions.open`. */
  during: omittable(Schema.String),
  reason: AshErrorReason
}) {
  /** Which operation failed, and why. The error's own, so that `structuredClone` and `postMessage` keep it. */
  override readonly message: string = `${this.operation}: ${
    this.during === undefined ? "" : `${this.during}: `
  }${this.reason.message}`

  /** Where in this package the error was made tells a caller nothing, so there is no trace; spans tell who called. */
  override readonly stack = `${this.name}: ${this.message}`

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

  /** What was received of a turn that broke off or failed. */
  get partialTurn(): Turn | undefined {
    return "partialTurn" in this.reason && this.reason.partialTurn !== undefined
      ? Redacted.value(this.reason.partialTurn)
      : undefined
  }

  /** The sequence number of the last message that was stored before the turn, where a session handle knows it. */
  get lastSequence(): number | undefined {
    return "lastSequence" in this.reason ? this.reason.lastSequence : undefined
  }

  override toJSON(): unknown {
    return {
      _tag: this._tag,
      message: this.message,
      operation: this.operation,
      during: this.during,
      reason: this.reason
    }
  }
}
