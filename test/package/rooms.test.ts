import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { dirname, join, relative, resolve } from "node:path"

const source = resolve(import.meta.dirname, "../../src")

const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))

/** Without doc comments, as examples import as well. */
const codeOf = (file: string) => readFileSync(join(source, file), "utf8").replace(/\/\*\*[^]*?\*\//g, "")

const importsOf = (file: string): ReadonlyArray<string> =>
  [...codeOf(file).matchAll(/^(?:import|export) .*?from "([^"]+)"|\bimport\("([^"]+)"\)/gms)].map(([, name, inline]) =>
    name ?? inline!
  )

/** The folder of a file; `entry` for those beside the rooms. */
const roomOf = (file: string) => file.includes("/") ? dirname(file) : "entry"

const resolveImport = (file: string, name: string) => relative(source, resolve(source, dirname(file), name))

/**
 * Each room may import the rooms that it names, and itself. Where two name each other, as `embedded` holds what users touch
 * and what puts the rooms below it together, files still never reach themselves.
 */
const mayImport: Record<string, ReadonlyArray<string>> = {
  "schema": [],
  "internal/request": ["schema"],
  "internal/turn": ["internal/request", "schema"],
  "internal/files": ["internal/request", "schema"],
  "client": ["internal/request", "internal/turn", "internal/files", "schema"],
  "functions": ["internal/turn", "internal/files", "schema"],
  "services/session": ["services", "client", "internal/request", "internal/turn", "internal/files", "schema"],
  "services": ["services/session", "client", "internal/request", "internal/turn", "internal/files", "schema"],
  "node": ["services", "internal/files", "internal/request", "schema"],
  "embedded/wire": ["schema"],
  "embedded/model": ["embedded", "schema"],
  "embedded/store": ["embedded", "embedded/wire", "schema"],
  "embedded/sandbox": ["embedded", "embedded/store", "embedded/wire", "schema"],
  "embedded/turn": ["embedded", "embedded/sandbox", "embedded/store", "embedded/wire", "schema"],
  "embedded/work": ["embedded", "embedded/turn", "embedded/sandbox", "embedded/store", "embedded/wire", "schema"],
  "embedded/handlers": [
    "embedded",
    "embedded/work",
    "embedded/turn",
    "embedded/sandbox",
    "embedded/store",
    "embedded/wire",
    "schema"
  ],
  "embedded/http": [
    "embedded",
    "embedded/handlers",
    "embedded/work",
    "embedded/turn",
    "embedded/sandbox",
    "embedded/store",
    "embedded/wire",
    "schema"
  ],
  "embedded": ["embedded/http", "embedded/model", "embedded/sandbox", "embedded/store", "embedded/wire", "schema"],
  "layers": ["services", "client", "embedded", "internal/request", "schema"],
  "command": ["layers", "node", "embedded", "internal/request"],
  "entry": ["layers", "node", "services", "functions", "client", "embedded", "schema"]
}

/** Every file that an entry reaches, itself included. */
const reach = (entry: string): ReadonlySet<string> => {
  const reached = new Set([entry])
  for (const file of reached) {
    for (const name of importsOf(file)) if (name.startsWith(".")) reached.add(resolveImport(file, name))
  }
  return reached
}

const isNodeOnly = (name: string) =>
  name.startsWith("node:") || builtinModules.includes(name) || name.startsWith("@effect/platform-node")

describe("rooms", () => {
  it.each(files)("%s imports only what its room may", (file) => {
    const rooms = importsOf(file).filter((name) => name.startsWith(".")).map((name) =>
      roomOf(resolveImport(file, name))
    )
    const own = roomOf(file)
    assert.deepStrictEqual(rooms.filter((room) => room !== own && !mayImport[own]?.includes(room)), [])
  })

  it.each(files)("%s does not reach itself", (file) => {
    const reached = importsOf(file).filter((name) => name.startsWith(".")).map((name) => resolveImport(file, name))
    assert.deepStrictEqual(reached.filter((imported) => reach(imported).has(file)), [])
  })

  it.each(files)("%s imports modules of effect, not its root", (file) => {
    const roots = importsOf(file).filter((name) => name === "effect" || name === "@effect/platform-node")
    assert.deepStrictEqual(roots, [])
  })

  it.each(["index.ts", "schema/index.ts"])("the entry %s reaches nothing of Node", (entry) => {
    const found = [...reach(entry)].flatMap((file) =>
      importsOf(file).filter(isNodeOnly).map((name) => `${file}: ${name}`)
    )
    assert.deepStrictEqual(found, [])
  })

  it("docs/architecture.md and AGENTS.md name files and rooms that there are", () => {
    const root = resolve(source, "..")
    const named = ["docs/architecture.md", "AGENTS.md"].flatMap((document) =>
      [...readFileSync(join(root, document), "utf8").matchAll(/[\w/]+\/(?:\w+\.)+(?:ts|md)\b|`src\/[\w/]+`/g)].map((
        [name]
      ) => name.replaceAll("`", ""))
    )
    assert.isAbove(named.length, 40)
    const absent = named.filter((name) => !existsSync(join(root, name)) && !existsSync(join(source, name)))
    assert.deepStrictEqual(absent, [])
  })

  it("modules of effect/ai are only for programs that use a model as an agent: none is imported with an entry", () => {
    const imports = files.flatMap((file) =>
      [...codeOf(file).matchAll(/^import (?!type )[^"]*? from "(effect\/ai[^"]*)"/gm)].map(([, name]) =>
        `${file}: ${name}`
      )
    )
    assert.deepStrictEqual(imports, [])
  })

  it("the entries for Node do reach it, so that the check above can tell", () => {
    assert.isTrue([...reach("node.ts")].some((file) => importsOf(file).some(isNodeOnly)))
    assert.isTrue([...reach("embedded.ts")].some((file) => importsOf(file).some(isNodeOnly)))
  })
})
