/**
 * Whether what a schema demands of an answer reaches the agent: as keywords of a JSON schema, or in words. What stands
 * behind a transformation has no keywords, as JSON schemas are of what is transformed.
 */
import * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import type * as SchemaRepresentation from "effect/SchemaRepresentation"
import { objectionsTo, withKnownKeywords } from "../../schema/outputSchema.ts"
import { withoutUndefined } from "../../schema/Wire.ts"

export interface Remark {
  /** Such as `schema.people[].born`. */
  readonly field: string
  readonly text: string
}

type Check = SchemaAST.Check<unknown>

class Walk {
  /** The schemas that the present one is a part of: in a recursive schema it is one of them. */
  readonly above = new Set<SchemaAST.AST>()
  /** The names of the properties in the schema: in the path of an issue, every other name is the agent's. */
  readonly names = new Set<string>()
  /** What the prompt describes in words. */
  readonly words: Array<Remark> = []
  readonly refusals: Array<Remark> = []
  /** Checks that have keywords; one can stand on both sides of a transformation. */
  readonly expressed = new Set<Check>()
  readonly behind: Array<{ readonly field: string; readonly check: Check }> = []
}

const step = (name: PropertyKey) =>
  Predicate.isString(name) && /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name)
    ? `.${name}`
    : `[${Predicate.isSymbol(name) ? String(name) : JSON.stringify(name)}]`

/** What a schema is made of, each with what it adds to the path. */
const partsOf = (ast: SchemaAST.AST): ReadonlyArray<readonly [step: string, ast: SchemaAST.AST]> => {
  switch (ast._tag) {
    case "Objects":
      return [
        ...ast.propertySignatures.map(({ name, type }) => [step(name), type] as const),
        ...ast.indexSignatures.flatMap(({ parameter, type }) => [[".*", parameter], [".*", type]] as const)
      ]
    case "Arrays":
      return [
        ...ast.elements.map((element, index) => [`[${index}]`, element] as const),
        ...ast.rest.map((rest) => ["[]", rest] as const)
      ]
    case "Union":
      return ast.types.map((type) => ["", type] as const)
    case "Suspend":
      return [["", ast.thunk()]]
    case "Declaration":
      return ast.typeParameters.map((type) => ["", type] as const)
    default:
      return []
  }
}

const jsonTypes: { readonly [Tag in SchemaAST.AST["_tag"]]?: JsonSchema.Type } = {
  String: "string",
  Number: "number",
  Boolean: "boolean",
  Arrays: "array",
  Objects: "object"
}

const textOf = (annotations: SchemaAST.AST["annotations"], name: string): ReadonlyArray<string> => {
  const text = annotations?.[name]
  return Predicate.isString(text) ? [text] : []
}

const wordsOf = (check: Check): ReadonlyArray<string> => {
  const own = [...textOf(check.annotations, "description"), ...textOf(check.annotations, "expected")]
  return own.length === 0 && check._tag === "FilterGroup" ? check.checks.flatMap(wordsOf) : own
}

/** The id by which Effect knows a check or a type of its own. */
const idOf = (annotations: SchemaAST.AST["annotations"]): unknown => {
  const representation = annotations?.["representation"]
  return Predicate.hasProperty(representation, "id") ? representation.id : undefined
}

const isApproximate = (
  output: SchemaRepresentation.ToJsonSchema.CheckOutput
): output is readonly [schema: JsonSchema.JsonSchema, approximate: true] => Array.isArray(output)

/** The keywords of a check, if it has any. One that is declared as without a constraint has none to have. */
const fragmentOf = (check: Check, type: JsonSchema.Type | undefined): JsonSchema.JsonSchema | undefined => {
  const { representation, toJsonSchema } = check.annotations ?? {}
  if (toJsonSchema !== undefined) {
    const output = toJsonSchema({ type, schemas: representation?.schemas?.map(() => ({})) ?? [] })
    if (!isApproximate(output)) return output
    return Object.keys(output[0]).length === 0 ? undefined : output[0]
  }
  if (check._tag === "Filter") return undefined
  const fragments = check.checks.flatMap((member) => fragmentOf(member, type) ?? [])
  return fragments.length === check.checks.length ? { allOf: fragments } : undefined
}

/** Why servers do not take the keywords of a check, if they do not. */
const objectionTo = (fragment: JsonSchema.JsonSchema): string | undefined => {
  const { schema } = JsonSchema.toDocumentDraft07({ dialect: "draft-2020-12", schema: fragment, definitions: {} })
  return objectionsTo(withKnownKeywords(withoutUndefined(schema)))[0]?.why
}

const nameOf = (check: Check) => `a check${wordsOf(check).map((words) => ` (${words})`).join("")}`

const express = (walk: Walk, field: string, check: Check, type: JsonSchema.Type | undefined) => {
  const result = Result.try(() => {
    const fragment = fragmentOf(check, type)
    return fragment === undefined ? "it has no form in JSON Schema" : objectionTo(fragment)
  })
  const why = Result.isSuccess(result) ? result.success : "its form in JSON Schema is not one of draft-07"
  if (why === undefined) return walk.expressed.add(check)
  const advice = idOf(check.annotations) === "effect/schema/isPattern"
    ? "Give the pattern the flag u, and no other"
    : "Give it `toJsonSchema`, with keywords or a `description` for the agent"
  return walk.refusals.push({ field, text: `${nameOf(check)}: ${why}. ${advice}` })
}

/** What dates are as JSON, which their own descriptions leave open. */
const dates: ReadonlySet<unknown> = new Set(["effect/schema/Date", "effect/schema/DateTimeUtc"])

type Visit = (walk: Walk, field: string, ast: SchemaAST.AST) => void

/** Visits a schema once on each way to it. */
const once = (visit: Visit): Visit => (walk, field, ast) => {
  if (walk.above.has(ast)) return
  walk.above.add(ast)
  visit(walk, field, ast)
  walk.above.delete(ast)
}

const visitParts = (visit: Visit): Visit => (walk, field, ast) => {
  for (const [step, part] of partsOf(ast)) visit(walk, `${field}${step}`, part)
}

const stagesOf = (ast: SchemaAST.AST) => [ast, ...(ast.encoding ?? []).map(({ to }) => to)]

/** Notes what stands behind a transformation, down to its parts. */
const noteBehind: Visit = (walk, field, ast) => {
  const words = textOf(ast.annotations, "description")
  const dated = dates.has(idOf(ast.annotations)) ? ["as ISO 8601, such as 2026-01-31T12:00:00Z"] : []
  walk.words.push(...[...words, ...dated].map((text) => ({ field, text })))
  walk.behind.push(...(ast.checks ?? []).map((check) => ({ field, check })))
  visitParts(visitBehind)(walk, field, ast)
}

const visitBehind: Visit = once((walk, field, ast) => {
  for (const stage of stagesOf(ast)) noteBehind(walk, field, stage)
})

/** What a declared type is as JSON that has no form of its own. */
const opaque = Schema.toCodecJson(Schema.Unknown).ast.encoding?.[0]

const whyNot = (ast: SchemaAST.AST): string | undefined => {
  const [link, ...more] = ast.encoding ?? []
  if (ast._tag === "Declaration" && link !== undefined && link === opaque && more.length === 0) {
    return "a declared type has no form in JSON. Give it `toCodecJson`, or take a schema that is transformed into it"
  }
  if (ast._tag === "UniqueSymbol" && Symbol.keyFor(ast.symbol) === undefined) {
    return "the symbol has no form in JSON. Take one of `Symbol.for`, or a text"
  }
  return undefined
}

const visit: Visit = once((walk, field, ast) => {
  const why = whyNot(ast)
  if (why !== undefined) walk.refusals.push({ field, text: why })
  const [json = ast, ...behind] = stagesOf(ast).toReversed()
  if (json !== ast) {
    visit(walk, field, json)
    for (const stage of behind) noteBehind(walk, field, stage)
    return
  }
  for (const check of ast.checks ?? []) {
    express(walk, field, check, jsonTypes[ast._tag])
    // A check may hold a schema against the names of properties.
    for (const part of check.annotations?.representation?.schemas ?? []) visit(walk, `${field}.*`, part)
  }
  visitParts(visit)(walk, field, ast)
})

const tell = (walk: Walk, field: string, check: Check) => {
  if (walk.expressed.has(check)) return
  const words = wordsOf(check)
  if (words.length > 0) walk.words.push(...words.map((text) => ({ field, text })))
  else {
    walk.refusals.push({
      field,
      text: "a check behind a transformation has no keywords. Give it `expected`, in words for the agent"
    })
  }
}

/** Looks at the keys of objects, before anything else is done with the schema. */
const visitKeys: Visit = once((walk, field, ast) => {
  const last = ast.encoding?.at(-1)
  if (last !== undefined) return visitKeys(walk, field, last.to)
  for (const { name } of ast._tag === "Objects" ? ast.propertySignatures : []) {
    if (Predicate.isString(name) && name !== "__proto__") walk.names.add(name)
    else {
      const why = Predicate.isString(name) ? "servers refuse JSON with this key" : "JSON has no key that is no text"
      walk.refusals.push({ field: `${field}${step(name)}`, text: `${why}. Rename it with \`Schema.encodeKeys\`` })
    }
  }
  visitParts(visitKeys)(walk, field, ast)
})

/** What a schema demands of an answer, so far as it is more than its JSON schema, or why it cannot be expressed. */
export const demandsOf = (schema: Schema.Constraint) => {
  const walk = new Walk()
  visitKeys(walk, "schema", schema.ast)
  if (walk.refusals.length === 0) {
    visit(walk, "schema", Schema.toCodecJson(schema).ast)
    for (const { check, field } of walk.behind) tell(walk, field, check)
  }
  const isFirst = ({ field, text }: Remark, index: number) =>
    walk.words.findIndex((other) => other.field === field && other.text === text) === index
  return { names: walk.names, words: walk.words.filter(isFirst), refusal: walk.refusals[0] }
}
