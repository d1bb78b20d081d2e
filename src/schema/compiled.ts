/**
 * Compiled decoders for what servers answer: for the schemas of the contract alone. Effect generates code that checks
 * and copies JSON fast where a schema transforms nothing. So it gets the schema of the JSON, and what is transformed,
 * times above all, is put into the copy. What is not as expected goes to Effect's ordinary decoder, which tells what is
 * wrong, and where.
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

/** A time as servers write it, but for the last days of months: which of them there are the platform knows. */
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

/** Whether a field that is absent may get a value when it is transformed. */
const mayAppear = ({ type }: SchemaAST.PropertySignature): boolean =>
  type.encoding !== undefined && SchemaAST.isOptional(SchemaAST.toEncoded(type))

/** Makes a value of a checked copy of its JSON, which it may change. Nothing is made where the copy is the value. */
const finisher = (ast: SchemaAST.AST): Decode | undefined => {
  if (ast === Schema.DateTimeUtcFromString.ast) return finishTime
  if (SchemaAST.toEncoded(ast) === ast) return undefined
  if (ast.encoding === undefined && ast.checks === undefined) {
    switch (ast._tag) {
      // Such as any JSON.
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

/** Compiles the decoder of a schema of JSON, for this very AST, when something is first decoded by it. */
export const compile = (ast: SchemaAST.AST): void =>
  set(ast, {
    get decode() {
      const finish = finisher(ast)
      if (finish === undefined) return undefined
      const json = SchemaAST.toEncoded(ast)
      SchemaJITCompiler.enable(json)
      const copyOf = decoder(schemaOf(json))
      const decode: Decode = (input, options) => {
        const copy = copyOf(input, options)
        return copy === invalid ? invalid : finish(copy, options)
      }
      return decode
    },
    get decodeEffect() {
      const decode = SchemaParser.decodeUnknownEffect(ordinary(ast))
      const decodeEffect: DecodeEffect = (input, options) =>
        input === missing ? Effect.succeed(missing) : decode(input, options)
      return decodeEffect
    }
  })

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
