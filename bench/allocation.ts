/**
 * Counts the bytes that an event of a turn, a turn and a request allocate, and what a turn keeps while nothing arrives,
 * without a socket. In a process that optimizes nothing, and collects nothing unasked, the count is the same each time,
 * whatever else the machine does: test/package/allocation.test.ts.
 */
import { Ash, AshClient } from "effect-ash"
import * as Arr from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { setImmediate } from "node:timers/promises"
import { MayRepeat } from "../src/internal/request/sendOnce.ts"
import { oneSession, sessionId, sessionIdAt, shortTurn, turn } from "./frames.ts"

const events = 10_000
const turns = 200
const eventsBeforeSilence = 400
const unknownEvent = Buffer.from("event: of_a_newer_server\ndata: {}\n\n")
const cutOff = Buffer.from("event: text_delta\ndata: {\"del")
const frames = Buffer.concat(turn(events))
const writes = Array.from(
  { length: Math.ceil(frames.length / 16_384) },
  (_, index) => new Uint8Array(frames.subarray(index * 16_384, (index + 1) * 16_384))
)

/** What the server answers to a message: these chunks, and then its end, or nothing. */
const body = (chunks: ReadonlyArray<Uint8Array>, ends: boolean) => {
  const left = chunks.toReversed()
  return new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const next = left.pop()
      if (next !== undefined) controller.enqueue(next)
      else if (ends) controller.close()
    }
  }, { highWaterMark: 0 })
}

/** What a server answers that takes no block alone, when it is asked for the form of content (docs/ash.md 6.1). */
const severalBlocks = [400, 404]

/** The services, over a server that answers messages so, but the first ones with these statuses. */
const serving = (answer: () => ReadableStream<Uint8Array>, statuses: ReadonlyArray<number> = []) => {
  const refusals = statuses.map((status) => new Response(`{"error":"","statusCode":${status}}`, { status }))
  const answerTo = (method: string) =>
    method === "GET"
      ? new Response(oneSession, {
        headers: { "content-type": "application/json", "content-length": String(oneSession.length) }
      })
      : refusals.shift() ?? new Response(answer(), { headers: { "content-type": "text/event-stream" } })
  const http = HttpClient.make((request) =>
    Effect.sync(() => HttpClientResponse.fromWeb(request, answerTo(request.method)))
  )
  // As the layers of the package have it, a client that repeats nothing.
  return Ash.layerWithClient({ url: "https://ash.test", apiKey: Redacted.make("key") }).pipe(
    Layer.provide([Layer.succeed(HttpClient.HttpClient, http), Layer.succeed(MayRepeat, false)])
  )
}

/** The bytes that an effect allocates, when it has run once before. */
const allocatedBy = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    yield* effect
    const before = process.memoryUsage().heapUsed
    yield* effect
    return process.memoryUsage().heapUsed - before
  })

const send = (id: string) =>
  Effect.map(AshClient, ({ messages }) => messages.send(id, "Go on.", { includePartialMessages: true }))

const aTurn = Effect.flatMap(send(sessionId), Stream.runForEachArray(() => Effect.void))

const aSession = Effect.flatMap(AshClient, ({ sessions }) => sessions.get(sessionId))

const times = (count: number) => Effect.replicateEffect(count, { discard: true })

/** The memory in use when all has been collected that can be. */
const kept = Effect.gen(function*() {
  for (let count = 0; count < 5; count++) {
    global.gc?.()
    yield* Effect.promise(() => setImmediate())
  }
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
})

/** Opens a turn in a session of its own, and waits until all of its chunks have been read. */
const openTurn = (index: number) =>
  Effect.gen(function*() {
    const isRead = yield* Deferred.make<void>()
    let size = 0
    yield* Effect.forkScoped(Effect.flatMap(
      send(sessionIdAt(index)),
      Stream.runForEachArray((events) => {
        size += events.length
        return size < eventsBeforeSilence ? Effect.void : Deferred.succeed(isRead, undefined)
      })
    ))
    yield* Deferred.await(isRead)
  })

/** What a turn keeps that has had events, and has none now. */
const keptByTurn = Effect.gen(function*() {
  yield* Effect.forEach(Arr.range(1, turns), openTurn, { discard: true })
  const before = yield* kept
  yield* Effect.forEach(Arr.range(turns + 1, 2 * turns), openTurn, { discard: true })
  return Math.round(((yield* kept) - before) / turns)
}).pipe(Effect.scoped)

const report = Effect.gen(function*() {
  const long = serving(() => body(writes, true))
  const shortBody = () => body([Buffer.concat(shortTurn)], true)
  const short = serving(shortBody)
  const beforeSilence = [...turn(eventsBeforeSilence + 2).slice(0, -3), unknownEvent, cutOff]
  const silent = serving(() => body([Buffer.concat(beforeSilence)], false))
  return {
    perEvent: Math.round((yield* Effect.provide(allocatedBy(aTurn), long)) / events),
    perTurn: Math.round((yield* Effect.provide(allocatedBy(times(turns)(aTurn)), short)) / turns),
    perTurnInBlocks: Math.round(
      (yield* Effect.provide(allocatedBy(times(turns)(aTurn)), serving(shortBody, severalBlocks))) / turns
    ),
    perRequest: Math.round((yield* Effect.provide(allocatedBy(times(turns)(aSession)), short)) / turns),
    keptByTurn: yield* Effect.provide(keptByTurn, silent)
  }
})

console.log(JSON.stringify(await Effect.runPromise(report)))
