import { defineConfig } from "vitest/config"
import { stayHere } from "./scripts/environment.ts"

stayHere()

const report = process.env["TEST_REPORT"]

export default defineConfig({
  resolve: { conditions: ["effect-ash-source"] },
  ssr: { resolve: { conditions: ["effect-ash-source"] } },
  test: {
    include: ["test/**/*.test.ts"],
    // Vitest leaves one core free, and much of a test is a wait.
    maxWorkers: "100%",
    // For what hangs: no test depends on how fast the machine is.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]]
  }
})
