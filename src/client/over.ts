/** Options over others, as a call, a program and a layer set them. */
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"

/** Whether there are options to lay over others. What is no object stays as it is, and is refused where it is read. */
export const areOptions = (given: object | undefined): given is object => Predicate.isObject(given)

/** Lays options over others, where there are both. What is no object stands above what is one. */
export const laid = <A extends object | undefined>(
  outer: A,
  inner: A,
  lay: (outer: A & object, inner: A & object) => A
): A =>
  areOptions(outer) && areOptions(inner)
    ? lay(outer, inner)
    : inner === undefined || outer !== undefined && areOptions(inner)
    ? outer
    : inner

/** Lays options over others. What is undefined is left out, and so keeps what is under it. */
export const over = <A extends object | undefined>(outer: A, inner: A): A =>
  laid(
    outer,
    inner,
    (outer, inner) => Object.assign({ ...outer }, Record.filter({ ...inner }, Predicate.isNotUndefined))
  )
