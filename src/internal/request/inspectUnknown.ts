/** Reads values that other code made, errors above all: getters that throw, proxies, circles and depths are no defect. */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"

/** The text of an error, or of what caused it. */
export interface ErrorLink {
  readonly name: string | undefined
  readonly code: string | undefined
  readonly message: string | undefined
  /** The call of the system that failed. */
  readonly syscall: string | undefined
}

/** No error that is of use has more causes; a getter may make a new one whenever it is asked. */
const maxLinks = 1_000

export const readSafely = <A>(read: () => A): A | undefined => Result.getOrUndefined(Result.try(read))

export const asInstance = <A>(value: unknown, type: new(...input: never) => A): A | undefined =>
  readSafely(() => value instanceof type ? value : undefined)

/** Whether a value passes a guard; one that cannot be read does not. */
export const safelyIs = <A>(value: unknown, is: (value: unknown) => value is A): value is A =>
  readSafely(() => is(value)) === true

const textOf = (value: object, name: string): string | undefined => {
  const text = readSafely((): unknown => Reflect.get(value, name))
  return Predicate.isString(text) ? text : undefined
}

/** What an error was caused by, the first one last. */
const causesOf = (value: object): ReadonlyArray<unknown> => {
  const several = readSafely((): ReadonlyArray<unknown> => {
    const errors: unknown = Reflect.get(value, "errors")
    return Array.isArray(errors) ? Array.from(errors.slice(0, maxLinks)) : []
  })
  return [readSafely((): unknown => Reflect.get(value, "cause")), ...(several ?? []).toReversed()]
}

/** The links of an error and of what caused it, outermost first. */
export const errorChainOf = (error: unknown): ReadonlyArray<ErrorLink> => {
  const links: Array<ErrorLink> = []
  const seen = new Set<unknown>()
  const waiting = [error]
  while (waiting.length > 0 && links.length < maxLinks) {
    const next = waiting.pop()
    if (Predicate.isString(next)) links.push({ name: undefined, code: undefined, message: next, syscall: undefined })
    if (typeof next !== "object" || next === null || seen.has(next)) continue
    seen.add(next)
    const [name, code, message, syscall] = ["name", "code", "message", "syscall"].map((each) => textOf(next, each))
    links.push({ name, code, message, syscall })
    waiting.push(...causesOf(next))
  }
  return links
}
