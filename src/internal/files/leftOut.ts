/** What is not taken from a folder or a bundle, or not written into one, is told. */
import * as Effect from "effect/Effect"
import { printable } from "../request/printable.ts"

/** Tells by a warning what is left out, and why: nothing stands for it. */
export const leftOut = (path: string, why: string): Effect.Effect<[]> =>
  Effect.as(Effect.logWarning(`${printable(path)} is left out: ${why}`), [])
