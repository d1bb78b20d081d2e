/**
 * Counts the bytes that an event of a turn and a request allocate, without a socket. In a process that optimizes and
 * collects nothing the count is the same each time, whatever else the machine does: test/package/allocation.test.ts.
 */
import { Ash, AshClient } from "effect-ash"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { oneSession, sessionId, turn } from "./frames.ts"

const events = 10_000
const requests = 500
const frames = Buffer.concat(turn(events))
const writes = Array.from(
  { length: Math.ceil(frames.length / 16_384) },
  (_, index) => new Uint8Array(frames.subarray(index * 16_384, (index + 1) * 16_384))
)

const body = () => {
  const left = [...writes]
  return new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const next = left.shift()
      if (next === undefined) controller.close()
      else controller.enqueue(next)
    }
  })
}

const answerTo = (method: string) =>
  method === "GET"
    ? new Response(oneSession, { headers: { "content-type": "application/json" } })
    : new Response(body(), { headers: { "content-type": "text/event-stream" } })

const http = HttpClient.make((request) =>
  Effect.sync(() => HttpClientResponse.fromWeb(request, answerTo(request.method)))
)

const layer = Ash.layerWithClient({ url: "http://ash.test", apiKey: Redacted.make("key") }).pipe(
  Layer.provide(Layer.succeed(HttpClient.HttpClient, http))
)

/** The bytes that an effect allocates, when it has run once before. */
const allocatedBy = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    yield* effect
    const before = process.memoryUsage().heapUsed
    yield* effect
    return process.memoryUsage().heapUsed - before
  })

const count = Effect.gen(function*() {
  const { messages, sessions } = yield* AshClient
  const aTurn = Stream.runForEachArray(
    messages.send(sessionId, "Go on.", { includePartialMessages: true }),
    () => Effect.void
  )
  return {
    perEvent: Math.round((yield* allocatedBy(aTurn)) / events),
    perRequest: Math.round(
      (yield* allocatedBy(Effect.replicateEffect(sessions.get(sessionId), requests, { discard: true }))) / requests
    )
  }
})

console.log(JSON.stringify(await Effect.runPromise(Effect.provide(count, layer))))
