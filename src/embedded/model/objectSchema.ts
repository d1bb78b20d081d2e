/** The schema that a model is asked to answer by. */
import * as Effect from "effect/Effect"
import * as JsonSchema from "effect/JsonSchema"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaRepresentation from "effect/SchemaRepresentation"
import { ModelFailure } from "./ModelFailure.ts"

/** The schema of an object, from that of `outputFormat`. The model alone checks its patterns. */
export const objectSchema = (schema: Schema.JsonObject) =>
  Effect.filterOrFail(
    Effect.try({
      try: () =>
        SchemaRepresentation.fromJsonSchemaDocument(
          JsonSchema.fromSchemaDraft2020_12(schema),
          { patterns: "ignore" }
        ),
      catch: () =>
        new ModelFailure({ message: "the schema of outputFormat has a part that is not supported: simplify it" })
    }),
    isObjectSchema,
    () => new ModelFailure({ message: "the schema of outputFormat is not that of an object: ask for an object" })
  )

const isObjectSchema = (schema: Schema.Top): schema is Schema.Codec<Schema.JsonObject> =>
  SchemaAST.isObjects(schema.ast)
