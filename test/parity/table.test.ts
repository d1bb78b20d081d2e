import { assert, describe, it } from "@effect/vitest"
import * as root from "effect-ash"
import * as node from "effect-ash/node"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"

const page = readFileSync(resolve(import.meta.dirname, "../../docs/parity.md"), "utf8")

/** The rows of the tables: what a thing is called there, and what here. */
const rows = page.slice(0, page.indexOf("## What goes wrong")).split("\n")
  .flatMap((line) => {
    const [, there = "", here = ""] = /^\| (.*?) *\| (.*?) *\|$/.exec(line) ?? []
    return there.startsWith("`") ? [{ there, here }] : []
  })

/** What a program has under a name: an export, a service's method, or a property of an export. */
const values = Effect.gen(function*() {
  const ash = yield* root.AshClient
  const services = Object.fromEntries(
    Object.entries(ash).map(([name, service]) => [name[0]?.toUpperCase() + name.slice(1), service])
  )
  const exported: Record<string, unknown> = { ...root, ...node }
  const apiClient = { AshApiClient: yield* root.AshApiClient }
  const find = (from: unknown, [first, ...rest]: ReadonlyArray<string>): unknown => {
    const value = (typeof from === "object" || typeof from === "function") && from !== null && first !== undefined
      ? (from as Record<string, unknown>)[first]
      : undefined
    return rest.length === 0 ? value : find(value, rest)
  }
  return (name: string) =>
    [services, apiClient, exported].map((from) => find(from, name.split("."))).find((value) => value !== undefined)
}).pipe(Effect.provide(AshEmbedded.layer()), Effect.scoped)

const namesIn = (here: string) =>
  [...here.matchAll(/`([A-Za-z]\w*(?:\.\w+)*)(?:\(.*?\))?`/g)].map(([, name = ""]) => name)

describe("the table of names", () => {
  it("is long", () => {
    assert.isAbove(rows.length, 140)
    assert.deepStrictEqual(rows.filter(({ here }) => here === ""), [])
  })

  it.effect.each(rows)("$there", ({ here }) =>
    Effect.gen(function*() {
      const valueOf = yield* values
      const names = namesIn(here).filter((name) => !["path", "content", "HttpClient"].includes(name))
      assert.deepStrictEqual(names.filter((name) => valueOf(name) === undefined), [])
    }))
})
