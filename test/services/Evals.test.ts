import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Evals } from "../../src/services/Evals.ts"
import { patiently } from "../support/clock.ts"
import * as Server from "../support/ScriptedServer.ts"

const layer = AshEmbedded.layer({
  script: ({ prompt }) => Stream.make(prompt === "odd" ? AgentScript.fail("no idea") : AgentScript.say("Hello"))
})

const deployed = Effect.gen(function*() {
  yield* (yield* Agents).create({ name: "demo" })
  const evals = yield* Evals
  yield* evals.importCases("demo", [{ question: "hi", expectedTopics: ["hello"], tags: ["x"] }, { question: "odd" }])
  return evals
})

describe("Evals", () => {
  it.effect("keeps cases", () =>
    Effect.gen(function*() {
      const evals = yield* deployed
      const added = yield* evals.createCase("demo", { question: "q", category: "c", isActive: false })
      assert.deepInclude(added, { question: "q", tags: null, isActive: false })
      const changed = yield* evals.updateCase("demo", added.id, { category: null, tags: ["t"] })
      assert.deepInclude(changed, { category: null, tags: ["t"] })
      assert.deepStrictEqual((yield* evals.listCases("demo", { isActive: false })).map(({ id }) => id), [added.id])
      assert.strictEqual((yield* evals.exportCases("demo")).length, 3)
      assert.strictEqual((yield* evals.getCase("demo", added.id)).question, "q")
      assert.isUndefined(yield* evals.deleteCase("demo", added.id))
      assert.strictEqual((yield* evals.listCases("demo")).length, 2)
    }).pipe(Effect.provide(layer)))

  it.effect("runs cases completely, compares runs and scores results", () =>
    Effect.gen(function*() {
      const evals = yield* deployed
      const { results, run } = yield* patiently(yield* Effect.forkChild(evals.runToCompletion("demo")))
      assert.deepInclude(run, { status: "completed", totalCases: 2, completedCases: 2 })
      assert.strictEqual(run.summary?.passRate, 0.5)
      assert.deepStrictEqual(results.map(({ error, status }) => [status, error]), [
        ["completed", null],
        ["error", "no idea"]
      ])
      const second = yield* evals.startRun("demo", { tags: ["x"] })
      const { results: rows } = yield* evals.compareRuns("demo", run.id, second.id)
      assert.deepStrictEqual(rows.map(({ resultB }) => resultB?.status), ["pending", undefined])
      const [result] = results
      const scored = yield* evals.scoreResult("demo", result?.id ?? "", { humanScore: 4 })
      assert.strictEqual(scored.humanScore, 4)
      assert.strictEqual((yield* evals.scoreRun("demo", run.id, { humanNotes: "n" })).length, 2)
      assert.deepStrictEqual((yield* evals.listRuns("demo")).map(({ id }) => id), [second.id, run.id])
      const error = yield* Effect.flip(evals.scoreRun("demo", run.id, {}))
      assert.include(error.message, "humanScore, humanNotes or both")
    }).pipe(Effect.provide(layer)))

  it.effect("starts no run that cannot be followed, as its interval is none", () =>
    Effect.gen(function*() {
      const evals = yield* deployed
      const every = -1
      const errors = [
        yield* Effect.flip(evals.runToCompletion("demo", { every })),
        yield* Effect.flip(Stream.runDrain(evals.watchRun("demo", "run", { every })))
      ]
      assert.deepStrictEqual(errors.map(({ operation, reason }) => [operation, reason._tag]), [
        ["Evals.runToCompletion", "InvalidRequest"],
        ["Evals.watchRun", "InvalidRequest"]
      ])
      assert.deepStrictEqual(yield* evals.listRuns("demo"), [])
    }).pipe(Effect.provide(layer)))

  it.effect("follows a run by what changes", () =>
    Effect.gen(function*() {
      const run = (status: string, completedCases: number) => ({
        run: {
          id: "a12d79a1-1b1b-4c1d-9b1f-000000000000",
          agentName: "demo",
          status,
          totalCases: 2,
          completedCases,
          createdAt: "2026-11-22T10:40:59.772Z"
        }
      })
      const server = Server.make(Server.inOrder(
        Server.json(run("pending", 0)),
        Server.json(run("pending", 0)),
        Server.json(run("running", 1)),
        Server.json(run("failed", 1))
      ))
      const fiber = yield* Effect.forkChild(
        Effect.flatMap(Evals, (evals) =>
          Stream.runCollect(evals.watchRun("demo", run("", 0).run.id, { every: "1 minute" }))).pipe(
            Effect.provide(server.layer)
          )
      )
      const seen = yield* patiently(fiber)
      assert.deepStrictEqual(
        seen.map(({ status }) =>
          status
        ),
        ["pending", "running", "failed"]
      )
      assert.deepStrictEqual(server.requests.map(({ at }) => at), [0, 60_000, 120_000, 180_000])
    }))
})
