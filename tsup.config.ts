import type { Plugin } from "esbuild"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { defineConfig } from "tsup"

const packageFolder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/

/** The licence of a package in a folder: one that has none is not to be bundled. */
const noticeOf = (folder: string) => {
  const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))
  const licence = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file))
  if (licence === undefined) throw new Error(`${name} has no file with its licence`)
  return `${name} ${version}\n\n${readFileSync(join(folder, licence), "utf8").trim()}\n`
}

/** The licences of the packages that a file was bundled from, beside it, as they ask for. */
const licences: Plugin = {
  name: "licences",
  setup: ({ initialOptions, onEnd }) => {
    initialOptions.metafile = true
    onEnd(({ metafile }) => {
      for (const [file, { inputs }] of Object.entries(metafile?.outputs ?? {})) {
        const folders = new Set(Object.keys(inputs).flatMap((input) => packageFolder.exec(input) ?? []))
        if (folders.size === 0) continue
        mkdirSync(dirname(file), { recursive: true })
        writeFileSync(`${file}.LICENSES.txt`, [...folders].toSorted().map(noticeOf).join(`\n${"-".repeat(80)}\n\n`))
      }
    })
  }
}

/** The command alone, with all that it needs: it runs where there is Node alone. TypeScript emits the rest, file by file. */
export default defineConfig({
  entry: { "bin/effect-ash": "src/command/main.ts" },
  format: "esm",
  target: "es2023",
  platform: "node",
  noExternal: [/^[^.]/],
  esbuildPlugins: [licences],
  // TypeScript itself writes the declarations: tsup's own way to them needs an older one.
  dts: false,
  splitting: false,
  minify: true,
  clean: true,
  // What it needs of CommonJS asks for Node's own modules by `require`.
  banner: {
    js: `import { createRequire as makeRequire } from "node:module";const require = makeRequire(import.meta.url);`
  }
})
