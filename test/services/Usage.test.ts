import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { AshClient } from "../../src/services/AshClient.ts"

const layer = AshEmbedded.layer({
  script: () => Stream.make(AgentScript.finish({ usage: { input_tokens: 10, output_tokens: 3 } }))
})

describe("Usage and Analytics", () => {
  it.effect("report what turns took, in a span of time to which both ends belong", () =>
    Effect.gen(function*() {
      const { agents, analytics, messages, sessions, usage } = yield* AshClient
      yield* agents.create({ name: "demo" })
      const { id: sessionId } = yield* sessions.create({ agent: "demo" })
      const turn = Stream.runDrain(messages.send(sessionId, "hello world"))
      yield* turn
      yield* TestClock.adjust("1 hour")
      yield* turn
      const now = yield* DateTime.now
      const all = yield* usage.listEvents({ sessionId, limit: 1000 })
      assert.deepStrictEqual(all.slice(0, 3).map(({ eventType, value }) => [eventType, value]), [
        ["input_tokens", 10],
        ["output_tokens", 3],
        ["message", 1]
      ])
      assert.strictEqual(all.length, 6)
      assert.strictEqual((yield* usage.stats({ agentName: "demo" })).totalInputTokens, 20)
      assert.strictEqual((yield* usage.stats({ after: now })).totalMessages, 1)
      assert.strictEqual((yield* usage.stats({ before: now })).totalMessages, 2)
      const summary = yield* analytics.get({ after: now })
      assert.deepStrictEqual({ ...summary.sessions }, { total: 1, byStatus: { active: 1 } })
      assert.strictEqual(summary.usage.totalOutputTokens, 3)
    }).pipe(Effect.provide(layer)))
})
