/** Tells whoever makes a call what answered it. */
import * as Context from "effect/Context"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"

/** Is called with each response, whatever its status. */
export class OnResponse extends Context.Reference<(response: HttpClientResponse.HttpClientResponse) => void>(
  "effect-ash/internal/responses/OnResponse",
  { defaultValue: () => () => {} }
) {}
