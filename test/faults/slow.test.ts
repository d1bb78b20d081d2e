import { describe } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { AshClient } from "../../src/services/AshClient.ts"
import type { BufferOptions } from "../../src/services/RequestOptions.ts"
import { clientNames, clients } from "../support/clients.ts"
import { noSession, result, sessionId } from "../support/fixtures.ts"
import { isFull, type Outcome, promise } from "../support/promise.ts"
import { frames, serve } from "../support/ScriptedServer.ts"

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
  const url = yield* serve((request, response) => {
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
  return { url, written: () => written }
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

type Seen = Effect.Success<ReturnType<typeof consume>>

/** What each client says against what was promised of a slow consumer, all at once. */
const onEachClient = (
  size: number,
  buffer: BufferOptions,
  check: (seen: Seen) => string | undefined,
  note?: (seen: ReadonlyArray<Seen>) => string
) =>
  Effect.map(
    Effect.forEach(clientNames, (client) => Effect.scoped(consume(client, size, buffer)), { concurrency: "unbounded" }),
    (seen): Outcome => ({
      cases: seen.length,
      failures: seen.flatMap((each, index) => {
        const failure = check(each)
        return failure === undefined ? [] : [`${clientNames[index]}: ${failure}`]
      }),
      note: note?.(seen) ?? ""
    })
  )

describe("a slow consumer", () => {
  promise("P14", "is not cut off while the buffer holds what arrives", { fast: 12, full: 100 }, (size) =>
    onEachClient(
      size * mebibyte,
      { size: size * 2 * mebibyte },
      ({ events, expected, outcome }) =>
        outcome === "whole" && events === expected ? undefined : `${outcome}, ${events} of ${expected} events`,
      () => `${size} MiB while the consumer sleeps for ${nap}`
    ))

  promise(
    "P14",
    "a full buffer is a failure, and what it held arrives",
    { fast: 12, full: 100 },
    (size) =>
      onEachClient(
        size * mebibyte,
        { size: 2 * mebibyte, whenFull: "fail" },
        ({ events, outcome }) =>
          outcome === "BufferFull" && events >= Math.floor(2 * mebibyte / delta.length)
            ? undefined
            : `${outcome}, ${events} events`
      )
  )

  promise(
    "P14",
    "memory is bounded: a full buffer lets the server wait",
    { fast: 64, full: 200 },
    (size) =>
      onEachClient(
        size * mebibyte,
        { size: mebibyte },
        ({ atWaking, outcome }) =>
          // What the kernel and the client hold is not ours: some megabytes, whatever the size of the stream.
          atWaking > 24 * mebibyte
            ? `${atWaking} bytes were taken in`
            : outcome === "StreamTruncated"
            ? undefined
            : `${outcome}, where the server let go`,
        (seen) =>
          `taken in of ${size} MiB: ${
            seen.map(({ atWaking }, index) => `${clientNames[index]} ${Math.round(atWaking / mebibyte)} MiB`).join(", ")
          }`
      )
  )
})
