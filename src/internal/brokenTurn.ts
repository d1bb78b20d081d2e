/** What is known of a turn that broke off: what was heard of it, and whether it can run at all. */
import {
  AshError,
  type AshErrorReason,
  BufferFull,
  ConnectionLost,
  StreamTruncated,
  TimedOut,
  TurnCancelled,
  TurnFailed,
  Undecodable
} from "../schema/AshError.ts"

type Known = Partial<Pick<StreamTruncated, "heard" | "http" | "lastSequence">>

const withKnownReason = (reason: AshErrorReason, known: Known): AshErrorReason => {
  switch (reason._tag) {
    case "ConnectionLost":
      return new ConnectionLost({ ...reason, ...known })
    case "StreamTruncated":
      return new StreamTruncated({ ...reason, ...known })
    case "TurnFailed":
      return new TurnFailed({ ...reason, ...known })
    case "TurnCancelled":
      return new TurnCancelled({ ...reason, ...known })
    case "TimedOut":
      return new TimedOut({ ...reason, ...known })
    case "BufferFull":
      return new BufferFull({ ...reason, ...known })
    case "Undecodable":
      return new Undecodable({ ...reason, ...known })
    default:
      return reason
  }
}

/** The failure with what is known of its turn; a failure of something else as it is. */
export const withKnown = ({ during, operation, reason }: AshError, known: Known): AshError =>
  new AshError({ operation, during, reason: withKnownReason(reason, known) })

/**
 * Whether it is certain that a turn has not begun. A server at its capacity has made no session; of a turn that is not
 * said (contract 6.3).
 */
export const startedNothing = ({ nothingHappened, reason }: AshError): boolean =>
  nothingHappened && reason._tag !== "AtCapacity"
