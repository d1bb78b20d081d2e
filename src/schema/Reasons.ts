/**
 * Why an operation failed: the reasons of an `AshError`, one class each. Their tags are those that
 * `Effect.catchReason("AshError", ...)` takes.
 */
import * as Schema from "effect/Schema"
import { AnswerIssue } from "./AnswerIssue.ts"
import { WriteFileResult } from "./File.ts"
import { HttpExchange } from "./HttpExchange.ts"
import { Turn, TurnOutcome } from "./Turn.ts"
import { omittable } from "./Wire.ts"

const fields = { message: Schema.String, http: omittable(HttpExchange) }

/** What is known of a turn that broke off. */
const turnFields = {
  ...fields,
  /**
   * What was received of it. Hidden from logs, as it holds the conversation. It is readable in `AshError.partialTurn`, and in
   * the JSON of an error that its schema encodes: keep that JSON only where conversations may be kept.
   */
  partialTurn: omittable(Schema.Redacted(Turn)),
  /** The sequence number of the last message that was stored before the turn, if a session handle knows it. */
  lastSequence: omittable(Schema.Finite)
}

/** The key is missing, malformed, unknown or revoked (401), or lacks the permission (403). */
export class Unauthorized extends Schema.TaggedClass<Unauthorized>("effect-ash/Unauthorized")("Unauthorized", fields) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return true
  }
}

/** It does not exist, or not for this key (404). */
export class NotFound extends Schema.TaggedClass<NotFound>("effect-ash/NotFound")("NotFound", fields) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return true
  }
}

/** The input is invalid: refused here before it was sent (then `http` is absent), or by the server. */
export class InvalidRequest extends Schema.TaggedClass<InvalidRequest>("effect-ash/InvalidRequest")("InvalidRequest", {
  ...fields,
  /** The field at fault, `files[0].path` for example; absent if the server does not report it. */
  field: omittable(Schema.String)
}) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return true
  }
}

/** The state of a session or an item does not allow this: a message to a paused session, a resume of an ended one. */
export class WrongState extends Schema.TaggedClass<WrongState>("effect-ash/WrongState")("WrongState", {
  ...fields,
  /** Its current state, if the server reports it. */
  status: omittable(Schema.String)
}) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return true
  }
}

/** Too many requests (429). Nothing was done. */
export class RateLimited extends Schema.TaggedClass<RateLimited>("effect-ash/RateLimited")("RateLimited", {
  ...fields,
  /** How long the server asks to wait. */
  retryAfter: omittable(Schema.Duration)
}) {
  get isRetryable(): boolean {
    return true
  }

  get nothingHappened(): boolean {
    return true
  }
}

/** The server has no room for another sandbox (503). Nothing was done. */
export class AtCapacity extends Schema.TaggedClass<AtCapacity>("effect-ash/AtCapacity")("AtCapacity", {
  ...fields,
  retryAfter: omittable(Schema.Duration)
}) {
  get isRetryable(): boolean {
    return true
  }

  get nothingHappened(): boolean {
    return true
  }
}

/** The server, or a proxy before it, failed (5xx). The operation may have been done. */
export class ServerFailure extends Schema.TaggedClass<ServerFailure>("effect-ash/ServerFailure")("ServerFailure", {
  ...fields,
  retryAfter: omittable(Schema.Duration)
}) {
  get isRetryable(): boolean {
    return true
  }

  get nothingHappened(): boolean {
    return false
  }
}

/** No connection to the server could be made. Nothing was sent. */
export class NotReached extends Schema.TaggedClass<NotReached>("effect-ash/NotReached")("NotReached", fields) {
  get isRetryable(): boolean {
    return true
  }

  get nothingHappened(): boolean {
    return true
  }
}

/** The connection broke after the request was sent. The operation may have been done. */
export class ConnectionLost extends Schema.TaggedClass<ConnectionLost>("effect-ash/ConnectionLost")(
  "ConnectionLost",
  turnFields
) {
  get isRetryable(): boolean {
    return true
  }

  get nothingHappened(): boolean {
    return false
  }
}

/** A timer ran out. The operation may have been done. */
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
  get isRetryable(): boolean {
    return true
  }

  get nothingHappened(): boolean {
    return false
  }
}

/** The response is not what the API declares; `message` has the place in it. */
export class Undecodable extends Schema.TaggedClass<Undecodable>("effect-ash/Undecodable")("Undecodable", turnFields) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return false
  }
}

/** The stream of a turn ended without `done` or `error`. The turn may run on; this program loses its further output. */
export class StreamTruncated extends Schema.TaggedClass<StreamTruncated>("effect-ash/StreamTruncated")(
  "StreamTruncated",
  { ...turnFields, sessionId: Schema.String }
) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return false
  }
}

/** The buffer of the stream is full, and `buffer.whenFull` is `fail`. The turn runs on; its further output is lost. */
export class BufferFull extends Schema.TaggedClass<BufferFull>("effect-ash/BufferFull")("BufferFull", {
  ...turnFields,
  sessionId: Schema.String,
  /** Bytes. */
  size: Schema.Finite
}) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return false
  }
}

/** This program ended the turn or the command: it was cancelled, or its session was stopped or ended. */
export class TurnCancelled extends Schema.TaggedClass<TurnCancelled>("effect-ash/TurnCancelled")("TurnCancelled", {
  ...turnFields,
  sessionId: Schema.String,
  /** Whether it was sent, and may have begun; false for one that still waited for that. */
  wasSent: omittable(Schema.Boolean)
}) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return this.wasSent === false
  }
}

/** The agent or the server ended the turn with an error. */
export class TurnFailed extends Schema.TaggedClass<TurnFailed>("effect-ash/TurnFailed")("TurnFailed", {
  ...turnFields,
  sessionId: Schema.String,
  /** The reason that the server gives; empty if there is none. */
  error: Schema.String
}) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return false
  }
}

/** Another turn ran in the session at the same time, and the stream has events of both. The output of this turn is lost. */
export class TurnMixed extends Schema.TaggedClass<TurnMixed>("effect-ash/TurnMixed")("TurnMixed", {
  ...turnFields,
  sessionId: Schema.String
}) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return false
  }
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
    /** How it ended; `partialTurn.outcome` has the details. */
    outcome: Schema.Literals(TurnOutcome.members.map((member) => member.fields._tag.schema.literal))
  }
) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return false
  }
}

/** The agent gave no answer of the schema that was asked for, in no turn of the call. The session is usable. */
export class AnswerInvalid extends Schema.TaggedClass<AnswerInvalid>("effect-ash/AnswerInvalid")("AnswerInvalid", {
  ...fields,
  sessionId: Schema.String,
  /**
   * What is wrong with the last answer: there is none, `Absent`; it begins as JSON and is none, as one that was cut short,
   * `NotJson`; or it does not match the schema, `Mismatch`.
   */
  kind: Schema.Literals(["Absent", "NotJson", "Mismatch"]),
  /** Where the last answer does not match the schema; at most 50. */
  issues: Schema.Array(AnswerIssue),
  /** The last answer as it came: JSON, or the text in its place. */
  answer: Schema.Redacted(Schema.Json),
  /** The turns that the call took, oldest first. Hidden from logs, as they hold the conversation. */
  turns: Schema.Redacted(Schema.Array(Turn)),
  /** What these turns cost, in US dollars, if that is known of each. An estimate, as `Turn.costUsd`. */
  costUsd: omittable(Schema.Finite)
}) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return false
  }
}

/** The server does not have this route: it is of another release, or only the hosted product has the route (404). */
export class NotSupported extends Schema.TaggedClass<NotSupported>("effect-ash/NotSupported")("NotSupported", fields) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return true
  }
}

/** The server wrote some of the files that were sent, and refused these. */
export class FilesRefused extends Schema.TaggedClass<FilesRefused>("effect-ash/FilesRefused")("FilesRefused", {
  ...fields,
  /** The files that were not written, each with the server's reason. */
  refused: Schema.Array(WriteFileResult)
}) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return false
  }
}

/** A turn or a command runs in the session, in this program. Nothing was sent. */
export class SessionBusy extends Schema.TaggedClass<SessionBusy>("effect-ash/SessionBusy")("SessionBusy", {
  ...fields,
  sessionId: Schema.String
}) {
  get isRetryable(): boolean {
    return true
  }

  get nothingHappened(): boolean {
    return true
  }
}

/**
 * The stream of the session's last turn broke off, and the turn may still run: a new turn would mix with it. Nothing was
 * sent. `SessionHandle.recover` makes the session usable again.
 */
export class SessionFenced extends Schema.TaggedClass<SessionFenced>("effect-ash/SessionFenced")("SessionFenced", {
  ...fields,
  sessionId: Schema.String
}) {
  get isRetryable(): boolean {
    return false
  }

  get nothingHappened(): boolean {
    return true
  }
}

/**
 * A budget of this program is used up: what is spent and held by turns that run comes to its limit. Nothing was sent. Turns
 * that run may give back some of what they hold.
 */
export class BudgetExhausted extends Schema.TaggedClass<BudgetExhausted>("effect-ash/BudgetExhausted")(
  "BudgetExhausted",
  {
    ...fields,
    /** What turns have cost, by the vendor's estimates; those that broke off all that they held. */
    spent: Schema.Finite,
    /** What turns that run may still cost. */
    held: Schema.Finite,
    limit: Schema.Finite,
    /** What the three count: US dollars or tokens. */
    unit: Schema.Literals(["usd", "tokens"])
  }
) {
  get isRetryable(): boolean {
    return this.held > 0
  }

  get nothingHappened(): boolean {
    return true
  }
}

/** The session got a prepared sandbox, which ignores these settings, and a fresh one was required. It was ended. */
export class SettingsIgnored extends Schema.TaggedClass<SettingsIgnored>("effect-ash/SettingsIgnored")(
  "SettingsIgnored",
  { ...fields, sessionId: Schema.String, settings: Schema.Array(Schema.String) }
) {
  get isRetryable(): boolean {
    return true
  }

  get nothingHappened(): boolean {
    return false
  }
}
