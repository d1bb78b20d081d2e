import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs"
import { join } from "node:path"
import { withDeclarations } from "../../scripts/api/declarations.ts"
import { leaks } from "../../scripts/api/leaks.ts"
import { reports } from "../../scripts/api/report.ts"

const folder = join(import.meta.dirname, "../../api")

const { found, leaking } = withDeclarations((declarations) => ({
  found: reports(declarations),
  leaking: leaks(declarations)
}))

/** Where something that is handed over may fail in any way. */
const anyFailure = [
  // An effect that gives the key: its failure is the cause of an `AshError`.
  "effect-ash: Ash.AshOptions.apiKey",
  // What rejects a promise has no type: what a prompt of a batch failed with, and a layer to connect by.
  "effect-ash/promise: AshPromise.agents.batchWith()<T>",
  "effect-ash/promise: AshPromise.agents.batchWith()<T>.result",
  "effect-ash/promise: connect(server)"
].map((path) => `${path}: fails with unknown`)

describe("the public types", () => {
  it.each([...found])("of %s are as api/ has them", (name, text) => {
    const path = join(folder, name)
    const written = existsSync(path) ? readFileSync(path, "utf8") : ""
    assert.strictEqual(
      text,
      written,
      "The public types have changed: run `npm run api`, and commit api/ if it is meant"
    )
  })

  it("have no report of an entry that is no more", () =>
    assert.deepStrictEqual(readdirSync(folder).toSorted(), [...found.keys()].toSorted()))

  it("hold no any, and no failure that is unknown where it is known", () => assert.deepStrictEqual(leaking, anyFailure))

  it("let what may be left out of options be undefined, as some compilers refuse it else", () => {
    const lines = [...found].filter(([name]) => name !== "unexported.txt").flatMap(([, text]) => text.split("\n"))
    assert.deepStrictEqual(
      lines.filter((line) => /^ +readonly \w+\?: (?!.*\bundefined\b).*;$|\bPartial</.test(line)),
      []
    )
  })

  it("are checked by TypeScript 7: `npm ci` links its command, `npm install` beside older ones may not", () =>
    assert.include(realpathSync(join(import.meta.dirname, "../../node_modules/.bin/tsc")), "node_modules/typescript/"))
})
