/** Bundles code as a program has it: this package with it, effect beside it. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const esbuild = (root: string, options: ReadonlyArray<string>, input = "") =>
  execFileSync(join(root, "node_modules/.bin/esbuild"), [
    "--bundle",
    "--format=esm",
    "--platform=node",
    "--external:effect",
    "--external:@effect/platform-node",
    "--conditions=effect-ash-source",
    "--log-level=error",
    ...options
  ], { cwd: root, input, encoding: "utf8", maxBuffer: 2 ** 26, stdio: ["pipe", "pipe", "inherit"] })

/** Bundles a module that is part of the package in a folder. */
export const bundleCode = (root: string, code: string, ...options: ReadonlyArray<string>): string =>
  esbuild(root, options, code)

/** Bundles the worker of the package in a folder, what it imports dynamically apart. Answers its file. */
export const bundleWorker = (root: string, folder: string): string => {
  esbuild(root, ["bench/worker.ts", "--splitting", "--out-extension:.js=.mjs", `--outdir=${folder}`])
  return join(folder, "worker.mjs")
}

/** A folder that finds the packages of another, and is gone after use. */
export const temporaryFolder = (root: string) => {
  const folder = mkdtempSync(join(tmpdir(), "effect-ash-bench-"))
  symlinkSync(realpathSync(join(root, "node_modules")), join(folder, "node_modules"))
  return { folder, remove: () => rmSync(folder, { recursive: true }) }
}
