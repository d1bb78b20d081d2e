/**
 * Fast decoders of JSON: functions made of a schema, which read a value in one pass, without an effect for each of its
 * parts. They decode what Effect's own decoder does, as it does, and leave to it to report what is wrong, and where. Lists
 * are read by index, as an iterator makes an object for each item. Generated code is no faster where all is counted, and
 * forbidden in some places.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { carriedJson, isoTime, JsonText, Time, UnknownJson } from "./Wire.ts"

const schemaOf = (ast: SchemaAST.AST) => Schema.make<Schema.Codec<unknown>>(ast)

/** What is read of JSON that does not fit. */
const invalid = Symbol()

/** Reads JSON: what is decoded, or `invalid`. */
type Read = (json: unknown) => unknown

const readAs = (decode: (json: unknown) => Option.Option<unknown>): Read => (json) =>
  Option.getOrElse(decode(json), () => invalid)

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

const readTime: Read = (text) => {
  if (!Predicate.isString(text) || !isoTime.test(text)) return invalid
  // As servers write it: no other is as long and has a letter at its end.
  const isUsual = text.length === 24 && text.charCodeAt(23) > 57
  return isUsual ? timeAt(millisecondsOf(text)) : Option.getOrElse(DateTime.make(text), () => invalid)
}

/** What a schema is but for being absent where it does not fit, for which see `fitting`. */
const whenFitting = (ast: SchemaAST.AST): SchemaAST.AST => {
  const [link, ...others] = ast.encoding ?? []
  return link?.transformation._tag === "Middleware" && others.length === 0 ? link.to : ast
}

const isTag = ({ name, type }: SchemaAST.PropertySignature): boolean => name === "_tag" && type._tag === "Literal"

/** Whether a field that is absent may get a value when it is decoded. */
const mayAppear = (field: SchemaAST.PropertySignature): boolean =>
  !isTag(field) && whenFitting(field.type).encoding !== undefined &&
  SchemaAST.isOptional(SchemaAST.toEncoded(field.type))

const readFields = ({ propertySignatures }: SchemaAST.Objects): Read => {
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
  return (record) => {
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
      const value = json === undefined ? invalid : read(json)
      if (value !== invalid) object[name] = value
      else if (json === undefined ? !field.mayBeAbsent : !field.mayMisfit) return invalid
    }
    return object
  }
}

const readEntries = ({ type }: SchemaAST.IndexSignature): Read => {
  const mayMisfit = whenFitting(type) !== type
  const read = reader(type)
  return (json) => {
    if (!Predicate.isObject(json)) return invalid
    const entries: Array<[string, unknown]> = []
    for (const [name, field] of Object.entries(json)) {
      const value = read(field)
      if (value !== invalid) entries.push([name, value])
      else if (!mayMisfit) return invalid
    }
    return Object.fromEntries(entries)
  }
}

const readItems = (item: SchemaAST.AST): Read => {
  const read = reader(item)
  return (json) => {
    if (!Array.isArray(json)) return invalid
    const items: Array<unknown> = []
    for (let index = 0; index < json.length; index++) {
      const value = read(json[index])
      if (value === invalid) return invalid
      items.push(value)
    }
    return items
  }
}

const readFirst = (members: ReadonlyArray<SchemaAST.AST>): Read => {
  const reads = members.map(reader)
  return (json) => {
    let value: unknown = invalid
    for (let index = 0; value === invalid && index < reads.length; index++) value = reads[index]?.(json)
    return value
  }
}

const readString: Read = (json) => typeof json === "string" ? json : invalid

const readNumber: Read = (json) => Number.isFinite(json) ? json : invalid

const readBoolean: Read = (json) => typeof json === "boolean" ? json : invalid

const readLiteral = (literal: unknown): Read => (json) => json === literal ? json : invalid

const readers = new WeakMap<SchemaAST.AST, Read>()

/**
 * Has a transformation read by a function that decodes as it does: what that answers is not checked once more. The same holds
 * for the codec that endpoints make of it, and for no other schema: that which is made of it may have other JSON.
 */
export const readBy = <S extends Schema.Constraint>(schema: S, read: (json: unknown) => Option.Option<unknown>): S => {
  const own = readAs(read)
  for (const { ast } of [schema, Schema.toCodecJson(schemaOf(schema.ast))]) readers.set(ast, own)
  return schema
}

/**
 * Reads JSON by a schema in one pass. It takes for granted that it is JSON, and that a tag is the schema's own whatever
 * the JSON has of that name.
 */
const reader = (schema: SchemaAST.AST): Read => {
  const ast = whenFitting(schema)
  if (ast === Schema.Json.ast) return (json) => json
  if (ast === Time.ast) return readTime
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
  return readAs(Schema.decodeUnknownOption(schemaOf(ast)))
}

/** Decodes JSON as Effect's decoder does, by a reader that is made when it is first called. */
export const jsonDecoder = <S extends Schema.Decoder<unknown>>({ ast }: S) => {
  let read: Read | undefined
  const isRead = (value: unknown): value is S["Type"] => value !== invalid
  return (json: unknown): Option.Option<S["Type"]> => {
    read ??= reader(ast)
    const value = json === undefined ? invalid : read(json)
    return isRead(value) ? Option.some(value) : Option.none()
  }
}
