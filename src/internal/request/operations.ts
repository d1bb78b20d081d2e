/** Names failures for the caller: by the method that was called, and what it was doing. */
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import { AshError, type AshErrorReason } from "../../schema/AshError.ts"

export const failure = <Fields>(
  operation: string,
  Reason: new(fields: Fields) => AshErrorReason,
  fields: NoInfer<Fields>
): AshError => new AshError({ operation, reason: new Reason(fields) })

/** The failure as that of another method, which does the same. */
export const renamed = (operation: string) => (error: AshError): AshError =>
  error.operation === operation ? error : new AshError({ operation, during: error.during, reason: error.reason })

/** The failure as that of a method on whose way another failed. */
export const within = (operation: string) => (error: AshError): AshError =>
  error.operation === operation
    ? error
    : new AshError({ operation, during: error.during ?? error.operation, reason: error.reason })

/** One line of why something failed, for a log. */
export const messageOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return Predicate.hasProperty(error, "message") && Predicate.isString(error.message) ? error.message : String(error)
}
