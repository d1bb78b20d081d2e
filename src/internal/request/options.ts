/** Checks the options of calls and layers by what each must be, so that one that cannot be used is refused with its name. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { AshError } from "../../schema/AshError.ts"
import { InvalidRequest } from "../../schema/Reasons.ts"

const millisOf = (input: Duration.Input) =>
  Option.match(Duration.fromInput(input), { onNone: () => NaN, onSome: Duration.toMillis })

/** Whether an input is a duration: `Duration` itself reads what is no number, and unknown units, as 0. */
const isMeant = (input: unknown): input is Duration.Input => {
  if (!Predicate.isObjectOrArray(input) || Duration.isDuration(input)) return !Number.isNaN(input)
  const names = Object.keys(input)
  return !Object.values(input).includes(NaN) &&
    (Array.isArray(input) || names.length > 0 && names.every((name) => millisOf({ [name]: 1 }) > 0))
}

/** Whether an input is a duration of 0 or more. */
export const isDuration = (input: unknown): input is Duration.Input => isMeant(input) && millisOf(input) >= 0

/** Tells what a part of an input must be, by its path in the input. */
export const mustBe = (path: string, expected: string) => {
  const field = path.replace(/^(?:headers|options|params|payload|query)\./, "")
  return new InvalidRequest({ message: `${field || "the input"} must be ${expected}`, field })
}

/** What is wrong with the value of an option, if anything is. */
export type Rule = (value: unknown, field: string) => InvalidRequest | undefined

/** Of an option that may be left out. */
export const rule = (expected: string, isIt: (value: unknown) => boolean): Rule => (value, field) =>
  value === undefined || isIt(value) ? undefined : mustBe(field, expected)

export const required = (rule: Rule): Rule => (value, field) => rule(value ?? null, field)

export const anObject = rule("an object", Predicate.isObject)

/** Options by their names, as a whole or within another; others are passed over. */
export const optionsOf = <Options>(rules: { readonly [Name in keyof Options]-?: Rule }): Rule => (value, field) =>
  !Predicate.isObject(value)
    ? anObject(value, field)
    : Object.entries<Rule>(rules)
      .map(([name, rule]) => rule(value[name], `${field}.${name}`))
      .find(Predicate.isNotUndefined)

const listed = (words: ReadonlyArray<unknown>, ...before: ReadonlyArray<string>) =>
  [...before, ...words.map((word) => JSON.stringify(word))].join(" or ")

export const aFunction = rule("a function", Predicate.isFunction)

export const oneOf = (...words: ReadonlyArray<unknown>) => rule(listed(words), (value) => words.includes(value))

/** A text, such as `"false"`, would count as true. */
export const flag = oneOf(true, false)

/** Servers take a filter by an empty name for none. */
export const text = rule("a text that is not empty", (value) => Predicate.isString(value) && value !== "")

export const listOf = (what: string, isIt: (value: unknown) => boolean) =>
  rule(`a list of ${what}`, (value) => Array.isArray(value) && value.every(isIt))

const atLeast = (kind: string, isIt: (value: unknown) => boolean) => (least: number) =>
  rule(`${kind} of ${least} or more`, (value) => isIt(value) && Number(value) >= least)

export const amount = atLeast("a number", Predicate.isNumber)

export const count = atLeast("an integer", Number.isSafeInteger)

export const between = (least: number, most: number) =>
  rule(
    `an integer of ${least} to ${most}`,
    (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most
  )

/** A duration, or one of these words. */
export const duration = (...words: ReadonlyArray<unknown>) =>
  rule(
    listed(words, "a duration of 0 or more, such as \"30 seconds\" or a number of milliseconds"),
    (value) => words.includes(value) || isDuration(value)
  )

/** A duration that ends. */
export const finite = rule("a finite duration of 0 or more", (value) => isDuration(value) && millisOf(value) < Infinity)

/** The options of a call, where they are what they must be. */
export const checked = <Options extends object>(
  operation: string,
  rule: Rule,
  options: Options | undefined
): Effect.Effect<Partial<Options>, AshError> => {
  const reason = rule(options, "options")
  return reason === undefined ? Effect.succeed(options ?? {}) : Effect.fail(new AshError({ operation, reason }))
}

export const refusal = (operation: string, field: string, message: string) =>
  new AshError({ operation, reason: new InvalidRequest({ message, field }) })

export const refuseOption = (operation: string, field: string, expected: string) =>
  Effect.fail(new AshError({ operation, reason: mustBe(field, expected) }))
