import { defineConfig } from "vitest/config"
import { stayHere } from "./scripts/environment.ts"

if (process.env["ASH_SERVER_URL"] === undefined) stayHere()

export default defineConfig({
  resolve: { conditions: ["effect-ash-source"] },
  ssr: { resolve: { conditions: ["effect-ash-source"] } },
  test: {
    include: ["test/conformance/*.ts"],
    testTimeout: 300_000,
    hookTimeout: 300_000
  }
})
