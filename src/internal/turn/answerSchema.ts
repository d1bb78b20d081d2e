/** From a schema of an answer to the JSON schema that servers take. */
import { identity } from "effect/Function"
import * as JsonPointer from "effect/JsonPointer"
import * as JsonSchema from "effect/JsonSchema"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { objectionsTo, withDescription, withKnownKeywords } from "../../schema/outputSchema.ts"
import { withoutUndefined } from "../../schema/Wire.ts"
import { demandsOf, type Remark } from "./expressible.ts"

export interface AnswerSchema {
  readonly json: Schema.JsonObject
  /** Whether the answer is the field `value` of an object: the agent answers by a tool, whose input is an object. */
  readonly isWrapped: boolean
  readonly names: ReadonlySet<string>
}

/** Follows references from the root, which has to be an object itself. */
const inlined = (schema: JsonSchema.JsonSchema, definitions: JsonSchema.Definitions): JsonSchema.JsonSchema => {
  let root = schema
  for (const _ of Object.keys(definitions)) {
    const found = Object.entries(definitions).find(([name]) =>
      Object.keys(root).length === 1 && root["$ref"] === JsonPointer.formatUriFragment(["definitions", name])
    )
    if (found === undefined) return root
    root = found[1]
  }
  return root
}

const draft07 = (schema: Schema.Constraint): Schema.JsonObject => {
  const document = JsonSchema.toDocumentDraft07(
    Schema.toJsonSchemaDocument(schema, { onExcessProperty: "error", generateDescriptions: true })
  )
  const { definitions } = document
  return withoutUndefined({
    ...inlined(document.schema, definitions),
    ...(Object.keys(definitions).length === 0 ? {} : { definitions })
  })
}

const compound = ["anyOf", "oneOf", "allOf", "not", "if", "enum", "const", "$ref"]

/** Whether it is the schema of an object, and nothing else. */
const isPlainObject = (json: Schema.JsonObject) =>
  json["type"] === "object" && !compound.some((keyword) => Object.hasOwn(json, keyword))

const expressed = (schema: Schema.Constraint): Result.Result<AnswerSchema, Remark> => {
  const { names, refusal, words } = demandsOf(schema)
  if (refusal !== undefined) return Result.fail(refusal)
  const plain = draft07(schema)
  const isWrapped = !isPlainObject(plain)
  const known = withKnownKeywords(isWrapped ? draft07(Schema.Struct({ value: schema })) : plain)
  const [objection] = objectionsTo(known)
  if (objection !== undefined) {
    return Result.fail({ field: "schema", text: `in its JSON schema, at ${objection.at}: ${objection.why}` })
  }
  const rules = words.map(({ field, text }) => {
    const path = field.slice("schema".length)
    return `${isWrapped ? `value${path}` : path.replace(/^\./, "") || "the answer"}: ${text}`
  })
  const json = rules.length === 0 ? known : withDescription(known, rules.join("; "))
  return Result.succeed({ json, isWrapped, names })
}

export const answerSchema = (schema: Schema.Constraint): Result.Result<AnswerSchema, Remark> =>
  Result.flatMap(
    Result.try({
      try: () => expressed(schema),
      catch: (cause): Remark => ({
        field: "schema",
        text: `it has no form in JSON Schema${cause instanceof Error ? `: ${cause.message}` : ""}`
      })
    }),
    identity
  )
