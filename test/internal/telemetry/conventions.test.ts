/** The names, and the document that explains them. */
import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { attribute, histogram, operation, usageAttribute } from "../../../src/internal/telemetry/conventions.ts"

const root = resolve(import.meta.dirname, "../../..")
const document = readFileSync(join(root, "docs/telemetry.md"), "utf8")
const folder = join(root, "src/internal/telemetry")

const names = [
  ...Object.values(attribute),
  ...Object.values(usageAttribute),
  ...Object.values(histogram).map(({ name }) => name)
]

describe("the names of telemetry", () => {
  it("are those of the conventions, or of this package", () => {
    assert.lengthOf(names, 31)
    assert.deepStrictEqual(names.filter((name) => !/^(?:gen_ai|server|error|ash)\.[a-z_.]+$/.test(name)), [])
    assert.deepStrictEqual(operation, { invokeAgent: "invoke_agent", executeTool: "execute_tool" })
  })

  it.each(names)("%s is in the document", (name) => assert.include(document, `\`${name}\``))

  it("are in one file", () => {
    const others = readdirSync(folder).filter((file) => file !== "conventions.ts")
    const spelt = others.filter((file) =>
      /"(?:gen_ai|server|error|ash)\./.test(readFileSync(join(folder, file), "utf8"))
    )
    assert.deepStrictEqual(spelt, [])
  })

  it("have buckets that grow by a factor", () => {
    const factors = (bounds: ReadonlyArray<number>) =>
      new Set(bounds.slice(1).map((bound, index) => Math.round(bound / bounds[index]!)))
    assert.deepStrictEqual(factors(histogram.duration.boundaries), new Set([2]))
    assert.deepStrictEqual(factors(histogram.tokenUsage.boundaries), new Set([4]))
  })
})
