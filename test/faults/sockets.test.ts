import { describe } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import { AshClient } from "../../src/services/AshClient.ts"
import { clientNames, clients } from "../support/clients.ts"
import { eventually } from "../support/clock.ts"
import { result, session, sessionId } from "../support/fixtures.ts"
import { isFull, promise } from "../support/promise.ts"
import { answering, frames } from "../support/ScriptedServer.ts"

const delta = frames(["text_delta", { delta: "some words " }], [
  "message",
  { type: "stream_event", event: { type: "content_block_delta", delta: { type: "text_delta", text: "some words " } } }
])

/** A server whose turns say something every so many milliseconds, so many times, and then end. */
const saying = (every: number, times: number) =>
  Effect.gen(function*() {
    let streams = 0
    const arrivals = new Map<string, Deferred.Deferred<void>>()
    const arrival = (id: string) => {
      const known = arrivals.get(id) ?? Deferred.makeUnsafe<void>()
      arrivals.set(id, known)
      return known
    }
    const url = yield* answering((request, response) => {
      const [, id = ""] = /sessions\/([^/]+)/.exec(request.url ?? "") ?? []
      if (request.method === "POST") {
        streams += 1
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.write(frames(["session_start", { sessionId: id }]))
        let said = 0
        const timer = setInterval(() => {
          if (said++ < times) response.write(delta)
          else response.end(frames(["message", result], ["done", { sessionId: id }]))
        }, every)
        response.on("close", () => {
          clearInterval(timer)
          streams -= 1
        })
        Deferred.doneUnsafe(arrival(id), Effect.void)
      } else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ session }))
    })
    return { url, streams: () => streams, arrived: (id: string) => Deferred.await(arrival(id)) }
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
      `an interrupted stream closes its socket (${client})`,
      { fast: 30, full: 1800 },
      (size) =>
        Effect.gen(function*() {
          const server = yield* saying(20, Infinity)
          const { messages } = yield* connect(client, server.url)
          /** Interrupts a turn when something has happened to it. */
          const interrupted = Effect.fnUntraced(function*(
            turn: Effect.Effect<unknown, unknown>,
            happened: Effect.Effect<void>
          ) {
            const fiber = yield* Effect.forkChild(turn)
            yield* Effect.raceFirst(happened, Fiber.await(fiber))
            yield* Fiber.interrupt(fiber)
          })
          const letGo = Effect.fnUntraced(function*(index: number) {
            const id = randomUUID()
            const stream = messages.send(id, "hello")
            const received = yield* Deferred.make<void>()
            const isReceived = Stream.runForEach(Stream.drop(stream, index % 5), () =>
              Deferred.succeed(received, undefined))
            switch (index % 3) {
              case 0:
                return yield* Stream.runDrain(Stream.take(stream, 1 + index % 5))
              case 1:
                return yield* interrupted(isReceived, Deferred.await(received))
              default:
                return yield* interrupted(Stream.runDrain(stream), server.arrived(id))
            }
          })
          yield* Effect.forEach(
            Array.from({ length: size }, (_, index) =>
              index),
            letGo,
            {
              concurrency: 30,
              discard: true
            }
          )
          yield* eventually(() => server.streams() === 0)
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
        const server = yield* saying(isFull ? 100 : 5, isFull ? 50 : 5)
        const { messages } = yield* connect("node:http", server.url)
        let turns = 0
        const turn = (id: string) =>
          Effect.map(Stream.runDrain(messages.send(id, "hello")), () => {
            turns += 1
          })
        const fibers = yield* Effect.forkChild(Effect.forEach(
          Array.from({ length: size }, () => randomUUID()),
          (id) => Effect.forever(turn(id)),
          { concurrency: "unbounded", discard: true }
        ))
        const heapAfter = (rounds: number) =>
          Effect.andThen(Effect.raceFirst(eventually(() => turns >= rounds * size), Fiber.join(fibers)), heap)
        const before = yield* heapAfter(4)
        const after = yield* heapAfter(12)
        yield* Fiber.interrupt(fibers)
        return {
          cases: size,
          failures: [
            ...(turns < 12 * size ? [`${turns} turns`] : []),
            ...(after > before * 1.5 + 4_000_000 ? [`${megabytes(before)}, then ${megabytes(after)}`] : [])
          ],
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
        const server = yield* saying(1000, Infinity)
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
