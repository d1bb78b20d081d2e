/** What it costs to have the package: the size of a bundled program, and the time that importing the entry takes. */
import { execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { bundleCode, temporaryFolder } from "./bundle.ts"

export interface EntryCost {
  /** Bytes of a program that streams one turn, minified and gzipped, without what it imports of effect. */
  readonly size: number
  /** Milliseconds to import the whole entry, bundled; by round. */
  readonly entry: ReadonlyArray<number>
  /** Milliseconds to import the modules of effect that it needs, and nothing else; by round. */
  readonly effect: ReadonlyArray<number>
}

const importTime = (file: string): number =>
  Number(
    execFileSync(process.execPath, [
      "--input-type=module",
      "--eval",
      `const startedAt = performance.now()
       await import(${JSON.stringify(file)})
       console.log(performance.now() - startedAt)`
    ], { encoding: "utf8" })
  )

const prepare = (root: string) => {
  const { folder, remove } = temporaryFolder(root)
  const entry = join(folder, "entry.mjs")
  const effect = join(folder, "effect.mjs")
  const code = bundleCode(root, `export * from "effect-ash"`)
  const imported = new Set(code.match(/(?<=^(?:import|export) .*? from )"effect[^"]*"/gm))
  writeFileSync(entry, code)
  writeFileSync(effect, [...imported].map((name) => `import ${name}\n`).join(""))
  const program = bundleCode(root, `export { Ash, Messages, Sessions } from "effect-ash"`, "--minify")
  return { entry, effect, remove, size: gzipSync(program, { level: 9 }).length }
}

/** Measures the package in each folder, their rounds in turn. */
export const measureEntries = (roots: ReadonlyArray<string>, rounds: number): ReadonlyArray<EntryCost> => {
  const prepared = roots.map(prepare)
  const round = () => prepared.map(({ effect, entry }) => ({ entry: importTime(entry), effect: importTime(effect) }))
  round() // finds the disk cold
  const times = Array.from({ length: rounds }, round)
  for (const { remove } of prepared) remove()
  return prepared.map(({ size }, index) => ({
    size,
    entry: times.map((costs) => costs[index]?.entry ?? Number.NaN),
    effect: times.map((costs) => costs[index]?.effect ?? Number.NaN)
  }))
}
