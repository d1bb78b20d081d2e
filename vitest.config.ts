import { defineConfig } from "vitest/config"

const report = process.env["TEST_REPORT"]

export default defineConfig({
  resolve: { conditions: ["effect-ash-source"] },
  ssr: { resolve: { conditions: ["effect-ash-source"] } },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 20_000,
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]]
  }
})
