import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { AgentScript, AshEmbedded, FaultProxy } from "../../src/embedded.ts"
import * as Ash from "../../src/layers/Ash.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { AgentRuns } from "../../src/workflow/AgentRuns.ts"
import * as AshWorkflow from "../../src/workflow/AshWorkflow.ts"
import { noSession } from "../support/fixtures.ts"
import { accidents, make as makeMortal } from "../support/mortalServer.ts"

const faults = FaultProxy.kinds.flatMap((kind) => FaultProxy.phases.map((phase) => ({ kind, phase })))

/** A run whose first message meets a fault: what became of it, and what the server has seen. */
const runWith = (fault: typeof faults[number]) => {
  const seen = new Map<string, number>()
  const script: AgentScript.AgentScript = ({ prompt, session }) => {
    const key = `${session.id} ${prompt}`
    seen.set(key, (seen.get(key) ?? 0) + 1)
    return Stream.make(AgentScript.say(`done: ${prompt}`))
  }
  return Effect.gen(function*() {
    const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
    let hasStruck = false
    const proxy = yield* FaultProxy.make({
      target: url,
      script: ({ method, path }) => {
        if (hasStruck || method !== "POST" || !path.endsWith("/messages") || path.includes(noSession)) return undefined
        hasStruck = true
        return fault
      }
    })
    const runs = AshWorkflow.layerTest({
      sendWindow: 200,
      settleTime: 300,
      longestTurn: "2 seconds",
      patience: "10 seconds",
      cancelInterval: 100
    }).pipe(Layer.provide(Ash.layer({ url: proxy.url, apiKey })))
    const end = yield* Effect.gen(function*() {
      const { result, start } = yield* AgentRuns
      yield* start({ id: "one", agent: "worker", steps: ["first", "second"], whenUnknown: "repeatRun" })
      return yield* Effect.result(result("one", { every: 20 }))
    }).pipe(Effect.provide(runs))
    const alive = (yield* (yield* Sessions).list()).filter(({ status }) => status !== "ended").length
    return {
      end: end._tag === "Success" ? end.success.text : end.failure._tag,
      twice: [...seen.values()].filter((times) => times > 1).length,
      alive
    }
  }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layerHttp({ agents: { worker: { script } } })))
}

describe("a run whose message meets a fault", () => {
  it.live("ends, its turn runs once in a session, and no session stays, whatever the fault", () =>
    Effect.gen(function*() {
      const outcomes = yield* Effect.forEach(
        faults,
        (fault) => Effect.map(runWith(fault), (outcome) => ({ ...fault, ...outcome })),
        { concurrency: 12 }
      )
      assert.isAbove(outcomes.length, 60)
      assert.deepStrictEqual(outcomes.filter(({ alive, twice }) => alive > 0 || twice > 0), [])
      assert.deepStrictEqual(outcomes.filter(({ end }) => end !== "done: second" && end !== "AshError"), [])
    }))
})

describe("a run whose session comes to harm between its turns", () => {
  it.live.each(accidents)(
    "%s: makes it usable again, goes on in it, and ends it",
    (accident) =>
      Effect.gen(function*() {
        const server = makeMortal({ retry: { times: 0 } })
        const runs = AshWorkflow.layerTest({
          sendWindow: 200,
          settleTime: 300,
          patience: "10 seconds",
          cancelInterval: 100
        })
        const { text } = yield* Effect.gen(function*() {
          const { result, start } = yield* AgentRuns
          yield* start({ id: "one", agent: "worker", steps: [`then ${accident}`, "second"] })
          return yield* result("one", { every: 20 })
        }).pipe(Effect.scoped, Effect.provide(Layer.provide(runs, server.layer)))
        assert.strictEqual(text, "You said: second")
        assert.lengthOf(server.sent().filter(({ body }) => body.includes(accident)), 1)
        assert.deepStrictEqual(server.mixed, [])
        assert.strictEqual(server.status(), "ended")
      })
  )
})
