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

/** What stands beside the rooms of its folder, and above or below them. */
const apart: ReadonlyMap<string, string> = new Map([
  ["internal/request/options.ts", "options"] as const,
  ...["AgentScript", "EmbeddedOptions", "Quirks"].map((name) => [`embedded/${name}.ts`, "embedded options"] as const),
  ...["Agents", "AshClient", "SessionHandle", "Sessions"].map((name) =>
    [`services/${name}.ts`, "services of sessions"] as const
  )
])

/** The folder of a file; `entry` for those beside the rooms. The groups of the API are a part of the schema. */
const roomOf = (file: string) => {
  const folder = file.includes("/") ? dirname(file) : "entry"
  return apart.get(file) ?? (folder === "schema/api" ? "schema" : folder)
}

const resolveImport = (file: string, name: string) => relative(source, resolve(source, dirname(file), name))

/** Each room may import itself, and the rooms that it names, all of which stand above it. */
const mayImport: Record<string, ReadonlyArray<string>> = {
  "schema": [],
  "options": ["schema"],
  "internal/request": ["options", "schema"],
  "internal/turn": ["internal/request", "options", "schema"],
  "internal/telemetry": ["internal/turn", "internal/request", "schema"],
  "internal/files": ["internal/request", "options", "schema"],
  "client": ["internal/request", "internal/turn", "internal/telemetry", "internal/files", "options", "schema"],
  "functions": ["internal/turn", "internal/files", "internal/request", "options", "schema"],
  "services": ["client", "internal/request", "internal/turn", "internal/files", "options", "schema"],
  "services/session": [
    "services",
    "client",
    "internal/request",
    "internal/turn",
    "internal/files",
    "options",
    "schema"
  ],
  "services of sessions": [
    "services/session",
    "services",
    "client",
    "internal/request",
    "internal/turn",
    "internal/files",
    "options",
    "schema"
  ],
  "node": ["services of sessions", "services", "internal/files", "internal/request", "options", "schema"],
  "embedded options": ["options", "schema"],
  "embedded/wire": ["schema"],
  "embedded/model": ["embedded options", "schema"],
  "embedded/store": ["embedded options", "embedded/wire", "schema"],
  "embedded/sandbox": ["embedded options", "embedded/store", "embedded/wire", "schema"],
  "embedded/turn": ["embedded options", "embedded/sandbox", "embedded/store", "embedded/wire", "schema"],
  "embedded/work": ["embedded options", "embedded/turn", "embedded/sandbox", "embedded/store", "schema"],
  "embedded/handlers": [
    "embedded options",
    "embedded/work",
    "embedded/turn",
    "embedded/sandbox",
    "embedded/store",
    "embedded/wire",
    "schema"
  ],
  "embedded/http": [
    "embedded options",
    "embedded/handlers",
    "embedded/work",
    "embedded/turn",
    "embedded/sandbox",
    "embedded/store",
    "embedded/wire",
    "schema"
  ],
  "embedded": [
    "embedded options",
    "embedded/http",
    "embedded/model",
    "embedded/sandbox",
    "embedded/store",
    "embedded/wire",
    "options",
    "schema"
  ],
  "layers": [
    "services of sessions",
    "services",
    "client",
    "embedded options",
    "embedded",
    "internal/request",
    "options",
    "schema"
  ],
  "workflow/store": [],
  "workflow": [
    "workflow/store",
    "services of sessions",
    "services",
    "internal/request",
    "internal/turn",
    "options",
    "schema"
  ],
  "promise": [
    "layers",
    "services of sessions",
    "services",
    "functions",
    "client",
    "internal/request",
    "options",
    "schema"
  ],
  "ai": [
    "services of sessions",
    "functions",
    "client",
    "internal/turn",
    "options",
    "schema"
  ],
  "web": [
    "services of sessions",
    "functions",
    "internal/request",
    "internal/turn",
    "options",
    "schema"
  ],
  "command": ["layers", "node", "embedded", "internal/request"],
  "entry": [
    "layers",
    "promise",
    "ai",
    "web",
    "workflow/store",
    "workflow",
    "node",
    "services of sessions",
    "services/session",
    "services",
    "functions",
    "client",
    "embedded options",
    "embedded",
    "schema"
  ]
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

  it("arrows run one way: a room imports only rooms above it", () => {
    const order = Object.keys(mayImport)
    const upwards = order.flatMap((room, index) =>
      (mayImport[room] ?? []).filter((imported) => !order.slice(0, index).includes(imported)).map((to) =>
        `${room}: ${to}`
      )
    )
    assert.deepStrictEqual(upwards, [])
  })

  it.each(files)("%s does not reach itself", (file) => {
    const reached = importsOf(file).filter((name) => name.startsWith(".")).map((name) => resolveImport(file, name))
    assert.deepStrictEqual(reached.filter((imported) => reach(imported).has(file)), [])
  })

  it.each(files)("%s imports modules of effect, not its root", (file) => {
    const roots = importsOf(file).filter((name) => name === "effect" || name === "@effect/platform-node")
    assert.deepStrictEqual(roots, [])
  })

  it.each(["ai.ts", "index.ts", "promise.ts", "schema/index.ts", "web.ts", "workflow.ts"])(
    "the entry %s reaches nothing of Node",
    (entry) => {
      const found = [...reach(entry)].flatMap((file) =>
        importsOf(file).filter(isNodeOnly).map((name) => `${file}: ${name}`)
      )
      assert.deepStrictEqual(found, [])
    }
  )

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

  it("modules of effect/ai are only for programs that use them: none is imported with an entry but ./ai", () => {
    const imports = files.filter((file) => roomOf(file) !== "ai").flatMap((file) =>
      [...codeOf(file).matchAll(/^import (?!type )[^"]*? from "(effect\/ai[^"]*)"/gm)].map(([, name]) =>
        `${file}: ${name}`
      )
    )
    assert.deepStrictEqual(imports, [])
  })

  it("node:http is not imported, which would load the WebSocket client of Node as well", () => {
    const imports = files.filter((file) => /^import (?!type )[^"]*? from "node:https?"/gm.test(codeOf(file)))
    assert.deepStrictEqual(imports, [])
  })

  it("the entries for Node do reach it, so that the check above can tell", () => {
    assert.isTrue([...reach("node.ts")].some((file) => importsOf(file).some(isNodeOnly)))
    assert.isTrue([...reach("embedded.ts")].some((file) => importsOf(file).some(isNodeOnly)))
  })
})
