import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import { ask, at, listAt, open, say, withServer } from "../../support/embeddedServer.ts"

const script: AgentScript.AgentScript = () =>
  Stream.make(
    AgentScript.say("hi"),
    AgentScript.finish({
      usage: { input_tokens: 10, output_tokens: 3, cache_read_input_tokens: 5, cache_creation_input_tokens: 0 }
    })
  )

const events = (query = "") => Effect.map(ask("GET", `/api/usage${query}`), ({ body }) => listAt(body, "events"))

describe("usage", () => {
  it.effect("is counted for each turn: tokens where there are any, and one message", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open()
      yield* say(path, ["a", "b"].map((text) => ({ type: "text", text })))
      const rows = yield* events()
      assert.deepStrictEqual(rows.map((row) => [at(row, "eventType"), at(row, "value")]), [
        ["input_tokens", 10],
        ["output_tokens", 3],
        ["cache_read_tokens", 5],
        ["message", 1]
      ])
      assert.deepInclude(rows[0], { sessionId: id, agentName: "demo", tenantId: "default" })
    }).pipe(withServer({ script })))

  it.effect("is narrowed by session, agent, time and number, and summed up", () =>
    Effect.gen(function*() {
      const first = yield* open()
      yield* say(first.path, "x")
      yield* TestClock.adjust("1 hour")
      const second = yield* open()
      yield* say(second.path, "x")
      const count = (query: string) => Effect.map(events(query), ({ length }) => length)
      assert.strictEqual(yield* count(""), 8)
      assert.strictEqual(yield* count("?limit=3"), 3)
      assert.strictEqual(yield* count(`?sessionId=${first.id}`), 4)
      assert.strictEqual(yield* count("?agentName=other"), 0)
      assert.strictEqual(yield* count("?after=1970-01-01T01:00:00.000Z"), 4)
      assert.strictEqual(yield* count("?before=1970-01-01T00:00:00.000Z"), 4)
      const stats = yield* ask("GET", "/api/usage/stats")
      assert.deepStrictEqual(stats.body, {
        stats: {
          totalInputTokens: 20,
          totalOutputTokens: 6,
          totalCacheCreationTokens: 0,
          totalCacheReadTokens: 10,
          totalToolCalls: 0,
          totalMessages: 2,
          totalComputeSeconds: 0
        }
      })
      const analytics = yield* ask("GET", "/api/analytics?after=1970-01-01T01:00:00.000Z")
      assert.deepInclude(analytics.body, {
        agents: { total: 1 },
        sessions: { total: 2, byStatus: { active: 2 } },
        evals: { totalRuns: 0, byStatus: {} }
      })
      assert.strictEqual(at(analytics.body, "usage", "totalMessages"), 1)
    }).pipe(withServer({ script })))

  it.effect("refuses times that are none", () =>
    Effect.gen(function*() {
      for (
        const path of ["/api/usage?after=yesterday", "/api/usage/stats?after=x", "/api/analytics?after=2020-01-01"]
      ) {
        const { body, status } = yield* ask("GET", path)
        assert.strictEqual(status, 400)
        assert.strictEqual(at(body, "message"), "querystring/after must match format \"date-time\"")
      }
      const { body } = yield* ask("GET", "/api/usage?limit=0")
      assert.strictEqual(at(body, "message"), "querystring/limit must be >= 1")
    }).pipe(withServer()))
})
