/** The examples of docs/testing.md on time do what they say there. */
import { assert, describe, it, layer } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as FaultProxy from "../../src/embedded/FaultProxy.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import * as AshNode from "../../src/layers/AshNode.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Evals } from "../../src/services/Evals.ts"
import { QueueItems } from "../../src/services/QueueItems.ts"
import { SessionFiles } from "../../src/services/SessionFiles.ts"
import { Sessions } from "../../src/services/Sessions.ts"

const says: AgentScript.AgentScript = () => Stream.make(AgentScript.say("Done."))
const open = Effect.flatMap(Sessions, (sessions) => sessions.open({ agent: "helper" }))
const withAgent = (script: AgentScript.AgentScript, options: AshEmbedded.AshEmbeddedOptions = {}) =>
  Effect.provide(AshEmbedded.layer({ ...options, agents: { helper: { script } } }))

/** Lets the clock go on, ten times as fast as real time, until a fiber has ended. */
const inTime = Effect.fnUntraced(function*<A, E>(fiber: Fiber.Fiber<A, E>) {
  while (fiber.pollUnsafe() === undefined) {
    yield* TestClock.withLive(Effect.sleep("10 millis"))
    yield* TestClock.adjust("100 millis")
  }
  return yield* Fiber.join(fiber)
})

/** Whether a fiber is not at its end once its turn has begun and others had their time. */
const isWaiting = Effect.fnUntraced(function*(fiber: Fiber.Fiber<unknown, unknown>) {
  yield* (yield* AshEmbedded.AskedTurns).first(1)
  yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  return fiber.pollUnsafe() === undefined
})

const workedOff = Effect.gen(function*() {
  const queue = yield* QueueItems
  const item = yield* queue.enqueue({ agentName: "helper", prompt: "Tidy up." })
  const fiber = yield* Effect.forkChild(queue.await(item.id))
  assert.strictEqual((yield* inTime(fiber)).status, "completed")
})

describe("what waits for no clock", () => {
  it.effect("turns, files and commands", () =>
    Effect.gen(function*() {
      const session = yield* open
      yield* (yield* SessionFiles).write(session.id, [{ path: "a.txt", content: "1" }])
      const turn = yield* session.ask("List your files.")
      assert.strictEqual(turn.toolCalls[0]?.result?.content, "CLAUDE.md\na.txt")
      assert.strictEqual((yield* session.exec("sleep 0.1; cat a.txt")).stdout, "1")
    }).pipe(Effect.scoped, withAgent((turn) => Stream.make(AgentScript.bash(turn, "ls"), AgentScript.say("Done.")))))

  it.effect("times, which are those of the clock", () =>
    Effect.gen(function*() {
      const created = Effect.map(
        Effect.flatMap(open, ({ get }) => get()),
        ({ createdAt }) => DateTime.formatIso(createdAt)
      )
      assert.strictEqual(yield* created, "1970-01-01T00:00:00.000Z")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* created, "1970-01-01T00:01:00.000Z")
    }).pipe(Effect.scoped, withAgent(says)))
})

describe("what waits for the clock", () => {
  it.effect("the delay of a script", () =>
    Effect.gen(function*() {
      const session = yield* open
      const fiber = yield* Effect.forkChild(session.ask("How is it?"))
      assert.isTrue(yield* isWaiting(fiber))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).text, "It is sunny.")
    }).pipe(Effect.scoped, withAgent(() => Stream.make(AgentScript.say("It is sunny.", { delay: "1 second" })))))

  it.effect("the default script, which has a delay", () =>
    Effect.gen(function*() {
      const session = yield* open
      assert.isTrue(yield* isWaiting(yield* Effect.forkChild(session.ask("How is it?"))))
    }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layer({ agents: { helper: {} } }))))

  it.effect("the timers of a turn", () =>
    Effect.gen(function*() {
      const session = yield* open
      const fiber = yield* Effect.forkChild(Effect.flip(session.ask("How is it?")))
      assert.isTrue(yield* isWaiting(fiber))
      yield* TestClock.adjust("10 minutes")
      const { reason } = yield* Fiber.join(fiber)
      assert.strictEqual(reason._tag === "TimedOut" && reason.timer, "idle")
    }).pipe(Effect.scoped, withAgent(() => Stream.make(AgentScript.silence), { timeouts: { idle: "10 minutes" } })))

  it.effect("the time-out of a command", () =>
    Effect.gen(function*() {
      const session = yield* open
      const fiber = yield* Effect.forkChild(session.exec("touch begun; sleep 600", { timeout: "5 seconds" }))
      yield* Effect.flatMap(SessionFiles, ({ list }) => list(session.id)).pipe(
        Effect.repeat({ until: ({ files }) => files.some(({ path }) => path === "begun") })
      )
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).exitCode, 1)
    }).pipe(Effect.scoped, withAgent(says)))

  it.effect("the queue", () => workedOff.pipe(withAgent(says)))

  it.effect("runs of evals", () =>
    Effect.gen(function*() {
      const evals = yield* Evals
      yield* evals.createCase("helper", { question: "How is it?", expectedTopics: ["done"] })
      const { id } = yield* evals.startRun("helper")
      const fiber = yield* Effect.forkChild(Stream.runLast(evals.watchRun("helper", id)))
      assert.strictEqual(Option.getOrUndefined(yield* inTime(fiber))?.status, "completed")
    }).pipe(withAgent(says)))

  it.effect("repetitions of a request", () =>
    Effect.gen(function*() {
      const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
      const proxy = yield* FaultProxy.make({
        target: url,
        script: ({ index }) => index === 0 ? { kind: "atCapacity", phase: "beforeHeaders" } : undefined
      })
      const list = Effect.flatMap(Agents, ({ list }) => list())
      const fiber = yield* Effect.forkChild(Effect.provide(list, AshNode.layer({ url: proxy.url, apiKey })))
      assert.strictEqual((yield* inTime(fiber)).length, 1)
      assert.strictEqual((yield* proxy.exchanges).length, 2)
    }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layerHttp({ agents: { helper: {} } }))))

  it.effect("rate limits", () =>
    Effect.gen(function*() {
      const create = Effect.flatMap(Agents, ({ create }) => create({ name: "other" }))
      // The agent of the layer is the first of the twenty.
      yield* Effect.repeat(create, { times: 18 })
      const fiber = yield* Effect.forkChild(create)
      yield* TestClock.adjust("16 minutes")
      assert.strictEqual((yield* Fiber.join(fiber)).version, 20)
    }).pipe(withAgent(says, { rateLimits: true })))
})

layer(AshEmbedded.layer({ agents: { helper: { script: says } } }))("a layer that tests share", (it) => {
  it.effect("has their clock", () => workedOff)
  it.effect("has the clock of the next one too", () => workedOff)
})
