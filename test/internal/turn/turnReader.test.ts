import { assert, describe, it, vi } from "@effect/vitest"
import type * as Arr from "effect/Array"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { Worker } from "node:worker_threads"
import type { TurnTimeouts } from "../../../src/client/RequestOptions.ts"
import type { TurnLimitsInput } from "../../../src/internal/turn/turnLimits.ts"
import { AshError } from "../../../src/schema/AshError.ts"
import { ConnectionLost } from "../../../src/schema/Reasons.ts"
import type { StreamEvent } from "../../../src/schema/StreamEvent.ts"
import { AshClient } from "../../../src/services/AshClient.ts"
import { type ClientName, clientNames, clients } from "../../support/clients.ts"
import { assistant, noSession, result, sessionId, user } from "../../support/fixtures.ts"
import { readTurn } from "../../support/readTurn.ts"
import { answering, frames } from "../../support/ScriptedServer.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const start = frames(["session_start", { sessionId }])
const done = frames(["done", { sessionId }])
const lost = new AshError({ operation: "test", reason: new ConnectionLost({ message: "the connection was lost" }) })

/** A turn of which pieces arrive when they are offered, and that is consumed so. */
const turn = Effect.fnUntraced(function*(
  limits: TurnLimitsInput,
  consume: (event: StreamEvent) => Effect.Effect<void> = () => Effect.void
) {
  const arriving = yield* Queue.unbounded<Uint8Array>()
  const fiber = yield* Effect.forkChild(
    Effect.result(Stream.runForEach(readTurn(Stream.fromQueue(arriving), { limits }), consume))
  )
  yield* TestClock.adjust(0)
  const outcome = Effect.map(Fiber.join(fiber), (ended) => {
    if (Result.isSuccess(ended)) return "whole"
    const { reason } = ended.failure
    return reason._tag === "TimedOut" ? reason.timer : reason._tag
  })
  return { say: (text: string) => Queue.offer(arriving, bytes(text)), outcome, fiber }
})

describe("silence", () => {
  it.effect("is not counted while the buffer is full: the server is not listened to", () =>
    Effect.gen(function*() {
      const { fiber, outcome, say } = yield* turn(
        { buffer: { size: 64 }, timeouts: { idle: "1 minute" } },
        ({ _tag }) => _tag === "SessionStart" ? Effect.sleep("10 minutes") : Effect.void
      )
      yield* say(start)
      yield* TestClock.adjust("1 second")
      yield* say(frames(["text_delta", { delta: "x".repeat(100) }]))
      yield* TestClock.adjust("5 minutes")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("5 minutes")
      yield* say(done)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* outcome, "whole")
    }))

  it.effect("is counted from when the buffer has room again", () =>
    Effect.gen(function*() {
      const { outcome, say } = yield* turn(
        { buffer: { size: 64 }, timeouts: { idle: "1 minute" } },
        ({ _tag }) => _tag === "SessionStart" ? Effect.sleep("10 minutes") : Effect.void
      )
      yield* say(start)
      yield* TestClock.adjust("1 second")
      yield* say(frames(["text_delta", { delta: "x".repeat(100) }]))
      yield* TestClock.adjust("12 minutes")
      assert.strictEqual(yield* outcome, "idle")
    }))

  it.effect("before the first event is not judged while what has arrived is not consumed", () =>
    Effect.gen(function*() {
      const { outcome, say } = yield* turn({ timeouts: { firstEvent: "1 minute" } })
      yield* TestClock.adjust("59 seconds")
      yield* say(start)
      yield* TestClock.adjust("1 second")
      yield* say(done)
      assert.strictEqual(yield* outcome, "whole")
    }))
})

describe("what arrives", () => {
  type Piece = Arr.NonEmptyReadonlyArray<Uint8Array>

  it.effect("behind a pause is consumed at once, and what arrives in a row together", () =>
    Effect.gen(function*() {
      const readers: Array<(piece: Effect.Effect<Piece>) => void> = []
      const arrive = (text: string) => readers.shift()?.(Effect.succeed([bytes(text)]))
      const body = Stream.fromPull(Effect.succeed(Effect.callback<Piece>((resume) => {
        readers.push(resume)
      })))
      const taken: Array<number> = []
      yield* Effect.forkChild(Stream.runForEachArray(readTurn(body), ({ length }) =>
        Effect.sync(() => {
          taken.push(length)
        })))
      yield* TestClock.adjust(0)
      const delta = frames(["text_delta", { delta: "On." }])
      const counts: Array<number> = []
      for (const text of [start, delta, delta]) {
        arrive(text)
        // No fiber has had its turn meanwhile.
        counts.push(taken.length)
        yield* TestClock.adjust("5 millis")
      }
      for (const text of [delta, delta, delta]) arrive(text)
      counts.push(taken.length)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(counts, [1, 2, 3, 4])
      assert.deepStrictEqual(taken, [1, 1, 1, 1, 2])
    }))
})

describe("a turn whose result has arrived", () => {
  const withResult = start + frames(["message", result])

  it.effect("does not wait out a silence for its end", () =>
    Effect.gen(function*() {
      const { fiber, outcome, say } = yield* turn({})
      yield* say(withResult)
      yield* TestClock.adjust("29 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* say(": a comment\n\n")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* outcome, "done")
    }))

  const text = assistant([{ type: "text", text: "On." }])
  const status = { type: "system", subtype: "status" }
  it.effect.each(
    [
      ["messages", frames(["message", text])],
      ["pieces", frames(["message", { type: "stream_event", event: { type: "message_start", message: {} } }])],
      ["answers of tools", frames(["message", user([{ type: "tool_result", tool_use_id: "t" }])])]
    ] as const
  )("goes on where %s follow, however slowly, up to another result", ([, more]) =>
    Effect.gen(function*() {
      const { fiber, outcome, say } = yield* turn({})
      yield* say(withResult)
      for (let step = 0; step < 3; step++) {
        yield* TestClock.adjust("29 seconds")
        yield* say(more)
        yield* TestClock.adjust("2 minutes")
      }
      yield* say(frames(["message", result]))
      yield* TestClock.adjust("29 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* say(done)
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* outcome, "whole")
    }))

  it.effect("waits for its end from the last message on, and not from the last comment", () =>
    Effect.gen(function*() {
      const { fiber, outcome, say } = yield* turn({})
      yield* say(withResult)
      for (let step = 0; step < 3; step++) {
        yield* TestClock.adjust("20 seconds")
        yield* say(frames(["message", status]))
      }
      yield* TestClock.adjust("29 seconds")
      yield* say(": a comment\n\n" + frames(["ping", {}]))
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* outcome, "done")
    }))

  it.effect("is not given up while what follows lies in the buffer", () =>
    Effect.gen(function*() {
      const { outcome, say } = yield* turn({}, (event) =>
        event._tag === "TurnComplete" ? Effect.sleep("5 minutes") : Effect.void)
      yield* say(withResult)
      yield* TestClock.adjust("1 second")
      yield* say(frames(["turn_complete", {}]))
      yield* TestClock.adjust("1 second")
      yield* say(frames(["message", text], ["message", result]))
      yield* TestClock.adjust("5 minutes")
      yield* say(done)
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* outcome, "whole")
    }))

  it.live.each(clientNames.map((client) => ({ client })))(
    "goes on behind it, over $client",
    ({ client }) =>
      Effect.gen(function*() {
        const url = yield* answering((_, response) => {
          const texts = [withResult, frames(["message", text]), frames(["message", result]), done]
          response.writeHead(200, { "content-type": "text/event-stream" })
          const next = () => {
            response.write(texts.shift() ?? "")
            if (texts.length > 0) setTimeout(next, 500)
          }
          next()
        })
        const { messages } = Context.get(
          yield* Layer.build(clients[client]({ url, apiKey: Redacted.make("key"), timeouts: { done: "1200 millis" } })),
          AshClient
        )
        const events = yield* Stream.runCollect(messages.send(sessionId, "hello"))
        assert.strictEqual(events.at(-1)?._tag, "Done")
      }).pipe(Effect.scoped)
  )

  it.effect("waits for it as long as its option allows", () =>
    Effect.gen(function*() {
      const { fiber, outcome, say } = yield* turn({ timeouts: { done: "off", idle: "5 minutes" } })
      yield* say(withResult)
      yield* TestClock.adjust("4 minutes")
      assert.isUndefined(fiber.pollUnsafe())
      yield* say(done)
      assert.strictEqual(yield* outcome, "whole")
    }))
})

describe("what comes in a row", () => {
  it.effect("is taken at once while the turn begins, so that its first text waits for nothing behind it", () =>
    Effect.gen(function*() {
      const order: Array<string> = []
      const delta = bytes(frames(["text_delta", { delta: "Hi" }]))
      const body = Stream.fromIterable([bytes(start), delta, delta, delta, delta, bytes(done)]).pipe(
        Stream.rechunk(1),
        // As a body of fetch: each piece by a promise.
        Stream.tap(() => Effect.promise(() => Promise.resolve(order.push("read"))))
      )
      yield* Stream.runForEach(readTurn(body), ({ _tag }) => Effect.sync(() => order.push(_tag)))
      assert.deepStrictEqual(order.slice(0, 4), ["read", "SessionStart", "read", "TextDelta"])
    }))
})

describe("the timers of a turn", () => {
  const ends: ReadonlyArray<readonly [how: string, body: Stream.Stream<Uint8Array, AshError>, taken: number]> = [
    ["whole", Stream.make(bytes(start), bytes(done)), Infinity],
    ["whole, on a connection that stays open", Stream.concat(Stream.make(bytes(start + done)), Stream.never), Infinity],
    ["cut off", Stream.make(bytes(start)), Infinity],
    ["broken", Stream.concat(Stream.make(bytes(start)), Stream.fail(lost)), Infinity],
    ["left by its consumer", Stream.concat(Stream.make(bytes(start)), Stream.never), 1]
  ]
  it.live.each(ends)("end with one that is %s: no process waits for them", ([, body, taken]) =>
    Effect.gen(function*() {
      // Those of the process have others among them, of what runs the test.
      const set = vi.spyOn(globalThis, "setTimeout")
      const cleared = vi.spyOn(globalThis, "clearTimeout")
      yield* Effect.addFinalizer(() => Effect.sync(() => vi.restoreAllMocks()))
      yield* Effect.exit(Stream.runDrain(Stream.take(readTurn(body), taken)))
      // That of the end of a connection is short.
      const timers = set.mock.results.filter((_, index) => Number(set.mock.calls[index]?.[1]) > 1000)
        .map(({ value }) => value)
      assert.isNotEmpty(timers)
      assert.includeMembers(cleared.mock.calls.flat(), timers)
    }))

  it.live("of a time that has passed when a turn begins are no warning of the platform", () =>
    Effect.gen(function*() {
      const warnings: Array<string> = []
      const onWarning = ({ name }: Error) => warnings.push(name)
      process.on("warning", onWarning)
      const limited = Stream.runDrain(readTurn(Stream.never, { limits: { timeouts: { turn: 0 } } }))
      assert.strictEqual((yield* Effect.flip(limited)).reason._tag, "TimedOut")
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      process.off("warning", onWarning)
      assert.deepStrictEqual(warnings, [])
    }))
})

describe("the connection of a turn that has ended", () => {
  it.effect("is closed in time, also while more and more arrives on it", () =>
    Effect.gen(function*() {
      const end = yield* Deferred.make<"closed" | "exhausted">()
      let pieces = 0
      const body = Stream.fromReadableStream({
        evaluate: () =>
          new ReadableStream<Uint8Array>({
            pull: (controller) => {
              pieces += 1
              controller.enqueue(bytes(pieces === 1 ? start + done : ":\n"))
              if (pieces < 100_000) return
              controller.close()
              Deferred.doneUnsafe(end, Effect.succeed("exhausted"))
            },
            cancel: () => void Deferred.doneUnsafe(end, Effect.succeed("closed"))
          }),
        onError: () => lost
      })
      yield* Stream.runDrain(readTurn(body, { limits: { buffer: { size: 1 } } }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Deferred.await(end), "closed")
    }))
})

describe("a program that computes", () => {
  /** A server in a thread of its own: it answers, and says more, while this one computes. */
  const server = `
    const { createServer } = require("node:http")
    const { parentPort, workerData } = require("node:worker_threads")
    const { delay, flag, noSession, now, later, startsLate } = workerData
    const server = createServer((request, response) => {
      request.resume()
      request.on("end", () => {
        if (request.url.includes(noSession)) {
          response.writeHead(404, { "content-type": "application/json" }).end('{"error":"x"}')
          return
        }
        const begin = () => response.writeHead(200, { "content-type": "text/event-stream" }).write(now)
        const written = () => {
          Atomics.store(flag, 0, 1)
          Atomics.notify(flag, 0)
        }
        if (!startsLate) begin()
        parentPort.postMessage("received")
        setTimeout(() => {
          if (startsLate) begin()
          response.write(later, written)
        }, delay)
      })
    })
    server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port))
  `

  interface Busy {
    readonly timeouts: TurnTimeouts
    readonly now: string
    readonly later: string
    /** Whether the program computes before the answer, not behind the first event. */
    readonly startsLate?: boolean
    /** Milliseconds until the server says the rest. */
    readonly delay?: number
  }

  /** A turn that says the rest while its program computes, for longer than the limit. */
  const run = Effect.fnUntraced(
    function*(client: ClientName, { delay = 600, later, now, startsLate = false, timeouts }: Busy) {
      const flag = new Int32Array(new SharedArrayBuffer(4))
      const said = yield* Queue.unbounded<unknown>()
      const worker = yield* Effect.acquireRelease(
        Effect.sync(() =>
          new Worker(server, { eval: true, workerData: { delay, flag, noSession, now, later, startsLate } })
        ),
        (worker) => Effect.promise(() => worker.terminate())
      )
      worker.on("message", (message) => Queue.offerUnsafe(said, message))
      const url = `http://127.0.0.1:${yield* Queue.take(said)}`
      const { messages } = Context.get(
        yield* Layer.build(clients[client]({ url, apiKey: Redacted.make("key"), timeouts })),
        AshClient
      )
      const compute = Effect.sync(() => {
        Atomics.wait(flag, 0, 0)
      })
      const fiber = yield* Effect.forkChild(Effect.result(Stream.runForEach(
        messages.send(sessionId, "hello"),
        ({ _tag }) => _tag === "SessionStart" && !startsLate ? compute : Effect.void
      )))
      if (startsLate) yield* Effect.andThen(Queue.take(said), compute)
      const outcome = yield* Fiber.join(fiber)
      return Result.isSuccess(outcome) ? "whole" : outcome.failure.message
    },
    Effect.scoped
  )

  const text = frames(["text_delta", { delta: "a" }])
  const cases: Readonly<Record<string, Busy>> = {
    headers: { timeouts: { headers: "2 seconds" }, now: start, later: done, startsLate: true, delay: 2300 },
    firstEvent: { timeouts: { firstEvent: "300 millis" }, now: start, later: text + done },
    idle: { timeouts: { idle: "300 millis" }, now: start, later: text + done },
    turn: { timeouts: { turn: "2 seconds" }, now: start, later: text.repeat(1000) + done, delay: 2300 },
    done: { timeouts: { done: "300 millis" }, now: start + frames(["message", result]), later: done }
  }
  it.live.each(Object.keys(cases).flatMap((limit) => clientNames.map((client) => ({ limit, client }))))(
    "does not fail as if nothing had arrived: $limit, over $client",
    ({ client, limit }) =>
      Effect.gen(function*() {
        const busy = cases[limit]
        assert.strictEqual(busy === undefined ? "" : yield* run(client, busy), "whole")
      })
  )
})
