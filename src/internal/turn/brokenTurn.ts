/** What is known of a turn that broke off: what was received of it, and whether it can run at all. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { AshError, AshErrorReason } from "../../schema/AshError.ts"
import { type StreamTruncated, TurnUnsuccessful } from "../../schema/Reasons.ts"
import type { Turn, TurnOutcome } from "../../schema/Turn.ts"
import { failure } from "../request/operations.ts"
import { printable } from "../request/printable.ts"
import type { Redact } from "../request/secrets.ts"
import { type Surround, whenSent } from "../request/sending.ts"

const endings: Readonly<Record<TurnUnsuccessful["outcome"], string>> = {
  Success: "with success",
  MaxTurns: "as it reached maxTurns",
  MaxBudgetUsd: "as it used up maxBudgetUsd",
  MaxStructuredOutputRetries: "without an answer that fits its outputFormat",
  ErrorDuringExecution: "by a failure of the agent",
  IsError: "with an error in the place of an answer",
  Other: "in a way that is not known here",
  NoResult: "without a result; another program's turn or command may have ended it"
}

/** Characters of the agent's text in the place of an answer. */
const answerLimit = 1000

/** The error that the agent gave in the place of an answer, if it gave one. */
export const whatWasWrong = (outcome: TurnOutcome, redact: Redact): string =>
  outcome._tag === "IsError" ? ` (${printable(redact(outcome.error), answerLimit)})` : ""

/** Keeps what the agent wrote out of logs. */
export const hideTurn = (turn: Turn): Redacted.Redacted<Turn> =>
  Redacted.make(turn, { label: "what was received of the turn" })

/** A turn that has come to its end; a failure unless that is a success. */
export const successful = (
  operation: string,
  sessionId: string,
  turn: Turn,
  redact: Redact
): Effect.Effect<Turn, AshError> => {
  const outcome = turn.outcome._tag
  return outcome === "Success" ? Effect.succeed(turn) : failure(operation, TurnUnsuccessful, {
    message: `the turn ended ${endings[outcome]}${whatWasWrong(turn.outcome, redact)}; ` +
      "partialTurn has what the agent wrote until then",
    sessionId,
    outcome,
    partialTurn: hideTurn(turn)
  })
}

type KnownOfTurn = Partial<Pick<StreamTruncated, "partialTurn" | "http" | "lastSequence">>

/** The same reason with other values in some of its fields. */
export const changed = (
  reason: AshErrorReason,
  fields: KnownOfTurn | Pick<AshErrorReason, "message" | "wasSent">
): AshErrorReason => AshErrorReason.make(Object.assign({}, reason, fields))

/** Whether a reason has room for what is known of a turn. */
const isOfTurn = (reason: AshErrorReason): boolean =>
  AshErrorReason.members.some((type) => reason instanceof type && "partialTurn" in type.fields)

/** The failure with what is known of its turn. A failure of something else has no room for that. */
export const withKnown = (error: AshError, known: KnownOfTurn): AshError => {
  const { during, operation, reason } = error
  return isOfTurn(reason) ? new AshError({ operation, during, reason: changed(reason, known) }) : error
}

/** Calls back when the request of an attempt goes out, and when it is certain that it has started nothing. */
export const whileOut = (callBack: (isOut: boolean) => void): Surround => (attempt) => (sending) => {
  let isOut = false
  const set = (next: boolean) => {
    if (isOut !== next) callBack(isOut = next)
  }
  return Effect.mapError(whenSent(() => set(true))(attempt)(sending), (error) => {
    if (error.nothingHappened) set(false)
    return error
  })
}
