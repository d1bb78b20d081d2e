/**
 * Fast decoders of JSON: functions made of a schema, which read a value in one pass, without an effect for each of its
 * parts. They decode JSON as Effect's own decoder does. What they do not take goes to that one, which reports what is
 * wrong, and where. Lists are read by index, as an iterator makes an object for each item. Generated code is no faster
 * where all is counted, and forbidden in some places.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { type Decode, type DecodeEffect, invalid, missing, set } from "effect/schema/SchemaCompiler"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaParser from "effect/SchemaParser"
import { carriedJson, JsonText, UnknownJson } from "./Wire.ts"

const schemaOf = (ast: SchemaAST.AST) => Schema.make<Schema.Codec<unknown>>(ast)

/** The same schema, as one that is not compiled. */
const ordinary = (ast: SchemaAST.AST) => schemaOf(ast).annotate({})

const decoder = (schema: Schema.Decoder<unknown>): Decode => {
  const decode = SchemaParser.decodeUnknownExit(schema)
  return (input, options) => {
    const exit = decode(input, options)
    return Exit.isSuccess(exit) ? exit.value : invalid
  }
}

/** A time as servers write it, but for the last days of months: these are left to the platform. */
const usualTime = /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/

const twoDigits = (text: string, position: number): number =>
  text.charCodeAt(position) * 10 + text.charCodeAt(position + 1) - 528

/** The milliseconds of a usual time, in a third of what the platform takes. Years begin in March here. */
const millisecondsOf = (text: string): number => {
  const month = (twoDigits(text, 5) + 9) % 12
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2) - (month > 9 ? 1 : 0)
  const leapDays = Math.floor(year / 4) - Math.floor(year / 100) + Math.floor(year / 400)
  const day = year * 365 + leapDays + Math.floor((month * 153 + 2) / 5) + twoDigits(text, 8) - 719_469
  const second = ((day * 24 + twoDigits(text, 11)) * 60 + twoDigits(text, 14)) * 60 + twoDigits(text, 17)
  return second * 1000 + twoDigits(text, 20) * 10 + text.charCodeAt(22) - 48
}

const utc: object = Object.getPrototypeOf(DateTime.makeUnsafe(0))

/**
 * As `DateTime.makeUnsafe`, of whose time nine tenths go into hiding the place of parts that are not read yet. In a list
 * that is a third of what it takes to decode it.
 */
const timeAt = (milliseconds: number): DateTime.Utc => {
  const time: { -readonly [Field in keyof DateTime.Utc]: DateTime.Utc[Field] } = Object.create(utc)
  time.epochMilliseconds = milliseconds
  return time
}

const readTime: Decode = (text) => {
  if (!Predicate.isString(text)) return invalid
  return usualTime.test(text)
    ? timeAt(millisecondsOf(text))
    : Option.getOrElse(DateTime.make(text), () => invalid)
}

/** What a schema is but for being absent where it does not fit, for which see `fitting`. */
const whenFitting = (ast: SchemaAST.AST): SchemaAST.AST => {
  const [link, ...others] = ast.encoding ?? []
  return link?.transformation._tag === "Middleware" && others.length === 0 ? link.to : ast
}

/** Has a schema decoded by a reader, made when it is first needed. Effect's decoder reports what is not as expected. */
const install = (ast: SchemaAST.AST, makeReader: () => Decode): void =>
  set(ast, {
    get decode() {
      const read = makeReader()
      const decode: Decode = (input, options) =>
        options.onExcessProperty === "error" || options.disableChecks === true ? invalid : read(input, options)
      return decode
    },
    get decodeEffect() {
      const decode = SchemaParser.decodeUnknownEffect(ordinary(ast))
      const decodeEffect: DecodeEffect = (input, options) =>
        input === missing ? Effect.succeed(missing) : decode(input, options)
      return decodeEffect
    }
  })

const isTag = ({ name, type }: SchemaAST.PropertySignature): boolean => name === "_tag" && type._tag === "Literal"

/** Whether a field that is absent may get a value when it is decoded. */
const mayAppear = (field: SchemaAST.PropertySignature): boolean =>
  !isTag(field) && whenFitting(field.type).encoding !== undefined &&
  SchemaAST.isOptional(SchemaAST.toEncoded(field.type))

/** Has values of a schema decoded so, by whatever decodes them. */
export const compile = (ast: SchemaAST.AST): void => install(ast, () => reader(ast))

const readFields = ({ propertySignatures }: SchemaAST.Objects): Decode => {
  const fields = propertySignatures.map((field) => {
    const { name, type } = field
    return {
      name,
      mayBeAbsent: SchemaAST.isOptional(type),
      mayMisfit: whenFitting(type) !== type,
      read: isTag(field) ? undefined : reader(type),
      tag: type._tag === "Literal" ? type.literal : undefined
    }
  })
  return (record, options) => {
    if (!Predicate.isObject(record)) return invalid
    const object: Record<PropertyKey, unknown> = {}
    for (let index = 0; index < fields.length; index++) {
      const field = fields[index]
      if (field === undefined) break
      const { name, read } = field
      if (read === undefined) {
        object[name] = field.tag
        continue
      }
      const json = record[name]
      const value = json === undefined ? invalid : read(json, options)
      if (value !== invalid) object[name] = value
      else if (json === undefined ? !field.mayBeAbsent : !field.mayMisfit) return invalid
    }
    return object
  }
}

const readEntries = ({ type }: SchemaAST.IndexSignature): Decode => {
  const mayMisfit = whenFitting(type) !== type
  const read = reader(type)
  return (json, options) => {
    if (!Predicate.isObject(json)) return invalid
    const entries: Array<[string, unknown]> = []
    for (const [name, field] of Object.entries(json)) {
      const value = read(field, options)
      if (value !== invalid) entries.push([name, value])
      else if (!mayMisfit) return invalid
    }
    return Object.fromEntries(entries)
  }
}

const readItems = (item: SchemaAST.AST): Decode => {
  const read = reader(item)
  return (json, options) => {
    if (!Array.isArray(json)) return invalid
    const items: Array<unknown> = []
    for (let index = 0; index < json.length; index++) {
      const value = read(json[index], options)
      if (value === invalid) return invalid
      items.push(value)
    }
    return items
  }
}

const readFirst = (members: ReadonlyArray<SchemaAST.AST>): Decode => {
  const reads = members.map(reader)
  return (json, options) => {
    let value: unknown = invalid
    for (let index = 0; value === invalid && index < reads.length; index++) value = reads[index]?.(json, options)
    return value
  }
}

const readString: Decode = (json) => typeof json === "string" ? json : invalid

const readNumber: Decode = (json) => Number.isFinite(json) ? json : invalid

const readBoolean: Decode = (json) => typeof json === "boolean" ? json : invalid

const readLiteral = (literal: unknown): Decode => (json) => json === literal ? json : invalid

const readers = new WeakMap<SchemaAST.AST, Decode>()

/**
 * Has a transformation read by a function that decodes as it does: what that answers is not checked once more. The same holds
 * for the codec that clients make of it, and for no other schema: that which is made of it may have other JSON.
 */
export const readBy = <S extends Schema.Constraint>(schema: S, read: (json: unknown) => Option.Option<unknown>): S => {
  const decode: Decode = (json) => Option.getOrElse(read(json), () => invalid)
  for (const { ast } of [schema, Schema.toCodecJson(schemaOf(schema.ast))]) readers.set(ast, decode)
  return schema
}

/**
 * Reads JSON by a schema in one pass. It takes for granted that it is JSON, that a tag is the schema's own whatever the
 * JSON has of that name, and that options are the defaults.
 */
const reader = (schema: SchemaAST.AST): Decode => {
  const ast = whenFitting(schema)
  if (ast === Schema.Json.ast) return (json) => json
  if (ast === Schema.DateTimeUtcFromString.ast) return readTime
  if (ast === UnknownJson.ast) return (raw) => ({ _tag: "Unknown", raw })
  if (ast === JsonText.ast) return carriedJson
  if (ast === Schema.Finite.ast) return readNumber
  const own = readers.get(ast)
  if (own !== undefined) return own
  if (ast.encoding === undefined && ast.checks === undefined) {
    switch (ast._tag) {
      case "String":
        return readString
      case "Boolean":
        return readBoolean
      case "Null":
        return readLiteral(null)
      case "Literal":
        return readLiteral(ast.literal)
      case "Union":
        return readFirst(ast.types)
      case "Arrays": {
        const [item, ...others] = ast.rest
        if (item !== undefined && others.length === 0 && ast.elements.length === 0) return readItems(item)
        break
      }
      case "Objects": {
        if (ast.propertySignatures.some(mayAppear)) break
        const [entry, ...others] = ast.indexSignatures
        if (entry === undefined) return readFields(ast)
        if (others.length === 0 && ast.propertySignatures.length === 0) return readEntries(entry)
      }
    }
  }
  return decoder(ordinary(ast))
}

/** A decoder for messages of agents, of which a turn has thousands. It decodes as Effect's own does. */
export const jsonDecoder = <S extends Schema.Decoder<unknown>>(schema: S) => {
  const own = Schema.Union([schema])
  install(own.ast, () => reader(schema.ast))
  return Schema.decodeUnknownOption(own)
}

interface Endpoint {
  readonly success: ReadonlySet<Schema.Constraint>
}

/** Has what endpoints answer decoded so, field by field: of a whole answer a client makes a schema of its own. */
export const compileAnswers = (
  groups: Readonly<Record<string, { readonly endpoints: Readonly<Record<string, Endpoint>> }>>
): void => {
  for (const { endpoints } of Object.values(groups)) {
    for (const { success } of Object.values(endpoints)) {
      for (const { ast } of success) {
        if (ast._tag !== "Objects") continue
        for (const { type } of ast.propertySignatures) {
          if (type.encoding === undefined && (type._tag === "Arrays" || type._tag === "Objects")) compile(type)
        }
      }
    }
  }
}
