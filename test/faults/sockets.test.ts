import { describe } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import { AshClient } from "../../src/services/AshClient.ts"
import { clientNames, clients } from "../support/clients.ts"
import { noSession, session, sessionId } from "../support/fixtures.ts"
import { isFull, promise } from "../support/promise.ts"
import { frames, serve } from "../support/ScriptedServer.ts"

const start = frames(["session_start", { sessionId }])
const delta = frames(["text_delta", { delta: "some words " }], [
  "message",
  { type: "stream_event", event: { type: "content_block_delta", delta: { type: "text_delta", text: "some words " } } }
])

/** A server whose turns never end, and say something every so often. */
const endless = (every: number) =>
  Effect.gen(function*() {
    let streams = 0
    const url = yield* serve((request, response) => {
      request.resume()
      if (request.url?.includes(noSession) === true) {
        response.writeHead(404, { "content-type": "application/json" }).end("{\"error\":\"Session not found\"}")
      } else if (request.method === "POST") {
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.write(start)
        const timer = setInterval(() => response.write(delta), every)
        streams += 1
        response.on("close", () => {
          clearInterval(timer)
          streams -= 1
        })
      } else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ session }))
    })
    return { url, streams: () => streams }
  })

const until = Effect.fnUntraced(function*(isSo: () => boolean) {
  for (let waited = 0; !isSo() && waited < 100; waited++) yield* Effect.sleep("10 millis")
})

const connect = Effect.fnUntraced(function*(client: keyof typeof clients, url: string) {
  const options = { url, apiKey: Redacted.make("key"), timeouts: { idle: "off", firstEvent: "off" } } as const
  return Context.get(yield* Layer.build(clients[client](options)), AshClient)
})

V8.setFlagsFromString("--expose_gc")
const collectGarbage: () => void = Vm.runInNewContext("gc")

const heap = Effect.sync(() => {
  collectGarbage()
  return process.memoryUsage().heapUsed
})

const megabytes = (bytes: number) => `${(bytes / 1_048_576).toFixed(1)} MB`

describe("sockets", () => {
  for (const client of clientNames) {
    promise(
      "P10",
      `letting go of a stream frees its socket (${client})`,
      { fast: 30, full: 1800 },
      (size) =>
        Effect.gen(function*() {
          const server = yield* endless(20)
          const { messages } = yield* connect(client, server.url)
          const stream = messages.send(sessionId, "hello")
          const ways = [
            Effect.asVoid(Stream.runDrain(Stream.take(stream, 1))),
            Effect.gen(function*() {
              const fiber = yield* Effect.forkChild(Stream.runDrain(stream))
              yield* Effect.sleep("5 millis")
              yield* Fiber.interrupt(fiber)
            }),
            Effect.asVoid(Effect.timeoutOption(Stream.runDrain(stream), "15 millis"))
          ]
          yield* Effect.forEach(
            Array.from({ length: size }, (_, index) => index),
            (index) => ways[index % 3] ?? Effect.void,
            {
              concurrency: 30,
              discard: true
            }
          )
          yield* until(() => server.streams() === 0)
          return { cases: size, failures: server.streams() === 0 ? [] : [`${server.streams()} sockets are open`] }
        })
    )
  }

  promise(
    "P11",
    "many streams for a long time: the heap stays flat",
    { fast: 40, full: 1000 },
    (size) =>
      Effect.gen(function*() {
        const server = yield* endless(isFull ? 100 : 10)
        const { messages } = yield* connect("node:http", server.url)
        const tick = isFull ? "20 seconds" : "150 millis"
        const fibers = yield* Effect.forkChild(Effect.replicateEffect(
          // Until the test has seen enough: what is heard of a turn is kept for its failure, so it is a short one each.
          Effect.forever(
            Effect.timeoutOption(Stream.runDrain(messages.send(sessionId, "hello")), isFull ? "5 seconds" : "50 millis")
          ),
          size,
          { concurrency: "unbounded", discard: true }
        ))
        yield* Effect.sleep(tick)
        const before = yield* heap
        yield* Effect.sleep(tick)
        yield* Effect.sleep(tick)
        const after = yield* heap
        yield* Fiber.interrupt(fibers)
        return {
          cases: size,
          failures: after > before * 1.5 + 4_000_000 ? [`${megabytes(before)}, then ${megabytes(after)}`] : [],
          note: `${megabytes(before)}, then ${megabytes(after)}`
        }
      })
  )

  promise(
    "P11",
    "many short calls on one runtime: the heap and the listeners stay flat",
    { fast: 600, full: 100_000 },
    (size) =>
      Effect.gen(function*() {
        const warnings: Array<string> = []
        const onWarning = ({ message }: Error) => warnings.push(message)
        process.on("warning", onWarning)
        yield* Effect.addFinalizer(() => Effect.sync(() => process.off("warning", onWarning)))
        const server = yield* endless(1000)
        const { sessions } = yield* connect("node:http", server.url)
        const calls = (count: number) =>
          Effect.forEach(Array.from({ length: count }), () => sessions.get(sessionId), {
            concurrency: 16,
            discard: true
          })
        yield* calls(size / 5)
        const before = yield* heap
        yield* calls(size)
        const after = yield* heap
        return {
          cases: size,
          failures: [
            ...warnings,
            ...(after > before + 3_000_000 ? [`${megabytes(before)}, then ${megabytes(after)}`] : [])
          ],
          note: `${megabytes(before)}, then ${megabytes(after)}`
        }
      })
  )
})
