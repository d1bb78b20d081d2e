/** What is known of the schemas that servers take, beside the compiler that they have. */
import { assert, describe, it } from "@effect/vitest"
import { Ajv } from "ajv"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { objectionsTo } from "../../src/schema/outputSchema.ts"

const compiles = (schema: Schema.JsonObject) => {
  try {
    new Ajv({ allErrors: true, logger: false }).compile(schema)
    return true
  } catch {
    return false
  }
}

const conditional: Schema.JsonObject = JSON.parse(`{"then":{}}`)

const schemas: ReadonlyArray<Schema.JsonObject> = [
  { $schema: "https://json-schema.org/draft/2020-12/schema" },
  { $schema: "http://json-schema.org/draft-07/schema#" },
  { $schema: "http://json-schema.org/draft-07/schema" },
  { properties: { a: { $schema: "any" } } },
  { type: "string", format: "date" },
  { prefixItems: [{}] },
  { "x-own": 1 },
  { unevaluatedProperties: false },
  { contains: {}, minContains: 2 },
  { dependentRequired: {} },
  { dependencies: { a: ["b"], c: {} } },
  { discriminator: { propertyName: "a" } },
  { pattern: "\\-" },
  { pattern: "^\\p{L}+$" },
  { patternProperties: { "\\-": { type: "string" } } },
  { properties: { a: {} }, patternProperties: { "^b": { type: "string" } } },
  { properties: { a: {} }, patternProperties: { "^a": { type: "string" } } },
  { properties: { a: {} }, patternProperties: { "": { type: "string" }, "^b": {} } },
  { properties: { a: { properties: { b: {} } } }, patternProperties: { b: { type: "string" } } },
  { properties: { p: {} }, patternProperties: { "^\\p{L}$": { type: "string" } } },
  { properties: { "": {} }, patternProperties: { "^$": { type: "string" } } },
  { properties: { b: {} }, patternProperties: { "[𝒜-𝒵]": { type: "string" } } },
  { patternProperties: { "[𝒜-𝒵]": { type: "string" } } },
  { additionalItems: false },
  { items: [{}], additionalItems: false },
  { if: {} },
  { if: {}, ...conditional },
  conditional,
  { nullable: true },
  { type: "string", nullable: true },
  { $ref: "#/definitions/x" },
  { $ref: "#/$defs/x", $defs: { x: {} } },
  { $ref: "#/definitions/A%2FB", definitions: { "A/B": {} } },
  { $ref: "#/definitions/A~1B", definitions: { "A/B": {} } },
  { $ref: "#/definitions/%", definitions: { "%": {} } },
  { $ref: "#" },
  { $ref: "http://elsewhere/schema" },
  { type: "strng" },
  { type: ["string", "null"] },
  { type: ["string", "string"] },
  { type: [] },
  { enum: [] },
  { enum: [1, 1] },
  { enum: [1, "1", null, { a: 1 }] },
  { required: ["a", "a"] },
  { required: [1] },
  { items: [] },
  { anyOf: [] },
  { anyOf: [true] },
  { properties: { a: 1 } },
  { definitions: { a: 1 } },
  { minLength: -1 },
  { minLength: 1.5 },
  { minimum: "1" },
  { multipleOf: 0 },
  { uniqueItems: "yes" },
  { description: 1 },
  { examples: 1 },
  { readOnly: 1 },
  { id: "x" },
  { $anchor: "x" },
  { $dynamicRef: "#" },
  { not: { "x-own": 1 } },
  { properties: { format: { type: "string" }, "x-own": {} } },
  { const: { format: "date" }, default: { "x-own": 1 }, enum: [{ $ref: "nowhere" }] }
]

const keywords = [...new Set(schemas.flatMap((schema) => Object.keys(schema)))]

/** What keywords may have, fitting or not: the values of the table, of any of its keywords. */
const values = schemas.flatMap((schema) => Object.values(schema)).filter((value) => value !== undefined)

const anySchema = Arbitrary.map(
  Arbitrary.array(
    Arbitrary.all([
      Arbitrary.schema(Schema.Literals(keywords)),
      Arbitrary.schema(Schema.Literals(values.map((_, index) => index)))
    ]),
    { maxLength: 3 }
  ),
  (entries): Schema.JsonObject =>
    Object.fromEntries(entries.map(([keyword, index]) => [keyword, values[index] ?? null]))
)

describe("the schemas that servers take", () => {
  it.each(schemas.map((schema) => [JSON.stringify(schema), schema] as const))("%s", (_, schema) => {
    assert.strictEqual(objectionsTo(schema).length === 0, compiles(schema), JSON.stringify(objectionsTo(schema)))
  })

  it.prop("are among those without objections", { schema: anySchema, isNested: Schema.Boolean }, (generated) => {
    const schema = generated.isNested ? { properties: { a: generated.schema } } : generated.schema
    if (objectionsTo(schema).length === 0) assert.isTrue(compiles(schema), JSON.stringify(schema))
  })
})
