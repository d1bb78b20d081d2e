import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { problemOf } from "../../../src/internal/request/schemaIssue.ts"
import { AgentName, FileUpload, SendMessageRequest } from "../../../src/schema/index.ts"

const Request = Schema.Struct({
  name: AgentName,
  files: Schema.Array(FileUpload),
  mode: Schema.Literals(["fast", "slow"]),
  limit: Schema.optionalKey(Schema.Int.check(Schema.isLessThan(10, { expected: "less than 10" }))),
  env: Schema.Record(Schema.String, Schema.String)
})

const problem = <S extends Schema.ConstraintDecoder<unknown>>(schema: S, value: unknown) =>
  Schema.decodeUnknownEffect(schema)(value).pipe(Effect.flip, Effect.map(({ issue }) => problemOf(issue)))

const right = { name: "demo", files: [], mode: "fast", env: {} }

describe("problemOf", () => {
  it.effect.each<readonly [field: string, value: unknown, expected: RegExp]>([
    ["", 4, /object/],
    ["name", { ...right, name: "a b" }, /letters, digits/],
    ["name", { ...right, name: 4 }, /string/],
    ["name", { files: [], mode: "fast", env: {} }, /present/],
    ["files", { ...right, files: "x" }, /list/],
    ["files[0]", { ...right, files: [4] }, /./],
    [
      "files[1].path",
      { ...right, files: [{ path: "a", content: "" }, { path: "../a", content: "" }] },
      /relative path/
    ],
    ["files[0].content", { ...right, files: [{ path: "a", content: "no base64!" }] }, /./],
    ["mode", { ...right, mode: "medium" }, /"fast" or "slow"/],
    ["limit", { ...right, limit: 11 }, /less than 10/],
    ["env.KEY", { ...right, env: { KEY: 4 } }, /string/]
  ])("%s", ([field, value, expected]) =>
    Effect.gen(function*() {
      const found = yield* problem(Request, value)
      assert.strictEqual(found.field, field)
      assert.match(found.expected, expected)
    }))

  it.effect("of a union, the member that came furthest", () =>
    Effect.gen(function*() {
      const content = [{ type: "text", text: "a" }, {
        type: "image",
        source: { type: "base64", media_type: "x", data: 4 }
      }]
      assert.strictEqual((yield* problem(SendMessageRequest, { content })).field, "content[1].source.data")
    }))

  const secret = "geheim4711"
  const Place = Schema.Literals(["name", "files", "mode", "limit", "env", "all"])

  it.effect.prop(
    "never shows a value",
    { place: Place, json: Schema.Json, wrap: Schema.Boolean },
    ({ json, place, wrap }) =>
      Effect.gen(function*() {
        const value = wrap ? { [place]: secret, more: json } : `${secret}/../${JSON.stringify(json)}`
        const input = place === "all" ? value : { ...right, [place]: place === "files" ? [value, secret] : value }
        const decoded = yield* Effect.result(Schema.decodeUnknownEffect(Request)(input))
        if (Result.isSuccess(decoded)) return
        const { expected, field } = problemOf(decoded.failure.issue)
        assert.notInclude(expected, secret)
        assert.notInclude(field, secret)
      })
  )
})
