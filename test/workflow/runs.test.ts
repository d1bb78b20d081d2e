import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { AshApiClient } from "../../src/client/AshApiClient.ts"
import { AgentScript, AshEmbedded } from "../../src/embedded.ts"
import { Agents } from "../../src/services/Agents.ts"
import type { Messages } from "../../src/services/Messages.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { type AgentRunPayload, approval, ask, sleep, type Step } from "../../src/workflow/AgentRun.ts"
import { AgentRuns } from "../../src/workflow/AgentRuns.ts"
import * as AshWorkflow from "../../src/workflow/AshWorkflow.ts"
import { PlanFailed } from "../../src/workflow/RunErrors.ts"

const script: AgentScript.AgentScript = ({ prompt, workspace }) =>
  Stream.fromEffect(
    Effect.as(workspace.writeFile("answer.txt", prompt), AgentScript.say(`done: ${prompt}`))
  )

const options: AshWorkflow.WorkerOptions = { cancelInterval: 20 }

const layer = (own: AshWorkflow.WorkerOptions = {}, agent: AgentScript.AgentScript = script) =>
  Layer.provideMerge(
    AshWorkflow.layerTest({ ...options, ...own }),
    AshEmbedded.layer({ agents: { worker: { script: agent } } })
  )

const run = (own: Partial<AgentRunPayload> = {}): AgentRunPayload => ({
  id: "one",
  agent: "worker",
  ...(own.plan === undefined ? { steps: ["first", "second"] } : {}),
  ...own
})

const start = (own: Partial<AgentRunPayload> = {}) => Effect.flatMap(AgentRuns, (runs) => runs.start(run(own)))
const result = (id = "one") => Effect.flatMap(AgentRuns, (runs) => runs.result(id, { every: 10 }))
const status = (id = "one") => Effect.flatMap(AgentRuns, (runs) => runs.status(id))
const finish = (own: Partial<AgentRunPayload> = {}) => Effect.andThen(start(own), result(own.id))

/** Waits until a run is as it is going to be. */
const until = Effect.fnUntraced(
  function*(is: (status: Effect.Success<ReturnType<typeof start>>) => boolean, id = "one") {
    while (true) {
      const now = yield* status(id)
      if (is(now)) return now
      yield* Effect.sleep(5)
    }
  }
)

const block = (text: string) => ({ type: "text", text }) as const

/** JSON of so many levels. */
const levels = (depth: number) => Array.from({ length: depth }).reduce((json: unknown) => [json], 1)

const alive = Effect.flatMap(
  Sessions,
  (sessions) => Effect.map(sessions.list(), (all) => all.filter(({ status }) => status !== "ended").length)
)

/** An agent whose turns end when they are let. */
const held = Effect.map(
  Effect.all([Deferred.make<void>(), Deferred.make<void>()]),
  ([begun, end]) => {
    const agent: AgentScript.AgentScript = ({ prompt }) =>
      Stream.fromEffect(
        Deferred.succeed(begun, undefined).pipe(
          Effect.andThen(Deferred.await(end)),
          Effect.as(AgentScript.say(`done: ${prompt}`))
        )
      )
    return { agent, begun: Deferred.await(begun), end: Deferred.succeed(end, undefined) }
  }
)

describe("a run", () => {
  it.live("does its steps in order in one session, which has ended when its result is there", () =>
    Effect.gen(function*() {
      const { costUsd, generations, sessionId, text, turns } = yield* finish({ collect: ["answer.txt"] })
      assert.deepStrictEqual({ generations, text, costUsd }, { generations: 1, text: "done: second", costUsd: 0 })
      assert.deepStrictEqual(turns.map(({ afterSequence, how, lastSequence }) => [afterSequence, lastSequence, how]), [
        [0, 3, "received"],
        [3, 6, "received"]
      ])
      assert.strictEqual((yield* (yield* Sessions).get(sessionId)).status, "ended")
      assert.deepInclude(yield* status(), { state: "succeeded", step: 1, attempts: 0 })
      const ledger = yield* (yield* AgentRuns).turns("one")
      assert.deepStrictEqual(ledger.map(({ claims, status, step }) => [step, status, claims]), [
        [0, "done", 1],
        [1, "done", 1]
      ])
    }).pipe(Effect.provide(layer())))

  it.live("brings files, and names those that it leaves, or fails where they are missing", () =>
    Effect.gen(function*() {
      const files = [{ path: "in/a.txt", content: "text" }, { path: "b.bin", bytes: new Uint8Array([1, 2]) }]
      const one = yield* finish({ files, collect: ["in/a.txt", "b.bin", "answer.txt"] })
      assert.deepStrictEqual(one.files.map(({ path, size }) => [path, size]), [
        ["in/a.txt", 4],
        ["b.bin", 2],
        ["answer.txt", 6]
      ])
      const error = yield* Effect.flip(finish({ id: "two", collect: ["none.txt"] }))
      assert.strictEqual(error._tag, "AshError")
      assert.include(error.message, "none.txt")
      assert.deepInclude(yield* status("two"), { state: "failed", failure: error.message })
      assert.strictEqual(yield* alive, 0)
    }).pipe(Effect.provide(layer())))

  it.live("is decided on by a plan, whose steps see the turn before and the input", () => {
    const plans: AshWorkflow.WorkerOptions["plans"] = {
      count: ({ input, last, step }) =>
        Effect.succeed(
          step === 3 ? undefined : ask(`${JSON.stringify(input)} ${step} after ${last?.text ?? "nothing"}`)
        ),
      fail: () => Effect.fail(new PlanFailed({ message: "no idea" }))
    }
    return Effect.gen(function*() {
      const { text, turns } = yield* finish({ plan: "count", input: { a: 1 } })
      assert.strictEqual(turns.length, 3)
      assert.include(text, "{\"a\":1} 2 after done: {\"a\":1} 1 after")
      assert.strictEqual((yield* Effect.flip(finish({ id: "two", plan: "fail" })))._tag, "PlanFailed")
      assert.include((yield* Effect.flip(finish({ id: "three", plan: "toString" }))).message, "no plan \"toString\"")
      assert.strictEqual(yield* alive, 0)
    }).pipe(Effect.provide(layer({ plans })))
  })

  it.live("asks its plan for each step once, however often it goes on", () => {
    const asked: Array<number> = []
    const decided = [ask("first"), approval("go on?"), sleep("1 milli"), ask("second")]
    const plans: AshWorkflow.WorkerOptions["plans"] = {
      counted: ({ step }) => {
        asked.push(step)
        return Effect.succeed(decided[step])
      }
    }
    return Effect.gen(function*() {
      yield* start({ plan: "counted" })
      const { token = "" } = yield* until(({ token }) => token !== undefined)
      yield* (yield* AgentRuns).approve(token)
      assert.strictEqual((yield* result()).text, "done: second")
      assert.deepStrictEqual(asked, [0, 1, 2, 3, 4])
    }).pipe(Effect.provide(layer({ plans })))
  })

  it.live("asks the same in a fresh session where it repeats a turn, without asking its plan again", () => {
    const prompts: Array<string> = []
    let decisions = 0
    const agent: AgentScript.AgentScript = ({ prompt }) =>
      prompts.push(prompt) === 2 ? Stream.never : Stream.make(AgentScript.say(`done: ${prompt}`))
    const plans: AshWorkflow.WorkerOptions["plans"] = {
      counted: ({ step }) => Effect.sync(() => step === 2 ? undefined : ask(`decision ${++decisions}`))
    }
    return Effect.gen(function*() {
      const { generations, text } = yield* finish({ plan: "counted", whenUnknown: "repeatTurn" })
      assert.deepStrictEqual({ generations, text }, { generations: 2, text: "done: decision 2" })
      assert.deepStrictEqual(prompts, ["decision 1", "decision 2", "decision 2"])
    }).pipe(Effect.provide(layer({ plans, longestTurn: 300, settleTime: 100 }, agent)))
  })

  it.live("gives sessions what must not lie in the database", () => {
    const agent: AgentScript.AgentScript = ({ workspace }) =>
      Stream.fromEffect(Effect.map(workspace.exec("echo $TOKEN"), ({ stdout }) => AgentScript.say(stdout)))
    return Effect.gen(function*() {
      assert.strictEqual((yield* finish()).text.trim(), "of one")
    }).pipe(Effect.provide(layer({ secrets: ({ id }) => Effect.succeed({ extraEnv: { TOKEN: `of ${id}` } }) }, agent)))
  })

  it.live("has no more sessions at once than it may", () => {
    let most = 0
    let now = 0
    const agent: AgentScript.AgentScript = () =>
      Stream.fromEffect(
        Effect.sync(() => most = Math.max(most, ++now)).pipe(
          Effect.andThen(Effect.sleep(5)),
          Effect.andThen(Effect.sync(() => now--)),
          Effect.as(AgentScript.say("done"))
        )
      )
    const ids = ["1", "2", "3", "4"]
    return Effect.gen(function*() {
      yield* Effect.forEach(ids, (id) => start({ id, steps: ["go"] }))
      yield* Effect.forEach(ids, (id) => result(id))
      assert.strictEqual(most, 1)
    }).pipe(Effect.provide(layer({ maxRunning: 1 }, agent)))
  })
})

describe("the id of a run", () => {
  it.live("names one run: with the same payload again it is the same, with another one it is refused", () =>
    Effect.gen(function*() {
      yield* start({ input: { a: 1, b: [2] } })
      yield* start({ input: { b: [2], a: 1 } })
      yield* result()
      assert.deepInclude(yield* start({ input: { a: 1, b: [2] } }), { state: "succeeded" })
      const error = yield* Effect.flip(start({ input: { a: 2 } }))
      assert.strictEqual(error._tag, "RunConflict")
      assert.strictEqual((yield* Effect.flip(start({ steps: ["other"] })))._tag, "RunConflict")
      assert.strictEqual((yield* (yield* AgentRuns).turns("one")).length, 2)
    }).pipe(Effect.provide(layer())))

  it.live("names no run that was not started", () =>
    Effect.gen(function*() {
      const runs = yield* AgentRuns
      assert.strictEqual((yield* Effect.flip(result("none")))._tag, "RunNotFound")
      assert.strictEqual((yield* Effect.flip(runs.status("none")))._tag, "RunNotFound")
      assert.strictEqual((yield* Effect.flip(runs.cancel("none")))._tag, "RunNotFound")
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(runs.watch("none"))))._tag, "RunNotFound")
    }).pipe(Effect.provide(layer())))

  const invalid: ReadonlyArray<readonly [string, object, string]> = [
    ["a prompt that is too long", { steps: ["x".repeat(500_001)] }, "500,000 characters"],
    ["no steps", { steps: [] }, "at least one step"],
    ["neither steps nor a plan", { steps: undefined }, "either steps or a plan"],
    ["steps and a plan", { steps: ["a"], plan: "p" }, "either steps or a plan"],
    ["an empty id", { id: "" }, "id must be"],
    ["an id with a character of control", { id: "a\u0000b" }, "id must be"],
    ["an id that is too long", { id: "x".repeat(201) }, "id must be"],
    ["no agent", { agent: "" }, "agent must be"],
    ["an agent that no database can name", { agent: "a\u0000b" }, "agent must be"],
    ["an input of too many levels", { plan: "p", steps: undefined, input: levels(100_000) }, "too many levels"],
    ["a path that leads out", { collect: ["../x"] }, "collect[0]"],
    ["a payload that is too large", { files: [{ path: "a", content: "x".repeat(9_000_000) }] }, "8388608"],
    ["a file without content", { files: [{ path: "a" }] }, "either content or bytes"],
    ["an endless sleep", { steps: [{ _tag: "Sleep", duration: Duration.infinity }] }, "0 to 36,500 days"],
    ["a sleep of less than no time", { steps: [{ _tag: "Sleep", duration: Duration.millis(-1) }] }, "0 to 36,500 days"],
    [
      "a question that is too long",
      { steps: [{ _tag: "Approval", message: "x".repeat(100_001) }] },
      "100,000 characters"
    ]
  ]

  it.live.each(invalid)("is not given to a run of %s", ([, own, message]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(start(own))
      assert.strictEqual(error._tag === "AshError" ? error.reason._tag : error._tag, "InvalidRequest")
      assert.include(error.message, message)
      assert.isBelow(error.message.length, 1000)
      assert.deepStrictEqual(yield* (yield* AgentRuns).list(), [])
    }).pipe(Effect.provide(layer())))
})

describe("a run that is cancelled", () => {
  it.live("ends within its turn, and its session with it; once more changes nothing", () =>
    Effect.gen(function*() {
      const { agent, begun } = yield* held
      yield* Effect.gen(function*() {
        const runs = yield* AgentRuns
        yield* start({ steps: ["only"] })
        yield* begun
        assert.isDefined((yield* runs.cancel("one")).cancelledAt)
        yield* runs.cancel("one")
        assert.strictEqual((yield* Effect.flip(result()))._tag, "RunCancelled")
        assert.strictEqual(yield* alive, 0)
        assert.deepInclude(yield* runs.cancel("one"), { state: "cancelled" })
      }).pipe(Effect.provide(layer({}, agent)))
    }))

  it.live("does not begin where it has not begun", () =>
    Effect.gen(function*() {
      const { agent, begun, end } = yield* held
      yield* Effect.gen(function*() {
        const runs = yield* AgentRuns
        yield* start({ steps: ["only"] })
        yield* begun
        yield* start({ id: "two" })
        yield* runs.cancel("two")
        assert.strictEqual((yield* Effect.flip(result("two")))._tag, "RunCancelled")
        assert.isUndefined((yield* status("two")).sessionId)
        yield* end
        yield* result()
      }).pipe(Effect.provide(layer({ maxRunning: 1 }, agent)))
    }))

  /** A plan of one turn, which is told when it decides that this was the last, and does when it is let. */
  const deciding = (decision: Effect.Effect<undefined, PlanFailed> = Effect.undefined) =>
    Effect.map(
      Effect.all([Deferred.make<void>(), Deferred.make<void>()]),
      ([begun, end]) => {
        const plans: AshWorkflow.WorkerOptions["plans"] = {
          slow: ({ step }) =>
            step === 0
              ? Effect.succeed(ask("go"))
              : Deferred.succeed(begun, undefined).pipe(Effect.andThen(Deferred.await(end)), Effect.andThen(decision))
        }
        return { plans, begun: Deferred.await(begun), end: Deferred.succeed(end, undefined) }
      }
    )

  it.live("ends while its plan decides", () =>
    Effect.gen(function*() {
      const { begun, plans } = yield* deciding()
      yield* Effect.gen(function*() {
        yield* start({ plan: "slow" })
        yield* begun
        yield* (yield* AgentRuns).cancel("one")
        assert.strictEqual((yield* Effect.flip(result()))._tag, "RunCancelled")
        assert.strictEqual(yield* alive, 0)
      }).pipe(Effect.provide(layer({ plans })))
    }))

  const ends: ReadonlyArray<readonly [string, Effect.Effect<undefined, PlanFailed>]> = [
    ["success", Effect.undefined],
    ["failure", new PlanFailed({ message: "no idea" })],
    ["defect", Effect.die("no such thing")]
  ]

  it.live.each(ends)(
    "ends as such where it comes to its end by %s before it looks",
    ([, decision]) =>
      Effect.gen(function*() {
        const { begun, end, plans } = yield* deciding(decision)
        yield* Effect.gen(function*() {
          yield* start({ plan: "slow" })
          yield* begun
          yield* (yield* AgentRuns).cancel("one")
          yield* end
          assert.strictEqual((yield* Effect.flip(result()))._tag, "RunCancelled")
          assert.deepInclude(yield* status(), { state: "cancelled", failure: "the run one was cancelled" })
          assert.strictEqual(yield* alive, 0)
        }).pipe(Effect.provide(layer({ plans, cancelInterval: "1 hour" })))
      })
  )

  it.live("stays as it is where it has ended", () =>
    Effect.gen(function*() {
      yield* finish()
      assert.deepInclude(yield* (yield* AgentRuns).cancel("one"), { state: "succeeded", cancelledAt: undefined })
    }).pipe(Effect.provide(layer())))

  const waits: ReadonlyArray<readonly [string, Step]> = [
    ["an approval", approval("may it?")],
    ["a time", sleep("1 hour")]
  ]

  it.live.each(waits)(
    "ends while it waits for %s",
    ([, step]) =>
      Effect.gen(function*() {
        yield* start({ steps: ["first", step, "second"] })
        yield* until(({ state }) => state === "waiting")
        yield* (yield* AgentRuns).cancel("one")
        assert.strictEqual((yield* Effect.flip(result()))._tag, "RunCancelled")
        assert.strictEqual((yield* (yield* AgentRuns).turns("one")).length, 1)
        assert.strictEqual(yield* alive, 0)
      }).pipe(Effect.provide(layer()))
  )
})

describe("an approval", () => {
  const waiting = Effect.andThen(
    start({ steps: ["first", approval("send it?"), "second"] }),
    until(({ token }) => token !== undefined)
  )

  it.live("lets a run go on, once", () =>
    Effect.gen(function*() {
      const runs = yield* AgentRuns
      const { state, token = "", waitsFor } = yield* waiting
      assert.deepStrictEqual({ state, waitsFor }, { state: "waiting", waitsFor: "send it?" })
      yield* runs.approve(token)
      yield* Effect.ignore(runs.approve(token))
      assert.strictEqual((yield* result()).turns.length, 2)
      assert.strictEqual((yield* Effect.flip(runs.approve(token)))._tag, "ApprovalClosed")
      assert.strictEqual((yield* Effect.flip(runs.reject("none", "no")))._tag, "ApprovalClosed")
    }).pipe(Effect.provide(layer())))

  it.live("that is rejected ends the run with its reason", () =>
    Effect.gen(function*() {
      const { token = "" } = yield* waiting
      yield* (yield* AgentRuns).reject(token, "not today")
      const error = yield* Effect.flip(result())
      assert.strictEqual(error._tag, "RunRejected")
      assert.include(error.message, "not today")
      assert.strictEqual((yield* (yield* AgentRuns).turns("one")).length, 1)
    }).pipe(Effect.provide(layer())))
})

describe("what is seen of runs", () => {
  it.live("is their list, the newest first, by state and agent", () =>
    Effect.gen(function*() {
      const runs = yield* AgentRuns
      for (const id of ["a", "b", "c"]) yield* finish({ id })
      const ids = (options: Parameters<typeof runs.list>[0]) =>
        Effect.map(runs.list(options), (all) => all.map(({ id }) => id))
      assert.deepStrictEqual(yield* ids({}), ["c", "b", "a"])
      assert.deepStrictEqual(yield* ids({ limit: 1, before: "c" }), ["b"])
      assert.deepStrictEqual(yield* ids({ state: "failed" }), [])
      assert.deepStrictEqual(yield* ids({ agent: "worker", limit: 1 }), ["c"])
      assert.strictEqual((yield* Effect.flip(runs.list({ before: "none" })))._tag, "RunNotFound")
    }).pipe(Effect.provide(layer())))

  it.live("is a stream of states and stored messages, until the end", () =>
    Effect.gen(function*() {
      const runs = yield* AgentRuns
      yield* start()
      const events = yield* Stream.runCollect(runs.watch("one", { every: 5 }))
      const messages = events.flatMap((event) => event._tag === "MessageStored" ? [event.message.sequence] : [])
      assert.deepStrictEqual(messages, [1, 2, 3, 4, 5, 6])
      const last = events.at(-1)
      assert.strictEqual(last?._tag === "StatusChanged" ? last.status.state : undefined, "succeeded")
    }).pipe(Effect.provide(layer())))

  it.live("is gone when it is purged, and the id is free", () =>
    Effect.gen(function*() {
      const runs = yield* AgentRuns
      yield* finish()
      assert.strictEqual(yield* runs.purge({ olderThan: "1 hour" }), 0)
      assert.strictEqual(yield* runs.purge({ olderThan: 0 }), 1)
      assert.strictEqual((yield* Effect.flip(status()))._tag, "RunNotFound")
      assert.deepStrictEqual(yield* runs.turns("one"), [])
      assert.strictEqual((yield* finish({ steps: ["other"] })).text, "done: other")
    }).pipe(Effect.provide(layer())))

  it.live.each(["-1", "{}", "\"a week\""])(
    "is kept where it is not known how old it may be: %s",
    (json) =>
      Effect.gen(function*() {
        const olderThan: number = JSON.parse(json)
        const runs = yield* AgentRuns
        yield* finish()
        const calls = [
          runs.purge({ olderThan }),
          runs.result("one", { every: olderThan }),
          Stream.runDrain(runs.watch("one", { every: olderThan }))
        ]
        for (const call of calls) {
          const error = yield* Effect.flip<unknown, { readonly _tag: string }, Messages>(call)
          assert.include(String(error), "duration of 0 or more")
        }
        assert.deepInclude(yield* status(), { state: "succeeded" })
      }).pipe(Effect.provide(layer()))
  )
})

describe("a run of the id of one that was purged", () => {
  const waits: ReadonlyArray<readonly [string, Step, Step]> = [
    ["an approval", approval("go on?"), approval("go on?")],
    ["a time", sleep(1), sleep("1 hour")]
  ]

  it.live.each(waits)("waits for %s of its own", ([, before, step]) =>
    Effect.gen(function*() {
      const runs = yield* AgentRuns
      yield* start({ steps: ["first", before] })
      const { token } = yield* until(({ endedAt, token }) => token !== undefined || endedAt !== undefined)
      if (token !== undefined) yield* runs.approve(token)
      yield* result()
      assert.strictEqual(yield* runs.purge({ olderThan: 0 }), 1)
      yield* start({ steps: ["first", step] })
      yield* until(({ endedAt, state }) => state === "waiting" || endedAt !== undefined)
      yield* Effect.sleep(50)
      assert.deepInclude(yield* status(), { state: "waiting", endedAt: undefined })
      yield* runs.cancel("one")
      assert.strictEqual((yield* Effect.flip(result()))._tag, "RunCancelled")
    }).pipe(Effect.provide(layer())))
})

describe("what goes wrong at the server", () => {
  it.live("ends a run whose agent is deleted between its turns", () =>
    Effect.gen(function*() {
      yield* start({ steps: ["first", approval("go on?"), "second"] })
      const { token = "" } = yield* until(({ token }) => token !== undefined)
      yield* (yield* Agents).delete("worker")
      yield* (yield* AgentRuns).approve(token)
      const error = yield* Effect.flip(result())
      assert.strictEqual(error._tag === "AshError" ? error.reason._tag : error._tag, "NotFound")
      assert.deepInclude(yield* status(), { state: "failed" })
      // Nothing of the second was sent, and no claim on it is left.
      assert.deepStrictEqual((yield* (yield* AgentRuns).turns("one")).map(({ status }) => status), ["done"])
    }).pipe(Effect.provide(layer())))

  it.live("ends a run of an agent that is not there", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(finish({ agent: "none" }))
      assert.strictEqual(error._tag === "AshError" ? error.reason._tag : error._tag, "NotFound")
    }).pipe(Effect.provide(layer())))

  it.live("ends a run whose turn the agent fails, and keeps nothing of what was said in it", () => {
    const agent: AgentScript.AgentScript = () => Stream.make(AgentScript.say("a secret"), AgentScript.fail("it broke"))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(finish())
      assert.include(error.message, "it broke")
      assert.notInclude(JSON.stringify(error), "a secret")
      assert.isUndefined(error._tag === "AshError" ? error.partialTurn : "no AshError")
      assert.deepStrictEqual((yield* (yield* AgentRuns).turns("one")).map(({ status }) => status), ["done"])
    }).pipe(Effect.provide(layer({}, agent)))
  })

  it.live("cuts a text of 20 MB, and refuses a structured output that is as large", () => {
    const large = "ä".repeat(10_000_000)
    const agent: AgentScript.AgentScript = ({ prompt }) =>
      prompt === "text"
        ? Stream.make(AgentScript.say(large, { pieces: [large] }))
        : Stream.make(AgentScript.finish({ structuredOutput: { large } }))
    return Effect.gen(function*() {
      const { isPartial, text } = yield* finish({ steps: ["text"] })
      assert.isTrue(isPartial)
      assert.strictEqual(new TextEncoder().encode(text).length, 1_048_576)
      const error = yield* Effect.flip(finish({ id: "two", steps: ["output"] }))
      assert.strictEqual(error._tag, "ResultTooLarge")
    }).pipe(Effect.provide(layer({}, agent)))
  })

  it.live("waits while it has no room", () =>
    Effect.gen(function*() {
      const { agent, begun, end } = yield* held
      yield* Effect.gen(function*() {
        yield* start({ steps: ["only"] })
        yield* begun
        yield* start({ id: "two", steps: ["other"] })
        // The sandbox of the first one is busy, so that none can be made for the second.
        yield* Effect.sleep(100)
        assert.isUndefined((yield* status("two")).sessionId)
        yield* end
        assert.strictEqual((yield* result()).text, "done: only")
        assert.strictEqual((yield* result("two")).text, "done: other")
      }).pipe(Effect.provide(Layer.provideMerge(
        AshWorkflow.layerTest(options),
        AshEmbedded.layer({ agents: { worker: { script: agent } }, maxSandboxes: 1 })
      )))
    }))

  it.live("resumes a session that was paused while the run waited, and has what that may have cost", () =>
    Effect.gen(function*() {
      yield* start({ steps: ["first", approval("go on?"), "second"] })
      const { sessionId = "", token = "" } = yield* until(({ token }) => token !== undefined)
      // Past the services, which would leave a session alone that their own program has paused.
      yield* (yield* AshApiClient).sessions.pause({ params: { id: sessionId } })
      yield* (yield* AgentRuns).approve(token)
      const { generations, turns } = yield* result()
      assert.strictEqual(generations, 1)
      assert.isUndefined(turns[0]?.restarted)
      assert.include(turns[1]?.restarted?.reason, "paused")
    }).pipe(Effect.provide(layer())))

  it.live("has the cost and the tokens of its turns, each once", () => {
    const usage = { input_tokens: 10, output_tokens: 1 }
    const agent: AgentScript.AgentScript = () =>
      Stream.make(AgentScript.say("done"), AgentScript.finish({ cost: 0.5, usage }))
    return Effect.gen(function*() {
      const { costUsd, usage } = yield* finish({ steps: ["a", "b", "c"] })
      assert.strictEqual(costUsd, 1.5)
      assert.deepInclude(usage, { input_tokens: 30, output_tokens: 3 })
      assert.strictEqual((yield* status()).costUsd, 1.5)
    }).pipe(Effect.provide(layer({}, agent)))
  })
})

describe("a run that dies", () => {
  it.live("keeps no character that a database cannot take", () => {
    const agent: AgentScript.AgentScript = () => Stream.make(AgentScript.fail("it\u0000broke"))
    return Effect.gen(function*() {
      yield* start({ steps: [approval("a\u0000b"), "go"] })
      const { token = "", waitsFor } = yield* until(({ token }) => token !== undefined)
      assert.strictEqual(waitsFor, "a\\u0000b")
      yield* (yield* AgentRuns).approve(token)
      yield* Effect.flip(result())
      assert.notInclude((yield* status()).failure, "\u0000")
    }).pipe(Effect.provide(layer({}, agent)))
  })

  const tooLarge: ReadonlyArray<readonly [string, Effect.Effect<Step, PlanFailed>, string, number]> = [
    [
      "a step",
      Effect.sync(() => ask(Array.from({ length: 20 }, () => "x".repeat(450_000)).map(block))),
      "PlanFailed",
      200
    ],
    ["a failure", Effect.suspend(() => new PlanFailed({ message: "x".repeat(20_000_000) })), "RunDied", 100_000],
    ["a defect", Effect.suspend(() => Effect.die(new Error("x".repeat(20_000_000)))), "RunDied", 100_000]
  ]

  it.live.each(tooLarge)(
    "of %s of a plan that no driver reads back keeps none of it",
    ([, plan, tag, longest]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(finish({ plan: "large" }))
        assert.strictEqual(error._tag, tag)
        const { failure = "" } = yield* status()
        assert.isAtMost(failure.length, longest)
        assert.isAtMost(error.message.length, longest + 100)
      }).pipe(Effect.provide(layer({ plans: { large: () => plan } })))
  )

  it.live("by a defect of a plan ends as such, and its session with it", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(finish({ plan: "broken" }))
      assert.strictEqual(error._tag, "RunDied")
      assert.include(error.message, "no such thing")
      assert.deepInclude(yield* status(), { state: "failed" })
      assert.strictEqual(yield* alive, 0)
    }).pipe(Effect.provide(layer({ plans: { broken: () => Effect.die(new Error("no such thing")) } }))))
})
