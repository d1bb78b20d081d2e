/** What is none of the options of a method, as programs without types and configurations have it, is refused by its name. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as RequestOptions from "../../src/client/RequestOptions.ts"
import * as Budget from "../../src/functions/Budget.ts"
import { AshError } from "../../src/schema/AshError.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { sessionId as id } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const wholes = [null, "text", 5, true, [], () => 1]
const durations = [null, NaN, -1, "soon", "-1 seconds", "", {}, { second: 5 }, [1], true, () => 1]
const endless = [...durations, Infinity, "Infinity"]
const counts = [null, NaN, Infinity, -1, 1.5, 2 ** 60, "5", {}, [], true]
const amounts = [null, NaN, -1, "5", [], true]
const words = [null, "", "sometimes", 1, true, {}]
const flags = [null, "false", 0, {}]
const texts = [null, "", 5, {}]
const budgets = [null, "text", 5, { usd: 1 }, [null]]

const timeouts = { headers: durations, firstEvent: durations, idle: durations, done: durations, turn: durations }
const buffer = { size: counts, whenFull: words }
const handle = {
  recovery: words,
  keepWorkspace: flags,
  onInterrupt: words,
  whenBusy: words,
  waitAtMost: durations,
  budget: budgets,
  timeouts: { ...timeouts, "": wholes },
  buffer: { ...buffer, "": wholes }
}
const requests = {
  timeout: durations,
  retry: { times: amounts, delay: durations, maxDelay: durations, maxRetryAfter: durations, "": wholes },
  timeouts: { ...timeouts, "": wholes },
  buffer: { ...buffer, "": wholes },
  maxEventSize: counts,
  responseLimits: { body: counts, text: counts, "": wholes },
  exclusive: flags,
  telemetry: { content: flags, metrics: flags, "": wholes }
}

interface Bad {
  readonly [name: string]: ReadonlyArray<unknown> | Bad
}

/** Options with one thing that is wrong, and the name of it. */
const casesOf = (bad: Bad, path: ReadonlyArray<string> = []): ReadonlyArray<readonly [field: string, given: unknown]> =>
  Object.entries(bad).flatMap(([name, inner]) => {
    const names = name === "" ? path : [...path, name]
    if (!Array.isArray(inner)) return casesOf(inner as Bad, names)
    return inner.map((value) =>
      [names.join("."), names.reduceRight((given: unknown, name) => ({ [name]: given }), value)] as const
    )
  })

type Client = AshClient["Service"]
type Call = (ash: Client, options: any) => Effect.Effect<unknown, unknown, any>

const run = (stream: Stream.Stream<unknown, unknown, any>) => Stream.runDrain(stream)
const under = (set: Parameters<typeof Effect.updateService>[1]) => (ash: Client) =>
  Effect.updateService(ash.agents.list(), RequestOptions.RequestOptions, set as never)

const methods: ReadonlyArray<readonly [name: string, call: Call, bad: Bad]> = [
  ["Agents.batch", (ash, options) => run(ash.agents.batch("demo", ["Hello!"], options)), {
    concurrency: counts,
    sessions: counts,
    options: wholes,
    session: wholes,
    handle: { ...handle, "": wholes },
    budget: budgets,
    progress: [null, {}, "text"],
    "": wholes
  }],
  ["Budget.make", (_, options) => Budget.make(options), { usd: counts.slice(0, 4), share: [0, null], "": wholes }],
  ["Evals.watchRun", (ash, options) => run(ash.evals.watchRun("demo", id, options)), { every: endless, "": wholes }],
  ["Evals.startRun", (ash, options) => ash.evals.startRun("demo", options), { "": wholes }],
  ["Evals.runToCompletion", (ash, options) => ash.evals.runToCompletion("demo", options), { every: endless }],
  ["Messages.history", (ash, options) => run(ash.messages.history(id, options)), {
    after: counts,
    pageSize: counts,
    "": wholes
  }],
  ["Messages.list", (ash, options) => ash.messages.list(id, options), { limit: counts, after: counts, "": wholes }],
  ["Messages.send", (ash, options) => run(ash.messages.send(id, "Hello!", options)), { "": wholes }],
  ["QueueItems.await", (ash, options) => ash.queueItems.await(id, options), { every: endless, "": wholes }],
  ["SessionFiles.write", (ash, options) => ash.sessionFiles.write(id, [{ path: "a", content: "b" }], options), {
    targetPath: [null, 5, {}],
    onProgress: [null, "text", {}],
    "": wholes
  }],
  ["Sessions.attach, a turn", (ash, options) => Effect.suspend(() => ash.sessions.attach(id, options).ask("Hello!")), {
    ...handle,
    after: counts,
    "": wholes
  }],
  ["Sessions.attach, a command", (ash, options) => Effect.suspend(() => ash.sessions.attach(id, options).exec("ls")), {
    recovery: words,
    "": wholes
  }],
  ["Sessions.attach, recover", (ash, options) => Effect.suspend(() => ash.sessions.attach(id, options).recover()), {
    keepWorkspace: flags,
    "": wholes
  }],
  ["Sessions.events", (ash, options) => run(ash.sessions.events(id, options)), { after: counts, "": wholes }],
  ["Sessions.exec", (ash, options) => ash.sessions.exec(id, "ls", options), { timeout: endless, "": wholes }],
  ["Sessions.list", (ash, options) => ash.sessions.list(options), { agent: texts, "": wholes }],
  ["Sessions.open", (ash, options) => Effect.scoped(ash.sessions.open({ agent: "demo" }, options)), {
    ...handle,
    label: texts,
    requireFreshSandbox: flags,
    "": wholes
  }],
  ["Sessions.sweep", (ash, options) => ash.sessions.sweep({ label: "a", olderThan: "1 hour", ...options }), {
    label: texts,
    olderThan: endless,
    agent: texts
  }],
  ["Sessions.sweep", (ash, options) => ash.sessions.sweep(options), { "": wholes, label: [undefined] }],
  ["Sessions.tail", (ash, options) => run(ash.sessions.tail(id, options)), {
    after: counts,
    every: endless,
    "": wholes
  }],
  ["SessionHandle.askAs", (ash, options) => ash.sessions.attach(id).askAs(Schema.Struct({}), "Hello!", options), {
    retries: counts,
    maxTurns: counts,
    "": wholes
  }],
  ["SessionHandle.ask", (ash, options) => ash.sessions.attach(id).ask("Hello!", options), { "": wholes }],
  ["SessionHandle.turns", (ash, options) => run(ash.sessions.attach(id).turns(["Hello!"], options)), { "": wholes }],
  ["SessionHandle.reconcile", (ash, options) => ash.sessions.attach(id).reconcile(options), {
    after: counts,
    content: [null, 5, {}, [5]],
    "": wholes
  }],
  ["RequestOptions.merge", (ash, options) => under(RequestOptions.merge(options) as never)(ash), {
    ...requests,
    headers: wholes,
    "": wholes
  }]
]

const isWhole = (field: string) => field === ""

/** What becomes of a call, in a word. */
const wordOf = (exit: Exit.Exit<unknown, unknown>) => {
  if (Exit.isSuccess(exit)) return "accepted"
  const error = Cause.squash(exit.cause)
  return Cause.hasDies(exit.cause) || !(error instanceof AshError)
    ? `a defect: ${error}`
    : error.reason._tag === "InvalidRequest"
    ? error.reason.field
    : error.reason._tag
}

describe("options that are none", () => {
  it.effect.each(methods)(
    "are refused by their names, before anything is sent: %s",
    ([, call, bad]) =>
      Effect.gen(function*() {
        for (const [field, given] of casesOf(bad)) {
          const server = Server.make(Server.json({}))
          const exit = yield* AshClient.pipe(
            Effect.flatMap((ash) => Effect.suspend(() => call(ash, given))),
            Effect.provide(server.layer),
            Effect.exit
          )
          const names = isWhole(field) ? ["", "options", "label"] : [field]
          assert.include(names, wordOf(exit), `${field}: ${String(given)} ${JSON.stringify(given)}`)
          assert.deepStrictEqual(server.requests, [], field)
        }
      })
  )

  it.effect("are refused where a layer is made", () =>
    Effect.gen(function*() {
      const bad = {
        ...requests,
        retryBudget: amounts,
        whenRateLimited: words,
        maxRateLimitWait: durations,
        maxSessions: counts,
        maxStreams: counts,
        budget: budgets,
        headers: wholes
      }
      for (const [field, given] of casesOf(bad)) {
        const { layer } = Server.make(Server.json({}), given as never)
        const exit = yield* Effect.exit(Effect.scoped(Effect.suspend(() => Layer.build(layer))))
        assert.strictEqual(wordOf(exit), field, JSON.stringify(given))
      }
    }))

  it.effect("are told with what is taken", () =>
    Effect.gen(function*() {
      const { layer } = Server.make(Server.json({}))
      const { sessions } = yield* Effect.provide(AshClient, layer)
      const handle = sessions.attach(id, { recovery: "always" as "none" })
      assert.strictEqual(
        (yield* Effect.flip(handle.ask("Hello!"))).reason.message,
        "recovery must be \"none\" or \"restart\""
      )
    }))
})
