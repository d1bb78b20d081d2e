/** From the errors of this package to those of `effect/ai`: only what did nothing comes out as worth another try. */
import * as AiError from "effect/ai/AiError"
import type { AshError } from "../schema/AshError.ts"

/** Makes an error of a method of the model. */
export const aiError = (method: string, reason: AiError.AiErrorReason): AiError.AiError =>
  AiError.make({ module: "AshLanguageModel", method, reason })

/** The refusal of a prompt, or of an option. Nothing was sent. */
export const refuse = (method: string, parameter: string, description: string): AiError.AiError =>
  aiError(method, new AiError.InvalidRequestError({ parameter, description }))

/** Programs repeat what is retryable, and with it a turn that was sent would be sent twice. */
export const fromAsh = (method: string) => (error: AshError): AiError.AiError => {
  const { nothingHappened, reason } = error
  const description = error.message
  const metadata = { ash: { reason: reason._tag, nothingHappened } }
  const { retryAfter } = error
  if (reason._tag === "RateLimited") {
    return aiError(method, new AiError.RateLimitError({ ...(retryAfter && { retryAfter }), metadata }))
  }
  if (reason._tag === "Unauthorized") {
    return aiError(method, new AiError.AuthenticationError({ kind: "InvalidKey", description, metadata }))
  }
  if (reason._tag === "InvalidRequest") {
    return aiError(method, new AiError.InvalidRequestError({ parameter: reason.field, description, metadata }))
  }
  if (nothingHappened && error.isRetryable) {
    return aiError(method, new AiError.InternalProviderError({ description, metadata }))
  }
  return aiError(method, new AiError.UnknownError({ description, metadata }))
}
