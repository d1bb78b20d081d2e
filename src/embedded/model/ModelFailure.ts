/** Why a model gives no answer. */
import type { AiError } from "effect/ai/AiError"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Option from "effect/Option"

/** Why there is no answer, in one line that repeats nothing of the prompt and the answer. */
export class ModelFailure extends Data.TaggedError("ModelFailure")<{ readonly message: string }> {}

/** A failure in one line: the texts of models, providers and tools may hold keys and prompts. */
export const describe = (cause: Cause.Cause<Error>, isAiError: (error: unknown) => error is AiError): string => {
  const failure = Option.getOrUndefined(Cause.findErrorOption(cause))
  if (failure === undefined) return `a defect of the model or of a tool: ${nameOf(Cause.squash(cause))}`
  if (failure instanceof ModelFailure) return failure.message
  if (!isAiError(failure)) return `a tool failed: ${nameOf(failure)}`
  const { reason } = failure
  const status = "http" in reason ? reason.http?.response?.status : undefined
  return `the model failed: ${reason._tag}${status === undefined ? "" : ` (${status})`}`
}

const nameOf = (error: unknown) => error instanceof Error ? error.name : "unknown"
