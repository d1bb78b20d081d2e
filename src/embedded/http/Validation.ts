/**
 * Checks JSON against the schemas of the real server's routes, as AJV does with `coerceTypes: "array"`: values are coerced
 * where possible, and the first failure has AJV's message. Only rules are walked recursively, never input.
 */
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { field, isObject } from "../wire/Json.ts"

export type Rule = Typed | Either | OneOf

export type Typed = Text | Count | List | Fields | { readonly type: "boolean" } | { readonly type: "null" }

interface Text {
  readonly type: "string"
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly format?: "uuid" | "date-time"
  readonly enum?: ReadonlyArray<string>
}

interface Count {
  readonly type: "integer" | "number"
  readonly minimum?: number
  readonly maximum?: number
}

interface List {
  readonly type: "array"
  readonly items: Rule
  readonly minItems?: number
  readonly maxItems?: number
}

export interface Fields {
  readonly type: "object"
  readonly properties?: Readonly<Record<string, Rule>>
  readonly required?: ReadonlyArray<string>
  /** What further properties must be; anything where absent. */
  readonly others?: Rule
}

/** A value of one of several types, as `type: [...]` and `nullable` have it. */
interface Either {
  readonly type: "either"
  readonly rules: ReadonlyArray<Typed>
  /** Whether nothing is coerced. No known server has such a rule. */
  readonly isStrict?: boolean
}

/** Exactly one of these. What one rule coerces stays coerced for the next, even where the rule then refuses it. */
interface OneOf {
  readonly type: "oneOf"
  readonly rules: ReadonlyArray<Typed>
}

type Checked = Result.Result<Schema.Json, string>

/** Checks a value. The path names it in a failure, such as `body/name`. */
export const check = (rule: Rule, value: Schema.Json | undefined, path: string): Checked => {
  if (rule.type === "oneOf") return checkOneOf(rule, value, path)
  if (rule.type !== "either") return checkCoerced([rule], coerce([rule], value), path)
  const { isStrict, rules } = rule
  const coerced = isStrict === true ? { rule: rules.find((rule) => hasType(rule, value)), value } : coerce(rules, value)
  return checkCoerced(rules, coerced, path)
}

/** A coerced value, and the rule whose type it has; no rule where it has none of the types. */
interface Coerced {
  readonly rule: Typed | undefined
  readonly value: Schema.Json | undefined
}

/**
 * What AJV makes of a value of another type: it takes the only element of a list in place of the list, and coerces it to
 * the first type that it can be. Nothing becomes an object, and no object is taken out of a list. Where there are several
 * types, the element of a list is never taken as it is, only coerced, as AJV checks all the types at once.
 */
const coerce = (rules: ReadonlyArray<Typed>, value: Schema.Json | undefined): Coerced => {
  const fitting = rules.find((rule) => hasType(rule, value))
  if (fitting !== undefined || rules.every(({ type }) => type === "object")) return { rule: fitting, value }
  const single = isArray(value) && value.length === 1 ? value.at(0) : value
  if (rules.length === 1 && rules.some((rule) => hasType(rule, single))) return { rule: rules.at(0), value: single }
  for (const rule of rules) {
    const coerced = coerceTo(rule.type, single)
    if (coerced !== undefined) return { rule, value: coerced }
  }
  return { rule: undefined, value: single }
}

const hasType = ({ type }: Typed, value: Schema.Json | undefined): boolean => {
  switch (type) {
    case "null":
      return value === null
    case "array":
      return isArray(value)
    case "object":
      return isObject(value)
    case "integer":
      return Number.isInteger(value)
    case "number":
      return Number.isFinite(value)
    default:
      return typeof value === type
  }
}

/** A value as one of a type; absent where it cannot be one. */
const coerceTo = (type: Typed["type"], value: Schema.Json | undefined): Schema.Json | undefined => {
  const isScalar = value === null || (value !== undefined && typeof value !== "object")
  if (!isScalar) return undefined
  switch (type) {
    case "string":
      return value === null ? "" : typeof value === "string" ? undefined : String(value)
    case "integer":
    case "number": {
      if (value === null || typeof value === "boolean") return Number(value)
      const number = toFinite(value)
      return number === undefined || (type === "integer" && !Number.isInteger(number)) ? undefined : number
    }
    case "boolean":
      if (value === "false" || value === 0 || value === null) return false
      return value === "true" || value === 1 ? true : undefined
    case "null":
      return value === "" || value === 0 || value === false ? null : undefined
    case "array":
      return [value]
    case "object":
      return undefined
  }
}

/** The number of a text. One that is too large for a double becomes the largest double, as JSON has no infinity. */
const toFinite = (value: string | number): number | undefined => {
  const number = Number(value)
  if (typeof value === "number" || value === "" || Number.isNaN(number)) return undefined
  return Math.min(Math.max(number, -Number.MAX_VALUE), Number.MAX_VALUE)
}

const isArray = (value: Schema.Json | undefined): value is Schema.JsonArray => Array.isArray(value)

const checkCoerced = (rules: ReadonlyArray<Typed>, { rule, value }: Coerced, path: string): Checked => {
  if (rule?.type === "array" && isArray(value)) return checkArray(rule, value, path)
  if (rule?.type === "object" && isObject(value)) return checkObject(rule, value, path)
  const why = rule === undefined || value === undefined
    ? `must be ${rules.map(({ type }) => type).filter((type) => type !== "null").join()}`
    : rule.type === "string" && typeof value === "string"
    ? whyNotText(rule, value)
    : (rule.type === "integer" || rule.type === "number") && typeof value === "number"
    ? whyNotNumber(rule, value)
    : undefined
  return why === undefined && value !== undefined ? Result.succeed(value) : Result.fail(`${path} ${why}`)
}

const whyNotText = (rule: Text, text: string): string | undefined => {
  const { enum: values, format, maxLength = Infinity, minLength = 0, pattern = "" } = rule
  if (hasMore(text, maxLength)) return `must NOT have more than ${maxLength} characters`
  if (!hasMore(text, minLength - 1)) return `must NOT have fewer than ${minLength} characters`
  if (!new RegExp(pattern, "u").test(text)) return `must match pattern "${pattern}"`
  if (format !== undefined && !hasFormat(format, text)) return `must match format "${format}"`
  return values?.includes(text) === false ? "must be equal to one of the allowed values" : undefined
}

const whyNotNumber = ({ maximum = Infinity, minimum = -Infinity }: Count, number: number): string | undefined =>
  number > maximum ? `must be <= ${maximum}` : number < minimum ? `must be >= ${minimum}` : undefined

/** Whether a text has more characters. Each is one or two units, so that most long texts need not be split. */
const hasMore = (text: string, characters: number) =>
  text.length > 2 * characters || (text.length > characters && Array.from(text).length > characters)

const hasFormat = (format: "uuid" | "date-time", text: string) =>
  format === "uuid" ? uuid.test(text) : instantOf(text) !== undefined

const uuid = /^(?:urn:uuid:)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i

const instant =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[t\s]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(\.\d+)?(?:(z)|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)$/i

/**
 * A text of the format `date-time`, as `Date` reads it; absent where it is none. The format allows other separators, zones
 * without a colon, and a leap second, which becomes the second before it.
 */
export const instantOf = (text: string): string | undefined => {
  const [match, year, month, day, hour, minute, second, fraction = "", z, sign, zoneHour, zoneMinute = "00"] =
    instant.exec(text) ?? []
  if (match === undefined || Number(day) > daysOf(Number(year), Number(month))) return undefined
  const isLeap = second === "60"
  if (isLeap) {
    const offset = (Number(zoneHour ?? 0) * 60 + Number(zoneMinute)) * (sign === "-" ? -1 : 1)
    const inUtc = (Number(hour) * 60 + Number(minute) - offset + 1440) % 1440
    if (inUtc !== 1439) return undefined
  }
  const zone = z === undefined ? `${sign}${zoneHour}:${zoneMinute}` : "Z"
  return `${year}-${month}-${day}T${hour}:${minute}:${isLeap ? "59" : second}${fraction.slice(0, 4)}${zone}`
}

const daysOf = (year: number, month: number): number => {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return [4, 6, 9, 11].includes(month) ? 30 : 31
}

const checkArray = (rule: List, values: ReadonlyArray<Schema.Json>, path: string): Checked => {
  const { items, maxItems = Infinity, minItems = 0 } = rule
  if (values.length > maxItems) return Result.fail(`${path} must NOT have more than ${maxItems} items`)
  if (values.length < minItems) return Result.fail(`${path} must NOT have fewer than ${minItems} items`)
  return Result.all(values.map((value, index) => check(items, value, `${path}/${index}`)))
}

/** Properties are checked in the order of the rule, after those that it does not name. */
const checkObject = ({ others, properties = {}, required = [] }: Fields, value: Schema.JsonObject, path: string) => {
  const missing = required.find((name) => !Object.hasOwn(value, name))
  if (missing !== undefined) return Result.fail(`${path} must have required property '${missing}'`)
  const further = others === undefined
    ? []
    : Object.keys(value).filter((name) => !Object.hasOwn(properties, name)).map((name) => [name, others] as const)
  const known = Object.entries(properties).filter(([name]) => Object.hasOwn(value, name))
  const checked = [...further, ...known].map(([name, rule]) =>
    Result.map(
      check(rule, field(value, name), `${path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`),
      (coerced) => [name, coerced] as const
    )
  )
  return Result.map(Result.all(checked), (coerced) => Object.fromEntries([...Object.entries(value), ...coerced]))
}

const checkOneOf = ({ rules }: OneOf, value: Schema.Json | undefined, path: string): Checked => {
  let coerced = value
  const passed = rules.filter((rule) => {
    const next = coerce([rule], coerced)
    const checked = checkCoerced([rule], next, path)
    coerced = Result.getOrElse(checked, () => next.value)
    return Result.isSuccess(checked)
  })
  return passed.length === 1 && coerced !== undefined
    ? Result.succeed(coerced)
    : Result.fail(`${path} must match exactly one schema in oneOf`)
}
