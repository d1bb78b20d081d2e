import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as RequestOptions from "../../src/client/RequestOptions.ts"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as Budget from "../../src/functions/Budget.ts"
import { ledgersOf } from "../../src/internal/turn/ledger.ts"
import { TurnAccount } from "../../src/internal/turn/turnAccount.ts"
import { uncontrolledTurn } from "../../src/internal/turn/turnControl.ts"
import { initial } from "../../src/internal/turn/turnFold.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { AshError } from "../../src/schema/AshError.ts"
import { claudeMessageFromJson } from "../../src/schema/ClaudeMessage.ts"
import { StreamTruncated, TurnFailed, WrongState } from "../../src/schema/Reasons.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Messages } from "../../src/services/Messages.ts"
import type { SessionHandle } from "../../src/services/SessionHandle.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { result, session, sessionId } from "../support/fixtures.ts"
import { make as makeMortal } from "../support/mortalServer.ts"
import * as Server from "../support/ScriptedServer.ts"
import * as Turns from "../support/turns.ts"
import { serving } from "../support/turns.ts"

/** Costs what its prompt names, in US dollars, with ten tokens in and five out. */
const priced: AgentScript.AgentScript = ({ options: { maxBudgetUsd = Infinity }, prompt }) => {
  const cost = Number(prompt)
  return Stream.make(
    AgentScript.say("done"),
    AgentScript.finish({ cost: Math.min(cost, maxBudgetUsd + step), usage: { input_tokens: 10, output_tokens: 5 } })
  )
}

/** What one model call costs. */
const step = 0.002

const withBudget = <A, E>(
  test: (asked: AshEmbedded.AskedTurns["Service"]) => Effect.Effect<A, E, Sessions | Messages>,
  budget?: Budget.Budget
) =>
  Effect.flatMap(AshEmbedded.AskedTurns, test).pipe(
    Effect.provide(AshEmbedded.layer({ agents: { demo: { script: priced } }, budget }))
  )

const sentLimits = (asked: AshEmbedded.AskedTurns["Service"]) =>
  Effect.map(asked.all, (turns) => turns.map(({ options }) => options.maxBudgetUsd))

const exhausted = (error: unknown) =>
  error instanceof AshError && error.reason._tag === "BudgetExhausted" ? error.reason : assert.fail(String(error))

describe("budgets", () => {
  it.effect.each(
    [
      ["usd", { usd: -1 }],
      ["usd", { usd: NaN }],
      ["usd", { usd: Infinity }],
      ["tokens", { usd: 1, tokens: NaN }],
      ["tokens", { tokens: -0.1 }],
      ["share", { usd: 1, share: 0 }],
      ["share", { usd: 1, share: NaN }]
    ] as const
  )("refuse %s of %o", ([field, limits]) =>
    Effect.gen(function*() {
      const { reason } = yield* Effect.flip(Budget.make(limits))
      assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : reason._tag, field)
    }))

  it.effect.each([{ usd: 0 }, { tokens: 0 }])("of %o refuse every turn, before anything is sent", (limits) => {
    const { layer, requests } = Server.make(Server.json({}))
    return Effect.gen(function*() {
      const budget = yield* Budget.make(limits)
      const session = (yield* Sessions).attach(sessionId, { budget })
      const error = yield* Effect.flip(session.ask("Hello!"))
      assert.deepInclude(exhausted(error), { spent: 0, held: 0, limit: 0 })
      assert.isTrue(error.nothingHappened)
      assert.isFalse(error.isRetryable)
      assert.deepStrictEqual(requests, [])
    }).pipe(Effect.provide(layer))
  })

  it.effect.each(["{\"usd\":1}", "1", "[null]"])("that are none are refused: %s", (json) => {
    const budget: Budget.Budget = JSON.parse(json)
    const { layer, requests } = Server.make(Server.json({}))
    return Effect.gen(function*() {
      const failures = [
        yield* Effect.provide(
          Effect.flip(Effect.flatMap(Sessions, ({ attach }) => attach(sessionId, { budget }).ask("Hello!"))),
          layer
        ),
        yield* Effect.flip(Effect.scoped(Layer.build(Server.make(Server.json({}), { budget }).layer))),
        yield* Effect.provide(
          Effect.flip(Effect.flatMap(Agents, ({ batch }) => Stream.runDrain(batch("demo", ["Hello!"], { budget })))),
          layer
        )
      ]
      assert.deepStrictEqual(
        failures.map(({ reason }) => reason._tag === "InvalidRequest" ? reason.field : reason._tag),
        ["budget", "budget", "budget"]
      )
      assert.deepStrictEqual(requests, [])
    })
  })

  it.effect("of a session: turns get all that is left, and one behind its end is refused", () =>
    withBudget((asked) =>
      Effect.scoped(Effect.gen(function*() {
        const budget = yield* Budget.make({ usd: 0.1 })
        const session = yield* (yield* Sessions).open({ agent: "demo" }, { budget })
        yield* session.ask("0.03")
        yield* session.ask("0.05")
        assert.deepStrictEqual(yield* session.spent, { usd: 0.08, tokens: 30, turns: 2, unknown: 0 })
        const last = yield* Effect.flip(session.ask("0.03", { maxBudgetUsd: 5 }))
        assert.strictEqual(last.partialTurn?.outcome._tag, "MaxBudgetUsd")
        assert.deepStrictEqual(yield* sentLimits(asked), [0.1, 0.07, 0.02])
        const error = yield* Effect.flip(session.ask("0.01"))
        assert.deepInclude(exhausted(error), { spent: 0.102, held: 0, limit: 0.1, unit: "usd" })
        assert.strictEqual((yield* asked.all).length, 3)
        assert.strictEqual((yield* budget.left).usd, -0.002)
        assert.strictEqual((yield* session.spent).usd, 0.102)
      }))
    ))

  it.effect("of tokens are counted behind a turn, and refuse the next", () =>
    withBudget((asked) =>
      Effect.scoped(Effect.gen(function*() {
        const budget = yield* Budget.make({ tokens: 20 })
        const session = yield* (yield* Sessions).open({ agent: "demo" }, { budget })
        yield* session.ask("0.03")
        yield* session.ask("0.03")
        assert.deepStrictEqual(yield* sentLimits(asked), [undefined, undefined])
        assert.deepInclude(exhausted(yield* Effect.flip(session.ask("0.03"))), { spent: 30, limit: 20, unit: "tokens" })
        assert.strictEqual((yield* budget.left).tokens, -10)
      }))
    ))

  it.effect("apply at once: of layer, handle and caller the least is sent, and all count", () =>
    Effect.gen(function*() {
      const ofLayer = yield* Budget.make({ usd: 1 })
      const ofHandle = yield* Budget.make({ usd: 0.2 })
      yield* withBudget((asked) =>
        Effect.scoped(Effect.gen(function*() {
          const session = yield* (yield* Sessions).open({ agent: "demo" }, { budget: [ofHandle, ofLayer] })
          yield* session.ask("0.03")
          yield* session.ask("0.03", { maxBudgetUsd: 0.1 })
          yield* Stream.runDrain((yield* Messages).send(session.id, "0.03"))
          assert.deepStrictEqual(yield* sentLimits(asked), [0.2, 0.1, 0.94])
        })), ofLayer)
      assert.deepInclude(yield* ofLayer.spent, { usd: 0.09, turns: 3 })
      assert.deepInclude(yield* ofHandle.spent, { usd: 0.06, turns: 2 })
    }))

  it.effect("hold for every turn of a layer, alone in its session or not", () =>
    Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 0.05 })
      yield* withBudget(() =>
        Effect.scoped(Effect.gen(function*() {
          const session = yield* (yield* Sessions).open({ agent: "demo" })
          const messages = yield* Messages
          yield* Stream.runDrain(messages.send(session.id, "0.06")).pipe(
            Effect.updateService(RequestOptions.RequestOptions, RequestOptions.merge({ exclusive: false }))
          )
          const calls: ReadonlyArray<Effect.Effect<unknown, AshError>> = [
            session.ask("0.01"),
            Stream.runDrain(session.stream("0.01")),
            Stream.runDrain(messages.send(session.id, "0.01")),
            Stream.runDrain(messages.sendWithErrors(session.id, "0.01"))
          ]
          for (const call of calls) exhausted(yield* Effect.flip(call))
        })), budget)
    }))

  it.effect("are divided among sessions at once, which go beyond by a model call each at most", () =>
    Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 1 })
      yield* withBudget((asked) =>
        Effect.scoped(Effect.gen(function*() {
          const sessions = yield* Sessions
          const handles = yield* Effect.all(Array.from({ length: 10 }, () => sessions.open({ agent: "demo" })))
          yield* Effect.forEach(handles, (session) => Effect.exit(session.ask("5")), { concurrency: "unbounded" })
          assert.deepStrictEqual(yield* sentLimits(asked), Array.from({ length: 10 }, () => 0.1))
          assert.strictEqual((yield* budget.spent).usd, 1 + 10 * step)
          exhausted(yield* Effect.flip(handles[0]!.ask("0.1")))
        })), budget)
    }))

  it.effect("are divided among messages that are sent at once, of sessions that no handle has open", () =>
    Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 1 })
      yield* withBudget((asked) =>
        Effect.scoped(Effect.gen(function*() {
          const sessions = yield* Sessions
          const opened = yield* Effect.all(Array.from({ length: 4 }, () => sessions.scoped({ agent: "demo" })))
          const messages = yield* Messages
          yield* Effect.forEach(opened, ({ id }) => Stream.runDrain(messages.send(id, "0.1")), {
            concurrency: "unbounded"
          })
          assert.deepStrictEqual(yield* sentLimits(asked), [0.25, 0.25, 0.25, 0.25])
        })), budget)
    }))

  it.effect("with a share give each turn that much, while it is there", () =>
    Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 0.1, share: 0.025 })
      yield* withBudget((asked) =>
        Effect.scoped(Effect.gen(function*() {
          const sessions = yield* Sessions
          const handles = yield* Effect.all(Array.from({ length: 10 }, () => sessions.open({ agent: "demo" })))
          const exits = yield* Effect.forEach(handles, (session) => Effect.exit(session.ask("0.02")), {
            concurrency: "unbounded"
          })
          assert.strictEqual(exits.filter(Exit.isSuccess).length, 4)
          assert.deepStrictEqual(yield* sentLimits(asked), Array.from({ length: 4 }, () => 0.025))
          assert.deepStrictEqual(yield* budget.spent, { usd: 0.08, tokens: 60, turns: 4, unknown: 0 })
        })), budget)
    }))

  it.effect("count a turn that broke off as all that it held, and what its handle spent as unknown", () => {
    const started = Latch.makeUnsafe()
    const script: AgentScript.AgentScript = () =>
      Stream.concat(
        Stream.make(AgentScript.say("one")),
        Stream.fromEffectDrain(started.open).pipe(Stream.concat(Stream.make(AgentScript.silence)))
      )
    return Effect.scoped(Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 2, share: 0.5 })
      const session = yield* (yield* Sessions).open({ agent: "demo" }, { budget })
      const fiber = yield* Effect.forkChild(session.ask("Hello!"))
      yield* started.await
      assert.strictEqual(yield* budget.held, 0.5)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* budget.held, 0)
      assert.deepStrictEqual(yield* budget.spent, { usd: 0.5, tokens: 0, turns: 1, unknown: 1 })
      assert.deepStrictEqual(yield* session.spent, { usd: 0, tokens: 0, turns: 1, unknown: 1 })
    })).pipe(Effect.provide(AshEmbedded.layer({ agents: { demo: { script } } })))
  })

  it.effect("give back what a turn held that waits, and is interrupted before it is sent", () =>
    Effect.scoped(Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 2 })
      const reached = Latch.makeUnsafe()
      const server = Server.make(({ path }) =>
        path.includes("00000000-0000-0000-0000-000000000000")
          ? Effect.andThen(reached.open, Effect.never)
          : Server.json({})()
      )
      yield* Effect.gen(function*() {
        const session = (yield* Sessions).attach(sessionId, { budget })
        const fiber = yield* Effect.forkChild(session.ask("Hello!"))
        yield* reached.await
        assert.strictEqual(yield* budget.held, 2)
        yield* Fiber.interrupt(fiber)
      }).pipe(Effect.provide(server.layer))
      assert.deepStrictEqual(yield* budget.spent, { usd: 0, tokens: 0, turns: 0, unknown: 0 })
      assert.deepStrictEqual(yield* budget.left, { usd: 2, tokens: undefined })
    })))

  const refusals = { refused: Server.refused, limited: Server.json({}, 429, { "retry-after": "30" }) }
  const ends: Record<
    string,
    (fiber: Fiber.Fiber<unknown>, handle: SessionHandle) => Effect.Effect<unknown, AshError>
  > = {
    interrupted: (fiber) => Fiber.interrupt(fiber),
    cancelled: (_, handle) => handle.cancel(),
    stopped: (_, handle) => handle.stop(),
    ended: (_, handle) => handle.end()
  }
  it.effect.each(
    Object.entries(refusals).flatMap(([refusal, script]) =>
      Object.entries(ends).map(([how, end]) => [refusal, how, script, end] as const)
    )
  )(
    "give back what a turn held that was %s, and is %s while it waits to be sent again",
    ([, , script, end]) =>
      Effect.gen(function*() {
        const budget = yield* Budget.make({ usd: 2 })
        const reached = Latch.makeUnsafe()
        const server = serving((request) => {
          reached.openUnsafe()
          return script(request)
        }, { retry: { delay: "10 seconds" } })
        yield* Effect.gen(function*() {
          const handle = (yield* Sessions).attach(sessionId, { budget })
          const fiber = yield* Effect.forkChild(Effect.exit(handle.ask("Hello!")))
          yield* reached.await
          yield* Effect.repeat(Effect.promise(() => new Promise((resolve) => setImmediate(resolve))), { times: 5 })
          yield* end(fiber, handle)
          yield* Fiber.await(fiber)
          assert.strictEqual((yield* handle.spent).turns, 0)
        }).pipe(Effect.provide(server.layer))
        assert.deepStrictEqual(yield* budget.spent, { usd: 0, tokens: 0, turns: 0, unknown: 0 })
        assert.deepStrictEqual(yield* budget.left, { usd: 2, tokens: undefined })
      })
  )

  /** A server whose SDK sums up: each turn has cost ten cents, and used ten tokens, more than what the result before has. */
  const summing = () => {
    let turns = 4
    return Server.forTurns(({ method, path }) => {
      if (!path.endsWith("/messages")) return Server.json({ session }, method === "POST" ? 201 : 200)()
      turns += 1
      const message = {
        ...result,
        session_id: "s",
        total_cost_usd: turns / 10,
        usage: { input_tokens: 6, output_tokens: 4 },
        modelUsage: { claude: { inputTokens: 6 * turns, outputTokens: 4 * turns, costUSD: turns / 10 } }
      }
      return Server.sse(
        Server.frames(["session_start", { sessionId }], ["message", message], ["done", { sessionId }])
      )()
    })
  }

  it.effect("count as unknown, and as what it held, the first turn behind others which are not known, and what follows", () =>
    Effect.scoped(Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 10, share: 0.2 })
      const handle = (yield* Sessions).attach(sessionId, { budget })
      yield* handle.ask("one")
      assert.deepStrictEqual(yield* handle.spent, { usd: 0, tokens: 0, turns: 1, unknown: 1 })
      assert.deepInclude(yield* budget.spent, { usd: 0.2, turns: 1, unknown: 1 })
      yield* handle.turns(["two", "three"]).pipe(Stream.runDrain)
      assert.deepStrictEqual(yield* handle.spent, { usd: 0.2, tokens: 20, turns: 3, unknown: 1 })
      assert.deepInclude(yield* budget.spent, { usd: 0.4, turns: 3, unknown: 1 })
    })).pipe(Effect.provide(summing().layer)))

  it.effect("count each turn of a session by itself where an SDK sums up", () =>
    Effect.scoped(Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 10 })
      const handle = yield* (yield* Sessions).open({ agent: "demo" }, { budget })
      yield* handle.ask("zero")
      const before = yield* handle.spent
      yield* handle.turns(["one", "two", "three"]).pipe(Stream.runDrain)
      const spent = yield* handle.spent
      assert.strictEqual(Math.round((spent.usd - before.usd) * 1e9), 0.3e9)
      assert.strictEqual(spent.tokens - before.tokens, 30)
      assert.deepStrictEqual(yield* budget.spent, spent)
    })).pipe(Effect.provide(summing().layer)))

  const figures = [0, -1, 1e-12, 0.25, 1e9, 1e100, 1e299, 1e300, Number.MAX_VALUE]
  it.effect.each(figures.flatMap((cost) => figures.map((tokens) => [cost, tokens] as const)))(
    "count figures of any size: %s US dollars and %s tokens",
    ([cost, tokens]) => {
      const count = { inputTokens: tokens, outputTokens: tokens }
      const { layer } = Turns.serving(
        Turns.turnOf(Turns.result({ total_cost_usd: cost, modelUsage: { a: count, b: count } }), Turns.done)
      )
      return Effect.gen(function*() {
        for (const limits of [{}, { usd: 1, tokens: 1000 }, { usd: 1e300, tokens: 1e300, share: 1e300 }]) {
          const budget = yield* Budget.make(limits)
          const session = yield* (yield* Sessions).open({ agent: "demo" }, { budget })
          for (let count = 0; count < 3; count++) {
            const asked = yield* Effect.result(session.ask("Hello!", { maxBudgetUsd: 1e300 }))
            if (Result.isFailure(asked)) exhausted(asked.failure)
          }
          const { usd: left } = yield* budget.left
          assert.strictEqual(yield* budget.held, 0)
          for (const { tokens, usd } of [yield* budget.spent, yield* session.spent]) {
            assert.isTrue(Number.isFinite(usd + tokens) && usd >= 0 && tokens >= 0)
          }
          assert.isTrue(left === undefined || Number.isFinite(left))
        }
      }).pipe(Effect.scoped, Effect.provide(layer))
    }
  )

  it.effect("count nothing for a turn of which nothing ran, as its sandbox was gone", () => {
    const server = makeMortal()
    return Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 1, share: 0.25 })
      const handle = (yield* Sessions).attach(sessionId, { budget, recovery: "restart" })
      yield* Effect.ignore(handle.ask("one"))
      const { turns } = yield* handle.spent
      server.happen("sandbox killed")
      yield* Effect.ignore(handle.ask("two"))
      assert.deepInclude(yield* handle.spent, { turns: turns + 1 })
      assert.strictEqual(yield* budget.held, 0)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("that a turn uses up which breaks off do not hide its failure, behind which it may still run", () =>
    Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 1 })
      const handle = (yield* Sessions).attach(sessionId, { budget, recovery: "restart" })
      const { nothingHappened, reason } = yield* Effect.flip(handle.ask("break"))
      assert.deepStrictEqual([reason._tag, nothingHappened], ["StreamTruncated", false])
      exhausted(yield* Effect.flip(handle.ask("two")))
    }).pipe(Effect.provide(makeMortal().layer)))

  it.effect.each([["one turn", "ask"], ["turns", "turns"], ["a typed answer", "askAs"]] as const)(
    "that are used up restart no session for %s",
    ([, method]) => {
      const server = makeMortal()
      return Effect.gen(function*() {
        const budget = yield* Budget.make({ usd: 1, share: 1 })
        const handle = (yield* Sessions).attach(sessionId, { budget, recovery: "restart" })
        yield* Effect.ignore(handle.ask("break"))
        assert.deepStrictEqual(yield* budget.left, { usd: 0, tokens: undefined })
        const before = server.requests.length
        const calls = {
          ask: handle.ask("two"),
          turns: Stream.runDrain(handle.turns(["two"])),
          askAs: handle.askAs(Schema.String, "two")
        }
        assert.deepInclude(exhausted(yield* Effect.flip(calls[method])), { spent: 1, limit: 1 })
        assert.lengthOf(server.requests, before)
        assert.strictEqual((yield* handle.exec("ls")).stdout, "ok\n")
      }).pipe(Effect.provide(server.layer))
    }
  )

  const Step = Schema.Struct({
    session: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })),
    /** Thousandths of a US dollar. */
    cost: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 })),
    asked: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 300 }))),
    end: Schema.Literals([
      "done",
      "over",
      "interrupted",
      "interrupted early",
      "interrupted while it waits to be sent again",
      "truncated",
      "refused",
      "gone",
      "no result"
    ])
  })
  const Limits = Schema.Struct({
    usd: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })),
    share: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 500 })))
  })
  const failed = {
    truncated: new StreamTruncated({ message: "cut off", sessionId: "a" }),
    refused: new WrongState({ message: "paused", status: "paused" }),
    gone: new TurnFailed({ message: "Not connected", error: "Not connected", sessionId: "a" })
  }

  it.effect.prop(
    "lose nothing and give nothing back twice, whatever turns cost, in whatever order they end or break off",
    { limits: Limits, other: Limits, steps: Schema.Array(Step).check(Schema.isMaxLength(60)) },
    ({ limits, other, steps }) =>
      Effect.gen(function*() {
        const inDollars = ({ share, usd }: typeof limits) => ({
          usd: usd / 1000,
          share: share === undefined ? undefined : share / 1000
        })
        const budgets = [yield* Budget.make(inDollars(limits)), yield* Budget.make(inDollars(other))]
        const running = new Map<number, { account: TurnAccount; held: number; step: typeof Step.Type }>()
        /** What is due to be spent, in billionths of a dollar, and how many may have gone beyond what they held. */
        let due = 0
        let beyond = 0
        const units = (usd: number) => Math.round(usd * 1e9)
        const finish = ({ account, held, step: { cost, end } }: NonNullable<ReturnType<typeof running.get>>) => {
          const used = Math.min(cost / 1000, held + step)
          const control = account.keptBy({
            ...uncontrolledTurn,
            makeFold: (options) => ({ ...initial(options), before: { last: "none", counts: "turn" } })
          })
          const send = control.attempt(({ onRequest }) =>
            Effect.suspend(() => {
              onRequest?.()
              const isRefused = end === "interrupted while it waits to be sent again" || end === "refused"
              return isRefused ? Effect.fail(new AshError({ operation: "test", reason: failed.refused })) : Effect.void
            })
          )
          if (end !== "interrupted early") Effect.runSync(Effect.exit(send({})))
          const message = claudeMessageFromJson({ ...result, total_cost_usd: used, session_id: "s" })
          control.makeFold({})
          if (end === "done" || end === "over") {
            const hasEnded = end === "done" ? { _tag: "Done" as const } : { _tag: "TurnError" as const, error: "x" }
            control.receive([{ _tag: "Message", message }, hasEnded])
            due += units(used)
            if (used > held) beyond += 1
          } else if (end === "no result") {
            control.receive([{ _tag: "Done" }])
            due += units(held)
          } else if (end === "truncated" || end === "refused" || end === "gone") {
            // Behind a result an agent may go on, until the end has come.
            if (end === "truncated") control.receive([{ _tag: "Message", message }])
            control.fail(new AshError({ operation: "test", reason: failed[end] }))
            if (end === "truncated") due += units(held)
          } else if (end === "interrupted") {
            due += units(held)
          }
          // Behind each end there is that of the stream.
          account.close()
          account.close()
        }
        const check = Effect.gen(function*() {
          const held = [...running.values()].reduce((sum, turn) => sum + units(turn.held), 0)
          for (const budget of budgets) {
            const { usd } = yield* budget.spent
            const now = yield* budget.held
            assert.strictEqual(units(now), held)
            assert.strictEqual(units(usd), due)
            const most = units(budget.limits.usd ?? NaN) + (beyond + running.size) * units(step)
            assert.isAtMost(units(usd) + held, most)
          }
        })
        for (const next of steps) {
          const before = running.get(next.session)
          if (before !== undefined) {
            running.delete(next.session)
            finish(before)
          } else {
            const account = new TurnAccount(String(next.session), ledgersOf(budgets))
            account.open()
            if (ledgersOf(budgets).every(({ refusal }) => refusal === undefined)) {
              const held = account.hold(next.asked === undefined ? undefined : next.asked / 1000)
              running.set(next.session, { account, held: held ?? NaN, step: next })
            } else account.close()
          }
          yield* check
        }
        const left = [...running]
        for (const [session, turn] of left) {
          running.delete(session)
          finish(turn)
          yield* check
        }
        for (const budget of budgets) {
          const { usd: spent } = yield* budget.spent
          const { usd } = yield* budget.left
          assert.strictEqual(units(usd ?? NaN), units(budget.limits.usd ?? NaN) - units(spent))
        }
      }),
    { arbitrary: { runs: 300 } }
  )
})
