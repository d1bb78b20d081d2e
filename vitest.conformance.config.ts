import { defineConfig } from "vitest/config"

export default defineConfig({
  resolve: { conditions: ["effect-ash-source"] },
  ssr: { resolve: { conditions: ["effect-ash-source"] } },
  test: {
    include: ["test/conformance/*.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000
  }
})
