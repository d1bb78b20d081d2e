import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Http from "node:http"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import { layerHttpServer } from "../../../src/embedded/EmbeddedServer.ts"
import {
  ask,
  at,
  framesOf,
  listAt,
  named,
  open,
  saidIn,
  say,
  send,
  statusOf,
  textAt,
  withServer
} from "../../support/embeddedServer.ts"

const mebibyte = 1_048_576
const cut = { event: "error", data: { error: "Client write timeout — closing stream" } }

/** Sends so many texts of a mebibyte each, numbered, and then writes a file. */
const talkative = Effect.fnUntraced(function*(texts: number) {
  const isOver = yield* Deferred.make<void>()
  const script: AgentScript.AgentScript = ({ prompt, workspace }) =>
    prompt === "short"
      ? Stream.make(AgentScript.say("short"))
      : Stream.range(1, texts).pipe(
        Stream.map((number) => AgentScript.say("", { pieces: [`${number} ${"x".repeat(mebibyte)}`] })),
        Stream.concat(Stream.drain(Stream.fromEffect(workspace.writeFile("late", "")))),
        Stream.ensuring(Deferred.succeed(isOver, undefined))
      )
  return { script, isOver: Deferred.await(isOver) }
})

const numbersIn = (texts: ReadonlyArray<string>) => texts.map((text) => Number.parseInt(text, 10))

/** The numbers of the texts that were stored. */
const stored = (path: string) =>
  Effect.map(
    ask("GET", `${path}/events?type=text`),
    ({ body }) => numbersIn(listAt(body, "events").map((event) => textAt(JSON.parse(textAt(event, "data")), "text")))
  )

const message = (path: string) => send("POST", `${path}/messages`, { json: { content: "long" } })

/** Moves the clock on, and lets all that is ready run in between. */
const pass = (seconds: number) =>
  Effect.repeat(
    Effect.andThen(
      Effect.promise(() => new Promise((resolve) => setImmediate(resolve))),
      TestClock.adjust("1 second")
    ),
    { times: seconds - 1 }
  )

describe("a reader that stalls", () => {
  const stalled = Effect.fnUntraced(function*(options: {
    readonly texts: number
    readonly seconds: number
    readonly cutStalledReaders?: boolean
  }) {
    const { isOver, script } = yield* talkative(options.texts)
    return yield* Effect.gen(function*() {
      const { id, path } = yield* open()
      const response = yield* message(path)
      yield* isOver
      yield* pass(options.seconds)
      const before = yield* stored(path)
      const frames = yield* framesOf(yield* response.text)
      const late = yield* ask("GET", `${path}/files/late`)
      assert.strictEqual(late.status, 200)
      assert.strictEqual(yield* statusOf(path), "active")
      assert.deepStrictEqual(frames.at(-1), { event: "done", data: { sessionId: id } })
      const after = yield* stored(path)
      assert.deepStrictEqual(saidIn(yield* say(path, "short")), ["short"])
      return { before, after, frames, texts: numbersIn(saidIn(frames)) }
    }).pipe(withServer({ script, quirks: { cutStalledReaders: options.cutStalledReaders ?? true } }))
  })

  it.effect("is cut off after 30 seconds, behind the frames that are on their way, and nothing further is stored", () =>
    Effect.gen(function*() {
      const { after, before, frames, texts } = yield* stalled({ texts: 9, seconds: 31 })
      assert.deepStrictEqual(texts, [1, 2, 3, 4])
      assert.deepStrictEqual(frames.at(-2), cut)
      // The fourth is more than may wait: it is on its way, and was never taken.
      assert.deepStrictEqual(before, [1, 2, 3])
      assert.deepStrictEqual(after, before)
      assert.isFalse(frames.some(named("turn_complete")))
    }))

  it.effect("is not cut off before that, and has all when it reads again", () =>
    Effect.gen(function*() {
      const { after, before, frames, texts } = yield* stalled({ texts: 9, seconds: 28 })
      assert.deepStrictEqual(texts, [1, 2, 3, 4, 5, 6, 7, 8, 9])
      assert.isFalse(frames.some(named("error")))
      assert.deepStrictEqual(before, [1, 2, 3])
      assert.deepStrictEqual(after, texts)
    }))

  it.effect("is not cut off as long as all frames can wait", () =>
    Effect.gen(function*() {
      const { after, before, texts } = yield* stalled({ texts: 3, seconds: 4000 })
      assert.deepStrictEqual(texts, [1, 2, 3])
      assert.deepStrictEqual(before, texts)
      assert.deepStrictEqual(after, texts)
    }))

  it.effect("is never cut off without the quirk", () =>
    Effect.gen(function*() {
      const { after, before, texts } = yield* stalled({ texts: 9, seconds: 4000, cutStalledReaders: false })
      assert.deepStrictEqual(texts, [1, 2, 3, 4, 5, 6, 7, 8, 9])
      assert.deepStrictEqual(before, texts)
      assert.deepStrictEqual(after, texts)
    }))

  it.effect("and disconnects, changes nothing of what is stored without the quirk of disconnects", () =>
    Effect.gen(function*() {
      const { isOver, script } = yield* talkative(9)
      yield* Effect.gen(function*() {
        const { path } = yield* open()
        yield* Effect.scoped(Effect.gen(function*() {
          const response = yield* message(path)
          yield* Stream.runHead(response.stream)
        }))
        yield* isOver
        yield* pass(60)
        assert.deepStrictEqual(yield* stored(path), [1, 2, 3, 4, 5, 6, 7, 8, 9])
      }).pipe(withServer({ script, quirks: { dropAfterDisconnect: false } }))
    }))

  it.effect("for less than 30 seconds at a time is not cut off, however long it takes", () =>
    Effect.gen(function*() {
      const { isOver, script } = yield* talkative(9)
      yield* Effect.gen(function*() {
        const { path } = yield* open()
        const response = yield* message(path)
        yield* isOver
        const bytes: Array<Uint8Array> = []
        yield* Effect.scoped(Effect.gen(function*() {
          const pull = yield* Stream.toPull(response.stream)
          yield* Effect.forever(Effect.gen(function*() {
            bytes.push(...(yield* pull))
            yield* pass(29)
          })).pipe(Effect.catchCause((cause) => Cause.hasFails(cause) ? Effect.void : Effect.failCause(cause)))
        }))
        const frames = yield* framesOf(Buffer.concat(bytes).toString())
        assert.strictEqual(saidIn(frames).length, 9)
        assert.isFalse(frames.some(named("error")))
      }).pipe(withServer({ script }))
    }))

  it.effect("is cut off on a socket as well", () =>
    Effect.gen(function*() {
      const { isOver, script } = yield* talkative(48)
      yield* Effect.gen(function*() {
        const { address } = yield* HttpServer.HttpServer
        const request = (method: string, path: string, json?: unknown) =>
          Effect.callback<Http.IncomingMessage, Error>((resume) => {
            Http.request(HttpServer.formatAddress(address) + path, {
              method,
              agent: false,
              headers: {
                authorization: "Bearer embedded",
                ...(json === undefined ? {} : { "content-type": "application/json" })
              }
            }, (response) => resume(Effect.succeed(response)))
              .on("error", (error) => resume(Effect.fail(error)))
              .end(json === undefined ? undefined : JSON.stringify(json))
          })
        const textOf = (response: Http.IncomingMessage) =>
          Effect.promise(async () => {
            const chunks: Array<Buffer> = []
            for await (const chunk of response) chunks.push(chunk)
            return Buffer.concat(chunks).toString()
          })
        const json = Effect.fnUntraced(function*(method: string, path: string, body?: unknown) {
          return JSON.parse(yield* textOf(yield* request(method, path, body)))
        })
        yield* json("POST", "/api/agents", { name: "demo" })
        const created = yield* json("POST", "/api/sessions", { agent: "demo" })
        const path = `/api/sessions/${textAt(created, "session", "id")}`
        // It is not read: its bytes fill the buffers of both ends.
        const response = yield* request("POST", `${path}/messages`, { content: "long" })
        yield* isOver
        for (let exchange = 0; exchange < 20; exchange++) {
          yield* json("GET", path)
          yield* TestClock.adjust("31 seconds")
        }
        const { events } = yield* json("GET", `${path}/events?type=text`)
        const frames = yield* framesOf(yield* textOf(response))
        const texts = numbersIn(saidIn(frames))
        assert.deepStrictEqual(frames.at(-2), cut)
        assert.strictEqual(at(frames.at(-1)?.data, "sessionId"), textAt(created, "session", "id"))
        assert.isBelow(texts.length, 48)
        assert.strictEqual(events.length, texts.length - 1)
      }).pipe(Effect.provide(layerHttpServer({ apiKey: Redacted.make("embedded"), script })), Effect.scoped)
    }))
})
