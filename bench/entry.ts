/** What it costs to have the package: the size of a bundled program, and the time that importing the entry takes. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"

export interface EntryCost {
  /** Bytes of a program that streams one turn, minified and gzipped, without what it imports of effect. */
  readonly size: number
  /** Milliseconds to import the whole entry, bundled; by round. */
  readonly entry: ReadonlyArray<number>
  /** Milliseconds to import the modules of effect that it needs, alone; by round. */
  readonly effect: ReadonlyArray<number>
}

const bundle = (root: string, code: string, ...options: ReadonlyArray<string>) =>
  execFileSync(
    join(root, "node_modules/.bin/esbuild"),
    ["--bundle", "--format=esm", "--external:effect", "--conditions=effect-ash-source", ...options],
    { cwd: root, input: code, maxBuffer: 2 ** 26, stdio: ["pipe", "pipe", "inherit"] }
  )

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

/** Measures the package in each folder, their rounds in turn. */
export const measureEntries = (roots: ReadonlyArray<string>, rounds: number): ReadonlyArray<EntryCost> => {
  const folder = mkdtempSync(join(tmpdir(), "effect-ash-bench-"))
  try {
    const entries = roots.map((root, index) => {
      symlinkSync(realpathSync(join(root, "node_modules")), join(folder, "node_modules"))
      const entry = join(folder, `entry-${index}.mjs`)
      const effect = join(folder, `effect-${index}.mjs`)
      const code = bundle(root, `export * from "effect-ash"`)
      const imported = new Set(code.toString().match(/(?<=^(?:import|export) .*? from )"effect[^"]*"/gm))
      writeFileSync(entry, code)
      writeFileSync(effect, [...imported].map((name) => `import ${name}\n`).join(""))
      const program = bundle(root, `export { Ash, Messages, Sessions } from "effect-ash"`, "--minify")
      return { entry, effect, size: gzipSync(program, { level: 9 }).length, times: { entry: [0], effect: [0] } }
    })
    for (let round = 0; round <= rounds; round++) {
      for (const { effect, entry, times } of entries) {
        times.entry[round] = importTime(entry)
        times.effect[round] = importTime(effect)
      }
    }
    // The first of each finds the disk cold.
    return entries.map(({ size, times }) => ({ size, entry: times.entry.slice(1), effect: times.effect.slice(1) }))
  } finally {
    rmSync(folder, { recursive: true })
  }
}
