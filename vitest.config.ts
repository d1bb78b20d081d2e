import { defineConfig } from "vitest/config"

export default defineConfig({
  resolve: { conditions: ["effect-ash-source"] },
  ssr: { resolve: { conditions: ["effect-ash-source"] } },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 20_000
  }
})
