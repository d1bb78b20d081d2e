import { describe } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { BufferOptions } from "../../src/client/RequestOptions.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { clientNames, clients } from "../support/clients.ts"
import { eventually } from "../support/clock.ts"
import { result, sessionId } from "../support/fixtures.ts"
import { type Outcome, promise } from "../support/promise.ts"
import { answering, frames } from "../support/ScriptedServer.ts"

const mebibyte = 1_048_576

const delta = frames(["text_delta", { delta: "x".repeat(1000) }])
const lastWords = frames(["error", { error: "Client write timeout — closing stream" }], ["done", { sessionId }])

/** What a server is at: it says its bytes, nothing more is taken in, all is said, or the client has gone. */
type State = "saying" | "stuck" | "said" | "closed"

/**
 * A server that says so many bytes as fast as they are read. If the test wants it, it turns away from a reader that
 * takes nothing in, as real ones do after 30 seconds (docs/ash.md 4.5).
 */
const talkative = Effect.fnUntraced(function*(size: number, turnsAway: boolean) {
  let written = 0
  let state: State = "saying"
  const url = yield* answering((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" })
    const chunk = delta.repeat(64)
    let timer: NodeJS.Timeout | undefined
    const go = (): void => {
      clearTimeout(timer)
      state = "saying"
      while (written < size) {
        written += chunk.length
        if (!response.write(chunk)) {
          response.once("drain", go)
          timer = setTimeout(() => {
            state = "stuck"
            if (turnsAway) response.off("drain", go).end(lastWords)
          }, 1000)
          return
        }
      }
      response.end(frames(["message", result], ["done", { sessionId }]), () => {
        state = "said"
      })
    }
    response.on("close", () => {
      clearTimeout(timer)
      if (state === "saying" || state === "stuck") state = "closed"
    })
    response.write(frames(["session_start", { sessionId }]))
    go()
  })
  return { url, state: () => state, written: () => written }
})

interface Consumption {
  readonly size: number
  readonly buffer: BufferOptions
  /** What the server is at when the consumer, which sleeps from its first event on, goes on. */
  readonly asleepUntil: ReadonlyArray<State>
  readonly turnsAway?: boolean
}

/** Consumes a turn. */
const consume = Effect.fnUntraced(function*(
  client: keyof typeof clients,
  { asleepUntil, buffer, size, turnsAway = false }: Consumption
) {
  const server = yield* talkative(size, turnsAway)
  const { messages } = Context.get(
    yield* Layer.build(clients[client]({ url: server.url, apiKey: Redacted.make("key"), buffer })),
    AshClient
  )
  let events = 0
  let atWaking = 0
  const outcome = yield* Effect.result(
    Stream.runForEachArray(messages.send(sessionId, "hello"), (batch) =>
      Effect.gen(function*() {
        // Each time: where a busy machine made the server believe that it was stuck, it soon goes on.
        yield* eventually(() => asleepUntil.includes(server.state()))
        if (events === 0) atWaking = server.written()
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
  consumption: Consumption,
  check: (seen: Seen) => string | undefined,
  note?: (seen: ReadonlyArray<Seen>) => string
) =>
  Effect.map(
    Effect.forEach(clientNames, (client) => Effect.scoped(consume(client, consumption)), { concurrency: "unbounded" }),
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
  promise(
    "P14",
    "a slow consumer is not cut off while the buffer holds what arrives",
    { fast: 12, full: 100 },
    (size) =>
      onEachClient(
        { size: size * mebibyte, buffer: { size: size * 2 * mebibyte }, asleepUntil: ["said", "closed"] },
        ({ events, expected, outcome }) =>
          outcome === "whole" && events === expected ? undefined : `${outcome}, ${events} of ${expected} events`,
        () => `${size} MiB while the consumer sleeps`
      )
  )

  promise(
    "P14",
    "a full buffer is a failure, and what it held arrives",
    { fast: 12, full: 100 },
    (size) =>
      onEachClient(
        {
          size: size * mebibyte,
          buffer: { size: 2 * mebibyte, whenFull: "fail" },
          asleepUntil: ["stuck", "said", "closed"]
        },
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
        {
          size: size * mebibyte,
          buffer: { size: mebibyte },
          asleepUntil: ["stuck", "said", "closed"],
          turnsAway: true
        },
        ({ atWaking, outcome }) =>
          // What the kernel and the client hold is not ours: some megabytes, whatever the size of the stream.
          atWaking > 24 * mebibyte
            ? `${atWaking} bytes were taken in`
            : outcome === "StreamTruncated"
            ? undefined
            : `${outcome}, where the server turned away`,
        (seen) =>
          `taken in of ${size} MiB: ${
            seen.map(({ atWaking }, index) => `${clientNames[index]} ${Math.round(atWaking / mebibyte)} MiB`).join(", ")
          }`
      )
  )
})
