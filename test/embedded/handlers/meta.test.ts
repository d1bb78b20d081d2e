import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ask, at, deploy, withServer } from "../../support/embeddedServer.ts"

describe("what a server reports of itself", () => {
  it.effect("its routes, and the settings of its dashboard without the key, for any client", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const anonymous = { authorization: null }
      const { body, status } = yield* ask("GET", "/docs/json", anonymous)
      assert.strictEqual(status, 200)
      assert.isObject(at(body, "paths", "/api/agents/{name}/eval-runs/{id}/score"))
      const config = yield* ask("GET", "/dashboard/config.js", anonymous)
      assert.match(config.headers["content-type"] ?? "", /^application\/javascript/)
      assert.match(
        config.text,
        /^window\.__ASH_CONFIG__ = \{"apiKey":null,"serverVersion":"0\.2\.0","serverUrl":".*"\};$/
      )
      assert.strictEqual((yield* ask("GET", "/favicon.ico", anonymous)).status, 404)
      assert.strictEqual((yield* ask("GET", "/api/nope", anonymous)).status, 401)
    }).pipe(withServer()))
})
