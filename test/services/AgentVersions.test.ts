import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { Agents } from "../../src/services/Agents.ts"
import { AgentVersions } from "../../src/services/AgentVersions.ts"

const deployed = Effect.gen(function*() {
  yield* (yield* Agents).create({ name: "demo" })
  return yield* AgentVersions
})

describe("AgentVersions", () => {
  it.effect("creates, changes, activates and deletes versions, by number and by id", () =>
    Effect.gen(function*() {
      const versions = yield* deployed
      const first = yield* versions.create("demo", { systemPrompt: "p", knowledgeFiles: ["a"] })
      const second = yield* versions.create("demo", { cloneFrom: first.id, name: "second" })
      assert.deepInclude(second, { versionNumber: 2, name: "second", systemPrompt: "p", isActive: false })
      const changed = yield* versions.update("demo", second.id, { releaseNotes: "n" })
      assert.strictEqual(changed.releaseNotes, "n")
      assert.strictEqual(yield* versions.activate("demo", second.id), 2)
      assert.isTrue((yield* versions.get("demo", 2)).isActive)
      assert.isUndefined(yield* versions.delete("demo", 2))
      assert.deepStrictEqual((yield* versions.list("demo")).map(({ id }) => id), [first.id])
      const error = yield* Effect.flip(versions.get("demo", 2))
      assert.strictEqual(error.message, "AgentVersions.get: Version not found (404)")
    }).pipe(Effect.provide(AshEmbedded.layer())))
})
