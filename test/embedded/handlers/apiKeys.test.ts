import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ask, at, deploy, listAt, open, textAt, withServer } from "../../support/embeddedServer.ts"

const statusWith = (key: string) =>
  Effect.map(ask("GET", "/api/agents", { authorization: `Bearer ${key}` }), ({ status }) => status)

describe("keys", () => {
  it.effect("are listed with that of the server first, made, used, and refused as soon as they are deleted", () =>
    Effect.gen(function*() {
      const { body, status } = yield* ask("POST", "/api/api-keys", { json: { label: "ci" } })
      assert.strictEqual(status, 201)
      assert.hasAllKeys(body, ["id", "key"])
      const key = textAt(body, "key")
      assert.match(key, /^ash_[\w-]{32}$/)
      assert.strictEqual(yield* statusWith(key), 200)
      const list = yield* ask("GET", "/api/api-keys")
      assert.notInclude(list.text, key)
      const [first, second] = listAt(list.body, "keys")
      assert.deepStrictEqual(first, {
        id: "env",
        label: "ASH_API_KEY (environment variable)",
        keyPrefix: "embedded••••",
        createdAt: ""
      })
      assert.deepInclude(second, { label: "ci", keyPrefix: "••••••••" })
      const path = `/api/api-keys/${textAt(body, "id")}`
      assert.strictEqual((yield* ask("DELETE", path)).status, 204)
      assert.strictEqual(yield* statusWith(key), 401)
      assert.deepStrictEqual((yield* ask("DELETE", path)).body, { error: "API key not found" })
      assert.strictEqual((yield* ask("POST", "/api/api-keys")).status, 201)
    }).pipe(withServer()))

  it.effect("of another tenant see nothing of this one", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* ask("POST", "/api/credentials", { json: { type: "custom", key: "k" } })
      yield* ask("POST", "/api/queue", { json: { agentName: "demo", prompt: "p", priority: 0, maxRetries: 0 } })
      const other = { authorization: "Bearer other-key" }
      for (const [list, name] of [["agents"], ["sessions"], ["credentials"], ["queue", "items"]] as const) {
        assert.deepStrictEqual((yield* ask("GET", `/api/${list}`, other)).body, { [name ?? list]: [] })
      }
      assert.deepStrictEqual((yield* ask("GET", path, other)).body, { error: "Session not found", statusCode: 404 })
      assert.deepStrictEqual(listAt((yield* ask("GET", "/api/api-keys", other)).body, "keys"), [])
      const { body } = yield* ask("POST", "/api/agents", { json: { name: "demo" }, ...other })
      assert.deepInclude(at(body, "agent"), { tenantId: "tenant-b", version: 1 })
      const analytics = yield* ask("GET", "/api/analytics", other)
      assert.deepInclude(analytics.body, { agents: { total: 1 }, sessions: { total: 0, byStatus: {} } })
      const made = yield* ask("POST", "/api/api-keys", other)
      assert.strictEqual(yield* statusWith(textAt(made.body, "key")), 200)
      assert.strictEqual(listAt((yield* ask("GET", "/api/agents")).body, "agents").length, 1)
    }).pipe(withServer({ tenants: { "other-key": "tenant-b" } })))

  it.effect("share the folders of agents of one name among tenants", () =>
    Effect.gen(function*() {
      const other = { authorization: "Bearer other-key" }
      yield* deploy("demo", { systemPrompt: "of the first" })
      yield* ask("POST", "/api/agents", { json: { name: "demo", systemPrompt: "of the other" }, ...other })
      const { body } = yield* ask("GET", "/api/agents/demo/files/CLAUDE.md")
      assert.strictEqual(textAt(body, "content"), "of the other")
    }).pipe(withServer({ tenants: { "other-key": "tenant-b" } })))
})
