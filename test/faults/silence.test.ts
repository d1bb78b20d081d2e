import { describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { RequestOptionsInput } from "../../src/client/RequestOptions.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { Messages } from "../../src/services/Messages.ts"
import { clientNames, clients } from "../support/clients.ts"
import { noSession, result, sessionId } from "../support/fixtures.ts"
import { isFull, promise } from "../support/promise.ts"
import * as Server from "../support/ScriptedServer.ts"

const start = Server.frames(["session_start", { sessionId }])
const delta = Server.frames(["text_delta", { delta: "x" }])
const end = Server.frames(["message", result], ["done", { sessionId }])
const comment = ": still here\n\n"

/** A stream that says and waits by turns, by the clock in force, and then is silent. */
const saying = (steps: ReadonlyArray<{ readonly say: string } | { readonly wait: Duration.Input }>) =>
  Effect.map(Effect.context<never>(), (context) =>
    new Response(
      new ReadableStream({
        start: (controller) => {
          const run = Effect.forEach(steps, (step) =>
            "say" in step
              ? Effect.sync(() => controller.enqueue(new TextEncoder().encode(step.say)))
              : Effect.sleep(step.wait), { discard: true })
          Effect.runForkWith(context)(run)
        }
      }),
      { headers: { "content-type": "text/event-stream" } }
    ))

const say = (text: string) => ({ say: text })
const wait = (time: Duration.Input) => ({ wait: time })

/** Where the clock of the machine is set by so many hours, half a minute after a turn began. */
const settingClock = (hours: number) => <A, E, R>(run: Effect.Effect<A, E, R>) =>
  Clock.clockWith((clock) => {
    const began = clock.monotonicTimeNanosUnsafe()
    const setBy = () => clock.monotonicTimeNanosUnsafe() - began < 30_000_000_000n ? 0 : hours * 3_600_000
    const currentTimeMillisUnsafe = () => clock.currentTimeMillisUnsafe() + setBy()
    const currentTimeNanosUnsafe = () => clock.currentTimeNanosUnsafe() + BigInt(setBy()) * 1_000_000n
    return Effect.provideService(run, Clock.Clock, {
      ...clock,
      currentTimeMillisUnsafe,
      currentTimeMillis: Effect.sync(currentTimeMillisUnsafe),
      currentTimeNanosUnsafe,
      currentTimeNanos: Effect.sync(currentTimeNanosUnsafe)
    })
  })

/** When a turn ended by the clock, in seconds, and how. */
const run = Effect.fnUntraced(function*(answer: Server.Script, options: RequestOptionsInput) {
  const server = Server.forTurns(answer, options)
  const turn = Effect.flatMap(Messages, ({ send }) => Stream.runDrain(send(sessionId, "hello")))
  const fiber = yield* Effect.forkChild(Effect.result(turn).pipe(Effect.provide(server.layer)))
  let seconds = 0
  const settle = Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  while (fiber.pollUnsafe() === undefined && seconds < 7200) {
    yield* settle
    yield* TestClock.adjust("1 second")
    yield* settle
    seconds += 1
  }
  if (fiber.pollUnsafe() === undefined) return { seconds, outcome: "still running" }
  const outcome = yield* Fiber.join(fiber)
  const nameOf = ({ reason }: AshError) => reason._tag === "TimedOut" ? reason.timer : reason._tag
  return { seconds, outcome: Result.isSuccess(outcome) ? "whole" : nameOf(outcome.failure) }
})

const minute = { timeouts: { headers: "1 minute", firstEvent: "1 minute", idle: "1 minute" } } as const
const auto = { timeouts: { ...minute.timeouts, idle: "auto" } } as const
const heartbeats = (count: number, every: Duration.Input) =>
  Array.from({ length: count }, () => [wait(every), say(comment)]).flat()

/** What is answered, the options, how it ends, and after how many seconds. */
const cases: ReadonlyArray<
  readonly [name: string, answer: Server.Script, options: RequestOptionsInput, outcome: string, seconds?: number]
> = [
  ["silence before the headers", Server.silent, minute, "headers", 60],
  ["silence before the first event", () => saying([]), minute, "firstEvent", 60],
  ["comments before the first event", () => saying(heartbeats(5, "30 seconds")), minute, "firstEvent", 60],
  [
    "silence behind a heartbeat, before the first event",
    () => saying(heartbeats(1, "30 seconds")),
    { timeouts: { firstEvent: "10 minutes", idle: "auto" } },
    "idle",
    150
  ],
  ["silence behind the first event", () => saying([say(start)]), minute, "idle", 60],
  ["silence within an event", () => saying([say(start), say(delta.slice(0, 10))]), minute, "idle", 60],
  ["silence behind a piece of text", () => saying([say(start), wait("30 seconds"), say(delta)]), minute, "idle", 90],
  [
    "silence before the end",
    () => saying([say(start), say(delta), wait("59 seconds"), say(delta)]),
    minute,
    "idle",
    119
  ],
  [
    "comments only, behind the first event",
    () => saying([say(start), ...heartbeats(40, "30 seconds"), say(end)]),
    minute,
    "whole"
  ],
  [
    "comments only, for ever",
    () => saying([say(start), ...heartbeats(300, "30 seconds")]),
    {
      timeouts: { ...minute.timeouts, turn: "1 hour" }
    },
    "turn",
    3600
  ],
  ["a tool that runs for 20 minutes", () => saying([say(start), wait("20 minutes"), say(end)]), {}, "whole"],
  [
    "a tool that runs for 20 minutes, by heartbeats or none",
    () => saying([say(start), wait("20 minutes"), say(end)]),
    auto,
    "whole"
  ],
  ["silence behind heartbeats", () => saying([say(start), ...heartbeats(5, "30 seconds")]), auto, "idle", 270],
  ["a dead sandbox", () => saying([say(start)]), {}, "idle", 1800],
  ["a dead sandbox, and no limit", () => saying([say(start)]), { timeouts: { idle: "off" } }, "still running"],
  [
    "a turn that is slow as a whole",
    () => saying([say(start), ...heartbeats(10, "30 seconds")]),
    {
      timeouts: { turn: "2 minutes" }
    },
    "turn",
    120
  ],
  ["a turn whose answer is too slow for the whole", Server.silent, { timeouts: { turn: "10 seconds" } }, "turn", 10]
]

/** By how many hours the clock of the machine is set meanwhile. */
const settings = [0, 2, -2]

describe("silence", () => {
  promise(
    "P12",
    "silence is detected, and health is not killed",
    { fast: cases.length * settings.length, full: cases.length * settings.length },
    (count) =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        for (const hours of settings) {
          for (const [name, answer, options, expected, at] of cases) {
            const { outcome, seconds } = yield* settingClock(hours)(run(answer, options))
            const what = `${name}, the clock set by ${hours} hours`
            if (outcome !== expected) failures.push(`${what}: ${outcome}`)
            else if (at !== undefined && (seconds < at || seconds > at * 1.1 + 1)) {
              failures.push(`${what}: after ${seconds} s`)
            }
          }
        }
        return { cases: count, failures, note: "within the window and a tenth, by a test clock that is set meanwhile" }
      }),
    it.effect
  )

  promise(
    "P13",
    "a stream that is silent for 330 seconds",
    { fast: 0.2, full: 330 },
    (seconds) =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        const outcomes = yield* Effect.forEach(clientNames, (client) =>
          Effect.scoped(Effect.gen(function*() {
            const { exchanges, url } = yield* Server.listen
            const options = { url, apiKey: Redacted.make("key"), timeouts: { idle: "off" } } as const
            const { messages } = Context.get(yield* Layer.build(clients[client](options)), AshClient)
            yield* Effect.forkChild(Effect.forever(Effect.flatMap(Queue.take(exchanges), ({ request, response }) =>
              Effect.forkChild(Effect.gen(function*() {
                if (request.url?.includes(noSession) === true) {
                  return response.writeHead(404, { "content-type": "application/json" }).end("{\"error\":\"x\"}")
                }
                response.writeHead(200, { "content-type": "text/event-stream" })
                response.write(start)
                yield* Effect.sleep(Duration.seconds(seconds))
                return response.end(end)
              })))))
            const outcome = yield* Effect.result(Stream.runDrain(messages.send(sessionId, "hello")))
            return Result.isSuccess(outcome) ? "whole" : outcome.failure.message
          })), { concurrency: "unbounded" })
        for (const [index, client] of clientNames.entries()) {
          const outcome = outcomes[index] ?? ""
          const isRight = client === "fetch" && isFull
            ? outcome.includes("Node's fetch ends a response that is silent for 300 seconds")
            : outcome === "whole"
          if (!isRight) failures.push(`${client}: ${outcome}`)
        }
        return { cases: 3, failures, note: "node:http and undici pass; fetch ends in an error that names the cause" }
      })
  )
})
