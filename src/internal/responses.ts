/** Tells whoever makes a call when it goes out, and what answered it. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"

/** Is called with each response, whatever its status. */
export class OnResponse extends Context.Reference<(response: HttpClientResponse.HttpClientResponse) => void>(
  "effect-ash/internal/responses/OnResponse",
  { defaultValue: () => () => {} }
) {}

/** Is called right before each request goes out, when all that it waits for is there. */
export class OnRequest extends Context.Reference<() => void>("effect-ash/internal/responses/OnRequest", {
  defaultValue: () => () => {}
}) {}

/** Calls back, too, when a request of an effect goes out. */
export const whenSent = (callBack: () => void) =>
  Effect.updateService(OnRequest, (others) => () => {
    others()
    callBack()
  })
