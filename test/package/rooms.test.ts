import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { dirname, join, relative, resolve } from "node:path"

const source = resolve(import.meta.dirname, "../../src")

const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))

/** Without doc comments, as examples import as well. */
const codeOf = (file: string) => readFileSync(join(source, file), "utf8").replace(/\/\*\*[^]*?\*\//g, "")

const importsOf = (file: string): ReadonlyArray<string> =>
  [...codeOf(file).matchAll(/^(?:import|export) .*?from "([^"]+)"/gms)].map(([, name]) => name!)

const roomOf = (file: string) => file.includes("/") ? file.slice(0, file.indexOf("/")) : "entry"

const resolveImport = (file: string, name: string) => relative(source, resolve(source, dirname(file), name))

const mayImport: Record<string, ReadonlyArray<string>> = {
  schema: ["schema"],
  internal: ["internal", "schema"],
  services: ["services", "internal", "schema"],
  embedded: ["embedded", "schema"],
  layers: ["layers", "services", "embedded", "internal", "schema"],
  command: ["command", "layers", "services", "embedded", "internal"],
  entry: ["layers", "services", "embedded", "schema"]
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
    assert.deepStrictEqual(rooms.filter((room) => !mayImport[roomOf(file)]?.includes(room)), [])
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

  it("modules of effect/ai are for those alone who put a model behind an agent: none is imported with an entry", () => {
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
