import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { type AshPromise, connect, textDeltas, toTurn } from "../../src/promise.ts"
import { AshError } from "../../src/schema/AshError.ts"
import { otherId, session, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"
import * as Turns from "../support/turns.ts"

const echo: AgentScript.AgentScript = ({ prompt }) =>
  Stream.make(AgentScript.say(`You wrote: ${prompt}`), AgentScript.finish({ result: prompt }))

/** It says a word, and works until it is cut off. */
const endless: AgentScript.AgentScript = () => Stream.concat(Stream.make(AgentScript.say("I begin.")), Stream.never)

const embedded = () =>
  AshEmbedded.layer({ agents: { echo: { script: echo }, endless: { script: endless } }, quirks: { content: "intact" } })

const failure = (promise: Promise<unknown>) =>
  promise.then(() => assert.fail("it did not fail"), (error: unknown) => error)

const reasonOf = (error: unknown) => error instanceof AshError ? error.reason._tag : error

const statuses = (ash: AshPromise) => ash.sessions.list().then((sessions) => sessions.map(({ status }) => status))

describe("connect", () => {
  it("answers a client whose methods are promises and whose streams are async iterables", async () => {
    await using ash = await connect(embedded())
    assert.deepStrictEqual((await ash.agents.list()).map(({ name }) => name), ["echo", "endless"])
    await using session = await ash.sessions.open({ agent: "echo" })
    const tags: Array<string> = []
    for await (const event of session.stream("Hello")) tags.push(event._tag)
    assert.deepStrictEqual([tags.at(0), tags.at(-1)], ["SessionStart", "Done"])
    assert.strictEqual((await session.ask("Again")).text, "You wrote: Again")
    const { value } = await session.askAs(Schema.Struct({ born: Schema.Int }), `{"born":1815}`)
    assert.strictEqual(value.born, 1815)
    const history: Array<string> = []
    for await (const message of session.history()) history.push(message.role)
    assert.deepStrictEqual(history.slice(0, 1), ["user"])
  })

  it("a session ends with its block, and with its client", async () => {
    await using ash = await connect(AshEmbedded.layerHttp({ agents: { echo: { script: echo } } }))
    {
      await using session = await ash.sessions.open({ agent: "echo" })
      assert.strictEqual((await session.get()).status, "active")
    }
    assert.deepStrictEqual(await statuses(ash), ["ended"])
  })

  it("rejects with the package's own error, as it is", async () => {
    await using ash = await connect(embedded())
    const error = await failure(ash.sessions.get("00000000-0000-4000-8000-000000000000"))
    assert.strictEqual(reasonOf(error), "NotFound")
  })

  it("rejects where the layer cannot be made", async () => {
    assert.strictEqual(reasonOf(await failure(connect({ url: "no address" }))), "InvalidRequest")
  })

  it("an absent value is undefined", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "echo" })
    assert.isUndefined(await session.fence())
    assert.isUndefined(await session.recover())
  })

  it("files go out as bytes, text and whatever has bytes, and come in as bytes and text", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "echo" })
    const bytes = new TextEncoder().encode("bytes")
    const progress: Array<number> = []
    await session.files.write([
      { path: "text", content: "text" },
      { path: "bytes", content: bytes },
      { path: "blob", content: new Blob(["blob"]) },
      { path: "readable", content: new Blob(["readable"]).stream() },
      {
        path: "iterable",
        content: Stream.toAsyncIterableWith(Stream.make(bytes), await Effect.runPromise(Effect.context()))
      }
    ], { onProgress: async ({ filesWritten }) => progress.push(filesWritten) })
    assert.strictEqual(progress.at(-1), 5)
    for (const path of ["text", "bytes", "blob", "readable"]) {
      await using file = await session.files.read(path)
      assert.strictEqual(await file.text(), path)
    }
    const read = await session.files.read("iterable")
    const chunks: Array<Uint8Array> = []
    for await (const chunk of read.content) chunks.push(chunk)
    assert.strictEqual(new TextDecoder().decode(chunks[0]), "bytes")
    assert.strictEqual(await session.files.readText("text"), "text")
  })

  it("what a source of bytes throws rejects the call as it is", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "echo" })
    const broken = new Error("the disk is gone")
    const content = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(broken) })
    assert.strictEqual(await failure(session.files.write([{ path: "a", content }])), broken)
    assert.strictEqual(
      await failure(session.files.write([{ path: "a", content: "a" }], { onProgress: () => Promise.reject(broken) })),
      broken
    )
  })
})

describe("with", () => {
  it("an abort rejects with the signal's reason, a call as well as a stream, and closes what they hold", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "endless" })
    const controller = new AbortController()
    const reason = new Error("the user left")
    const bound = ash.with({ signal: controller.signal }).sessions.attach(session.id)
    const reading = failure((async () => {
      for await (const event of bound.stream("Hello")) if (event._tag === "Message") controller.abort(reason)
    })())
    assert.strictEqual(await reading, reason)
    assert.strictEqual(await failure(ash.with({ signal: controller.signal }).agents.list()), reason)
    assert.strictEqual(reasonOf(await failure(session.ask("More"))), "SessionFenced")
  })

  it("signals add up, and further options leave the others as they are", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "endless" })
    const controller = new AbortController()
    const inner = ash.with({ signal: controller.signal, timeouts: { turn: 1 } }).with({
      signal: new AbortController().signal,
      timeout: "1 minute"
    })
    assert.strictEqual(reasonOf(await failure(inner.sessions.attach(session.id).ask("Hello"))), "TimedOut")
    const reason = new Error("the user left")
    controller.abort(reason)
    assert.strictEqual(await failure(inner.agents.list()), reason)
  })

  it("a session ends with its block also where its signal has aborted", async () => {
    await using ash = await connect(embedded())
    const controller = new AbortController()
    {
      await using _session = await ash.with({ signal: controller.signal }).sessions.open({ agent: "echo" })
      controller.abort()
    }
    assert.deepStrictEqual(await statuses(ash), ["ended"])
  })

  it("sessions end side by side with their client", async () => {
    const all = Deferred.makeUnsafe<void>()
    const ids = [sessionId, otherId]
    let ends = 0
    let answered = 0
    const { layer } = Server.make(({ method }) => {
      if (method === "POST") return Server.json({ session: { ...session, id: ids.pop() } }, 201)()
      const end = ++ends === 2 ? Deferred.succeed(all, undefined) : Deferred.await(all)
      return Effect.map(end, () => {
        answered += 1
        return Server.json({ session: { ...session, status: "ended" } })()
      })
    })
    const ash = await connect(layer)
    await ash.sessions.open({ agent: "demo" })
    await ash.sessions.open({ agent: "demo" })
    await ash[Symbol.asyncDispose]()
    assert.strictEqual(answered, 2)
  })

  const ends: ReadonlyArray<readonly [string, (abort: () => void, ash: AshPromise) => unknown]> = [
    ["an abort", (abort) => abort()],
    ["the end of the client", (_, ash) => ash[Symbol.asyncDispose]()]
  ]
  it.each(ends)("%s closes a stream also while nothing is asked of it", async (_, end) => {
    const cut = Deferred.makeUnsafe<void>()
    const body = new ReadableStream({
      start: (response) => response.enqueue(new TextEncoder().encode(Server.frames(Turns.start))),
      cancel: () => void Effect.runSync(Deferred.succeed(cut, undefined))
    })
    const { layer } = Server.forTurns(() => new Response(body, { headers: { "content-type": "text/event-stream" } }))
    const ash = await connect(layer)
    const controller = new AbortController()
    const reason = new Error("the user left")
    const bound = ash.with({ signal: controller.signal })
    const iterator = bound.sessions.attach(sessionId).stream("Hello")[Symbol.asyncIterator]()
    await iterator.next()
    await end(() => controller.abort(reason), ash)
    await Effect.runPromise(Deferred.await(cut))
    const error = await failure(iterator.next())
    if (controller.signal.aborted) assert.strictEqual(error, reason)
    else assert.strictEqual(reasonOf(error), "WrongState")
    assert.deepStrictEqual(await iterator.next(), { done: true, value: undefined })
    await ash[Symbol.asyncDispose]()
  })

  it("leaving a loop closes the stream", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "endless" })
    for await (const event of session.stream("Hello")) if (event._tag === "Message") break
    assert.isString(await session.fence())
  })

  it("a stream that is asked for more before it has answered loses nothing", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "echo" })
    const options = { includePartialMessages: true }
    const streams: ReadonlyArray<() => AsyncIterable<unknown>> = [
      () => session.stream("Hello"),
      () => session.stream("Hello", options),
      () => textDeltas(session.stream("Hello", options)),
      () => session.turns(["One", "Two"])
    ]
    for (const stream of streams) {
      let expected = 0
      for await (const _ of stream()) expected += 1
      const iterator = stream()[Symbol.asyncIterator]()
      const results = await Promise.all(Array.from({ length: expected + 2 }, () => iterator.next()))
      assert.lengthOf(results.filter(({ done }) => done !== true), expected)
      assert.deepStrictEqual(
        results.slice(expected),
        Array.from({ length: 2 }, () => ({ done: true, value: undefined }))
      )
    }
    const iterator = ash.sessions.attach("none").stream("Hello")[Symbol.asyncIterator]()
    const ends = await Promise.allSettled([iterator.next(), iterator.next(), iterator.next()])
    assert.deepStrictEqual(ends.map(({ status }) => status), ["rejected", "fulfilled", "fulfilled"])
  })

  it("a stream that is left while it is asked for more ends at once, and answers that with its end", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "endless" })
    const iterator = session.stream("Hello")[Symbol.asyncIterator]()
    await iterator.next()
    const rest = (async () => {
      while (!(await iterator.next()).done);
      return "ended"
    })()
    assert.deepStrictEqual(await iterator.return?.(), { done: true, value: undefined })
    assert.strictEqual(await rest, "ended")
    assert.isString(await session.fence())
  })

  it("limits of calls are laid over those of the client", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "endless" })
    const limited = ash.with({ timeouts: { turn: "1 minute" } }).with({ timeouts: { turn: 1 } }).sessions.attach(
      session.id
    )
    assert.strictEqual(reasonOf(await failure(limited.ask("Hello"))), "TimedOut")
  })
})

describe("the end of a client", () => {
  it("aborts what runs, ends what it opened, and refuses what comes after", async () => {
    await using other = await connect(AshEmbedded.layer({ agents: { endless: { script: endless } } }))
    const ash = await connect(AshEmbedded.layer({ agents: { endless: { script: endless } } }))
    const session = await ash.sessions.open({ agent: "endless" })
    const iterator = session.stream("Hello")[Symbol.asyncIterator]()
    await iterator.next()
    const asked = failure((async () => {
      while (!(await iterator.next()).done);
    })())
    await ash[Symbol.asyncDispose]()
    assert.strictEqual(reasonOf(await asked), "WrongState")
    assert.strictEqual(reasonOf(await failure(ash.agents.list())), "WrongState")
    assert.strictEqual(reasonOf(await failure(session.ask("Hello"))), "WrongState")
    await ash[Symbol.asyncDispose]()
    assert.deepStrictEqual(await statuses(other), [])
  })
})

describe("events", () => {
  it("text as it arrives, and the turn as one value", async () => {
    await using ash = await connect(embedded())
    await using session = await ash.sessions.open({ agent: "echo" })
    let text = ""
    for await (const piece of textDeltas(session.stream("Hello", { includePartialMessages: true }))) text += piece
    assert.strictEqual(text, "You wrote: Hello")
    const pieces: Array<string> = []
    const turn = await toTurn(session.stream("Again"), { onText: (piece) => pieces.push(piece) })
    assert.deepStrictEqual([turn.text, pieces.join("")], ["You wrote: Again", "You wrote: Again"])
  })
})
