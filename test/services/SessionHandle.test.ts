import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Messages } from "../../src/services/Messages.ts"
import type { SessionHandleOptions } from "../../src/services/SessionHandle.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { noSession, session, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const echo: AgentScript.AgentScript = ({ prompt }) => Stream.make(AgentScript.say(`You said: ${prompt}`))

const opened = (options?: SessionHandleOptions) =>
  Effect.gen(function*() {
    yield* (yield* Agents).create({ name: "demo" })
    return yield* (yield* Sessions).open({ agent: "demo" }, options)
  })

const provideServer = (script: AgentScript.AgentScript) => Effect.provide(AshEmbedded.layer({ script }))

/** An agent that begins to answer, and goes on when it is let. */
const waiting = Effect.gen(function*() {
  const begun = yield* Latch.make()
  const goOn = yield* Latch.make()
  const script: AgentScript.AgentScript = ({ prompt }) =>
    prompt.startsWith("slow")
      ? Stream.concat(
        Stream.make(AgentScript.say("I begin.")),
        Stream.unwrap(
          Effect.as(Effect.andThen(begun.open, goOn.await), Stream.make(AgentScript.say(`You said: ${prompt}`)))
        )
      )
      : echo({ prompt } as AgentScript.AgentTurn)
  return { begun, goOn, script }
})

describe("turns", () => {
  it.effect("of one session do not mix, on a server that mixes them", () =>
    Effect.gen(function*() {
      const handle = yield* opened()
      const other = (yield* Sessions).attach(handle.id)
      for (let round = 0; round < 20; round++) {
        const prompts = ["one", "two", "three", "four"].map((word) => `${word} ${round}`)
        const turns = yield* Effect.forEach(
          prompts,
          (prompt, index) => (index % 2 === 0 ? handle : other).ask(prompt),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(turns.map(({ text }) => text), prompts.map((prompt) => `You said: ${prompt}`))
      }
    }).pipe(Effect.scoped, provideServer(echo)))

  it.effect("fail at once with SessionBusy, if that is chosen", () =>
    Effect.gen(function*() {
      const { begun, goOn, script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened()
        const impatient = (yield* Sessions).attach(handle.id, { whenBusy: "fail" })
        const fiber = yield* Effect.forkChild(handle.ask("slow one"))
        yield* begun.await
        for (const call of [impatient.ask("two"), impatient.exec("ls")]) {
          const error = yield* Effect.flip<unknown, { readonly reason: { readonly _tag: string } }, never>(call)
          assert.strictEqual(error.reason._tag, "SessionBusy")
        }
        yield* goOn.open
        assert.include((yield* Fiber.join(fiber)).text, "You said: slow one")
        assert.strictEqual((yield* impatient.ask("two")).text, "You said: two")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("wait no longer than they are told", () =>
    Effect.gen(function*() {
      const { begun, goOn, script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened({ waitAtMost: "1 minute" })
        const first = yield* Effect.forkChild(handle.ask("slow one"))
        yield* begun.await
        const second = yield* Effect.forkChild(Effect.flip(handle.ask("two")))
        yield* TestClock.adjust("1 minute")
        const error = yield* Fiber.join(second)
        assert.strictEqual(error.reason._tag, "SessionBusy")
        assert.include(error.message, "still in use after 1m")
        yield* goOn.open
        yield* Fiber.join(first)
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("one that waits can be interrupted, and is not in the way of the next", () =>
    Effect.gen(function*() {
      const { begun, goOn, script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened()
        const first = yield* Effect.forkChild(handle.ask("slow one"))
        yield* begun.await
        const second = yield* Effect.forkChild(handle.ask("two"))
        yield* Effect.yieldNow
        yield* Fiber.interrupt(second)
        yield* goOn.open
        yield* Fiber.join(first)
        assert.strictEqual((yield* handle.ask("three")).text, "You said: three")
      }).pipe(Effect.scoped, provideServer(script))
    }))
})

describe("commands", () => {
  it.effect("wait for the turn before them, and do not end it", () =>
    Effect.gen(function*() {
      const { begun, goOn, script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened()
        const turn = yield* Effect.forkChild(handle.ask("slow one"))
        yield* begun.await
        const command = yield* Effect.forkChild(handle.exec("echo hi"))
        yield* Effect.yieldNow
        assert.isUndefined(command.pollUnsafe())
        yield* goOn.open
        assert.include((yield* Fiber.join(turn)).text, "You said: slow one")
        while (command.pollUnsafe() === undefined) {
          yield* TestClock.adjust("1 second")
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        }
        assert.strictEqual((yield* Fiber.join(command)).stdout, "hi\n")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("of another program that end a turn's stream make it a failure", () => {
    const stray = Server.frames(["session_start", { sessionId }], ["done", { sessionId: "" }])
    const server = Server.make(({ path }) =>
      path.includes(noSession)
        ? Server.json({ error: "Session not found" }, 404)()
        : path.includes("?")
        ? Server.json({ messages: [] })()
        : Server.sse(stray)()
    )
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId)
      assert.strictEqual((yield* Effect.flip(handle.ask("hello"))).reason._tag, "StreamTruncated")
      assert.isTrue(Option.isSome(yield* handle.fence))
    }).pipe(Effect.provide(server.layer))
  })
})

/** Interrupts a turn in its middle. */
const interrupted = Effect.fnUntraced(function*(handle: ReturnType<Sessions["Service"]["attach"]>) {
  const heard = yield* Deferred.make<void>()
  const fiber = yield* Effect.forkChild(
    Stream.runForEach(
      handle.stream("slow one"),
      (event) =>
        event._tag === "Message" && event.message._tag === "Assistant"
          ? Deferred.succeed(heard, undefined)
          : Effect.void
    )
  )
  yield* Deferred.await(heard)
  yield* Fiber.interrupt(fiber)
})

describe("the fence", () => {
  it.effect("stops the next turn and command behind one that was interrupted, until the session is recovered", () =>
    Effect.gen(function*() {
      const { script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened()
        yield* interrupted(handle)
        const other = (yield* Sessions).attach(handle.id)
        for (const call of [handle.ask("two"), other.ask("two"), other.exec("ls")]) {
          const error = yield* Effect.flip<
            unknown,
            { readonly message: string; readonly reason: { readonly _tag: string } },
            never
          >(call)
          assert.strictEqual(error.reason._tag, "SessionFenced")
          assert.include(error.message, "its last turn was not heard to its end")
        }
        yield* handle.recover
        assert.deepStrictEqual(yield* handle.fence, Option.none())
        assert.strictEqual((yield* handle.ask("two")).text, "You said: two")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("is passed by a restart where that is chosen, and the stream says so", () =>
    Effect.gen(function*() {
      const { script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened({ recovery: "restart" })
        yield* interrupted(handle)
        const events = yield* Stream.runCollect(handle.stream("two"))
        const [first] = events
        assert.strictEqual(first?._tag, "SessionRestarted")
        if (first?._tag !== "SessionRestarted") return
        assert.strictEqual(first.reason, "its last turn was not heard to its end")
        assert.deepStrictEqual(first.lost, ["memory", "workspace"])
        assert.strictEqual(events.at(-1)?._tag, "Done")
        assert.strictEqual((yield* handle.ask("three")).text, "You said: three")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("is not needed where the turn is stopped with its stream", () =>
    Effect.gen(function*() {
      const { script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened({ onInterrupt: "stop" })
        yield* interrupted(handle)
        assert.deepStrictEqual(yield* handle.fence, Option.none())
        assert.strictEqual((yield* handle.ask("two")).text, "You said: two")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("does not rise behind a turn that failed, nor before one that was never sent", () =>
    Effect.gen(function*() {
      const handle = yield* opened()
      const failed = yield* Effect.flip(handle.ask("fail"))
      assert.strictEqual(failed.reason._tag, "TurnFailed")
      const refused = yield* Effect.flip(handle.ask([]))
      assert.strictEqual(refused.reason._tag, "InvalidRequest")
      assert.deepStrictEqual(yield* handle.fence, Option.none())
      assert.strictEqual((yield* handle.ask("two")).text, "You said: two")
    }).pipe(
      Effect.scoped,
      provideServer((turn) => turn.prompt === "fail" ? Stream.make(AgentScript.fail("no")) : echo(turn))
    ))

  const cuts: ReadonlyArray<readonly [string, Server.Script]> = [
    ["a stream without an end", Server.sse(Server.frames(["session_start", { sessionId }]))],
    ["a stream that breaks", Server.breaking(Server.frames(["session_start", { sessionId }]))],
    ["a connection that was lost", Server.lost],
    ["a failing server", Server.json({ error: "x" }, 500)]
  ]
  it.effect.each(cuts)("rises behind %s", ([, script]) => {
    const server = Server.make(
      (request) =>
        request.path.includes(noSession)
          ? Server.json({ error: "Session not found" }, 404)()
          : request.method === "GET"
          ? Server.json({ messages: [] })()
          : script(request),
      { retry: { times: 0 } }
    )
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId)
      const error = yield* Effect.flip(handle.ask("hello"))
      const second = yield* Effect.flip(handle.ask("again"))
      assert.strictEqual(second.reason._tag, "SessionFenced")
      assert.include(second.message, error.reason.message)
      assert.strictEqual(
        server.requests.filter(({ method, path }) => method === "POST" && !path.includes(noSession)).length,
        1
      )
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("stays where the restart fails", () => {
    const server = Server.make(
      ({ path }) =>
        path.includes(noSession)
          ? Server.json({ error: "Session not found" }, 404)()
          : path.includes("?")
          ? Server.json({ messages: [] })()
          : path.endsWith("/messages")
          ? Server.sse("")()
          : path.endsWith("/stop")
          ? Server.json({ session })()
          : Server.json({ error: "capacity reached" }, 503)(),
      { retry: { times: 0 } }
    )
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId, { recovery: "restart" })
      yield* Effect.flip(handle.ask("one"))
      assert.strictEqual((yield* Effect.flip(handle.ask("two"))).reason._tag, "AtCapacity")
      assert.isTrue(Option.isSome(yield* handle.fence))
      assert.strictEqual(server.requests.filter(({ path }) => path.endsWith(`${sessionId}/messages`)).length, 1)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("reconcile", () => {
  it.effect("gives the turn, where the server has it to its end", () =>
    Effect.gen(function*() {
      const handle = yield* opened()
      yield* handle.ask("one")
      yield* handle.ask("two")
      const outcome = yield* handle.reconcile
      assert.strictEqual(outcome._tag === "Completed" ? outcome.turn.text : "", "You said: two")
    }).pipe(Effect.scoped, provideServer(echo)))

  it.effect("gives what is known, where the end is lost", () =>
    Effect.gen(function*() {
      const { script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened()
        yield* handle.ask("zero")
        yield* interrupted(handle)
        const outcome = yield* handle.reconcile
        assert.strictEqual(outcome._tag, "OutcomeUnknown")
        assert.strictEqual(outcome._tag === "OutcomeUnknown" ? outcome.messages.length : 0, 2)
      }).pipe(Effect.scoped, provideServer(script))
    }))
})

describe("a handle", () => {
  it.effect("ends its session with its scope, unless it is attached", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      const id = yield* Effect.scoped(Effect.map(opened(), ({ id }) => id))
      assert.strictEqual((yield* sessions.get(id)).status, "ended")
      const kept = yield* sessions.create({ agent: "demo" })
      const handle = sessions.attach(kept.id)
      assert.strictEqual((yield* handle.pause).status, "paused")
      assert.strictEqual((yield* handle.resume).status, "active")
      assert.strictEqual((yield* handle.cancel).session.status, "active")
      assert.strictEqual((yield* handle.get).status, "active")
      yield* handle.ask("one")
      assert.isAbove((yield* Stream.runCollect(handle.history())).length, 1)
    }).pipe(provideServer(echo)))

  it.effect("streams as Messages does", () =>
    Effect.gen(function*() {
      const handle = yield* opened()
      const events = yield* Stream.runCollect(handle.stream("one", { includePartialMessages: true }))
      const direct = yield* Stream.runCollect(
        (yield* Messages).send(handle.id, "one", { includePartialMessages: true })
      )
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), direct.map(({ _tag }) => _tag))
    }).pipe(Effect.scoped, provideServer(echo)))
})
