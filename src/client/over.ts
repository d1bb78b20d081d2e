/** Options over others, as a call, a program and a layer set them. */
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"

/** Whether there are options to lay over others. What is no object stays as it is, and is refused where it is read. */
export const areOptions = (given: object | undefined): given is object => Predicate.isObject(given)

/** Lays options over others. What is undefined is left out, and so keeps what is under it. */
export const over = <A extends object>(outer: A | undefined, inner: A | undefined): A | undefined => {
  if (!areOptions(outer) || !areOptions(inner)) return inner === undefined ? outer : inner
  const all = { ...outer }
  return Object.assign(all, Record.filter({ ...inner }, Predicate.isNotUndefined))
}
