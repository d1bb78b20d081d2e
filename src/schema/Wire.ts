/**
 * What the schema files share: request fields that may be left out, enums that stay open, and unions that keep what
 * they do not know.
 */
import * as Effect from "effect/Effect"
import { constFalse, memoize } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as Struct from "effect/Struct"

/**
 * A request field that may be absent. `undefined` is left out of the body, where `Schema.optional` would send `null`. Made
 * once of each schema, as `nullish` is.
 */
export const omittable = memoize(<S extends Schema.Top>(schema: S) =>
  Schema.optionalKey(schema).pipe(
    Schema.decodeTo(Schema.optional(Schema.toType(schema)), {
      decode: SchemaGetter.transformOptional<S["Type"] | undefined, S["Type"]>(Option.map((value) => value)),
      encode: SchemaGetter.transformOptional<S["Type"], S["Type"] | undefined>(Option.filter(Predicate.isNotUndefined))
    })
  )
)

/** A key of a request that may be left out: a whole number of at least so much. */
export const atLeast = (minimum: number) =>
  omittable(
    Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum, { expected: `a whole number of at least ${minimum}` }))
  )

/** A time in ISO 8601, on no day that its month never has, also with a space in the place of the `T`, as databases write it. */
export const isoTime =
  /^(?:\d{4}|[+-]\d{6})-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d)|(?:0[13-9]|1[0-2])-30|(?:0[13578]|1[02])-31)(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?$/i

/**
 * A time in an answer; one without a zone is of UTC. What else a platform takes for a date is a guess, and some of it is of the
 * zone of the machine.
 */
export const Time = Schema.String.check(Schema.isPattern(isoTime, { expected: "a time" })).pipe(
  Schema.decodeTo(Schema.DateTimeUtcFromString)
)

/** A field that is always there: `undefined` where JSON has none, as null may be a value of its own. */
export const orUndefined = <S extends Schema.Top>(schema: S) =>
  Schema.optionalKey(schema).pipe(
    Schema.decodeTo(Schema.UndefinedOr(Schema.toType(schema)), {
      decode: SchemaGetter.transformOptional<S["Type"] | undefined, S["Type"]>(Option.orElseSome(() => undefined)),
      encode: SchemaGetter.transformOptional<S["Type"], S["Type"] | undefined>(Option.filter(Predicate.isNotUndefined))
    })
  )

/** What decodes to nothing where it does not fit: in an optional field, or an entry of a record. */
export const fitting = <S extends Schema.Top>(schema: S) => schema.pipe(Schema.catchDecoding(() => Effect.succeedNone))

/**
 * A side field of a response: a server may leave it out, send null, or send something of another type, which is absent then
 * and hides nothing else. Made once of each schema: most are of a text or a number.
 */
export const nullish = memoize(<S extends Schema.Top>(schema: S) => fitting(Schema.optionalKey(Schema.NullOr(schema))))

/** A structure with a tag by which programs tell it from others, and which its JSON does not have. */
export const tagged = <const Tag extends string, const Fields extends Schema.Struct.Fields>(tag: Tag, fields: Fields) =>
  Schema.Struct(Struct.assign({ _tag: Schema.tagDefaultOmit(tag) } as const, fields))

/** What the rows of a server have in common. */
export const rowFields = {
  id: Schema.String,
  tenantId: nullish(Schema.String),
  createdAt: Time
}

/** An enum that a newer server may extend: the known values complete in an editor, any other string decodes. */
export const open = <const Values extends ReadonlyArray<string>>(values: Values) =>
  Schema.Union([Schema.Literals(values), Schema.StringForLiteralAutocomplete])

/** Whether a text has bytes: half of a pair of surrogates has none, and would reach a server as another character. */
export const isWellFormed = (text: string): boolean => !/\p{Surrogate}/u.test(text)

/** What a text must be that names something outside of JSON. */
export const wellFormed = "well-formed text, without half of a character"

/**
 * Annotates a text of requests that a message may repeat: a name, an id, a path, a media type. Every other text in the body
 * of a request is secret, but for the values of closed enums.
 */
export const harmless = { isHarmless: true } as const

/** Checks that a text has at most so many characters. */
export const atMost = (count: number) =>
  Schema.isMaxLength(count, { expected: `at most ${String(count).replace(/\B(?=(?:\d{3})+$)/g, ",")} characters` })

/** Whether it is a text that can be read: not where it was wiped, or made by another copy of Effect. */
export const isSecret = (value: unknown): value is Redacted.Redacted<string> =>
  Redacted.isRedacted(value) &&
  Result.getOrElse(Result.try(() => Predicate.isString(Redacted.value(value))), constFalse)

/** A text that is well-formed. */
export const WellFormed = Schema.String.check(Schema.makeFilter(isWellFormed, { expected: wellFormed }))

/** Any JSON object. */
export const JsonObject = Schema.Record(Schema.String, Schema.Json)

/**
 * JSON as a caller gives it: what is `undefined` in an object is left out, and null in a list, as `JSON.stringify` does it.
 */
export type JsonInput =
  | null
  | number
  | boolean
  | string
  | ReadonlyArray<JsonInput | undefined>
  | { readonly [key: string]: JsonInput | undefined }

const isJson = Schema.is(Schema.Json)
const isJsonObject = Schema.is(Schema.JsonObject)

/** Whether it is an object or a list as JSON has them, and nothing that has a form of its own in JSON, such as a date. */
const isPlain = (input: unknown): input is object => {
  if (!Predicate.isObject(input)) return Array.isArray(input)
  const prototype: unknown = Object.getPrototypeOf(input)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

const leaveOut = (input: unknown, above: ReadonlyArray<unknown> = []): unknown => {
  if (!isPlain(input) || above.includes(input)) return input
  const inside = [...above, input]
  if (Array.isArray(input)) return Array.from(input, (item) => item === undefined ? null : leaveOut(item, inside))
  const entries = Object.entries(input).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries.map(([name, value]) => [name, leaveOut(value, inside)]))
}

/** What it is as JSON, if it is that: not if it goes round in itself, or is too deep, or fails. */
const toJson = (input: unknown): Option.Option<Schema.Json> =>
  Option.filter(Result.getSuccess(Result.try(() => isJson(input) ? input : leaveOut(input))), isJson)

/** An object of JSON without what is `undefined` in it. */
export const withoutUndefined = (input: unknown): Schema.JsonObject =>
  Option.getOrElse(Option.filter(toJson(input), isJsonObject), () => ({}))

const AnyInput = Schema.declare((input): input is JsonInput => Option.isSome(toJson(input)), {
  expected: "JSON value",
  toCodecJson: () =>
    Schema.link<JsonInput>()(Schema.Json, {
      decode: SchemaGetter.passthroughSubtype<JsonInput, Schema.Json>(),
      encode: SchemaGetter.transform((input) => Option.getOrElse(toJson(input), () => null))
    })
})

/** Fields of a request besides those that are known, of any JSON. */
export const anyFields = Schema.Record(Schema.String, Schema.UndefinedOr(AnyInput))

/** An object of a request, without what is `undefined` in it. */
export const objectInput = <S extends Schema.Top>(schema: S) =>
  Schema.JsonObject.pipe(
    Schema.decodeTo(Schema.toType(schema), {
      decode: SchemaGetter.passthrough({ strict: false }),
      encode: SchemaGetter.transform(withoutUndefined)
    })
  )

/** Any JSON object that a caller gives. */
export const JsonObjectInput = objectInput(anyFields)

/** A map of strings, such as an environment. */
export const StringMap = Schema.Record(Schema.String, Schema.String)

/** What a union keeps of a value that it does not know, so that nothing a newer server sends is lost. */
export interface UnknownJson {
  readonly _tag: "Unknown"
  readonly raw: Schema.Json
}

/** Any JSON value, kept as `Unknown`. The last member of every open union. */
export const UnknownJson = Schema.Json.pipe(
  Schema.decodeTo(Schema.TaggedStruct("Unknown", { raw: Schema.Json }), {
    decode: SchemaGetter.transform((raw) => ({ _tag: "Unknown" as const, raw })),
    encode: SchemaGetter.transform(({ raw }) => raw)
  })
)

/** A number with an exponent that may be beyond a double; what stands before it is looked at last, as it takes time. */
const largeExponent = /\d[eE][+\d]\d\d(?<=(?:^|[:,[\s])-?[\d.]+[eE]\+?\d+)/

const isDigit = (text: string, position: number): boolean => {
  const code = text.charCodeAt(position)
  return code > 47 && code < 58
}

/** So many digits in a row are beyond a double with an exponent of two. */
const manyDigits = 200

/** Whether there are so many digits in a row; one of them is then at a multiple of their number. */
const hasManyDigits = (text: string): boolean => {
  for (let position = manyDigits - 1; position < text.length; position += manyDigits) {
    let start = position
    while (isDigit(text, start - 1) && start > position - manyDigits) start -= 1
    let end = position
    while (isDigit(text, end) && end - start < manyDigits) end += 1
    if (end - start >= manyDigits) return true
  }
  return false
}

const finiteOrNull = (_: string, value: Schema.Json): Schema.Json =>
  value === Infinity || value === -Infinity ? null : value

/** Reads JSON, in which a number beyond a double is null, as `JSON.stringify` has it; fails where it is none. */
export const parseFinite = (text: string): Schema.Json => {
  const json: Schema.Json = JSON.parse(text)
  if (Predicate.isString(json) || !(largeExponent.test(text) || hasManyDigits(text))) return json
  return JSON.parse(text, finiteOrNull)
}

/**
 * Reads JSON. As {@link parseFinite}, but text that is no JSON is the value itself, or another: nothing is dropped, nothing fails.
 */
export const parseJson = (text: string, otherwise: Schema.Json = text): Schema.Json => {
  const json = Result.try(() => parseFinite(text))
  return Result.isSuccess(json) ? json.success : otherwise
}

/** JSON of which no more than so many levels are kept. */
const cutAt = (levels: number, json: unknown): unknown => {
  if (!Predicate.isObjectOrArray(json)) return json
  if (levels === 0) return "nested too deep"
  if (Array.isArray(json)) return json.map((item) => cutAt(levels - 1, item))
  return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, cutAt(levels - 1, value)]))
}

/** JSON as text. Where it is nested too deep for the platform to write it, a text stands for what is deep in it: nothing fails. */
export const jsonText = (
  json: unknown,
  space?: number,
  change?: (name: string, value: unknown) => unknown
): string =>
  Result.getOrElse(
    Result.try(() => JSON.stringify(json, change, space)),
    () => JSON.stringify(cutAt(100, json), change, space)
  )

/** A text as it is, and other JSON as text. */
export const textOrJson = (json: Schema.Json): string => Predicate.isString(json) ? json : jsonText(json)

const hasFields = (json: Schema.Json | undefined): json is Schema.JsonObject => Predicate.isObjectOrArray(json)

/** What stands at a path in JSON, if anything does. */
export const jsonAt = (json: Schema.Json, ...path: ReadonlyArray<string | number>): Schema.Json | undefined =>
  path.reduce((inner: Schema.Json | undefined, key) => hasFields(inner) ? inner[key] : undefined, json)

/** Whether a flag marks an error: `true` does, and so does a value of another type, which decodes as absent. */
export const saysError = (flag: boolean | null | undefined, raw: () => Schema.Json | undefined): boolean =>
  flag ?? Predicate.isNotNullish(raw())

/** Whether a tool has failed, by the flag of a block of a message. */
export const isToolError = (flag: boolean | null | undefined, message: Schema.Json, block: number): boolean =>
  saysError(flag, () => jsonAt(message, "message", "content", block, "is_error"))

/** A copy that does not keep the text it was cut from in memory. */
export const copyOf = (text: string): string => String(JSON.parse(JSON.stringify(text)))

/** What was read as JSON by other means, which may hold numbers that are none. */
const jsonOf = (carried: unknown): Schema.Json =>
  isJson(carried)
    ? carried
    : Result.getOrElse(Result.try((): Schema.Json => JSON.parse(JSON.stringify(carried))), () => null)

/** JSON that is carried as text, or as itself. */
export const carriedJson = (carried: unknown): Schema.Json =>
  Predicate.isString(carried) ? parseJson(carried) : jsonOf(carried)

/** JSON carried as text, read by {@link parseJson}. What is carried as itself is taken as it is. */
export const JsonText = Schema.Unknown.pipe(
  Schema.decodeTo(Schema.Json, {
    decode: SchemaGetter.transform(carriedJson),
    encode: SchemaGetter.transform((json): unknown => JSON.stringify(json))
  })
)
