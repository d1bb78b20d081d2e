import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

const root = resolve(import.meta.dirname, "../..")
const hooks = pathToFileURL(join(root, "test/support/loadedModules.ts")).href

/** What a program writes about the files of an import. */
const reported = (options: ReadonlyArray<string>) => {
  const { stderr, stdout } = spawnSync(process.execPath, ["--conditions=effect-ash-source", ...options], {
    encoding: "utf8",
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: "" }
  })
  assert.include(stdout, "src/", stderr)
  return stdout
}

/** The files that a program loads which imports an entry, each with the file that imports it first. */
const loadedBy = (entry: string): ReadonlyMap<string, string> => {
  const importers: Record<string, string> = JSON.parse(
    reported(["--import", hooks, "--input-type=module", "--eval", `import "${entry}"`])
  )
  return new Map(Object.entries(importers).filter(([file]) => !file.startsWith(hooks)))
}

const packageOf = (file: string) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? "effect-ash"

/** Budgets: how many modules of each package are loaded. Each costs a start some tenths of a millisecond. */
const budgets: ReadonlyArray<readonly [entry: string, beyond: string | undefined, Record<string, number>]> = [
  ["effect-ash", undefined, { "effect-ash": 156, "effect": 229 }],
  ["effect-ash/schema", undefined, { "effect-ash": 35, "effect": 223 }],
  ["effect-ash/node", "effect-ash", {
    "effect-ash": 10,
    "@effect/platform-node": 7,
    "@effect/platform-node-shared": 6,
    "ignore": 1
  }],
  ["effect-ash/promise", "effect-ash", { "effect-ash": 10, "effect": 1 }],
  ["effect-ash/workflow", "effect-ash", { "effect-ash": 32, "effect": 76 }],
  ["effect-ash/ai", "effect-ash", { "effect-ash": 9, "effect": 13 }],
  ["effect-ash/web", "effect-ash", { "effect-ash": 11 }],
  ["effect-ash/embedded", "effect-ash", {
    "effect-ash": 81,
    "@effect/platform-node": 18,
    "@effect/platform-node-shared": 13,
    "effect": 13,
    "ws": 14
  }]
]

/** A file as the package names it. */
const nameOf = (file: string) => relative(root, fileURLToPath(file))

/** What files are loaded for: of this package their room, of others the import of another package that leads to them. */
const causeOf = (file: string, importers: ReadonlyMap<string, string>): string => {
  const name = packageOf(file)
  if (name === "effect-ash") return dirname(nameOf(file))
  const importer = importers.get(file)
  if (importer === undefined || !importer.startsWith("file:")) return nameOf(file)
  return packageOf(importer) === name
    ? causeOf(importer, importers)
    : `${nameOf(file)}, which ${nameOf(importer)} imports`
}

/** How many of the files are loaded for what, the most first. */
const causesOf = (files: ReadonlyArray<string>, importers: ReadonlyMap<string, string>) => {
  const counts = new Map<string, number>()
  for (const file of files) {
    const cause = causeOf(file, importers)
    counts.set(cause, (counts.get(cause) ?? 0) + 1)
  }
  return [...counts].toSorted(([, a], [, b]) => b - a).map(([cause, count]) => `${count} for ${cause}`).join("\n")
}

describe("modules that are loaded without a bundler", () => {
  it.each(budgets)("%s keeps to its budget", (entry, beyond, budget) => {
    const importers = loadedBy(entry)
    const known = beyond === undefined ? new Map<string, string>() : loadedBy(beyond)
    const added = [...importers.keys()].filter((file) => !known.has(file))
    for (const name of new Set(added.map(packageOf))) {
      const files = added.filter((file) => packageOf(file) === name)
      const causes = causesOf(files, importers)
      assert.isAtMost(files.length, budget[name] ?? 0, `${entry} loads more modules of ${name}:\n${causes}\n`)
    }
  })
})

/** Budgets: how many functions are called while an entry is imported, each of them before anything is compiled well. */
const calls: ReadonlyArray<readonly [entry: string, budget: number]> = [
  ["effect-ash", 74_500],
  ["effect-ash/schema", 72_000],
  ["effect-ash/node", 75_000],
  ["effect-ash/promise", 74_500],
  ["effect-ash/workflow", 106_500],
  ["effect-ash/ai", 82_000],
  ["effect-ash/web", 74_000],
  ["effect-ash/embedded", 81_500]
]

describe("functions that an import calls", () => {
  it.each(calls)("%s keeps to its budget", (entry, budget) => {
    const counts: Record<string, number> = JSON.parse(reported(["test/support/functionCalls.ts", entry]))
    const most = Object.entries(counts).toSorted(([, a], [, b]) => b - a).slice(0, 10)
    const all = Object.values(counts).reduce((sum, count) => sum + count)
    assert.isAtMost(
      all,
      budget,
      `${entry} calls more, the most in\n${most.map(([file, count]) => `${nameOf(file)}: ${count}`).join("\n")}\n`
    )
  })
})
