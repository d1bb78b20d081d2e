import { defineConfig } from "tsup"

/** The command alone, with all that it needs: it runs where there is Node alone. TypeScript emits the rest, file by file. */
export default defineConfig({
  entry: { "bin/effect-ash": "src/command/main.ts" },
  format: "esm",
  target: "es2023",
  platform: "node",
  noExternal: [/^[^.]/],
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
