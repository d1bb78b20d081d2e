/** From the errors of this package to those of `effect/ai`: only what did nothing comes out as worth another try. */
import * as AiError from "effect/ai/AiError"
import type { AshError } from "../schema/AshError.ts"

export const aiError = (method: string, reason: AiError.AiErrorReason): AiError.AiError =>
  AiError.make({ module: "AshLanguageModel", method, reason })

/** The refusal of a prompt, or of an option. Nothing was sent. */
export const refuse = (method: string, parameter: string, description: string): AiError.AiError =>
  aiError(method, new AiError.InvalidRequestError({ parameter, description }))

/** Programs repeat what is retryable, and with it a turn that was sent would be sent twice. */
const reasonOf = ({ isRetryable, message, nothingHappened, reason, retryAfter }: AshError): AiError.AiErrorReason => {
  const what = { description: message, metadata: { ash: { reason: reason._tag, nothingHappened } } }
  switch (reason._tag) {
    case "RateLimited":
      return new AiError.RateLimitError({ ...(retryAfter && { retryAfter }), metadata: what.metadata })
    case "Unauthorized":
      return new AiError.AuthenticationError({ kind: "InvalidKey", ...what })
    case "InvalidRequest":
      return new AiError.InvalidRequestError({ parameter: reason.field, ...what })
    default:
      return nothingHappened && isRetryable ? new AiError.InternalProviderError(what) : new AiError.UnknownError(what)
  }
}

export const fromAsh = (method: string) => (error: AshError): AiError.AiError => aiError(method, reasonOf(error))
