import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ask, open, withServer } from "../../support/embeddedServer.ts"

describe("the health of a server", () => {
  it.effect("its metrics, for a key", () =>
    Effect.gen(function*() {
      yield* open()
      const { headers, text } = yield* ask("GET", "/metrics")
      assert.strictEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
      for (
        const line of [
          "ash_up{coordinator=\"embedded-1\"} 1",
          "ash_active_sessions 1",
          "ash_active_sandboxes 1",
          "ash_pool_sandboxes{state=\"warm\"} 1",
          "ash_pool_sandboxes{state=\"waiting\"} 0",
          "ash_resume_total{path=\"cold\"} 0",
          "ash_resume_cold_total{source=\"fresh\"} 0"
        ]
      ) assert.include(text.split("\n"), line)
      const { body, status } = yield* ask("GET", "/metrics", { authorization: null })
      assert.strictEqual(status, 401)
      assert.deepStrictEqual(body, { error: "Missing Authorization header", statusCode: 401 })
    }).pipe(withServer()))
})
