/** Options over others, as a call, a program and a layer set them. */
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"

/** Lays options over others. What is undefined is left out, and so keeps what is under it. */
export const over = <A extends object>(outer: A | undefined, inner: A | undefined): A | undefined => {
  if (outer === undefined || inner === undefined) return inner ?? outer
  const all = { ...outer }
  return Object.assign(all, Record.filter({ ...inner }, Predicate.isNotUndefined))
}
