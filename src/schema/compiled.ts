/**
 * Fast decoders of JSON, which decode as Effect's ordinary decoder does: what they do not take goes to that one, which
 * reports what is wrong, and where.
 *
 * `compile` is for what servers answer, lists above all. Effect generates code that checks and copies JSON fast where a
 * schema transforms nothing. So it gets the schema of the JSON, and what is transformed, times above all, is put into the
 * copy. `jsonDecoder` is for messages of agents. They hold JSON of any shape, for which no code is generated.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { type Decode, type DecodeEffect, invalid, missing, set } from "effect/schema/SchemaCompiler"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaParser from "effect/SchemaParser"
import { UnknownJson } from "./Wire.ts"

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

const finishTime: Decode = (text) => {
  if (!Predicate.isString(text)) return invalid
  return usualTime.test(text)
    ? DateTime.makeUnsafe(millisecondsOf(text))
    : Option.getOrElse(DateTime.make(text), () => invalid)
}

const finishItems = (finish: Decode): Decode => (copy, options) => {
  if (!Array.isArray(copy)) return invalid
  const items: Array<unknown> = copy
  for (let index = 0; index < items.length; index++) {
    const item = finish(items[index], options)
    if (item === invalid) return invalid
    items[index] = item
  }
  return items
}

const finishFields = (fields: ReadonlyMap<PropertyKey, Decode>): Decode => (copy, options) => {
  if (!Predicate.isObject(copy)) return invalid
  for (const [name, finish] of fields) {
    if (!(name in copy)) continue
    const value = finish(copy[name], options)
    if (value === invalid) return invalid
    copy[name] = value
  }
  return copy
}

/** What a schema is but for being absent where it does not fit, for which see `fitting`. */
const whenFitting = (ast: SchemaAST.AST): SchemaAST.AST => {
  const [link, ...others] = ast.encoding ?? []
  return link?.transformation._tag === "Middleware" && others.length === 0 ? link.to : ast
}

/** Whether a field that is absent may get a value when it is transformed. */
const mayAppear = ({ type }: SchemaAST.PropertySignature): boolean =>
  whenFitting(type).encoding !== undefined && SchemaAST.isOptional(SchemaAST.toEncoded(type))

/** Makes a value of a checked copy of its JSON, which it may change. Nothing is made where the copy is the value. */
const finisher = (schema: SchemaAST.AST): Decode | undefined => {
  const ast = whenFitting(schema)
  if (ast === Schema.DateTimeUtcFromString.ast) return finishTime
  if (SchemaAST.toEncoded(ast) === ast) return undefined
  if (ast.encoding === undefined && ast.checks === undefined) {
    switch (ast._tag) {
      // JSON of whatever shape, for example.
      case "Declaration":
        return undefined
      case "Union": {
        const [member, none, ...others] = ast.types
        if (member === undefined || none !== Schema.Null.ast || others.length > 0) break
        const finish = finisher(member)
        return finish && ((copy, options) => copy === null ? null : finish(copy, options))
      }
      case "Arrays": {
        const [item, ...others] = ast.rest
        if (item === undefined || others.length > 0 || ast.elements.length > 0) break
        const finish = finisher(item)
        return finish && finishItems(finish)
      }
      case "Objects": {
        if (ast.propertySignatures.some(mayAppear)) break
        if (ast.indexSignatures.some(({ type }) => finisher(type) !== undefined)) break
        const fields = new Map<PropertyKey, Decode>()
        for (const { name, type } of ast.propertySignatures) {
          const finish = finisher(type)
          if (finish !== undefined) fields.set(name, finish)
        }
        return fields.size > 0 ? finishFields(fields) : undefined
      }
    }
  }
  return decoder(ordinary(ast))
}

/** Decodes by generated code, made when it is first needed. Effect's decoder reports what is not as expected. */
const install = (ast: SchemaAST.AST, makeDecode: () => Decode | undefined): void =>
  set(ast, {
    get decode() {
      return makeDecode()
    },
    get decodeEffect() {
      const decode = SchemaParser.decodeUnknownEffect(ordinary(ast))
      const decodeEffect: DecodeEffect = (input, options) =>
        input === missing ? Effect.succeed(missing) : decode(input, options)
      return decodeEffect
    }
  })

/** Compiles the decoder of a schema of JSON, for this very AST, when something is first decoded by it. */
export const compile = (ast: SchemaAST.AST): void =>
  install(ast, () => {
    const finish = finisher(ast)
    if (finish === undefined) return undefined
    const json = SchemaAST.toEncoded(ast)
    SchemaJITCompiler.enable(json)
    const copyOf = decoder(schemaOf(json))
    return (input, options) => {
      const copy = copyOf(input, options)
      return copy === invalid ? invalid : finish(copy, options)
    }
  })

const readFields = ({ propertySignatures }: SchemaAST.Objects): Decode => {
  const fields = propertySignatures.map(({ name, type }) => ({
    name,
    mayBeAbsent: SchemaAST.isOptional(type),
    mayMisfit: whenFitting(type) !== type,
    read: name === "_tag" && type._tag === "Literal" ? undefined : reader(type),
    tag: type._tag === "Literal" ? type.literal : undefined
  }))
  return (json, options) => {
    if (!Predicate.isObject(json)) return invalid
    const object: Record<PropertyKey, unknown> = {}
    for (const { mayBeAbsent, mayMisfit, name, read, tag } of fields) {
      const field = json[name]
      if (read === undefined) object[name] = tag
      else if (field !== undefined) {
        const value = read(field, options)
        if (value !== invalid) object[name] = value
        else if (!mayMisfit) return invalid
      } else if (!mayBeAbsent) return invalid
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
    for (const field of json) {
      const value = read(field, options)
      if (value === invalid) return invalid
      items.push(value)
    }
    return items
  }
}

const readFirst = (members: ReadonlyArray<SchemaAST.AST>): Decode => {
  const reads = members.map(reader)
  return (json, options) => {
    for (const read of reads) {
      const value = read(json, options)
      if (value !== invalid) return value
    }
    return invalid
  }
}

const unless = (isValid: (json: unknown) => boolean): Decode => (json) => isValid(json) ? json : invalid

/**
 * Reads JSON by a schema in one pass. It takes for granted that it is JSON, that a tag is the schema's own whatever the
 * JSON has of that name, and that options are the defaults.
 */
const reader = (schema: SchemaAST.AST): Decode => {
  const ast = whenFitting(schema)
  if (ast === Schema.Json.ast) return (json) => json
  if (ast === UnknownJson.ast) return (raw) => ({ _tag: "Unknown", raw })
  if (ast === Schema.Finite.ast) return unless(Number.isFinite)
  if (ast.encoding === undefined && ast.checks === undefined) {
    switch (ast._tag) {
      case "String":
        return unless(Predicate.isString)
      case "Boolean":
        return unless(Predicate.isBoolean)
      case "Null":
        return unless(Predicate.isNull)
      case "Literal":
        return unless((json) => json === ast.literal)
      case "Union":
        return readFirst(ast.types)
      case "Arrays": {
        const [item, ...others] = ast.rest
        if (item !== undefined && others.length === 0 && ast.elements.length === 0) return readItems(item)
        break
      }
      case "Objects": {
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

/** Compiles what endpoints answer, field by field: of a whole answer a client makes a schema of its own. */
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
