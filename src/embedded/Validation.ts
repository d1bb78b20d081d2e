/**
 * Checks JSON against the schemas of the real server's routes, as AJV does with `coerceTypes: "array"`: values are bent
 * into shape where they can be (contract 2.5), the first failure is told in AJV's words.
 */
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { isObject } from "./Json.ts"

/** What a value must be. */
export type Rule =
  | {
    readonly type: "string"
    readonly minLength?: number
    readonly maxLength?: number
    readonly pattern?: string
    readonly format?: "uuid" | "date-time"
    readonly enum?: ReadonlyArray<string>
  }
  | { readonly type: "integer" | "number"; readonly minimum?: number; readonly maximum?: number }
  | { readonly type: "boolean" }
  | { readonly type: "array"; readonly items: Rule; readonly minItems?: number; readonly maxItems?: number }
  | {
    readonly type: "object"
    readonly properties?: Readonly<Record<string, Rule>>
    readonly required?: ReadonlyArray<string>
    /** What further properties must be; anything where absent. */
    readonly others?: Rule
  }
  | Nullable
  | AnyOf
  | OneOf

/** Null, or what the rule says. */
interface Nullable {
  readonly type: "nullable"
  readonly rule: Rule
}

/** The first of these that it is. Nothing is bent. */
interface AnyOf {
  readonly type: "anyOf"
  readonly rules: ReadonlyArray<Rule>
}

/** Exactly one of these. What one bends stays bent for the next, and for good, even if it then refuses it. */
interface OneOf {
  readonly type: "oneOf"
  readonly rules: ReadonlyArray<Rule>
}

type Checked = Result.Result<Schema.Json, string>

/** Checks a value; the path is what a failure names, `body/name` for example. */
export const check = (rule: Rule, value: Schema.Json | undefined, path: string): Checked => {
  if (rule.type === "oneOf") return checkOneOf(rule, value, path)
  if (rule.type === "anyOf") return checkAnyOf(rule, value, path)
  if (rule.type === "nullable") return value === null ? Result.succeed(null) : check(rule.rule, value, path)
  const bent = bend(rule, value)
  switch (rule.type) {
    case "string":
      return typeof bent === "string" ? checkText(rule, bent, path) : wrongType(rule, path)
    case "integer":
    case "number":
      return typeof bent === "number" && (rule.type === "number" || Number.isInteger(bent))
        ? checkNumber(rule, bent, path)
        : wrongType(rule, path)
    case "boolean":
      return typeof bent === "boolean" ? Result.succeed(bent) : wrongType(rule, path)
    case "array":
      return isArray(bent) ? checkArray(rule, bent, path) : wrongType(rule, path)
    case "object":
      return isObject(bent) ? checkObject(rule, bent, path) : wrongType(rule, path)
  }
}

/** What AJV makes of a value before it checks its type. */
const bend = (rule: Rule, value: Schema.Json | undefined): Schema.Json | undefined => {
  if (rule.type === "array") {
    return isArray(value) || isObject(value) || value === undefined ? value : [value]
  }
  const single = isArray(value) && value.length === 1 ? value[0] : value
  switch (rule.type) {
    case "string":
      if (single === null) return ""
      return typeof single === "number" || typeof single === "boolean" ? String(single) : single
    case "integer":
    case "number":
      if (single === null || typeof single === "boolean") return Number(single)
      return typeof single === "string" && single.trim() !== "" && !Number.isNaN(Number(single))
        ? Number(single)
        : single
    case "boolean":
      if (single === "false" || single === 0 || single === null) return false
      return single === "true" || single === 1 ? true : single
    default:
      return single
  }
}

const isArray = (value: Schema.Json | undefined): value is Schema.JsonArray => Array.isArray(value)

const wrongType = (rule: Rule, path: string): Checked => Result.fail(`${path} must be ${rule.type}`)

const checkText = (rule: Extract<Rule, { readonly type: "string" }>, text: string, path: string): Checked => {
  const length = Array.from(text).length
  if (rule.maxLength !== undefined && length > rule.maxLength) {
    return Result.fail(`${path} must NOT have more than ${rule.maxLength} characters`)
  }
  if (rule.minLength !== undefined && length < rule.minLength) {
    return Result.fail(`${path} must NOT have fewer than ${rule.minLength} characters`)
  }
  if (rule.pattern !== undefined && !new RegExp(rule.pattern, "u").test(text)) {
    return Result.fail(`${path} must match pattern "${rule.pattern}"`)
  }
  if (rule.format !== undefined && !formats[rule.format].test(text)) {
    return Result.fail(`${path} must match format "${rule.format}"`)
  }
  if (rule.enum !== undefined && !rule.enum.includes(text)) {
    return Result.fail(`${path} must be equal to one of the allowed values`)
  }
  return Result.succeed(text)
}

const formats = {
  uuid: /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i,
  "date-time": /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)$/i
}

const checkNumber = (
  rule: Extract<Rule, { readonly type: "integer" | "number" }>,
  number: number,
  path: string
): Checked => {
  if (rule.maximum !== undefined && number > rule.maximum) return Result.fail(`${path} must be <= ${rule.maximum}`)
  if (rule.minimum !== undefined && number < rule.minimum) return Result.fail(`${path} must be >= ${rule.minimum}`)
  return Result.succeed(number)
}

const checkArray = (
  rule: Extract<Rule, { readonly type: "array" }>,
  values: ReadonlyArray<Schema.Json>,
  path: string
): Checked => {
  if (rule.maxItems !== undefined && values.length > rule.maxItems) {
    return Result.fail(`${path} must NOT have more than ${rule.maxItems} items`)
  }
  if (rule.minItems !== undefined && values.length < rule.minItems) {
    return Result.fail(`${path} must NOT have fewer than ${rule.minItems} items`)
  }
  return Result.all(values.map((value, index) => check(rule.items, value, `${path}/${index}`)))
}

const checkObject = (
  { others, properties = {}, required = [] }: Extract<Rule, { readonly type: "object" }>,
  value: Schema.JsonObject,
  path: string
): Checked => {
  const missing = required.find((name) => !Object.hasOwn(value, name))
  if (missing !== undefined) return Result.fail(`${path} must have required property '${missing}'`)
  const checked: Record<string, Result.Result<Schema.Json, string>> = {}
  for (const [name, field] of Object.entries(value)) {
    const rule = Object.hasOwn(properties, name) ? properties[name] : others
    checked[name] = rule === undefined ? Result.succeed(field) : check(rule, field, `${path}/${name}`)
  }
  return Result.all(checked)
}

const checkOneOf = ({ rules }: OneOf, value: Schema.Json | undefined, path: string): Checked => {
  let bent = value
  const passed = rules.filter((rule) => {
    bent = bend(rule, bent)
    return Result.isSuccess(check(rule, bent, path))
  })
  return passed.length === 1 && bent !== undefined
    ? Result.succeed(bent)
    : Result.fail(`${path} must match exactly one schema in oneOf`)
}

const checkAnyOf = ({ rules }: AnyOf, value: Schema.Json | undefined, path: string): Checked =>
  rules.some((rule) => bend(rule, value) === value && Result.isSuccess(check(rule, value, path))) && value !== undefined
    ? Result.succeed(value)
    : Result.fail(`${path} must match a schema in anyOf`)
