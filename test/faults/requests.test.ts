import { describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { Messages } from "../../src/services/Messages.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { patiently } from "../support/clock.ts"
import { session, sessionId, storedMessage } from "../support/fixtures.ts"
import { chance, promise } from "../support/promise.ts"
import * as Server from "../support/ScriptedServer.ts"

const found = Server.json({ session })

/** Faults that a read may meet once or twice, and that pass. */
const transient: ReadonlyArray<Server.Script> = [
  Server.lost,
  Server.refused,
  Server.json({ error: "boom" }, 500),
  Server.text("<html>", 502),
  Server.text("", 503),
  Server.text("", 504),
  Server.json({ error: "Too Many Requests" }, 429, { "retry-after": "1" }),
  Server.breaking("{\"session\":", { "content-type": "application/json" })
]

const get = Effect.flatMap(Sessions, (sessions) => sessions.get(sessionId))

describe("requests", () => {
  promise(
    "P6",
    "reads recover from one or two transient faults",
    { fast: 200, full: 10_000 },
    (size) =>
      Effect.gen(function*() {
        const random = chance(6)
        const failures: Array<string> = []
        const run = Effect.fnUntraced(function*(index: number) {
          const faults = Array.from(
            { length: random() < 0.5 ? 1 : 2 },
            () => transient[Math.floor(random() * transient.length)] ?? Server.lost
          )
          let attempts = 0
          const outcome = yield* Effect.result(get).pipe(Effect.provide(
            Server.make((request) => (faults[attempts++] ?? found)(request)).layer
          ))
          if (Result.isFailure(outcome)) failures.push(`${index}: ${outcome.failure.message}`)
          if (attempts > 3) failures.push(`${index}: ${attempts} attempts`)
        })
        yield* patiently(
          yield* Effect.forkChild(Effect.forEach(Array.from({ length: size }, (_, index) => index), run, {
            concurrency: 50,
            discard: true
          }))
        )
        // All calls of one layer share its budget, and a success gives back what it took.
        let calls = 0
        const shared = Server.make((request) => calls++ % 3 === 2 ? found() : Server.lost(request))
        const outcomes = yield* patiently(
          yield* Effect.forkChild(Effect.provide(
            Effect.forEach(Array.from({ length: size }), () => Effect.result(get)),
            shared.layer
          ))
        )
        failures.push(...outcomes.flatMap((outcome) => Result.isFailure(outcome) ? [outcome.failure.message] : []))
        return { cases: 2 * size, failures, note: "at most 3 attempts each" }
      }),
    it.effect
  )

  promise("P17", "Retry-After is obeyed and bounded", { fast: 11, full: 11 }, () =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      const date = "Mon, 23 Nov 2026 12:00:00 GMT"
      const cases: ReadonlyArray<readonly [header: Record<string, string>, waits: number | undefined, told?: number]> =
        [
          [{ "retry-after": "0" }, 0],
          [{ "retry-after": "1" }, 1000],
          [{ "retry-after": "59" }, 59_000],
          [{ "retry-after": "60" }, 60_000],
          [{ "retry-after": "61" }, undefined, 61_000],
          [{ "retry-after": "900" }, undefined, 900_000],
          [{ "retry-after": "Mon, 23 Nov 2026 12:00:30 GMT", date }, 30_000],
          [{ "retry-after": "Mon, 23 Nov 2026 12:15:00 GMT", date }, undefined, 900_000],
          [{ "retry-after": "Mon, 23 Nov 2026 11:00:00 GMT", date }, 0],
          [{ "retry-after": "soon" }, 0],
          [{ "retry-after": "-1" }, 0]
        ]
      for (const [headers, waits, told] of cases) {
        const server = Server.make(Server.inOrder(Server.json({ error: "x" }, 429, headers), found))
        const outcome = yield* patiently(yield* Effect.forkChild(Effect.result(get).pipe(Effect.provide(server.layer))))
        const [first = 0, second] = server.requests.map(({ at }) => at)
        const waited = second === undefined ? undefined : second - first
        const name = JSON.stringify(headers)
        if (waits === undefined) {
          const retryAfter = Result.isFailure(outcome) ? outcome.failure.retryAfter : undefined
          if (waited !== undefined) failures.push(`${name} was waited for`)
          if (retryAfter === undefined || Duration.toMillis(retryAfter) !== told) failures.push(`${name} is not told`)
        } else if (waited === undefined || waited < waits || waited > 61_000) {
          failures.push(`${name}: waited ${waited} ms`)
        }
      }
      return { cases: cases.length, failures, note: "0 to 60 s waited, more fails at once" }
    }), it.effect)

  promise("P18", "no storm of repetitions", { fast: 100, full: 1000 }, (size) =>
    Effect.gen(function*() {
      const server = Server.make(Server.json({ error: "boom" }, 500))
      const calls = yield* Ref.make(0)
      const caller = Effect.forever(
        Effect.andThen(Effect.ignore(get), Effect.andThen(Ref.update(calls, (n) => n + 1), Effect.sleep("1 second")))
      )
      yield* Effect.forkChild(
        Effect.provide(Effect.replicateEffect(caller, size, { concurrency: "unbounded" }), server.layer)
      )
      yield* TestClock.adjust("60 seconds")
      const ratio = server.requests.length / (yield* Ref.get(calls))
      const last = server.requests.filter(({ at }) => at >= 30_000).length / (size * 30)
      return {
        cases: yield* Ref.get(calls),
        failures: last <= 1.1 && ratio <= 1.2 ? [] : [`${ratio} requests a call, ${last} in the last 30 s`],
        note: `${last.toFixed(3)} requests a call in the steady state`
      }
    }), it.effect)

  promise("P19", "pagination ends, and loses nothing", { fast: 6, full: 6 }, () =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      const rows = Array.from({ length: 25 }, (_, index) => storedMessage(index + 1, "assistant", "{}"))
      const read = (script: (after: number, limit: number) => ReadonlyArray<unknown>) =>
        Effect.gen(function*() {
          const server = Server.make(({ path }) => {
            const query = new URL(path, "http://x").searchParams
            return Server.json({ messages: script(Number(query.get("after")), Number(query.get("limit"))) })()
          })
          const got = yield* Effect.flatMap(
            Messages,
            ({ history }) => Stream.runCollect(history(sessionId, { pageSize: 10 }))
          )
            .pipe(Effect.provide(server.layer))
          return { sequences: got.map(({ sequence }) => sequence), requests: server.requests.length }
        })
      const expect = (name: string, ok: boolean) => ok || failures.push(name)
      const whole = rows.map(({ sequence }) => sequence).join()
      const stable = yield* read((after, limit) => rows.slice(after, after + limit))
      expect("stable data", stable.sequences.join() === whole && stable.requests === 3)
      const repeated = yield* read((_, limit) => rows.slice(0, limit))
      expect("a cursor that is ignored", repeated.sequences.length === 10 && repeated.requests === 2)
      const empty = yield* read(() => [])
      expect("an empty page", empty.sequences.length === 0 && empty.requests === 1)
      const exact = yield* read((after, limit) => rows.slice(0, 20).slice(after, after + limit))
      expect("a last page that is full", exact.sequences.length === 20 && exact.requests === 3)
      let grown = 15
      const growing = yield* read((after, limit) => rows.slice(0, grown++).slice(after, after + limit))
      expect("data that grows", growing.sequences.join() === whole.split(",").slice(0, growing.sequences.length).join())
      const overlapping = yield* read((after, limit) => rows.slice(Math.max(0, after - 2), after - 2 + limit))
      expect("pages that overlap", new Set(overlapping.sequences).size === overlapping.sequences.length)
      return { cases: 6, failures }
    }), it.effect)
})

describe("creations", () => {
  const limited = (limit: number) => {
    let end = 0
    let left = limit
    return Effect.gen(function*() {
      const now = yield* Clock.currentTimeMillis
      if (now >= end) {
        end = now + 900_000
        left = limit
      }
      left -= 1
      const headers = {
        "x-ratelimit-limit": String(limit),
        "x-ratelimit-remaining": String(Math.max(0, left)),
        "x-ratelimit-reset": String(Math.ceil((end - now) / 1000))
      }
      return left < 0
        ? Server.json({ error: "Too Many Requests" }, 429, { ...headers, "retry-after": "900" })()
        : Server.json({ session }, 201, headers)()
    })
  }

  promise(
    "limits",
    "a burst of creations waits for its turn",
    { fast: 50, full: 200 },
    (size) =>
      Effect.gen(function*() {
        const answer = limited(20)
        const server = Server.forTurns(() => answer)
        const outcomes = yield* patiently(
          yield* Effect.forkChild(
            Effect.flatMap(
              Sessions,
              ({ create }) =>
                Effect.replicateEffect(Effect.result(create({ agent: "demo" })), size, { concurrency: "unbounded" })
            ).pipe(
              Effect.provide(server.layer)
            )
          )
        )
        const failures = outcomes.flatMap((outcome) => Result.isFailure(outcome) ? [outcome.failure.message] : [])
        if (server.requests.length !== size) failures.push(`${server.requests.length} requests`)
        return { cases: size, failures, note: "20 in 15 minutes" }
      }),
    it.effect
  )
})
