import { describe } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { AshClient } from "../../src/services/AshClient.ts"
import type { BufferOptions } from "../../src/services/RequestOptions.ts"
import { clientNames, clients } from "../support/clients.ts"
import { noSession, result, sessionId } from "../support/fixtures.ts"
import { isFull, promise } from "../support/promise.ts"
import { frames } from "../support/ScriptedServer.ts"

const mebibyte = 1_048_576

/** How long a server lets a reader stall before it lets go of it (contract 5.5). */
const patience = isFull ? 30_000 : 400

/** How long the consumer sleeps. */
const nap = isFull ? "60 seconds" : "800 millis"

const delta = frames(["text_delta", { delta: "x".repeat(1000) }])
const lastWords = frames(["error", { error: "Client write timeout — closing stream" }], ["done", { sessionId }])

/** A server that says so many bytes as fast as they are read, and lets go of who does not read. */
const talkative = Effect.fnUntraced(function*(size: number) {
  let written = 0
  const server = Http.createServer((request, response) => {
    request.resume()
    if (request.url?.includes(noSession) === true) {
      return response.writeHead(404, { "content-type": "application/json" }).end("{\"error\":\"x\"}")
    }
    response.writeHead(200, { "content-type": "text/event-stream" })
    const chunk = delta.repeat(64)
    let timer: NodeJS.Timeout | undefined
    const go = (): void => {
      clearTimeout(timer)
      while (written < size) {
        written += chunk.length
        if (!response.write(chunk)) {
          timer = setTimeout(() => {
            response.removeAllListeners("drain")
            response.end(lastWords)
          }, patience)
          response.once("drain", go)
          return
        }
      }
      response.end(frames(["message", result], ["done", { sessionId }]))
    }
    response.on("close", () => clearTimeout(timer))
    response.write(frames(["session_start", { sessionId }]))
    go()
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  )
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, written: () => written }
})

/** Consumes a turn, asleep from its first event on. */
const consume = Effect.fnUntraced(function*(client: keyof typeof clients, size: number, buffer: BufferOptions) {
  const server = yield* talkative(size)
  const { messages } = Context.get(
    yield* Layer.build(clients[client]({ url: server.url, apiKey: Redacted.make("key"), buffer })),
    AshClient
  )
  let events = 0
  let atWaking = 0
  const outcome = yield* Effect.result(
    Stream.runForEachArray(messages.send(sessionId, "hello"), (batch) =>
      Effect.gen(function*() {
        if (events === 0) {
          yield* Effect.sleep(nap)
          atWaking = server.written()
        }
        events += batch.length
      }))
  )
  return {
    atWaking,
    events,
    outcome: Result.isSuccess(outcome) ? "whole" : outcome.failure.reason._tag,
    expected: Math.ceil(size / (delta.length * 64)) * 64 + 3
  }
})

describe("a slow consumer", () => {
  promise(
    "P14",
    "is not cut off while the buffer holds what arrives",
    { fast: 12, full: 100 },
    (size) =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        yield* Effect.forEach(clientNames, (client) =>
          Effect.scoped(Effect.gen(function*() {
            const seen = yield* consume(client, size * mebibyte, { size: size * 2 * mebibyte })
            if (seen.outcome !== "whole" || seen.events !== seen.expected) {
              failures.push(`${client}: ${seen.outcome}, ${seen.events} of ${seen.expected} events`)
            }
          })), { concurrency: "unbounded" })
        return { cases: 3, failures, note: `${size} MiB while the consumer sleeps for ${nap}` }
      })
  )

  promise(
    "P14",
    "a full buffer is a failure, and what it held arrives",
    { fast: 12, full: 100 },
    (size) =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        yield* Effect.forEach(clientNames, (client) =>
          Effect.scoped(Effect.gen(function*() {
            const seen = yield* consume(client, size * mebibyte, { size: 2 * mebibyte, whenFull: "fail" })
            const held = Math.floor(2 * mebibyte / delta.length)
            if (seen.outcome !== "BufferFull" || seen.events < held) {
              failures.push(`${client}: ${seen.outcome}, ${seen.events} events`)
            }
          })), { concurrency: "unbounded" })
        return { cases: 3, failures }
      })
  )

  promise(
    "P14",
    "memory is bounded: a full buffer lets the server wait",
    { fast: 64, full: 200 },
    (size) =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        const seen: Array<string> = []
        yield* Effect.forEach(clientNames, (client) =>
          Effect.scoped(Effect.gen(function*() {
            const { atWaking, outcome } = yield* consume(client, size * mebibyte, { size: mebibyte })
            seen.push(`${client} ${Math.round(atWaking / mebibyte)} MiB`)
            // What the kernel and the client hold is not ours: some megabytes, whatever the size of the stream.
            if (atWaking > 24 * mebibyte) failures.push(`${client}: ${atWaking} bytes were taken in`)
            if (outcome !== "StreamTruncated") failures.push(`${client}: ${outcome}, where the server let go`)
          })), { concurrency: "unbounded" })
        return { cases: 3, failures, note: `taken in of ${size} MiB: ${seen.join(", ")}` }
      })
  )
})
