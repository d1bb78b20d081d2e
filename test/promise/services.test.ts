import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as Ash from "../../src/layers/Ash.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { type AshPromise, connect } from "../../src/promise.ts"
import { AshError } from "../../src/schema/AshError.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { Sessions } from "../../src/services/Sessions.ts"

const echo: AgentScript.AgentScript = ({ prompt }) => Stream.make(AgentScript.say(`You wrote: ${prompt}`))

const embedded = () => AshEmbedded.layer({ agents: { echo: { script: echo } }, quirks: { content: "intact" } })

const id = "00000000-0000-4000-8000-000000000000"

const failure = (promise: Promise<unknown>) =>
  promise.then(() => assert.fail("it did not fail"), (error: unknown) => error)

const collect = async <A>(items: AsyncIterable<A>) => {
  const all: Array<A> = []
  for await (const item of items) all.push(item)
  return all
}

/** The names of the members of a value, with those of its groups. */
const namesOf = (value: object): ReadonlyArray<string> =>
  Object.entries(value).flatMap(([name, member]) =>
    Predicate.isObject(member) && !Effect.isEffect(member) && !Stream.isStream(member) && !Array.isArray(member)
      ? namesOf(member).map((inner) => `${name}.${inner}`)
      : [name]
  ).toSorted()

const isAsyncIterable = (value: unknown): value is AsyncIterable<unknown> =>
  Predicate.hasProperty(value, Symbol.asyncIterator)

describe("what the services have", () => {
  // What a program of promises has in another form.
  const leftOut = ["sessions.layerScope", "sessions.scoped"]

  it("a client has, by the same names", async () => {
    await using ash = await connect(embedded())
    const services = await Effect.runPromise(
      Effect.provide(AshClient, Ash.layer({ url: "http://localhost:1", apiKey: "key" }))
    )
    const { with: _with, ...promises } = ash
    const expected = Object.entries(services).flatMap(([service, members]) =>
      namesOf(members).map((name) => `${service}.${name}`)
    )
    assert.deepStrictEqual(
      Object.entries(promises).flatMap(([service, members]) => namesOf(members).map((name) => `${service}.${name}`))
        .toSorted(),
      expected.filter((name) => !leftOut.includes(name) && !name.startsWith("sessions.layerScope")).toSorted()
    )
  })

  it("a session has, by the same names", async () => {
    await using ash = await connect(embedded())
    const handle = await Effect.runPromise(
      Effect.map(Sessions, (sessions) => sessions.attach(id)).pipe(
        Effect.provide(Ash.layer({ url: "http://localhost:1", apiKey: "key" }))
      )
    )
    assert.deepStrictEqual(namesOf(ash.sessions.attach(id)), namesOf(handle))
  })

  const refusal = (path: string) => (error: unknown) => void assert.instanceOf(error, AshError, path)

  /** Calls each method, and waits until all that it answers has ended; answers how many there are. */
  const callAll = async (ash: AshPromise, argumentsOf: (path: string) => ReadonlyArray<unknown>) => {
    const answers: Array<Promise<void>> = []
    const call = (path: string, value: object) => {
      for (const [name, member] of Object.entries(value)) {
        if (`${path}.${name}` === "ash.sessions.attach" || Array.isArray(member)) continue
        if (Predicate.isObject(member)) call(`${path}.${name}`, member)
        if (!Predicate.isFunction(member)) continue
        const answer: unknown = member(...argumentsOf(`${path}.${name}`))
        if (!isAsyncIterable(answer) && !(answer instanceof Promise)) {
          return assert.fail(`${path}.${name} answers no promise`)
        }
        const ended = isAsyncIterable(answer) ? collect(answer) : answer
        answers.push(ended.then(() => undefined, refusal(`${path}.${name}`)))
      }
    }
    const { with: _with, ...services } = ash
    call("ash", services)
    call("session", ash.sessions.attach(id))
    await Promise.all(answers)
    return answers.length
  }

  it("each method answers a promise, which rejects with AshError only, or an async iterable", async () => {
    await using ash = await connect(embedded())
    const count = await callAll(
      ash,
      (path) => /\.(?:write|import)/.test(path) ? path === "session.files.write" ? [[]] : [id, []] : [id, {}, {}, {}]
    )
    assert.isAbove(count, 80)
  })

  const nothing: ReadonlyArray<ReadonlyArray<unknown>> = [undefined, null, 7, [null]].flatMap((none) => [
    [none, none, none],
    [id, none, none],
    [id, [], none],
    [id, {}, none]
  ])
  it.each(nothing)("each method does so whatever it is given: %j, %j, %j", async (...given) => {
    await using ash = await connect(embedded())
    assert.isAbove(await callAll(ash, () => given), 100)
  })

  it("null is nothing, as in an option that is not there", async () => {
    await using ash = await connect(embedded())
    const untyped: typeof undefined = JSON.parse("null")
    assert.lengthOf(await ash.with(JSON.parse("null")).agents.list(), 1)
    const outcomeOf = (connecting: Promise<AshPromise>) => connecting.then((ash) => ash[Symbol.asyncDispose](), String)
    assert.strictEqual(await outcomeOf(connect(JSON.parse("null"))), await outcomeOf(connect()))
    await using session = await ash.with({ signal: untyped }).sessions.open({ agent: "echo" }, untyped)
    assert.strictEqual((await session.ask("Hello", untyped)).text, "You wrote: Hello")
    assert.lengthOf(await collect(session.stream("Hello", untyped)), 6)
    await session.files.write([{ path: "a", content: "a" }], untyped)
    assert.lengthOf(await collect(ash.agents.batch("echo", ["One"], untyped)), 1)
  })
})

describe("prompts", () => {
  const written = async function*() {
    yield "One"
    yield "Two"
  }
  const broken = new Error("the list is gone")
  const breaking = async function*() {
    yield "One"
    throw broken
  }

  it("of turns come from a list or an async iterable, and what that throws ends the loop behind the turns before", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "echo" })
    for (const prompts of [["One", "Two"], written()]) {
      const texts = (await collect(session.turns(prompts))).map(({ text }) => text)
      assert.deepStrictEqual(texts, ["You wrote: One", "You wrote: Two"])
    }
    const seen: Array<string> = []
    const loop = async () => {
      for await (const { text } of session.turns(breaking())) seen.push(text)
    }
    assert.strictEqual(await failure(loop()), broken)
    assert.deepStrictEqual(seen, ["You wrote: One"])
  })

  it("of turns are taken when the loop asks, and none behind the turn at which it is left", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "echo" })
    for await (const { text } of session.turns(written())) {
      assert.strictEqual(text, "You wrote: One")
      const stored = await collect(session.history())
      assert.lengthOf(stored.filter(({ role }) => role === "user"), 1)
      break
    }
    assert.isUndefined(await session.fence())
  })

  it("of a batch have results one by one, and progress by a function", async () => {
    await using ash = await connect(embedded())
    const done: Array<number> = []
    const results = await collect(ash.agents.batch("echo", written(), {
      sessions: 1,
      onProgress: async (progress) => done.push(progress.done)
    }))
    assert.deepStrictEqual(
      results.map(({ prompt, result }) => [prompt, result._tag === "Success" ? result.success.text : result.failure]),
      [["One", "You wrote: One"], ["Two", "You wrote: Two"]]
    )
    assert.deepStrictEqual(done, [1, 2])
    assert.deepStrictEqual((await ash.sessions.list()).map(({ status }) => status), ["ended"])
  })

  it("of a batch are asked by a function, which has a session of promises; what it throws is a result", async () => {
    await using ash = await connect(embedded())
    const results = await collect(ash.agents.batchWith("echo", [1, 2, 3], async (session, prompt, index) => {
      if (prompt === 2) throw broken
      return `${index}: ${(await session.ask(`${prompt}`)).text}`
    }, { concurrency: 1 }))
    assert.deepStrictEqual(
      results.map(({ result }) => result._tag === "Success" ? result.success : result.failure),
      ["0: You wrote: 1", broken, "2: You wrote: 3"]
    )
  })

  it("a loop that is left ends a batch and its sessions, and rejects nothing that no program sees", async () => {
    await using ash = await connect(
      AshEmbedded.layer({ agents: { echo: { script: () => Stream.never } }, quirks: { content: "intact" } })
    )
    const controller = new AbortController()
    const loop = async () => {
      const bound = ash.with({ signal: controller.signal })
      for await (
        const _ of bound.agents.batchWith("echo", ["One", "Two"], (session, prompt) => {
          const asked = session.ask(prompt)
          controller.abort()
          return asked
        })
      );
    }
    assert.strictEqual(Object(await failure(loop())).name, "AbortError")
    assert.isEmpty((await ash.sessions.list()).filter(({ status }) => status === "active"))
  })
})

describe("keys", () => {
  it("are plain text, in and out", async () => {
    await using ash = await connect(embedded())
    await ash.credentials.createAnthropic("sk-ant-1", { label: "a" })
    await ash.credentials.createBedrock({ accessKeyId: "AKIA", secretAccessKey: "secret", region: "us-east-1" })
    assert.deepStrictEqual((await ash.credentials.list()).map(({ type }) => type).toSorted(), ["anthropic", "bedrock"])
    const { key } = await ash.apiKeys.create({ label: "b" })
    assert.isString(key)
    assert.notInclude(key, "redacted")
    const error = await failure(ash.credentials.createOpenAi(""))
    assert.strictEqual(error instanceof AshError ? error.reason._tag : error, "InvalidRequest")
  })
})

describe("a client", () => {
  const rows: ReadonlyArray<readonly [what: string, options: Record<string, unknown>]> = [
    ["no options", {}],
    ["an address that is none", { url: "::" }],
    ["a key of two words", { url: "http://localhost:1", apiKey: "a b" }]
  ]
  it.each(rows)("is refused for %s", async (_, options) => {
    const error = await failure(connect(Object(options)))
    assert.strictEqual(error instanceof AshError ? error.reason._tag : error, "InvalidRequest")
  })

  it("and its sessions end in any order, twice, and at once", async () => {
    const ends: ReadonlyArray<(ash: AsyncDisposable, session: AsyncDisposable) => Promise<unknown>> = [
      async (ash, session) => {
        await ash[Symbol.asyncDispose]()
        await session[Symbol.asyncDispose]()
      },
      async (ash, session) => {
        await session[Symbol.asyncDispose]()
        await session[Symbol.asyncDispose]()
        await ash[Symbol.asyncDispose]()
      },
      (ash, session) => Promise.all([ash, session, session, ash].map((disposable) => disposable[Symbol.asyncDispose]()))
    ]
    for (const end of ends) {
      const ash = await connect(embedded())
      const session = await ash.sessions.open({ agent: "echo" })
      await end(ash, session)
      assert.instanceOf(await failure(session.ask("Hello")), AshError)
    }
  })

  it("a reason of an abort is what calls reject with, whatever it is", async () => {
    await using ash = await connect(embedded())
    for (const reason of ["left", 0, null, new Error("left")]) {
      const bound = ash.with({ signal: AbortSignal.abort(reason) })
      assert.strictEqual(await failure(bound.agents.list()), reason)
      assert.strictEqual(await failure(collect(bound.sessions.attach(id).stream("Hello"))), reason)
    }
  })
})
