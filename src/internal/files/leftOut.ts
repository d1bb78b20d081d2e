/** Reports what is not taken from a folder or a bundle, or not written to one. */
import * as Effect from "effect/Effect"
import { printable } from "../request/printable.ts"

/** Warns of what is left out, and why: nothing replaces it. */
export const leftOut = (path: string, why: string): Effect.Effect<[]> =>
  Effect.as(Effect.logWarning(printable(`${path} is left out: ${why}`)), [])
