import { assert, describe, it } from "@effect/vitest"
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import manifest from "../../package.json" with { type: "json" }

const root = resolve(import.meta.dirname, "../..")
const read = (file: string) => readFileSync(join(root, file), "utf8")

/** Without doc comments, as examples import as well. */
const codeOf = (file: string) => read(file).replace(/\/\*\*[^]*?\*\//g, "")

interface Import {
  readonly clause: string
  readonly name: string
}

const importsOf = (file: string): ReadonlyArray<Import> =>
  [...codeOf(file).matchAll(/^(?:import|export) ([^"';]*?)\s*from "([^"]+)"|\bimport\("([^"]+)"\)/gm)].map(
    ([, clause = "", name, inline]) => ({ clause, name: name ?? inline! })
  )

const isEffect = (name: string) => /^(?:effect|@effect\/platform-node)(?:\/|$)/.test(name)

/** What a file uses of a module that it imports as a namespace, or by names. */
const membersOf = (file: string, { clause }: Import): ReadonlyArray<string> => {
  const namespace = /\* as (\w+)/.exec(clause)?.[1]
  const named = /\{([^}]*)\}/.exec(clause)?.[1]?.split(",") ?? []
  return [
    ...(namespace === undefined
      ? []
      : codeOf(file).match(new RegExp(`(?<=(?<![.\\w])${namespace}\\s*\\.\\s*)\\w+`, "g")) ?? []),
    ...named.map((name) => name.trim().replace(/^type /, "").replace(/ as .*/, "")).filter((name) => name !== "")
  ]
}

const sourceOf = (name: string) =>
  read(`node_modules/${name.replace(/^(effect|@effect\/platform-node)\//, "$1/src/")}.ts`)

const marksIn = (text: string) => [...text.matchAll(/@stability (\w+)/g)].map(([, mark]) => mark)

/** A mark that is missing is not stable. */
const isStable = (marks: ReadonlyArray<string | undefined>) =>
  marks.length > 0 && marks.every((mark) => mark === "stable")

const isStableModule = (source: string) => isStable(marksIn(source.split(/^(?:import|export) /m)[0]!))

/** By the doc comments of all declarations of that name, overloads too, and of names that a list exports. */
const isStableMember = (source: string, member: string) =>
  isStable(
    [...source.matchAll(
      new RegExp(
        `(/\\*\\*(?:(?!\\*/)[^])*\\*/)\\s*(?://.*\\s*)?(?:export (?:declare )?(?:abstract )?(?:const|function|class|interface|type|namespace) ${member}\\b|(?:\\w+ as )?${member}\\s*[,}\\n])`,
        "g"
      )
    )].flatMap(([, doc = ""]) => marksIn(doc).slice(-1))
  )

/** Unstable modules by name, and what is unstable of stable ones as `module.member`. */
const unstableIn = (file: string): ReadonlyArray<string> =>
  importsOf(file).filter(({ name }) => isEffect(name)).flatMap((imported) => {
    const source = sourceOf(imported.name)
    return isStableModule(source)
      ? membersOf(file, imported).filter((member) => !isStableMember(source, member)).map((member) =>
        `${imported.name}.${member}`
      )
      : [imported.name]
  })

const sources = globSync("src/**/*.ts", { cwd: root })
const used = new Map(sources.map((file) => [file, new Set(unstableIn(file))]))

const rows = read("docs/architecture.md").split(/^## /m).filter((section) => section.startsWith("Unstable")).flatMap(
  (section) => section.match(/^\| `.*$/gm) ?? []
).map((row) => {
  const [, modules = "", , tests = ""] = row.split("|")
  const names = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!)
  return { modules: names(modules), tests: names(tests) }
})

const entries = new Map(
  Object.entries(manifest.exports).flatMap(([entry, target]) =>
    typeof target === "object" && target !== null
      ? [[entry.replace(/^\./, "effect-ash"), target["effect-ash-source"]]]
      : []
  )
)

/** Every file that a test reaches by imports, or by the command that it runs. */
const reach = (test: string): ReadonlySet<string> => {
  const reached = new Set([test, ...(read(test).includes(".bin/effect-ash") ? ["src/command/main.ts"] : [])])
  for (const file of reached) {
    for (const { name } of importsOf(file)) {
      const path = name.startsWith(".") ? join(dirname(file), name) : entries.get(name)
      if (path?.endsWith(".ts")) reached.add(join(path))
    }
  }
  return reached
}

describe("unstable parts of Effect", () => {
  it("are those that the document lists, each once", () => {
    assert.deepStrictEqual(
      rows.flatMap(({ modules }) => modules).toSorted(),
      [...new Set([...used.values()].flatMap((names) => [...names]))].toSorted()
    )
  })

  it.each(rows)("$modules are reached by $tests", ({ modules, tests }) => {
    assert.isAbove(tests.length, 0)
    for (const test of tests) {
      assert.isTrue(existsSync(join(root, test)), test)
      const reached = [...reach(test)].flatMap((file) => [...(used.get(file) ?? [])])
      assert.deepStrictEqual(modules.filter((name) => !reached.includes(name)), [], test)
    }
  })

  it("are looked for in all that a file uses", () => {
    const uses = sources.flatMap((file) =>
      importsOf(file).filter(({ name }) => name === "effect/Schema").flatMap((imported) => membersOf(file, imported))
    )
    assert.includeMembers(uses, ["Struct", "decodeUnknownEffect"])
  })

  it("are distinguished from stable ones by module and by member", () => {
    assert.isFalse(isStableModule(sourceOf("effect/http/HttpClient")))
    assert.isTrue(isStableModule(sourceOf("effect/Effect")))
    assert.isTrue(isStableModule(sourceOf("effect/Schema")))
    assert.isTrue(isStableMember(sourceOf("effect/Schema"), "Struct"))
    assert.isTrue(isStableMember(sourceOf("effect/Deferred"), "await"))
    assert.isFalse(isStableMember(sourceOf("effect/Schema"), "isAscii"))
    assert.isFalse(isStableMember(sourceOf("effect/Schema"), "noSuchName"))
  })
})
