import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { AgentScript, AshEmbedded } from "../../src/embedded.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { AgentRuns } from "../../src/workflow/AgentRuns.ts"
import * as AshWorkflow from "../../src/workflow/AshWorkflow.ts"

const layer = (script: AgentScript.AgentScript, options: AshWorkflow.WorkerOptions = {}) =>
  Layer.provideMerge(
    AshWorkflow.layerTest(options),
    AshEmbedded.layer({ agents: { worker: { script } } })
  )

describe("a run", () => {
  it.live("does its steps in order in one session, which has ended when its result is there", () =>
    Effect.gen(function*() {
      const runs = yield* AgentRuns
      yield* runs.start({ id: "one", agent: "worker", steps: ["first", "second"] })
      const result = yield* runs.result("one", { every: 20 })
      assert.strictEqual(result.generations, 1)
      assert.deepStrictEqual(
        result.turns.map(({ afterSequence, how, lastSequence }) => [afterSequence, lastSequence, how]),
        [
          [0, 3, "received"],
          [3, 6, "received"]
        ]
      )
      assert.include(result.text, "second")
      const session = yield* (yield* Sessions).get(result.sessionId)
      assert.strictEqual(session.status, "ended")
      const status = yield* runs.status("one")
      assert.strictEqual(status.state, "succeeded")
    }).pipe(Effect.provide(layer(AgentScript.echo))))
})
