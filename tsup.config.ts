import { defineConfig } from "tsup"

export default defineConfig({
  entry: {
    index: "src/index.ts",
    "schema/index": "src/schema/index.ts",
    node: "src/node.ts",
    embedded: "src/embedded.ts"
  },
  format: "esm",
  target: "es2023",
  platform: "neutral",
  external: [/^effect(\/|$)/, /^@effect\/platform-node(\/|$)/, /^node:/],
  splitting: true,
  sourcemap: true,
  clean: true,
  // TypeScript itself writes the declarations: tsup's own way to them needs an older one.
  dts: false
})
