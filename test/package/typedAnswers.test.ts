/** The tables of docs/typed-answers.md, whose schemas are evaluated. */
import { assert, describe, it } from "@effect/vitest"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { answerSchema } from "../../src/internal/turn/answerSchema.ts"

const page = readFileSync(resolve(import.meta.dirname, "../../docs/typed-answers.md"), "utf8")

/** The cells of a table below a heading, without their marks. */
const rowsBelow = (heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const [, table = ""] = page.split(new RegExp(`^\\| schema +\\| ${heading}.*\\n\\| -.*\\n`, "m"))
  return table.split("\n\n")[0]!.split("\n").map((line) =>
    line.replace(/^\| | +\|$/g, "").split(" | ").map((cell) => cell.trim().replaceAll("\\|", "|"))
  )
}

const codeIn = (cell = "") => cell.replace(/^`|`$/g, "")

const evaluate = (cell = ""): Schema.Constraint => new Function("Schema", `return ${codeIn(cell)}`)(Schema)

const withoutDescriptions = (json: unknown): unknown =>
  Array.isArray(json)
    ? json.map(withoutDescriptions)
    : Predicate.isObject(json)
    ? Object.fromEntries(
      Object.entries(json).filter(([name, value]) => name !== "description" || !Predicate.isString(value)).map((
        [name, value]
      ) => [name, withoutDescriptions(value)])
    )
    : json

/** What goes out of a schema, out of the object around it. */
const sentOf = (schema: Schema.Constraint) => {
  const { isWrapped, json } = Result.getOrThrow(answerSchema(schema))
  const { properties } = json
  return withoutDescriptions(isWrapped && Predicate.hasProperty(properties, "value") ? properties.value : json)
}

const escape = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

describe("docs/typed-answers.md", () => {
  const sent = rowsBelow("JSON schema")
  const refused = rowsBelow("why")

  it("has a row for each kind of schema", () => {
    assert.isAbove(sent.length, 35)
    assert.isAbove(refused.length, 5)
  })

  it.each(sent)("%s is %s", (schema, json, lost) => {
    const pattern = codeIn(json).split("...").map(escape).join(".*")
    assert.match(JSON.stringify(sentOf(evaluate(schema))), new RegExp(`^${pattern}$`))
    assert.isAbove(lost?.length ?? 0, 0)
  })

  it.each(refused)("%s is refused: %s", (schema) => {
    assert.isTrue(Result.isFailure(answerSchema(evaluate(schema))))
  })
})
