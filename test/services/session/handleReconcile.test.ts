import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { displayItems } from "../../../src/functions/MessageReader.ts"
import { fromMessages } from "../../../src/internal/turn/turnFold.ts"
import type { AshError } from "../../../src/schema/AshError.ts"
import { claudeMessageFromJson } from "../../../src/schema/ClaudeMessage.ts"
import type { SessionHandle } from "../../../src/services/SessionHandle.ts"
import { Sessions } from "../../../src/services/Sessions.ts"
import { clockOf } from "../../support/clock.ts"
import { assistant, result, session, sessionId, storedMessage, user } from "../../support/fixtures.ts"
import * as Server from "../../support/ScriptedServer.ts"
import { done, start, turnOf } from "../../support/turns.ts"

/** A server whose turns are these, one after the other: what each says after its first message. */
const serving = (...turns: ReadonlyArray<ReadonlyArray<unknown>>) => {
  let next = 0
  return Server.forTurns((request) => {
    if (!request.path.endsWith("/messages")) return Server.json({ session })()
    const messages = turns[next++] ?? []
    return Server.sse(Server.frames(
      ["session_start", { sessionId }],
      ...messages.map((message) => ["message", message] as const),
      ["done", { sessionId }]
    ))()
  })
}

const secret = Server.apiKey
const says = assistant([{ type: "text", text: "I begin." }])
const init = (uuid: string) => ({ type: "system", subtype: "init", session_id: "s", uuid })

describe("ask", () => {
  it.effect.each(
    [
      ["MaxTurns", { subtype: "error_max_turns" }],
      ["MaxBudgetUsd", { subtype: "error_max_budget_usd" }],
      ["ErrorDuringExecution", { subtype: "error_during_execution", is_error: true, errors: ["x"] }],
      ["IsError", { is_error: true }],
      ["Other", { subtype: "of_the_future" }],
      ["NoResult", undefined]
    ] as const
  )("fails at the end %s, with the turn, and leaves the session usable", ([outcome, end]) =>
    Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId)
      const asked = yield* Effect.result(handle.ask("hello"))
      const error = Result.isFailure(asked) ? asked.failure : undefined
      assert.strictEqual(error?.operation, "SessionHandle.ask")
      assert.isTrue(error?.reason._tag === "TurnUnsuccessful" && error.reason.outcome === outcome)
      assert.strictEqual(error?.partialTurn?.text, "I begin.")
      assert.strictEqual(error?.partialTurn?.outcome._tag, outcome)
      assert.isFalse(error?.partialTurn?.isPartial)
      assert.notInclude(JSON.stringify(error), "I begin.")
      assert.isTrue(Option.isNone(yield* handle.fence))
      assert.strictEqual((yield* handle.ask("again")).outcome._tag, "Success")
    }).pipe(Effect.provide(serving(end === undefined ? [says] : [says, { ...result, ...end }], [says, result]).layer)))

  it.each(["true", "false", 1, 0, {}, []])(
    "is no success where is_error is %j: only false, null and none mean that",
    (flag) => {
      const [message, answer] = [
        claudeMessageFromJson({ ...result, is_error: flag, result: "API Error: 500" }),
        claudeMessageFromJson(user([{ type: "tool_result", tool_use_id: "t", is_error: flag }]))
      ]
      const call = claudeMessageFromJson(assistant([{ type: "tool_use", id: "t", name: "Bash" }]))
      const { outcome, toolCalls } = fromMessages([call, answer, message])
      assert.deepStrictEqual(outcome, { _tag: "IsError", error: "API Error: 500" })
      assert.isTrue(toolCalls[0]?.result?.isError)
      const [shown] = displayItems(answer)
      assert.isTrue(shown?._tag === "ToolResult" && shown.isError)
    }
  )

  it.each([{ is_error: false }, { is_error: null }, {}])("is a success where its flag is %j", (flag) => {
    const { is_error: _, ...said } = result
    const answer = user([{ type: "tool_result", tool_use_id: "t", ...flag }])
    const call = assistant([{ type: "tool_use", id: "t", name: "Bash" }])
    const { outcome, toolCalls } = fromMessages([call, answer, { ...said, ...flag }].map(claudeMessageFromJson))
    assert.deepStrictEqual(outcome, { _tag: "Success" })
    assert.isFalse(toolCalls[0]?.result?.isError)
  })

  it.each(
    [
      [{ subtype: "error_foo", is_error: true, errors: ["why"] }, { _tag: "IsError", error: "why" }],
      [{ subtype: "error_foo", is_error: true, errors: "why" }, { _tag: "IsError", error: "why" }],
      [{ subtype: "error_foo", is_error: true }, { _tag: "IsError", error: "error_foo" }],
      [{ subtype: "error_during_execution", errors: "why" }, { _tag: "ErrorDuringExecution", errors: ["why"] }],
      [{ subtype: "error_during_execution", errors: { a: 1 } }, { _tag: "ErrorDuringExecution", errors: [{ a: 1 }] }]
    ] as const
  )("says why, however the server does: %j", (said, outcome) => {
    const turn = fromMessages([claudeMessageFromJson({ type: "result", ...said, structured_output: null })])
    assert.deepStrictEqual<object>(turn.outcome, outcome)
    assert.isNull(turn.structuredOutput)
  })

  it.effect("has the agent's text in the place of an answer, without secrets, in one line that ends", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip((yield* Sessions).attach(sessionId).ask(`hello ${secret}`))
      assert.include(error.message, "(API Error: 529\\n")
      assert.notInclude(error.message, secret)
      assert.isBelow(error.message.length, 1500)
    }).pipe(
      Effect.provide(
        serving([{ ...result, is_error: true, result: `API Error: 529\nof ${secret} ${"x".repeat(9000)}` }]).layer
      )
    ))

  it.effect("keeps the whole of a turn, however large", () =>
    Effect.gen(function*() {
      const turn = yield* (yield* Sessions).attach(sessionId).ask("hello")
      assert.strictEqual(turn.text.length, 3_000_000)
      assert.isFalse(turn.isPartial)
    }).pipe(Effect.provide(serving([assistant([{ type: "text", text: "x".repeat(3_000_000) }]), result]).layer)))
})

describe("a stream", () => {
  it.effect("ends whole where the turn was no success", () =>
    Effect.gen(function*() {
      const events = yield* Stream.runCollect((yield* Sessions).attach(sessionId).stream("hello"))
      assert.strictEqual(events.at(-1)?._tag, "Done")
    }).pipe(Effect.provide(serving([says, { ...result, subtype: "error_max_turns" }]).layer)))

  it.effect("of two turns fails, and fences the session", () =>
    Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId)
      const asked = yield* Effect.result(handle.ask("hello"))
      assert.strictEqual(Result.isFailure(asked) ? asked.failure.reason._tag : "", "TurnMixed")
      assert.isTrue(Option.isSome(yield* handle.fence))
      const next = yield* Effect.result(handle.ask("again"))
      assert.strictEqual(Result.isFailure(next) ? next.failure.reason._tag : "", "SessionFenced")
    }).pipe(Effect.provide(serving([init("a"), says, result, init("b")], [says, result]).layer)))
})

describe("the cost of a turn", () => {
  const used = (tokens: number, usd: number, sum = tokens) => ({
    ...result,
    session_id: "s",
    total_cost_usd: usd,
    usage: { input_tokens: tokens, output_tokens: tokens },
    modelUsage: { claude: { inputTokens: sum, outputTokens: sum, costUSD: usd } }
  })

  it.effect("is found against the turn before, of whatever handle", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const handle = yield* sessions.open({ agent: "demo" })
      const first = yield* handle.ask("1")
      const second = yield* sessions.attach(sessionId).ask("2")
      const third = yield* handle.ask("3")
      assert.deepStrictEqual(
        [first, second, third].map(({ costUsd, usage, usageScope }) => [costUsd, usage?.input_tokens, usageScope]),
        [[0.1, 10, "turn"], [0.2, 20, "turn"], [0.3, 30, "turn"]]
      )
    }).pipe(
      Effect.scoped,
      Effect.provide(serving([used(10, 0.1)], [used(20, 0.3, 30)], [used(30, 0.6, 60)]).layer)
    ))

  it.effect("is still known behind a call of the model that failed", () =>
    Effect.gen(function*() {
      const handle = yield* (yield* Sessions).open({ agent: "demo" })
      const turns = yield* Effect.forEach(["1", "2", "3", "4"], (text) =>
        Effect.catch(handle.ask(text), ({ partialTurn }) => Effect.fromNullishOr(partialTurn)))
      assert.deepStrictEqual(turns.map(({ costUsd, usageScope }) => [costUsd, usageScope]), [
        [0.1, "turn"],
        [0.2, "turn"],
        [0, "turn"],
        [0.3, "turn"]
      ])
    }).pipe(
      Effect.scoped,
      Effect.provide(
        serving(
          [used(10, 0.1)],
          [used(20, 0.3, 30)],
          [{ ...used(0, 0.3, 30), is_error: true, result: "API Error: 529" }],
          [used(30, 0.6, 60)]
        ).layer
      )
    ))

  it.effect.each<readonly [how: string, lose: (handle: SessionHandle) => Effect.Effect<unknown, AshError>]>([
    ["a stop", (handle) => Effect.andThen(handle.stop(), handle.resume())],
    ["a cancellation", (handle) => handle.cancel()]
  ])("is counted anew behind %s, though no result names its session", ([, lose]) =>
    Effect.gen(function*() {
      const handle = yield* (yield* Sessions).open({ agent: "demo" })
      const before = [yield* handle.ask("1"), yield* handle.ask("2")]
      yield* lose(handle)
      const turns = [...before, yield* handle.ask("3"), yield* handle.ask("4")]
      assert.deepStrictEqual(turns.map(({ costUsd, usageScope }) => [costUsd, usageScope]), [
        [0.1, "turn"],
        [0.2, "turn"],
        [0.5, "turn"],
        [0.3, "turn"]
      ])
    }).pipe(
      Effect.scoped,
      Effect.provide(
        serving(...[used(10, 0.1), used(20, 0.3, 30), used(50, 0.5), used(30, 0.8, 80)].map((each) => [{
          ...each,
          session_id: undefined
        }])).layer
      )
    ))

  it.effect("behind a turn without a result is at most what is reported", () =>
    Effect.gen(function*() {
      const handle = yield* (yield* Sessions).open({ agent: "demo" })
      yield* handle.ask("1")
      yield* Effect.flip(handle.ask("2"))
      const { costUsd, usageScope } = yield* handle.ask("3")
      assert.deepStrictEqual([costUsd, usageScope], [0.6, "session"])
    }).pipe(Effect.scoped, Effect.provide(serving([used(10, 0.1)], [says], [used(30, 0.6, 60)]).layer)))
})

describe("reconcile", () => {
  const begins = Server.frames(["session_start", { sessionId }], ["message", says])
  const silent = Server.endless(begins)
  const nothing = () => Effect.void
  const breaks: ReadonlyArray<
    readonly [
      string,
      Server.Script,
      (handle: SessionHandle, fiber: Fiber.Fiber<unknown, unknown>) => Effect.Effect<unknown, AshError>
    ]
  > = [
    ["cut off", Server.sse(begins), nothing],
    ["not answered", Server.lost, nothing],
    ["mixed with another", Server.sse(begins + begins), nothing],
    ["silent", silent, () => TestClock.adjust("1 minute")],
    ["interrupted", silent, (_, fiber) => Fiber.interrupt(fiber)],
    ["cancelled", silent, (handle) => handle.cancel()],
    ["stopped", silent, (handle) => handle.stop()],
    ["ended", silent, (handle) => handle.end()]
  ]
  it.effect.each(breaks)("is about the last turn of a handle that broke off, where that was %s", ([, script, end]) => {
    const rows: Array<ReturnType<typeof storedMessage>> = []
    const server = Server.forTurns((request) => {
      const { body, method, path } = request
      if (path.includes("/events")) return Server.json({ events: [] })()
      if (!path.includes("/messages")) return Server.json({ session })()
      if (method === "GET") return Server.json({ messages: rows })()
      const { content } = JSON.parse(body)
      rows.push(storedMessage(rows.length + 1, "user", JSON.stringify({ type: "user", content })))
      return content === "two" ? script(request) : Server.lost(request)
    }, { timeouts: { idle: "1 minute" } })
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId)
      yield* Effect.flip(handle.ask("one"))
      yield* handle.recover()
      const fiber = yield* Effect.forkChild(Effect.exit(handle.ask("two")))
      yield* Effect.repeat(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), { times: 5 })
      yield* end(handle, fiber)
      yield* Fiber.await(fiber)
      const outcome = yield* handle.reconcile()
      const found = outcome._tag === "OutcomeUnknown" ? outcome.messages.map(({ sequence }) => sequence) : []
      assert.deepStrictEqual([outcome._tag, found], ["OutcomeUnknown", [2]])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("does not take the turn before for one of the same content, however soon that was sent", () => {
    const prompt = JSON.stringify({ type: "user", content: "go on" })
    const rows: Array<ReturnType<typeof storedMessage>> = []
    const store = (text: string) =>
      rows.push(
        storedMessage(rows.length + 1, "user", prompt),
        storedMessage(rows.length + 2, "assistant", JSON.stringify({ ...result, result: text }))
      )
    const server = Server.forTurns((request) => {
      if (request.path.includes("/events")) return Server.json({ events: [] })()
      if (!request.path.includes("/messages")) return Server.json({ session }, 201)()
      const date = new Date(request.at).toUTCString()
      if (request.method === "GET") return Server.json({ messages: rows }, 200, { date })()
      if (rows.length > 0) return Server.lost(request)
      store("first")
      return turnOf(start, ["message", result], done)(request)
    })
    return Effect.gen(function*() {
      const handle = yield* (yield* Sessions).open({ agent: "demo" })
      yield* TestClock.setTime(Date.parse("2026-11-22T10:40:59.772Z"))
      yield* handle.ask("go on")
      yield* TestClock.adjust("200 millis")
      assert.strictEqual((yield* Effect.flip(handle.ask("go on"))).reason._tag, "ConnectionLost")
      assert.deepStrictEqual(yield* handle.reconcile(), { _tag: "OutcomeUnknown", messages: [], events: [] })
      store("second")
      const outcome = yield* handle.reconcile()
      assert.deepStrictEqual(outcome._tag === "Completed" && outcome.turn.result?.result, "second")
    }).pipe(Effect.scoped, Effect.provide(server.layer))
  })

  it.effect.each([3_600_000, 0, -3_600_000])(
    "knows the turn by when it was sent, though the clock of the machine is set by %i ms behind it",
    (setBy) => {
      const time = { wall: Date.parse("2026-11-22T10:40:59.772Z") + 200, monotonic: 5_000_000_000n }
      const server = Server.forTurns((request) => {
        if (request.path.includes("/events")) return Server.json({ events: [] })()
        if (request.method !== "GET") return Server.lost(request)
        const row = storedMessage(1, "user", JSON.stringify({ type: "user", content: "one" }))
        // By a clock that is right, as that of this machine is from then on.
        return Server.json({ messages: [row] }, 200, { date: new Date(time.wall).toUTCString() })()
      })
      return Effect.gen(function*() {
        const handle = (yield* Sessions).attach(sessionId)
        time.wall -= setBy
        yield* Effect.flip(handle.ask("one"))
        time.wall += setBy
        assert.strictEqual((yield* handle.reconcile())._tag, "OutcomeUnknown")
      }).pipe(Effect.provide(server.layer), Effect.provideService(Clock.Clock, clockOf(time)))
    }
  )
})
