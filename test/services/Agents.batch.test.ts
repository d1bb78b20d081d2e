import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { TestClock } from "effect/testing"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as Budget from "../../src/functions/Budget.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { Agents, type BatchProgress, type BatchResult, noProgress } from "../../src/services/Agents.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { session, sessionId } from "../support/fixtures.ts"
import { accidents, make } from "../support/mortalServer.ts"
import * as Server from "../support/ScriptedServer.ts"
import { saying } from "../support/turns.ts"

class NoMorePrompts extends Data.TaggedError("NoMorePrompts") {}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => `prompt ${index}`)

/** What became of a prompt, in a word. */
const wordOf = ({ result }: BatchResult<unknown, { readonly text: string }, unknown>) =>
  Result.isSuccess(result)
    ? result.success.text
    : "reason" in (result.failure as AshError)
    ? (result.failure as AshError).reason._tag
    : String(result.failure)

const embedded = (options: Partial<AshEmbedded.AshEmbeddedOptions> = {}, script = AgentScript.echo) =>
  AshEmbedded.layer({ agents: { demo: { script } }, ...options })

/** One step of the event loop, and of what is asleep. */
const tick = TestClock.adjust("1 second").pipe(
  Effect.andThen(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))))
)

/** No limits, as hours pass by this clock while a disk is waited for. */
const patient = {
  timeout: "1000 minutes",
  timeouts: { headers: "off", firstEvent: "off", idle: "off", done: "off" }
} as const

/** A turn in which the agent repeats its prompt. */
const answer = (path: string, text: string) => saying(text, path.split("/")[3])()

/** Runs an effect while time passes. */
const whileTimePasses = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(effect, Effect.andThen(Effect.forever(tick), Effect.never))

const sessionsOf = Effect.flatMap(Sessions, (sessions) => sessions.list())

describe("a batch", () => {
  it.effect("answers each prompt beside it, over so many sessions as are asked for, and ends them", () =>
    Effect.gen(function*() {
      const prompts = [...numbers(19), ""]
      const results = yield* Stream.runCollect((yield* Agents).batch("demo", prompts, { sessions: 3 }))
      assert.strictEqual(results.length, 20)
      for (const { index, prompt, result } of results) {
        assert.strictEqual(prompt, prompts[index])
        assert.strictEqual(Result.isSuccess(result) ? result.success.text : "failed", prompt)
      }
      const sessions = yield* sessionsOf
      assert.strictEqual(sessions.length, 3)
      assert.isTrue(sessions.every(({ status }) => status === "ended"))
    }).pipe(Effect.provide(embedded())))

  it.effect("has a new session for each prompt by default", () =>
    Effect.gen(function*() {
      const results = yield* Stream.runCollect((yield* Agents).batch("demo", numbers(7), { concurrency: 2 }))
      assert.deepStrictEqual(results.map(wordOf).toSorted(), numbers(7))
      assert.strictEqual((yield* sessionsOf).length, 7)
    }).pipe(Effect.provide(embedded())))

  it.effect("gives results as they come, and takes no more prompts than there is room for", () => {
    const slow = Latch.makeUnsafe()
    const script: AgentScript.AgentScript = ({ prompt }) =>
      prompt === "prompt 0"
        ? Stream.fromEffect(Effect.as(slow.await, AgentScript.say("slow")))
        : AgentScript.echo({ prompt } as AgentScript.AgentTurn)
    return Effect.gen(function*() {
      let taken = 0
      const prompts = Stream.map(Stream.fromIterable(numbers(50), { chunkSize: 1 }), (prompt) => {
        taken += 1
        return prompt
      })
      let given = 0
      const results = yield* (yield* Agents).batch("demo", prompts, { sessions: 2 }).pipe(
        Stream.mapEffect((result) => {
          given += 1
          assert.isAtMost(taken - given, 4)
          return Effect.as(given === 49 ? slow.open : Effect.void, result.index)
        }),
        Stream.runCollect
      )
      assert.deepStrictEqual(results, [...numbers(50).keys()].slice(1).concat(0))
    }).pipe(Effect.provide(embedded({}, script)))
  })

  it.effect("takes prompts with options, a function that asks, and options for all", () =>
    Effect.gen(function*() {
      const agents = yield* Agents
      const prompts = [{ content: "one", options: { model: "small" } }, "two", [{
        type: "text" as const,
        text: "three"
      }], { content: "four", options: { model: undefined, maxTurns: undefined } }]
      yield* Stream.runDrain(agents.batch("demo", prompts, { sessions: 1, options: { model: "large", maxTurns: 3 } }))
      const rows = [{ name: "Ada" }, { name: "Alan" }]
      const results = yield* Stream.runCollect(
        agents.batchWith("demo", rows, (session, { name }, index) =>
          name === "Alan"
            ? Effect.fail(new NoMorePrompts())
            : Effect.map(session.ask(`${index}: ${name}`), ({ text }) => ({ text })), { sessions: 1 })
      )
      assert.deepStrictEqual(
        results.map(({ result }) => Result.isSuccess(result) ? result.success.text : result.failure._tag),
        [
          "0: Ada",
          "NoMorePrompts"
        ]
      )
      const asked = yield* (yield* AshEmbedded.AskedTurns).all
      assert.deepStrictEqual(asked.map(({ options, prompt }) => [prompt, options.model, options.maxTurns]), [
        ["one", "small", 3],
        ["two", "large", 3],
        ["three", "large", 3],
        ["four", "large", 3],
        ["0: Ada", undefined, undefined]
      ])
    }).pipe(Effect.provide(embedded())))

  it.effect("whose prompts fail half way has the results of those before, and then the failure", () =>
    Effect.gen(function*() {
      const agents = yield* Agents
      const prompts = Stream.concat(Stream.fromIterable(numbers(5)), Stream.fail(new NoMorePrompts()))
      for (const sessions of [1, 3]) {
        const words: Array<string> = []
        const failure = yield* agents.batch("demo", prompts, { sessions }).pipe(
          Stream.runForEach((result) => Effect.sync(() => words.push(wordOf(result)))),
          Effect.flip
        )
        assert.strictEqual(failure._tag, "NoMorePrompts")
        assert.deepStrictEqual(words.toSorted(), numbers(5))
      }
      assert.isTrue((yield* sessionsOf).every(({ status }) => status === "ended"))
    }).pipe(Effect.provide(embedded())))

  it.effect.each(
    [
      ["concurrency", { concurrency: 0 }],
      ["concurrency", { concurrency: NaN }],
      ["sessions", { sessions: 1.5 }],
      ["sessions", { sessions: -1 }]
    ] as const
  )("with %s of %o is refused", ([field, options]) =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(Stream.runDrain((yield* Agents).batch("demo", numbers(2), options)))
      assert.deepInclude(failure.reason, { _tag: "InvalidRequest", field })
    }).pipe(Effect.provide(embedded())))

  it.effect("of a text is refused: it is one prompt, and no list of letters", () =>
    Effect.gen(function*() {
      const failure = yield* Effect.flip(Stream.runDrain((yield* Agents).batch("demo", "Hello!", { sessions: 1 })))
      assert.deepInclude(failure.reason, { _tag: "InvalidRequest", field: "prompts" })
    }).pipe(Effect.provide(embedded())))

  it.effect("asked by a function that answers no effect has a failure for each prompt, and ends", () =>
    Effect.gen(function*() {
      const ask: any = async () => "Hello!"
      const results = yield* Stream.runCollect((yield* Agents).batchWith("demo", numbers(2), ask))
      assert.deepStrictEqual(results.map(({ result }) => Result.isFailure(result) && result.failure.reason.message), [
        "ask must be a function that answers an effect",
        "ask must be a function that answers an effect"
      ])
      assert.isTrue((yield* sessionsOf).every(({ status }) => status === "ended"))
    }).pipe(Effect.provide(embedded())))

  it.effect("of an agent that is not there has a failure for each prompt", () =>
    Effect.gen(function*() {
      const results = yield* Stream.runCollect((yield* Agents).batch("nobody", numbers(3), { sessions: 2 }))
      assert.deepStrictEqual(results.map(wordOf), ["NotFound", "NotFound", "NotFound"])
    }).pipe(Effect.provide(embedded())))

  it.effect("shows its progress as a stream of counts", () =>
    Effect.gen(function*() {
      const script: AgentScript.AgentScript = ({ prompt }) =>
        prompt === "prompt 3"
          ? Stream.make(AgentScript.fail("no"))
          : Stream.make(AgentScript.say("done"), AgentScript.finish({ cost: 0.25 }))
      const seen = yield* Effect.scoped(Effect.gen(function*() {
        const progress = yield* SubscriptionRef.make(noProgress)
        const seen: Array<BatchProgress> = []
        yield* SubscriptionRef.changes(progress).pipe(
          Stream.runForEach((counts) => Effect.sync(() => seen.push(counts))),
          Effect.forkScoped
        )
        yield* Stream.runDrain((yield* Agents).batch("demo", numbers(10), { sessions: 2, progress }))
        yield* Effect.yieldNow
        return seen
      })).pipe(Effect.provide(embedded({}, script)))
      assert.deepStrictEqual(seen.at(-1), { done: 9, failed: 1, running: 0, costUsd: 2.25, unknown: 1 })
      assert.isTrue(seen.every(({ running }) => running <= 2))
      assert.strictEqual(seen.length, 21)
    }))

  it.effect("keeps to its budget, and has a failure for each prompt beyond it", () =>
    Effect.gen(function*() {
      const script: AgentScript.AgentScript = () =>
        Stream.make(AgentScript.say("done"), AgentScript.finish({ cost: 0.03 }))
      const budget = yield* Budget.make({ usd: 0.1, share: 0.04 })
      const asked = yield* Effect.gen(function*() {
        const agents = yield* Agents
        const results = yield* Stream.runCollect(agents.batch("demo", numbers(10), { sessions: 1, budget }))
        assert.deepStrictEqual(results.map(wordOf), [
          "done",
          "done",
          "done",
          "TurnUnsuccessful",
          ...Array.from({ length: 6 }, () => "BudgetExhausted")
        ])
        return (yield* (yield* AshEmbedded.AskedTurns).all).length
      }).pipe(Effect.provide(embedded({}, script)))
      assert.strictEqual(asked, 4)
      assert.strictEqual((yield* budget.spent).usd, 0.12)
    }))

  it.effect("divides a budget among the sessions that it is going to open", () =>
    Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 1 })
      const script: AgentScript.AgentScript = () => Stream.make(AgentScript.finish({ cost: 0.01 }))
      const limits = yield* Effect.gen(function*() {
        yield* Stream.runDrain((yield* Agents).batch("demo", numbers(4), { sessions: 4, budget }))
        return (yield* (yield* AshEmbedded.AskedTurns).all).map(({ options }) => options.maxBudgetUsd ?? Infinity)
      }).pipe(Effect.provide(embedded({}, script)))
      assert.strictEqual(limits.length, 4)
      assert.isAtMost(limits[0] ?? Infinity, 0.25)
    }))

  it.effect("waits while running turns hold what is left of its budget, and fails when nothing is", () => {
    const begun = Latch.makeUnsafe()
    const slow = Latch.makeUnsafe()
    const before: Readonly<Record<string, Effect.Effect<unknown>>> = {
      slow: Effect.andThen(begun.open, slow.await),
      dear: begun.await
    }
    const script: AgentScript.AgentScript = ({ options: { maxBudgetUsd = 0 }, prompt }) => {
      const finished = AgentScript.finish({ cost: prompt === "dear" ? maxBudgetUsd : 0.01 })
      return Stream.fromEffect(Effect.as(before[prompt] ?? Effect.void, finished))
    }
    return Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 1 })
      const prompts = ["dear", "slow", "cheap", "dear", "cheap", "cheap"]
      const results = yield* (yield* Agents).batch("demo", prompts, { sessions: 2, budget }).pipe(
        // The next prompt finds half of the budget spent, and half of it held.
        Stream.tap(({ index }) => index === 0 ? Effect.andThen(tick, slow.open) : Effect.void),
        Stream.runCollect
      )
      const tags = results.toSorted((one, other) => one.index - other.index).map(({ index, result }) => [
        prompts[index],
        Result.isSuccess(result) ? "done" : result.failure.reason._tag
      ])
      assert.deepStrictEqual(tags, [
        ["dear", "TurnUnsuccessful"],
        ["slow", "done"],
        ["cheap", "done"],
        ["dear", "TurnUnsuccessful"],
        ["cheap", "done"],
        ["cheap", "done"]
      ])
      assert.strictEqual(yield* budget.held, 0)
    }).pipe(Effect.provide(embedded({}, script)))
  })

  it.effect("with a budget of zero, its own or its layer's, opens no session and sends nothing", () =>
    Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 0 })
      for (const options of [{ batch: budget }, { layer: budget }]) {
        const { layer, requests } = Server.make(Server.json({}), { budget: options.layer })
        const results = yield* Effect.flatMap(
          Agents,
          (agents) => Stream.runCollect(agents.batch("demo", numbers(3), { sessions: 2, budget: options.batch }))
        ).pipe(
          Effect.provide(layer)
        )
        assert.deepStrictEqual(results.map(wordOf), ["BudgetExhausted", "BudgetExhausted", "BudgetExhausted"])
        assert.deepStrictEqual(requests, [])
      }
    }))

  it.effect("goes on with the sessions that the layer, or the server, has room for", () =>
    Effect.gen(function*() {
      const prompts = numbers(12)
      for (const options of [{ maxSessions: 2 }, { maxStreams: 1 }, { maxSandboxes: 2 }]) {
        const results = yield* Effect.flatMap(Agents, (agents) =>
          Stream.runCollect(agents.batch("demo", prompts, { sessions: 5 }))).pipe(
            whileTimePasses,
            Effect.provide(embedded({ ...patient, ...options }))
          )
        assert.deepStrictEqual(results.map(wordOf).toSorted(), prompts.toSorted(), JSON.stringify(options))
      }
    }))

  it.effect("asks a server that has no room for more sessions no more for them", () => {
    let asked = 0
    const server = Server.forTurns(({ body, path }) => {
      if (path === "/api/sessions") {
        asked += 1
        return asked > 2
          ? Server.json({ error: "Sandbox capacity reached", statusCode: 503 }, 503)()
          : Server.json({ session: { ...session, id: sessionId.slice(0, -1) + asked } }, 201)()
      }
      return path.endsWith("/messages") ? answer(path, JSON.parse(body).content) : Server.json({ session })()
    }, { retry: { times: 0 } })
    return Effect.gen(function*() {
      const results = yield* Stream.runCollect((yield* Agents).batch("demo", numbers(40), { sessions: 5 }))
      assert.deepStrictEqual(results.map(wordOf).toSorted(), numbers(40).toSorted())
      assert.isAtMost(asked, 5)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect.each([{}, { sessions: 2 }, { sessions: 1, concurrency: 3 }])(
    "ends with a defect, or an interruption, of the client that opens its sessions: %j",
    (options) =>
      Effect.gen(function*() {
        for (const end of [Effect.die("of the client"), Effect.interrupt]) {
          const batch = Effect.flatMap(Agents, (agents) => Stream.runDrain(agents.batch("demo", numbers(3), options)))
          const exit = yield* Effect.exit(Effect.provide(batch, Server.make(() => end).layer))
          assert.deepStrictEqual(exit._tag === "Failure" && exit.cause.reasons.map(({ _tag }) => _tag === "Fail"), [
            false
          ])
        }
      })
  )

  it.effect("waits for the server's limit of new sessions", () =>
    Effect.gen(function*() {
      const prompts = numbers(25)
      const results = yield* Effect.flatMap(Agents, (agents) => Stream.runCollect(agents.batch("demo", prompts))).pipe(
        whileTimePasses,
        Effect.provide(embedded({ ...patient, rateLimits: true }))
      )
      assert.deepStrictEqual(results.map(wordOf).toSorted(), prompts.toSorted())
    }))

  it.effect.each(accidents.map((accident) => [accident] as const))(
    "goes on where its session is %s, and sends no prompt twice",
    ([accident]) => {
      const server = make({ retry: { times: 0 } })
      return Effect.gen(function*() {
        const agents = yield* Agents
        const words = yield* agents.batch("demo", numbers(4), { sessions: 1 }).pipe(
          Stream.mapEffect((result) =>
            Effect.sync(() => {
              if (result.index === 1) server.happen(accident)
              return wordOf(result)
            })
          ),
          Stream.runCollect,
          whileTimePasses
        )
        assert.deepStrictEqual(words, numbers(4).map((prompt) => `You said: ${prompt}`))
        assert.deepStrictEqual(server.mixed, [])
        assert.strictEqual(server.status(), "ended")
      }).pipe(Effect.provide(server.layer))
    }
  )

  it.effect.each([
    {},
    { handle: {} },
    { handle: { recovery: undefined, budget: undefined } }
  ])("fails a prompt whose turn broke off, sends it no second time, and goes on (%j)", (options) => {
    const server = make({ retry: { times: 0 } })
    return Effect.gen(function*() {
      const agents = yield* Agents
      const prompts = ["one", "break", "two", "break", "three"]
      const results = yield* Stream.runCollect(agents.batch("demo", prompts, { ...options, sessions: 1 }))
      assert.deepStrictEqual(results.map(wordOf), [
        "You said: one",
        "StreamTruncated",
        "You said: two",
        "StreamTruncated",
        "You said: three"
      ])
      assert.deepStrictEqual(server.sent().map(({ body }) => JSON.parse(body).content), prompts)
      assert.deepStrictEqual(server.mixed, [])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("replaces a session that has ended", () => {
    let created = 0
    const ended = new Set<string>()
    const server = Server.forTurns(({ body, method, path }) => {
      const id = /sessions\/([^/?]+)/.exec(path)?.[1] ?? ""
      if (path === "/api/sessions") {
        created += 1
        return Server.json({ session: { ...session, id: sessionId.slice(0, -1) + created } }, 201)()
      }
      if (method === "DELETE") ended.add(id)
      if (method !== "POST") return Server.json({ session: { ...session, id, status: "ended" } })()
      if (!path.endsWith("/messages") || ended.has(id)) {
        return Server.json({ error: "Session has ended", statusCode: 410 }, 410)()
      }
      const { content } = JSON.parse(body)
      if (content === "prompt 1") ended.add(id)
      return answer(path, content)
    })
    return Effect.gen(function*() {
      const results = yield* Stream.runCollect((yield* Agents).batch("demo", numbers(4), { sessions: 1 })).pipe(
        whileTimePasses
      )
      assert.deepStrictEqual(results.map(wordOf), numbers(4))
      assert.strictEqual(created, 2)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("interrupted at any point leaves no session, and sent no prompt twice", () =>
    Effect.gen(function*() {
      const agents = yield* Agents
      const asked = yield* AshEmbedded.AskedTurns
      const reached = new Set<number>()
      for (let run = 0; run < 100; run++) {
        const prompts = numbers(12).map((prompt) => `${prompt} of ${run}`)
        const before = (yield* asked.all).length
        let done = 0
        const fiber = yield* agents.batch("demo", prompts, { sessions: 3 }).pipe(
          Stream.runForEach(() =>
            Effect.sync(() => {
              done += 1
            })
          ),
          Effect.forkChild
        )
        // Behind the start of so many turns, and some steps of the event loop more.
        yield* asked.first(before + run % 13)
        for (let step = (run * 37) % 20; step > 0; step--) {
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        yield* Fiber.interrupt(fiber)
        reached.add(done)
        const left = (yield* sessionsOf).filter(({ status }) => status !== "ended")
        assert.deepStrictEqual(left.map(({ id, status }) => [id, status]), [], `run ${run}`)
      }
      assert.isAbove(reached.size, 5)
      const all = (yield* asked.all).map(({ prompt }) => prompt)
      assert.strictEqual(new Set(all).size, all.length)
    }).pipe(Effect.provide(embedded())))

  it.effect("interrupted ends all of its sessions at the same time, however long the server takes, and answers nothing more", () => {
    let created = 0
    const begun = Latch.makeUnsafe()
    const server = Server.forTurns(({ method, path }) => {
      if (method === "DELETE") return Effect.never
      if (path !== "/api/sessions") {
        return Effect.as(created < 3 ? Effect.void : begun.open, Server.endless("")())
      }
      created += 1
      return Server.json({ session: { ...session, id: sessionId.slice(0, -1) + created } }, 201)()
    })
    return Effect.gen(function*() {
      const agents = yield* Agents
      const fiber = yield* Effect.forkChild(Stream.runDrain(agents.batch("demo", numbers(9), { sessions: 3 })))
      yield* begun.await
      yield* whileTimePasses(Fiber.interrupt(fiber))
      const ends = server.requests.filter(({ method }) => method === "DELETE")
      assert.deepStrictEqual([created, ends.length, new Set(ends.map(({ at }) => at)).size], [3, 3, 1])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("of 10,000 prompts over 10 sessions keeps no more than those that run", () => {
    let created = 0
    const server = Server.forTurns(({ body, path }) => {
      if (path === "/api/sessions") created += 1
      const id = path === "/api/sessions" ? sessionId.slice(0, -2) + (10 + created) : path.split("/")[3]
      if (!path.endsWith("/messages")) {
        return Server.json({ session: { ...session, id } }, path === "/api/sessions" ? 201 : 200)()
      }
      return Server.sse(
        Server.frames(
          ["session_start", { sessionId: id ?? "" }],
          ["message", { type: "result", subtype: "success", is_error: false, result: JSON.parse(body).content }],
          ["done", { sessionId: id ?? "" }]
        )
      )()
    })
    return Effect.gen(function*() {
      const agents = yield* Agents
      const count = 10_000
      let taken = 0
      let given = 0
      let most = 0
      let failed = 0
      const prompts = function*() {
        for (; taken < count; taken++) {
          most = Math.max(most, taken - given)
          yield `prompt ${taken}`
        }
      }
      yield* agents.batch("demo", prompts(), { sessions: 10 }).pipe(
        Stream.runForEach(({ result }) =>
          Effect.sync(() => {
            given += 1
            if (Result.isFailure(result)) failed += 1
            // What the server received is not kept either.
            server.requests.length = 0
          })
        )
      )
      assert.strictEqual(given, count)
      assert.strictEqual(failed, 0)
      assert.isAtMost(most, 20)
      assert.strictEqual(created, 10)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("turns over prompts", () => {
  it.effect("come one at a time, each when it is taken", () =>
    Effect.scoped(Effect.gen(function*() {
      const session = yield* (yield* Sessions).open({ agent: "demo" })
      let taken = 0
      const prompts = function*() {
        for (const prompt of ["one", "two", "three", "four"]) {
          taken += 1
          yield prompt
        }
      }
      const turns = yield* Stream.runCollect(
        session.turns(prompts()).pipe(
          Stream.tap(() => Effect.sync(() => assert.isAtMost(taken, 3))),
          Stream.take(2)
        )
      )
      assert.deepStrictEqual(turns.map(({ text }) => text), ["one", "two"])
      assert.strictEqual((yield* (yield* AshEmbedded.AskedTurns).all).length, 2)
      assert.strictEqual((yield* session.ask("five")).text, "five")
    })).pipe(Effect.provide(embedded())))

  it.effect.each([["detach", "SessionFenced"], ["stop", "three"]] as const)(
    "that are interrupted close their prompts, and leave the session as a turn does: %s",
    ([onInterrupt, next]) => {
      const started = Latch.makeUnsafe()
      const script: AgentScript.AgentScript = (turn) =>
        turn.prompt === "two"
          ? Stream.concat(Stream.fromEffectDrain(started.open), Stream.make(AgentScript.silence))
          : AgentScript.echo(turn)
      return Effect.scoped(Effect.gen(function*() {
        const session = yield* (yield* Sessions).open({ agent: "demo" }, { onInterrupt })
        let isClosed = false
        const close = Effect.sync(() => {
          isClosed = true
        })
        const texts: Array<string> = []
        const fiber = yield* session.turns(Stream.ensuring(Stream.make("one", "two", "never"), close)).pipe(
          Stream.runForEach(({ text }) => Effect.sync(() => texts.push(text))),
          Effect.forkChild
        )
        yield* started.await
        yield* Fiber.interrupt(fiber)
        assert.isTrue(isClosed)
        assert.deepStrictEqual(texts, ["one"])
        const answer = session.ask("three").pipe(
          Effect.match({ onFailure: ({ reason }) => String(reason._tag), onSuccess: ({ text }) => text })
        )
        assert.strictEqual(yield* answer, next)
        const asked = yield* (yield* AshEmbedded.AskedTurns).all
        assert.isFalse(asked.some(({ prompt }) => prompt === "never"))
        assert.deepInclude(yield* session.spent, { turns: asked.length, unknown: 1 })
      })).pipe(Effect.provide(embedded({}, script)))
    }
  )

  it.effect("fail behind those before, where the prompts fail, or a turn", () =>
    Effect.scoped(Effect.gen(function*() {
      const session = yield* (yield* Sessions).open({ agent: "demo" })
      const half = Stream.concat(Stream.make("one", { content: "two" }), Stream.fail(new NoMorePrompts()))
      const texts: Array<string> = []
      const failure = yield* session.turns(half, { maxTurns: 2 }).pipe(
        Stream.runForEach(({ text }) => Effect.sync(() => texts.push(text))),
        Effect.flip
      )
      assert.strictEqual(failure._tag, "NoMorePrompts")
      assert.deepStrictEqual(texts, ["one", "two"])
      const broken = yield* session.turns(["three", "x".repeat(500_001), "four"]).pipe(
        Stream.runForEach(({ text }) => Effect.sync(() => texts.push(text))),
        Effect.flip
      )
      assert.deepInclude(broken, { _tag: "AshError", operation: "SessionHandle.turns" })
      assert.deepStrictEqual(texts, ["one", "two", "three"])
      for (const prompts of JSON.parse(`["four",{"content":"four"},4,null]`)) {
        const { reason } = yield* Effect.flip(Stream.runDrain(session.turns(prompts)))
        assert.deepInclude(reason, { _tag: "InvalidRequest", field: "prompts" })
      }
      for (const prompt of JSON.parse(`[{},{"options":{}},4,null]`)) {
        const { reason } = yield* Effect.flip(Stream.runDrain(session.turns([prompt])))
        assert.deepInclude(reason, { _tag: "InvalidRequest", field: "content" })
      }
    })).pipe(Effect.provide(embedded())))
})
