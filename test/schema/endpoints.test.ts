/**
 * The contract against the table of a real server's endpoints. The table is not part of the project: `ASH_ENDPOINTS`
 * names its file, or it lies beside the project.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { existsSync, readFileSync } from "node:fs"
import { resolve } from "node:path"
import { AshApi } from "../../src/schema/AshApi.ts"
import { BodyLimit } from "../../src/schema/Operation.ts"

const file = process.env["ASH_ENDPOINTS"] ?? resolve(import.meta.dirname, "../../../shared/ash-api/endpoints.json")

interface Row {
  readonly group: string
  readonly method: string
  readonly path: string
  readonly success: { readonly status: number; readonly kind: string; readonly wrapper: string | null }
  readonly query: ReadonlyArray<{ readonly name: string }>
  readonly body: ReadonlyArray<{ readonly name: string; readonly required: boolean }>
  readonly bodyLimitBytes: number | null
}

const found = existsSync(file)
const rows: ReadonlyArray<Row> = found
  ? JSON.parse(readFileSync(file, "utf8")).filter(({ group }: Row) => !["internal", "runner-process"].includes(group))
  : []

interface Declared {
  readonly success: { readonly status: number; readonly kind: string; readonly wrapper: string | null }
  readonly query: ReadonlyArray<string>
  readonly required: ReadonlyArray<string>
  readonly optional: ReadonlyArray<string>
  readonly bodyLimit: number
}

const fieldsOf = (schema: Schema.Top | undefined): ReadonlyArray<SchemaAST.PropertySignature> => {
  if (schema === undefined) return []
  const ast = SchemaAST.toEncoded(schema.ast)
  return ast._tag === "Objects" ? ast.propertySignatures : []
}

const nameOf = ({ name }: SchemaAST.PropertySignature) => String(name)
const isOptional = ({ type }: SchemaAST.PropertySignature) => SchemaAST.isOptional(type)

/** Wrappers are objects with one field that is an entity or a list of them. */
const wrapperOf = (schema: Schema.Top): string | null => {
  const [field, ...others] = fieldsOf(schema)
  return field !== undefined && others.length === 0 && ["Objects", "Arrays"].includes(field.type._tag)
    ? nameOf(field)
    : null
}

const kindOf = (schema: Schema.Top): string => {
  if (HttpApiSchema.isWithHeaders(schema)) {
    return "contentType" in schema.schema && schema.schema.contentType === "text/event-stream" ? "sse" : "binary"
  }
  if (schema.ast._tag === "Void") return "empty"
  return SchemaAST.toEncoded(schema.ast)._tag === "String" ? "binary" : "json"
}

const declared = new Map<string, Declared>()
HttpApi.reflect(AshApi, {
  onGroup: () => {},
  onEndpoint: ({ endpoint, mergedAnnotations, successes }) => {
    // Streams are not among them; they answer 200.
    const [status = 200] = [...successes.keys()]
    const [success] = [...endpoint.success]
    const [payload] = [...endpoint.payload.values()].flatMap(({ schemas }) => [...schemas])
    const body = fieldsOf(payload)
    declared.set(`${endpoint.method} ${endpoint.path.replace("/:path", "/*")}`, {
      success: {
        status,
        kind: success === undefined ? "" : kindOf(success),
        wrapper: success === undefined ? null : wrapperOf(success)
      },
      query: fieldsOf(endpoint.query).map(nameOf).toSorted(),
      required: body.filter((field) => !isOptional(field)).map(nameOf).toSorted(),
      optional: body.filter(isOptional).map(nameOf).toSorted(),
      bodyLimit: Context.get(mergedAnnotations, BodyLimit)
    })
  }
})

describe.skipIf(!found)(`endpoints${found ? "" : " (no table: set ASH_ENDPOINTS to its file)"}`, () => {
  it("are all declared, and no other", () => {
    assert.deepStrictEqual(
      [...declared.keys()].toSorted(),
      rows.map(({ method, path }) => `${method} ${path}`).toSorted()
    )
    assert.strictEqual(declared.size, 73)
  })

  it.each(rows.map((row) => ({ name: `${row.method} ${row.path}`, row })))("$name", ({ name, row }) => {
    const endpoint = declared.get(name)
    assert.deepStrictEqual(endpoint?.query, row.query.map(({ name }) => name).toSorted())
    const body = row.body.filter(({ name }) => name !== "*")
    assert.deepStrictEqual(
      endpoint?.required,
      body.filter(({ required }) => required).map(({ name }) => name).toSorted()
    )
    assert.deepStrictEqual(
      endpoint?.optional,
      body.filter(({ required }) => !required).map(({ name }) => name).toSorted()
    )
    assert.strictEqual(endpoint?.success.status, row.success.status)
    assert.include([row.success.kind, ...altKinds(row)], endpoint?.success.kind)
    if (endpoint?.success.kind === "json") assert.strictEqual(endpoint.success.wrapper, row.success.wrapper)
    if (row.bodyLimitBytes !== null) assert.strictEqual(endpoint?.bodyLimit, row.bodyLimitBytes)
  })
})

/** An agent's file is JSON by default, and bytes when asked for. */
const altKinds = ({ success }: Row) => "altKind" in success ? ["binary"] : []
