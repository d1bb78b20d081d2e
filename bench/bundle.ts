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

/** What a module of CommonJS in a bundle of ES modules needs to reach Node's own. */
const requireOfNode = {
  js: `import { createRequire as makeRequire } from "node:module";const require = makeRequire(import.meta.url);`
}

/** Bundles a program, by the packages in a folder, whole, as users do; or its own code, with packages and other files beside it. */
export const bundleProgram = (root: string, code: string, file: string, beside?: ReadonlyArray<string>) => {
  buildSync({
    ...fromSources(root),
    stdin: { contents: code, resolveDir: join(root, "bench"), loader: "ts" },
    outfile: file,
    platform: "node",
    ...(beside === undefined
      ? { minify: true, banner: requireOfNode }
      : { packages: "external", external: [...beside] })
  })
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
