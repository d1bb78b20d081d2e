import { assert, describe, it } from "@effect/vitest"
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { defaults } from "../../src/embedded/Quirks.ts"
import { AshApi } from "../../src/schema/AshApi.ts"
import { HostedApi } from "../../src/schema/HostedApi.ts"

const root = resolve(import.meta.dirname, "../..")
const read = (file: string) => readFileSync(join(root, file), "utf8")

/** A text whose sentences go on from one line of a comment, or of a list, to the next, as one line. */
const unbroken = (text: string) => text.replace(/\s*\n[ \t]*(?:\*(?!\/)|\/\/)?[ \t]*/g, " ")

const commentsOf = (code: string) =>
  [...code.matchAll(/\/\*[^]*?\*\/|(?:^[ \t]*\/\/.*\n?)+|(?<!:)\/\/.*/gm)].join("\n\0")

const code = globSync(["{src,test,bench,scripts,examples}/**/*.ts"], { cwd: root })
const documents = globSync(["*.md", "docs/**/*.md"], { cwd: root })

/** The prose of the project, by file. */
const prose = [
  ...code.map((file) => ({ file, text: unbroken(commentsOf(read(file))) })),
  ...documents.map((file) => ({ file, text: unbroken(read(file)) }))
]

const facts = read("docs/ash.md")
const headings = [...facts.matchAll(/^#{2,3} (\d+(?:\.\d+)?)\.? /gm)].map(([, number = ""]) => number)
const sections = new Set(headings)

/** The numbers behind the name of the document, of which there may be several. */
const cited = (text: string) =>
  [...text.matchAll(/docs\/ash\.md (\d+(?:\.\d+)?(?:(?:, | and )\d+(?:\.\d+)?)*)/g)].flatMap(([, list = ""]) =>
    list.match(/\d+(?:\.\d+)?/g) ?? []
  )

/** Documents that are cited by a number, and numbers that stand for no document. */
const foreign = (file: string, text: string) => [
  ...[...text.matchAll(/([\w./-]+\.md)`?,? (?:section )?\d/g)].flatMap(([citation, name = ""]) =>
    [root, dirname(join(root, file))].some((folder) => existsSync(join(folder, name))) ? [] : [citation]
  ),
  ...[
    ...text.matchAll(
      /\b(?:contract|specification),? (?:section )?\d[\d.]*|(?<!\w)\(\d+\.\d+(?:(?:, | and )\d+\.\d+)*\)/gi
    )
  ]
    .map(([citation]) => citation)
]

const routesIn = (text: string) =>
  [...text.matchAll(/`((?:GET|POST|PUT|PATCH|DELETE) \/[^`\s]*)`/g)].map(([, route = ""]) => route)

describe("citations of what is known of servers", () => {
  it("have numbers to lead to, each once", () => {
    assert.isAbove(headings.length, 0)
    assert.deepStrictEqual(headings, [...sections])
  })

  it("lead to a section", () => {
    const all = prose.flatMap(({ file, text }) => cited(text).map((number) => ({ file, number })))
    assert.isAbove(all.length, 0)
    assert.deepStrictEqual(all.filter(({ number }) => !sections.has(number)), [])
  })

  it("within the document lead to a section", () => {
    const prose = unbroken(facts.replace(/^#.*$/gm, "").replace(/`[^`]*`/g, ""))
    const numbers = prose.match(/(?<![\d.])\d\.\d{1,2}(?!\.?\d)|(?<=\(see )\d/g) ?? []
    assert.isAbove(numbers.length, 0)
    assert.deepStrictEqual(numbers.filter((number) => !sections.has(number)), [])
  })

  it("are of nothing that is not here", () => {
    assert.deepStrictEqual(prose.flatMap(({ file, text }) => foreign(file, text).map((what) => ({ file, what }))), [])
  })

  it.each(["the contract 3.2", "(contract 3)", "as told (2.1, 5.5)", "lost.md, section 6", "see docs/lost.md 6.1"])(
    "to documents that are not here are found: %j",
    (text) => {
      assert.lengthOf(foreign("src/index.ts", text), 1)
    }
  )
})

interface Endpoint {
  readonly method: string
  readonly path: string
}

const routesOf = (groups: ReadonlyArray<{ readonly endpoints: Record<string, Endpoint> }>) =>
  groups.flatMap(({ endpoints }) => Object.values(endpoints)).map(({ method, path }) => `${method} ${path}`)

describe("what is known of servers", () => {
  it.each([
    { api: "the server", routes: routesOf(Object.values(AshApi.groups)), chapter: /^## 3\.[^]*?(?=^## 4\.)/m },
    {
      api: "the hosted product",
      routes: routesOf(Object.values(HostedApi.groups)),
      chapter: /^## 7\.[^]*?(?=^## 8\.)/m
    }
  ])("has the routes of $api, and no other", ({ chapter, routes }) => {
    assert.deepStrictEqual([...new Set(routesIn(chapter.exec(facts)?.[0] ?? ""))].toSorted(), routes.toSorted())
  })

  it("has the quirks that can be switched, each with its default", () => {
    const rows = [
      ...(/^### 6\.2 [^]*?(?=^### 6\.3 )/m.exec(facts)?.[0] ?? "").matchAll(/^\| `(\w+)` +\|.*?\| (\S+) +\| see/gm)
    ]
    assert.deepStrictEqual(
      Object.fromEntries(rows.map(([, quirk, byDefault = ""]) => [quirk, byDefault.replaceAll("`", "")])),
      Object.fromEntries(
        Object.entries(defaults).map((
          [quirk, value]
        ) => [quirk, value === true ? "on" : value === false ? "off" : value])
      )
    )
  })

  it("names files that are here", () => {
    const files = [...facts.matchAll(/`((?:src|test|docs)\/[\w./-]+)/g)].map(([, file = ""]) => file)
    assert.isAbove(files.length, 0)
    assert.deepStrictEqual(files.filter((file) => !existsSync(join(root, file))), [])
  })
})
