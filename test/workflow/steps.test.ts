import { assert, describe, it } from "@effect/vitest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import { AshEmbedded } from "../../src/embedded.ts"
import { Messages } from "../../src/services/Messages.ts"
import { SessionFiles } from "../../src/services/SessionFiles.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import * as Cancellations from "../../src/workflow/Cancellations.ts"
import { readRunSettings, type RunSettings } from "../../src/workflow/RunnerSettings.ts"
import * as RunSteps from "../../src/workflow/RunSteps.ts"
import * as MemoryRunStore from "../../src/workflow/store/MemoryRunStore.ts"
import { RunStore } from "../../src/workflow/store/RunStore.ts"

/** The steps as a runner does them, over the tables that it sees. */
const runner = Effect.fnUntraced(function*(own: RunSettings = {}, tables: Partial<RunStore["Service"]> = {}) {
  const store = { ...(yield* RunStore), ...tables }
  const settings = yield* readRunSettings(own)
  return RunSteps.make({
    store,
    settings,
    sessions: yield* Sessions,
    messages: yield* Messages,
    files: yield* SessionFiles,
    random: yield* SecureRandom.SecureRandom,
    cancellations: yield* Cancellations.make(store, settings.cancelInterval),
    secrets: () => Effect.succeed({})
  })
})

const world = Layer.mergeAll(
  AshEmbedded.layer({ agents: { worker: {} } }),
  MemoryRunStore.layer,
  SecureRandom.layerWebCrypto
)

const run = (id: string) => ({ id, executionId: `execution of ${id}`, payloadHash: "hash", agent: "worker" })

describe("a place", () => {
  it.effect("that a run has, of a runner that died, is not waited for behind those that wait for it", () =>
    Effect.gen(function*() {
      const store = yield* RunStore
      for (const id of ["one", "two"]) yield* store.insertRun(run(id))
      yield* store.takePlace("one", 1)
      const { takePlace } = yield* runner({ maxRunning: 1 })
      const waiting = yield* Effect.forkChild(takePlace("two"))
      yield* TestClock.adjust("10 seconds")
      const going = yield* Effect.forkChild(takePlace("one"))
      yield* TestClock.adjust("10 seconds")
      assert.isDefined(going.pollUnsafe())
      assert.isUndefined(waiting.pollUnsafe())
      yield* store.freePlace("one")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(waiting)
    }).pipe(Effect.provide(world)))
})
