import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { AshError } from "../../../src/schema/AshError.ts"
import { Evals } from "../../../src/services/Evals.ts"
import { Messages } from "../../../src/services/Messages.ts"
import { QueueItems } from "../../../src/services/QueueItems.ts"
import { Sessions } from "../../../src/services/Sessions.ts"
import { session, sessionEvent, sessionId, storedMessage } from "../../support/fixtures.ts"
import * as Server from "../../support/ScriptedServer.ts"
import { withWarnings } from "../../support/warnings.ts"

const query = ({ path }: Server.Received) => Object.fromEntries(new URL(path, "http://x").searchParams)

/** A server with so many rows, that answers each page as it is asked to. */
const stable = (count: number): Server.Script => (request) => {
  const { after = "0", limit = "0" } = query(request)
  const rows = Array.from({ length: count }, (_, index) => index + 1).filter((sequence) => sequence > Number(after))
    .slice(0, Number(limit))
  return Server.json({
    messages: rows.map((sequence) => storedMessage(sequence, "user", "{}")),
    events: rows.map((sequence) => sessionEvent(sequence, "text", "{\"text\":\"x\"}"))
  })()
}

const history = (options?: { readonly after?: number; readonly pageSize?: number }) =>
  Effect.flatMap(Messages, (messages) => Stream.runCollect(messages.history(sessionId, options)))

const sequences = (rows: ReadonlyArray<{ readonly sequence: number }>) => rows.map(({ sequence }) => sequence)
const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, index) => index + first)

describe("paging", () => {
  it.effect.each([0, 1, 9, 10, 11, 20, 25])("gives each of %i rows once", (count) =>
    Effect.gen(function*() {
      const server = Server.make(stable(count))
      const rows = yield* Effect.provide(history({ pageSize: 10 }), server.layer)
      assert.deepStrictEqual(sequences(rows), count === 0 ? [] : upTo(count))
      assert.strictEqual(server.requests.length, Math.floor(count / 10) + 1)
    }))

  it.effect("begins behind a row, and asks for 1,000 at once", () =>
    Effect.gen(function*() {
      const server = Server.make(stable(1500))
      const rows = yield* Effect.provide(history({ after: 100 }), server.layer)
      assert.deepStrictEqual(sequences(rows), upTo(1500, 101))
      assert.deepStrictEqual(server.requests.map(query), [
        { limit: "1000", after: "100" },
        { limit: "1000", after: "1100" }
      ])
    }))

  it.effect("ends on a server that gives the same page again and again", () =>
    Effect.gen(function*() {
      const server = Server.make(Server.json({ messages: upTo(10).map((n) => storedMessage(n, "user", "{}")) }))
      const rows = yield* Effect.provide(history({ pageSize: 10 }), server.layer)
      assert.deepStrictEqual(sequences(rows), upTo(10))
      assert.strictEqual(server.requests.length, 2)
    }))

  it.effect("asks for no more than is taken", () =>
    Effect.gen(function*() {
      const server = Server.make(stable(100))
      const rows = yield* Effect.flatMap(Sessions, (sessions) =>
        Stream.runCollect(Stream.take(sessions.events(sessionId, { pageSize: 10, type: "text" }), 15))).pipe(
          Effect.provide(server.layer)
        )
      assert.strictEqual(rows.length, 15)
      assert.deepStrictEqual(server.requests.map(query), [
        { limit: "10", after: "0", type: "text" },
        { limit: "10", after: "10", type: "text" }
      ])
    }))
})

describe("tail", () => {
  it.effect("gives what is there and what comes, until the session ends", () =>
    Effect.gen(function*() {
      const text = (sequence: number) => sessionEvent(sequence, "text", "{\"text\":\"x\"}")
      const server = Server.make(Server.inOrder(
        Server.json({ events: [text(1), text(2)] }),
        Server.json({ events: [] }),
        Server.json({ session }),
        Server.json({ events: [text(3), sessionEvent(4, "lifecycle", "{\"action\":\"paused\"}")] }),
        Server.json({ events: [sessionEvent(5, "lifecycle", "{\"action\":\"ended\"}"), text(6)] })
      ))
      const fiber = yield* Effect.forkChild(
        Effect.flatMap(Sessions, (sessions) => Stream.runCollect(sessions.tail(sessionId))).pipe(
          Effect.provide(server.layer)
        )
      )
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(sequences(yield* Fiber.join(fiber)), [1, 2, 3, 4, 5])
      assert.deepStrictEqual(server.requests.map((request) => [request.at, query(request)["after"]]), [
        [0, "0"],
        [300, "2"],
        [600, undefined],
        [900, "2"],
        [1200, "4"]
      ])
    }))

  const none = Server.json({ events: [] })
  const row = (sequence: number) => Server.json({ events: [sessionEvent(sequence, "text", "{\"text\":\"x\"}")] })
  const is = (status: string) => Server.json({ session: { ...session, status } })

  it.effect.each<readonly [string, ReadonlyArray<Server.Script>, ReadonlyArray<number>]>([
    ["had ended before where it begins", [none, is("ended"), none], []],
    [
      "has ended, though the server lost the row of that",
      [row(8), none, is("active"), ...Array<Server.Script>(19).fill(none), is("ended"), row(9), none],
      [8, 9]
    ]
  ])("ends where the session %s", ([, answers, rows]) =>
    Effect.gen(function*() {
      const server = Server.make(Server.inOrder(...answers))
      const fiber = yield* Effect.forkChild(
        Effect.flatMap(Sessions, (sessions) => Stream.runCollect(sessions.tail(sessionId, { after: 7 }))).pipe(
          Effect.provide(server.layer)
        )
      )
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(sequences(yield* Fiber.join(fiber)), rows)
      assert.strictEqual(server.requests.length, answers.length)
    }))

  it.effect("of one kind still sees the end", () =>
    Effect.gen(function*() {
      const server = Server.make(Server.json({
        events: [sessionEvent(1, "text", "{\"text\":\"x\"}"), sessionEvent(2, "lifecycle", "{\"action\":\"ended\"}")]
      }))
      const rows = yield* Effect.flatMap(Sessions, (sessions) =>
        Stream.runCollect(sessions.tail(sessionId, { type: "text", after: 0 }))).pipe(Effect.provide(server.layer))
      assert.deepStrictEqual(sequences(rows), [1])
      assert.deepStrictEqual(server.requests.map(query), [{ limit: "1000", after: "0" }])
    }))
})

describe("lists of sessions", () => {
  const paused = { ...session, status: "paused" }

  it.effect("are filtered by status here, for no server does it", () =>
    Effect.gen(function*() {
      const server = Server.make(Server.json({ sessions: [session, paused] }))
      const list = yield* Effect.flatMap(Sessions, ({ list }) => list({ agent: "demo", status: "paused" })).pipe(
        Effect.provide(server.layer)
      )
      assert.deepStrictEqual(list.map(({ status }) => status), ["paused"])
      assert.deepStrictEqual(server.requests.map(query), [{ agent: "demo" }])
    }))

  it.effect("have pages and a total only on the hosted product", () =>
    Effect.gen(function*() {
      const page = Effect.flatMap(Sessions, ({ listPage }) => listPage({ status: "paused", limit: 1, offset: 2 }))
      const hosted = Server.make(Server.json({ sessions: [paused], total: 7 }))
      assert.strictEqual((yield* Effect.provide(page, hosted.layer)).total, 7)
      assert.deepStrictEqual(hosted.requests.map(query), [
        { status: "paused", limit: "1", offset: "2", includeTotal: "true" }
      ])
      const open = Server.make(Server.json({ sessions: [session, paused] }))
      const error = yield* Effect.flip(Effect.provide(page, open.layer))
      assert.strictEqual(error.reason._tag, "NotSupported")
    }))
})

/** What asks a server again and again, until it answers with an end. */
const pollers: ReadonlyArray<readonly [string, Effect.Effect<unknown, AshError, Evals | QueueItems | Sessions>]> = [
  ["Sessions.tail", Effect.flatMap(Sessions, ({ tail }) => Stream.runDrain(tail(sessionId)))],
  ["QueueItems.await", Effect.flatMap(QueueItems, (items) => items.await(sessionId))],
  ["Evals.watchRun", Effect.flatMap(Evals, ({ watchRun }) => Stream.runDrain(watchRun("demo", sessionId)))]
]

describe.each(pollers)("%s, as it asks again and again,", (name, poll) => {
  const createdAt = "2026-11-22T10:40:59.772Z"
  const item = { id: sessionId, agentName: "demo", prompt: "p", priority: 0, retryCount: 0, maxRetries: 3, createdAt }
  const run = { id: sessionId, agentName: "demo", totalCases: 1, completedCases: 0, createdAt }
  const answer = (isOver: boolean) => ({
    session,
    events: isOver ? [sessionEvent(1, "lifecycle", "{\"action\":\"ended\"}")] : [],
    item: { ...item, status: isOver ? "completed" : "processing" },
    run: { ...run, status: isOver ? "completed" : "running" }
  })
  const windows = [[1500, 900], [100, 900], [20, 60], [2, 60], [1, 1]].flatMap(([limit = 0, seconds = 0]) =>
    [0, 0.5, 0.9].map((used) => ({ limit, seconds, others: Math.floor(limit * used) }))
  )

  it.effect.each(windows)(
    "asks no more often than the server allows: $limit in $seconds s, of which others use $others",
    ({ limit, others, seconds }) =>
      Effect.gen(function*() {
        const counts: Array<number> = []
        const isRefused: Array<boolean> = []
        const server = Server.make(({ at }) => {
          const window = Math.floor(at / 1000 / seconds)
          const count = (counts[window] ?? 0) + 1
          counts[window] = count
          const left = limit - others - count
          isRefused.push(left < 0)
          const headers = {
            "x-ratelimit-limit": String(limit),
            "x-ratelimit-remaining": String(Math.max(0, left)),
            "x-ratelimit-reset": String(Math.ceil((window + 1) * seconds - at / 1000))
          }
          return left < 0
            ? Server.json({ message: "no" }, 429, headers)()
            : Server.json(answer(window >= 4), 200, headers)()
        }, { retry: { times: 0 } })
        const fiber = yield* Effect.forkChild(Effect.provide(poll, server.layer))
        for (let second = 0; second < 6 * seconds; second++) yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
        assert.notInclude(isRefused, true)
      })
  )

  it.effect("reports each time that the server's limit begins to make it wait for long", () =>
    Effect.gen(function*() {
      const left = [1500, 1500, 90, 0, 1500, 30, 1500]
      const server = Server.make(() => {
        const remaining = left.shift()
        const headers = { "x-ratelimit-remaining": String(remaining), "x-ratelimit-reset": "900" }
        return Server.json(answer(remaining === undefined), 200, remaining === undefined ? {} : headers)()
      })
      const fiber = yield* Effect.forkChild(withWarnings(Effect.provide(poll, server.layer)))
      yield* TestClock.adjust("1 hour")
      const { warnings } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        warnings,
        ["30s", "1m 30s"].map((wait) => `${name} waits ${wait} for the server's limit of requests`)
      )
    }))
})
