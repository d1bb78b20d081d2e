/** Tells whoever makes a call what headers its response had. */
import * as Context from "effect/Context"
import type * as Headers from "effect/http/Headers"

/** Is called with the headers of each response, whatever its status. */
export class OnHeaders extends Context.Reference<(headers: Headers.Headers) => void>(
  "effect-ash/internal/responseHeaders/OnHeaders",
  { defaultValue: () => () => {} }
) {}
