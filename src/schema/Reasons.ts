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

const fields = {
  message: Schema.String,
  http: omittable(HttpExchange),
  /** False where it is certain that what was called for was not sent, as something before it failed. */
  wasSent: omittable(Schema.Boolean)
}

const sessionFields = { ...fields, sessionId: Schema.String }

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

const sessionTurnFields = { ...turnFields, sessionId: Schema.String }

const retryAfterFields = {
  ...fields,
  /** How long the server asks to wait. */
  retryAfter: omittable(Schema.Duration)
}

/** What holds of all failures for a reason, unless its class tells it of each. What was not sent did nothing. */
interface Consequences {
  get isRetryable(): boolean
  get nothingHappened(): boolean
}

/** Makes classes of reasons, each by its tag and its fields. */
const reasons =
  ({ isRetryable, nothingHappened }: Consequences) =>
  <Self>() =>
  <const Tag extends string, const Fields extends Schema.Struct.Fields>(tag: Tag, fields: Fields) => {
    const reason = Schema.TaggedClass<Self, Consequences>(`effect-ash/${tag}`)(tag, fields)
    Object.defineProperties(Object(reason).prototype, {
      isRetryable: { value: isRetryable },
      nothingHappened: {
        get(this: { readonly wasSent?: boolean }) {
          return nothingHappened || this.wasSent === false
        }
      }
    })
    return reason
  }

/** The server did nothing, and would not do it the next time either. */
const Refused = reasons({ isRetryable: false, nothingHappened: true })

/** The server did nothing, and may do it later. */
const NotNow = reasons({ isRetryable: true, nothingHappened: true })

/** The operation may have been done. What was wrong stays so. */
const Broken = reasons({ isRetryable: false, nothingHappened: false })

/** The operation may have been done. What was wrong may pass. */
const Uncertain = reasons({ isRetryable: true, nothingHappened: false })

/** The key is missing, malformed, unknown or revoked (401), or lacks the permission (403). */
export class Unauthorized extends Refused<Unauthorized>()("Unauthorized", fields) {}

/** It does not exist, or not for this key (404). */
export class NotFound extends Refused<NotFound>()("NotFound", fields) {}

/** The input is invalid: refused here before it was sent (then `http` is absent), or by the server. */
export class InvalidRequest extends Refused<InvalidRequest>()("InvalidRequest", {
  ...fields,
  /** The field at fault, `files[0].path` for example; absent if the server does not report it. */
  field: omittable(Schema.String)
}) {}

/** The state of a session or an item does not allow this: a message to a paused session, a resume of an ended one. */
export class WrongState extends Refused<WrongState>()("WrongState", {
  ...fields,
  /** Its current state, if the server reports it. */
  status: omittable(Schema.String)
}) {}

/** Too many requests (429). Nothing was done. */
export class RateLimited extends NotNow<RateLimited>()("RateLimited", retryAfterFields) {}

/** The server has no room for the sandbox that the call starts (503). Nothing was done. */
export class AtCapacity extends NotNow<AtCapacity>()("AtCapacity", retryAfterFields) {}

/** The server, or a proxy before it, failed (408, 425, 5xx). The operation may have been done. */
export class ServerFailure extends Uncertain<ServerFailure>()("ServerFailure", retryAfterFields) {}

/** No connection to the server could be made. Nothing was sent. */
export class NotReached extends NotNow<NotReached>()("NotReached", fields) {}

/** The connection broke after the request was sent. The operation may have been done. */
export class ConnectionLost extends Uncertain<ConnectionLost>()("ConnectionLost", turnFields) {}

/** A timer ran out. The operation may have been done. */
export class TimedOut extends Uncertain<TimedOut>()("TimedOut", {
  ...turnFields,
  /**
   * Which of the timers: `attempt`, until a request was answered; and of a turn `headers`, until it was answered,
   * `firstEvent`, from then to its first event, `idle`, between two pieces of the stream, `done`, from its result to its
   * end, and `turn`, as a whole.
   */
  timer: Schema.Literals(["attempt", "headers", "firstEvent", "idle", "done", "turn"]),
  duration: Schema.Duration
}) {}

/** The response is not what the API declares; `message` has the place in it. */
export class Undecodable extends Broken<Undecodable>()("Undecodable", turnFields) {}

/** The stream of a turn ended without `done` or `error`. The turn may run on; this program loses its further output. */
export class StreamTruncated extends Broken<StreamTruncated>()("StreamTruncated", sessionTurnFields) {}

/** The buffer of the stream is full, and `buffer.whenFull` is `fail`. The turn runs on; its further output is lost. */
export class BufferFull extends Broken<BufferFull>()("BufferFull", {
  ...sessionTurnFields,
  /** Bytes. */
  size: Schema.Finite
}) {}

/** This program ended the turn or the command: it was cancelled, or its session was stopped or ended. */
export class TurnCancelled extends Broken<TurnCancelled>()("TurnCancelled", sessionTurnFields) {}

/** The agent or the server ended the turn with an error. */
export class TurnFailed extends Broken<TurnFailed>()("TurnFailed", {
  ...sessionTurnFields,
  /** The reason that the server gives; empty if there is none. */
  error: Schema.String
}) {}

/** Another turn ran in the session at the same time, and the stream has events of both. The output of this turn is lost. */
export class TurnMixed extends Broken<TurnMixed>()("TurnMixed", sessionTurnFields) {}

/**
 * The turn ended without success: a limit was reached, or the agent failed. `partialTurn` has what the agent wrote and did.
 * The session is usable.
 */
export class TurnUnsuccessful extends Broken<TurnUnsuccessful>()("TurnUnsuccessful", {
  ...sessionTurnFields,
  /** How it ended; `partialTurn.outcome` has the details. */
  outcome: Schema.Literals(TurnOutcome.members.map((member) => member.fields._tag.schema.literal))
}) {}

/** The agent gave no answer of the schema that was asked for, in no turn of the call. The session is usable. */
export class AnswerInvalid extends Broken<AnswerInvalid>()("AnswerInvalid", {
  ...sessionFields,
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
}) {}

/** The server does not have this route: it is of another release, or only the hosted product has the route (404). */
export class NotSupported extends Refused<NotSupported>()("NotSupported", fields) {}

/** The server wrote some of the files that were sent, and refused these. */
export class FilesRefused extends Broken<FilesRefused>()("FilesRefused", {
  ...fields,
  /** The files that were not written, each with the server's reason. */
  refused: Schema.Array(WriteFileResult)
}) {}

/** A turn or a command runs in the session, in this program. Nothing was sent. */
export class SessionBusy extends NotNow<SessionBusy>()("SessionBusy", sessionFields) {}

/**
 * The stream of the session's last turn broke off, and the turn may still run: a new turn would mix with it. Nothing was
 * sent. `SessionHandle.recover` makes the session usable again.
 */
export class SessionFenced extends Refused<SessionFenced>()("SessionFenced", sessionFields) {}

/**
 * A budget of this program is used up: what is spent and held by turns that run comes to its limit. Nothing was sent. Turns
 * that run may give back some of what they hold.
 */
export class BudgetExhausted extends Refused<BudgetExhausted>()("BudgetExhausted", {
  ...fields,
  /** What turns have cost, by the vendor's estimates; those that broke off all that they held. */
  spent: Schema.Finite,
  /** What turns that run may still cost. */
  held: Schema.Finite,
  limit: Schema.Finite,
  /** What the three count: US dollars or tokens. */
  unit: Schema.Literals(["usd", "tokens"])
}) {
  override get isRetryable(): boolean {
    return this.held > 0
  }
}

/** The session got a prepared sandbox, which ignores these settings, and a fresh one was required. It was ended. */
export class SettingsIgnored extends Uncertain<SettingsIgnored>()("SettingsIgnored", {
  ...sessionFields,
  settings: Schema.Array(Schema.String)
}) {}
