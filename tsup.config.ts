import { defineConfig, type Options } from "tsup"

const shared: Options = {
  format: "esm",
  target: "es2023",
  // TypeScript itself writes the declarations: tsup's own way to them needs an older one.
  dts: false
}

export default defineConfig([
  {
    ...shared,
    entry: {
      index: "src/index.ts",
      "schema/index": "src/schema/index.ts",
      node: "src/node.ts",
      embedded: "src/embedded.ts"
    },
    platform: "neutral",
    external: [/^effect(\/|$)/, /^@effect\/platform-node(\/|$)/, /^node:/],
    splitting: true,
    sourcemap: true,
    clean: ["!bin/**"]
  },
  {
    ...shared,
    // The command, with all that it needs: it runs where there is Node alone.
    entry: { "effect-ash": "src/command/main.ts" },
    outDir: "dist/bin",
    platform: "node",
    noExternal: [/^[^.]/],
    splitting: false,
    minify: true,
    clean: true,
    // What it needs of CommonJS asks for Node's own modules by `require`.
    banner: {
      js: `import { createRequire as makeRequire } from "node:module";const require = makeRequire(import.meta.url);`
    }
  }
])
