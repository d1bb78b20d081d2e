/** Bundles code as programs have it. */
import { type BuildOptions, buildSync } from "esbuild"
import { mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** How this package is bundled from its sources, in a folder that has them. */
export const fromSources = (root: string) =>
  ({
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    conditions: ["effect-ash-source"],
    logLevel: "error"
  }) satisfies BuildOptions

const programIn = (root: string, code: string, file: string) =>
  ({
    ...fromSources(root),
    stdin: { contents: code, resolveDir: join(root, "bench"), loader: "ts" },
    outfile: file,
    platform: "node"
  }) satisfies BuildOptions

/** Bundles a program, by the packages in a folder, as the README advises: whole, into a file of CommonJS, but for some packages. */
export const bundleProgram = (root: string, code: string, file: string, external: ReadonlyArray<string>) => {
  buildSync({ ...programIn(root, code, file), format: "cjs", minify: true, external: [...external] })
}

/** Bundles a program's own code, with packages and other files beside it. */
export const bundleBeside = (root: string, code: string, file: string, beside: ReadonlyArray<string>) => {
  buildSync({ ...programIn(root, code, file), packages: "external", external: [...beside] })
}

/** Bundles the worker of the package in a folder, with effect beside it. Answers its file. */
export const bundleWorker = (root: string, folder: string): string => {
  buildSync({
    ...fromSources(root),
    entryPoints: ["bench/worker.ts"],
    external: ["effect", "@effect/platform-node"],
    platform: "node",
    splitting: true,
    outExtension: { ".js": ".mjs" },
    outdir: folder
  })
  return join(folder, "worker.mjs")
}

/** A folder that finds the packages of another, and is gone after use. */
export const temporaryFolder = (root: string) => {
  const folder = mkdtempSync(join(tmpdir(), "effect-ash-bench-"))
  symlinkSync(realpathSync(join(root, "node_modules")), join(folder, "node_modules"))
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}
