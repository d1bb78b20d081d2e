/**
 * What servers take of a JSON schema in `outputFormat`. It is compiled as draft-07, strictly; one that does not compile is
 * ignored as a whole, silently (docs/ash.md 3.6).
 */
import * as JsonPointer from "effect/JsonPointer"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { withoutUndefined } from "./Wire.ts"

/** A part of a schema for which the whole is ignored. */
export interface Objection {
  /** Where it is, such as `/properties/born/format`; empty for the schema as a whole. */
  readonly at: string
  readonly why: string
}

const isText = Predicate.isString
const isNumber = Predicate.isNumber
const isFlag = Predicate.isBoolean
const isAny = () => true
const isList = (value: unknown): value is ReadonlyArray<Schema.Json> => Array.isArray(value)
const isMap = (value: unknown): value is Schema.JsonObject => Predicate.isObject(value)
const isCount = (value: unknown) => isNumber(value) && Number.isInteger(value) && value >= 0
const isUnique = (values: ReadonlyArray<Schema.Json>) =>
  new Set(values.map((value) => JSON.stringify(value))).size === values.length
const isUniqueTexts = (value: unknown) => isList(value) && value.every(isText) && isUnique(value)
const isSchema = (value: unknown) => isMap(value) || isFlag(value)
const isSchemas = (value: unknown) => isList(value) && value.length > 0 && value.every(isSchema)
const isSchemaMap = (value: unknown) => isMap(value) && Object.values(value).every(isSchema)

const types: ReadonlySet<unknown> = new Set(["array", "boolean", "integer", "null", "number", "object", "string"])

const isType = (value: unknown) =>
  types.has(value) || isList(value) && value.length > 0 && value.every((type) => types.has(type)) && isUnique(value)

/** Whether a text is a pattern under the flag `u`, with which servers compile it. */
const isPattern = (value: unknown) => isText(value) && Result.isSuccess(Result.try(() => new RegExp(value, "u")))

const isPatternMap = (value: unknown) => isSchemaMap(value) && isMap(value) && Object.keys(value).every(isPattern)

/** Keywords whose values are one schema, and a list of them. */
const single = ["not", "if", "then", "else", "propertyNames", "additionalProperties", "additionalItems", "contains"]
const several = ["anyOf", "oneOf", "allOf"]

/** The keywords that servers know, each with what may stand behind it. */
const keywords: ReadonlyMap<string, (value: Schema.Json) => boolean> = new Map([
  ...["const", "default", "contentSchema"].map((name) => [name, isAny] as const),
  ...["$id", "$ref", "$schema", "$comment", "title", "description", "contentMediaType", "contentEncoding"].map((name) =>
    [name, isText] as const
  ),
  ...["uniqueItems", "readOnly", "writeOnly", "nullable", "deprecated"].map((name) => [name, isFlag] as const),
  ...["maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"].map((name) => [name, isNumber] as const),
  ...["maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"].map((name) =>
    [name, isCount] as const
  ),
  ...single.map((name) => [name, isSchema] as const),
  ...several.map((name) => [name, isSchemas] as const),
  ...["properties", "definitions", "$defs"].map((name) => [name, isSchemaMap] as const),
  ["patternProperties", isPatternMap],
  ["pattern", isPattern],
  ["multipleOf", (value) => isNumber(value) && value > 0],
  ["examples", isList],
  ["enum", (value) => isList(value) && value.length > 0 && isUnique(value)],
  ["required", isUniqueTexts],
  ["type", isType],
  ["items", (value) => isSchema(value) || isSchemas(value)],
  ["dependencies", (value) => isMap(value) && Object.values(value).every((one) => isSchema(one) || isUniqueTexts(one))]
])

/** Keywords whose values have schemas by name. */
const maps: ReadonlySet<string> = new Set(["properties", "patternProperties", "definitions", "$defs", "dependencies"])

/** Keywords whose values are schemas, or lists of them. */
const places: ReadonlySet<string> = new Set([...single, ...several, "items"])

/** The value of a keyword, each schema in it replaced. */
const mapSchemas = (
  keyword: string,
  value: Schema.Json,
  change: (schema: Schema.Json, at: string) => Schema.Json
): Schema.Json => {
  if (maps.has(keyword) && isMap(value)) {
    return Record.map(value, (schema, name) => change(schema, `/${keyword}/${JsonPointer.escapeToken(name)}`))
  }
  if (!places.has(keyword)) return value
  return isList(value)
    ? value.map((schema, index) => change(schema, `/${keyword}/${index}`))
    : change(value, `/${keyword}`)
}

/** The schemas of draft-07, by whose names a schema may call itself one. */
const dialects = /^http:\/\/json-schema\.org\/(?:draft-07\/)?schema#?$/

/** A part of a reference as a name, if it is encoded as one. */
const nameOf = (step: string) => Result.try(() => JsonPointer.unescapeToken(decodeURIComponent(step)))

/** What a reference within a schema leads to, if to anything. */
const targetOf = (root: Schema.Json, reference: string): Schema.Json | undefined =>
  /^#(?:\/|$)/.test(reference)
    ? reference.split("/").slice(1).map(nameOf).reduce<Schema.Json | undefined>((inner, name) => {
      if (Result.isFailure(name)) return undefined
      if (isList(inner)) return inner[Number(name.success)]
      return isMap(inner) && Object.hasOwn(inner, name.success) ? inner[name.success] : undefined
    }, root)
    : undefined

/** What a strict compiler makes of keywords that have no effect where they are. */
const strictness: ReadonlyArray<readonly [keyword: string, hasEffect: (schema: Schema.JsonObject) => boolean]> = [
  ["additionalItems", ({ items }) => isList(items)],
  ["if", (schema) => Object.hasOwn(schema, "then") || Object.hasOwn(schema, "else")],
  ["then", (schema) => Object.hasOwn(schema, "if")],
  ["else", (schema) => Object.hasOwn(schema, "if")],
  ["nullable", (schema) => Object.hasOwn(schema, "type")]
]

/** Whether a name in `properties` matches a pattern, which is compiled here without the flag u, or not at all. */
const isMatchedIn = ({ properties }: Schema.JsonObject) => (pattern: string) =>
  Result.getOrElse(
    Result.try(() => Object.keys(Object(properties)).some((name) => new RegExp(pattern).test(name))),
    () => true
  )

const whyNot = (root: Schema.JsonObject, schema: Schema.JsonObject, keyword: string, value: Schema.Json) => {
  if (keyword === "format") return "`format` is not known; put it into the description"
  const isValid = keywords.get(keyword)
  if (isValid === undefined) return `\`${keyword}\` is no keyword of draft-07`
  if (keyword === "$schema" && schema === root && !(isText(value) && dialects.test(value))) {
    return "`$schema` names another draft than 07"
  }
  if (!isValid(value)) {
    return keyword === "pattern" || keyword === "patternProperties"
      ? `\`${keyword}\` is no pattern under the flag u`
      : `\`${keyword}\` has a value that it does not take`
  }
  if (keyword === "$ref" && isText(value) && targetOf(root, value) === undefined) return "`$ref` leads nowhere"
  if (keyword === "patternProperties" && isMap(value) && Object.keys(value).some(isMatchedIn(schema))) {
    return "`patternProperties` matches a name in `properties`"
  }
  return strictness.some(([name, hasEffect]) => name === keyword && !hasEffect(schema))
    ? `\`${keyword}\` has no effect here`
    : undefined
}

/** The parts of a schema for which servers ignore it. */
export const objectionsTo = (root: Schema.JsonObject): ReadonlyArray<Objection> => {
  const found: Array<Objection> = []
  const visit = (schema: Schema.Json, at: string): Schema.Json => {
    if (!isMap(schema)) return schema
    for (const [keyword, value] of Object.entries(schema)) {
      const why = whyNot(root, schema, keyword, value)
      if (why !== undefined) found.push({ at: `${at}/${JsonPointer.escapeToken(keyword)}`, why })
      mapSchemas(keyword, value, (inner, below) => visit(inner, `${at}${below}`))
    }
    return schema
  }
  if (Result.isFailure(Result.try(() => visit(root, "")))) found.push({ at: "", why: "it has too many levels" })
  return found
}

/** The parts of an `outputFormat` for which servers ignore it. */
export const objectionsToFormat = (
  { schema, type }: { readonly type: string; readonly schema: Readonly<Record<string, unknown>> }
): ReadonlyArray<Objection> =>
  type === "json_schema"
    ? objectionsTo(withoutUndefined(schema)).map(({ at, why }) => ({ at: `/schema${at}`, why }))
    : [{ at: "/type", why: "its `type` is not `json_schema`" }]

/** A schema with more in its description. */
export const withDescription = (schema: Schema.JsonObject, words: string): Schema.JsonObject => ({
  ...schema,
  description: isText(schema["description"]) ? `${schema["description"]}; ${words}` : words
})

const knownIn = (schema: Schema.Json): Schema.Json => isMap(schema) ? withKnownKeywords(schema) : schema

/** Whether servers check a keyword as it is meant: of multiples of a fraction they refuse many, as they divide. */
const isKept = (keyword: string, value: Schema.Json) =>
  keywords.has(keyword) && keyword !== "$schema" && (keyword !== "multipleOf" || Number.isInteger(value))

/** A schema without the keywords that servers do not know, or check wrongly; what these have is in the description. */
export const withKnownKeywords = (schema: Schema.JsonObject): Schema.JsonObject => {
  const { format, multipleOf } = schema
  const kept = Record.filter(schema, (value, keyword) => isKept(keyword, value))
  const known = Record.map(kept, (value, keyword) => mapSchemas(keyword, value, knownIn))
  const words = [
    ...(isText(format) ? [`format: ${format}`] : []),
    ...(isNumber(multipleOf) && !Number.isInteger(multipleOf) ? [`a multiple of ${multipleOf}`] : [])
  ]
  return words.length === 0 ? known : withDescription(known, words.join("; "))
}
