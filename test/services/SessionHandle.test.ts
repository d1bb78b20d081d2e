import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpApi from "effect/http-api/HttpApi"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { AshApiClient } from "../../src/client/AshApiClient.ts"
import type { FileDownload } from "../../src/client/FileDownload.ts"
import * as RequestOptions from "../../src/client/RequestOptions.ts"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { AshApi } from "../../src/schema/AshApi.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { operationOf } from "../../src/schema/Operation.ts"
import { Agents } from "../../src/services/Agents.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { Attachments } from "../../src/services/Attachments.ts"
import { Messages } from "../../src/services/Messages.ts"
import type { SessionHandle, SessionHandleOptions } from "../../src/services/SessionHandle.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { noSession, otherId, result, session, sessionEvent, sessionId, storedMessage } from "../support/fixtures.ts"
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

  it.effect("wait no longer than `waitAtMost`", () =>
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
        assert.strictEqual((yield* Fiber.join(command)).stdout, "hi\n")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("of another program that end a turn's stream make it a failure", () => {
    const stray = Server.frames(["session_start", { sessionId }], ["done", { sessionId: "" }])
    const server = Server.forTurns(({ path }) =>
      path.includes("?")
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
  const received = yield* Deferred.make<void>()
  const fiber = yield* Effect.forkChild(
    Stream.runForEach(
      handle.stream("slow one"),
      (event) =>
        event._tag === "Message" && event.message._tag === "Assistant"
          ? Deferred.succeed(received, undefined)
          : Effect.void
    )
  )
  yield* Deferred.await(received)
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
          assert.include(error.message, "its last turn was not read completely")
        }
        yield* handle.recover()
        assert.deepStrictEqual(yield* handle.fence, Option.none())
        assert.strictEqual((yield* handle.ask("two")).text, "You said: two")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("is lifted from a session that was paused while its turn ran, by a real stop", () =>
    Effect.gen(function*() {
      const { goOn, script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened()
        const before = yield* handle.get()
        yield* interrupted(handle)
        yield* handle.pause()
        yield* handle.recover()
        assert.notStrictEqual((yield* handle.get()).sandboxId, before.sandboxId)
        yield* goOn.open
        assert.strictEqual((yield* handle.ask("two")).text, "You said: two")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("is passed by a restart where that is chosen, and is an event of the stream", () =>
    Effect.gen(function*() {
      const { script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened({ recovery: "restart" })
        yield* interrupted(handle)
        const events = yield* Stream.runCollect(handle.stream("two"))
        const [first] = events
        assert.strictEqual(first?._tag, "SessionRestarted")
        if (first?._tag !== "SessionRestarted") return
        assert.strictEqual(first.reason, "its last turn was not read completely")
        assert.deepStrictEqual([first.lost, first.mayBeLost], [["memory"], ["workspace"]])
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
    const server = Server.forTurns(
      (request) =>
        request.method === "GET"
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
    const server = Server.forTurns(
      ({ path }) =>
        path.includes("?")
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
  it.effect("gives the turn, where the server has all of it", () =>
    Effect.gen(function*() {
      const handle = yield* opened()
      yield* handle.ask("one")
      yield* handle.ask("two")
      const outcome = yield* handle.reconcile()
      assert.strictEqual(outcome._tag === "Completed" ? outcome.turn.text : "", "You said: two")
    }).pipe(Effect.scoped, provideServer(echo)))

  it.effect("gives what is known, where the end is lost", () =>
    Effect.gen(function*() {
      const { script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened()
        yield* handle.ask("zero")
        yield* interrupted(handle)
        const outcome = yield* handle.reconcile()
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
      assert.strictEqual((yield* handle.pause()).status, "paused")
      assert.strictEqual((yield* handle.resume()).status, "active")
      assert.strictEqual((yield* handle.cancel()).session.status, "active")
      assert.strictEqual((yield* handle.get()).status, "active")
      yield* handle.ask("one")
      assert.isAbove((yield* Stream.runCollect(handle.history())).length, 1)
    }).pipe(provideServer(echo)))

  /** Each method that a service has for an id, by the service and by the handle. */
  type Use = (id: string) => Effect.Effect<readonly [service: Called, handle: Called], never, AshClient>
  type Called = Effect.Effect<unknown, AshError>
  const asService = (
    call: (service: AshClient["Service"], id: string) => Called,
    ofHandle: (handle: SessionHandle) => Called
  ): Use =>
  (id) => Effect.map(AshClient, (ash) => [call(ash, id), ofHandle(ash.sessions.attach(id))])
  const received = (download: Effect.Effect<FileDownload, AshError, Scope.Scope>): Called =>
    Effect.scoped(Effect.flatMap(download, ({ content }) => Stream.runCollect(content)))
  const row = sessionEvent(3, "lifecycle", "{\"action\":\"ended\"}")
  const config = { model: "m", systemPrompt: "p" }
  const files = [{ path: "a.txt", content: "a" }]
  const attachment = { filename: "a.txt", content: "a" }
  const bundle = new Uint8Array([1, 2, 3])
  const equals: Record<string, Use> = {
    get: asService(({ sessions }, id) => sessions.get(id), (handle) => handle.get()),
    pause: asService(({ sessions }, id) => sessions.pause(id), (handle) => handle.pause()),
    resume: asService(({ sessions }, id) => sessions.resume(id), (handle) => handle.resume()),
    stop: asService(({ sessions }, id) => sessions.stop(id), (handle) => handle.stop()),
    end: asService(({ sessions }, id) => sessions.end(id), (handle) => handle.end()),
    fork: asService(({ sessions }, id) => sessions.fork(id), (handle) => handle.fork()),
    updateConfig: asService(({ sessions }, id) => sessions.updateConfig(id, config), (_) => _.updateConfig(config)),
    exec: asService(
      ({ sessions }, id) => sessions.exec(id, "ls", { timeout: "1 second" }),
      (handle) => handle.exec("ls", { timeout: "1 second" })
    ),
    listEvents: asService(
      ({ sessions }, id) => sessions.listEvents(id, { limit: 5, after: 2, type: "text" }),
      (handle) => handle.listEvents({ limit: 5, after: 2, type: "text" })
    ),
    events: asService(
      ({ sessions }, id) => Stream.runCollect(sessions.events(id, { pageSize: 5, type: "lifecycle" })),
      (handle) => Stream.runCollect(handle.events({ pageSize: 5, type: "lifecycle" }))
    ),
    tail: asService(
      ({ sessions }, id) => Stream.runCollect(sessions.tail(id, { after: 2, type: "lifecycle" })),
      (handle) => Stream.runCollect(handle.tail({ after: 2, type: "lifecycle" }))
    ),
    logs: asService(({ sessions }, id) => sessions.logs(id, { after: 3 }), (handle) => handle.logs({ after: 3 })),
    history: asService(
      ({ messages }, id) => Stream.runCollect(messages.history(id, { pageSize: 5 })),
      (handle) => Stream.runCollect(handle.history({ pageSize: 5 }))
    ),
    usage: asService(({ usage }, id) => usage.stats({ sessionId: id }), (handle) => handle.usage()),
    "files.list": asService(
      ({ sessionFiles }, id) => sessionFiles.list(id, { includeHidden: false }),
      (handle) => handle.files.list({ includeHidden: false })
    ),
    "files.read": asService(
      ({ sessionFiles }, id) => received(sessionFiles.read(id, "a")),
      (_) => received(_.files.read("a"))
    ),
    "files.readText": asService(({ sessionFiles }, id) => sessionFiles.readText(id, "a"), (_) => _.files.readText("a")),
    "files.write": asService(({ sessionFiles }, id) => sessionFiles.write(id, files), (_) => _.files.write(files)),
    "files.delete": asService(({ sessionFiles }, id) => sessionFiles.delete(id, "a"), (_) => _.files.delete("a")),
    "workspace.download": asService(
      ({ workspaces }, id) => received(workspaces.download(id)),
      (_) => received(_.workspace.download())
    ),
    "workspace.upload": asService(
      ({ workspaces }, id) => workspaces.upload(id, bundle),
      (_) => _.workspace.upload(bundle)
    ),
    "workspace.files": asService(
      ({ workspaces }, id) => Stream.runCollect(workspaces.files(id)),
      (handle) => Stream.runCollect(handle.workspace.files())
    ),
    "attachments.upload": asService(
      ({ attachments }, id) => attachments.upload(id, attachment),
      (_) => _.attachments.upload(attachment)
    ),
    "attachments.list": asService(({ attachments }, id) => attachments.list(id), (_) => _.attachments.list()),
    "attachments.download": asService(
      ({ attachments }) => received(attachments.download(otherId)),
      (_) => received(_.attachments.download(otherId))
    ),
    "attachments.delete": asService(
      ({ attachments }) => attachments.delete(otherId),
      (_) => _.attachments.delete(otherId)
    ),
    listMessages: asService(
      ({ messages }, id) => messages.list(id, { limit: 5, after: 2 }),
      (handle) => handle.listMessages({ limit: 5, after: 2 })
    )
  }
  const answers: Record<string, Server.Script> = {
    "POST exec": Server.json({ exitCode: 0, stdout: "", stderr: "" }),
    "POST fork": Server.json({ session }, 201),
    "GET events": Server.json({ events: [row] }),
    "GET logs": Server.json({ logs: [], source: "sandbox" }),
    "GET messages": Server.json({ messages: [] })
  }
  it.effect.each(Object.entries(equals))("asks as the service does for its id: %s", ([, use]) => {
    const server = Server.make((request) => {
      const key = `${request.method} ${request.path.split("?")[0]?.split("/").at(-1)}`
      return (answers[key] ?? Server.json({ session }))(request)
    }, { retry: { times: 0 } })
    return Effect.gen(function*() {
      const sent = (call: Called) =>
        Effect.gen(function*() {
          const from = server.requests.length
          const exit = yield* Effect.exit(call)
          // A session rests for a moment behind a command.
          yield* TestClock.adjust("1 second")
          return {
            requests: server.requests.slice(from).map(({ body, method, path }) => [method, path, body]),
            result: Exit.isSuccess(exit) ? exit.value : "failed"
          }
        })
      const [service, handle] = yield* use(sessionId)
      const expected = yield* sent(service)
      assert.isAbove(expected.requests.length, 0)
      assert.deepStrictEqual(yield* sent(handle), expected)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("fails in its own name, whatever the method", () => {
    const server = Server.make(Server.json({ error: "no" }, 404), { retry: { times: 0 } })
    return Effect.gen(function*() {
      for (const [name, use] of Object.entries(equals)) {
        const [, call] = yield* use(sessionId)
        const error = yield* Effect.flip(call)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(error.operation, `SessionHandle.${name}`)
      }
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("of what is no id asks for nothing, whatever the method", () => {
    const server = Server.make(Server.json({ session }))
    return Effect.gen(function*() {
      for (const [name, use] of Object.entries(equals)) {
        // They have an id of their own.
        if (/^attachments\.(?:download|delete)$/.test(name)) continue
        const [, call] = yield* use(undefined as any)
        assert.strictEqual((yield* Effect.flip(call)).reason._tag, "InvalidRequest", name)
      }
      assert.isEmpty(server.requests)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("has a method for each operation of a session, and for each method of their services", () =>
    Effect.gen(function*() {
      const places = new Map([["Sessions", ""], ["Messages", ""], ["SessionFiles", "files."], [
        "Workspaces",
        "workspace."
      ]])
      const renamed = new Map([["Messages.send", "stream"], ["Messages.list", "listMessages"]])
      const exceptions = new Map([
        ...["scoped", "open", "attach", "create", "list", "listPage", "sweep", "layerScope"].map((name) =>
          [`Sessions.${name}`, "is for no session in particular"] as const
        ),
        ["Messages.sendWithErrors", "an error may be what a restart mends, so the handle needs it as a failure"]
      ])
      const operations: Array<string> = []
      HttpApi.reflect(AshApi, {
        onGroup: () => {},
        onEndpoint: ({ endpoint, group, mergedAnnotations }) => {
          if (endpoint.path.startsWith("/api/sessions/:id")) {
            operations.push(operationOf(group, endpoint, mergedAnnotations).name)
          }
        }
      })
      const ash: object = yield* AshClient
      const services = [...new Set(operations.map((name) => name.slice(0, name.indexOf("."))))]
      const methods = services.flatMap((service) => {
        const key = service[0]?.toLowerCase() + service.slice(1)
        const methods = Predicate.hasProperty(ash, key) && Predicate.isObject(ash[key]) ? Object.keys(ash[key]) : []
        return methods.map((method) => `${service}.${method}`)
      })
      const placed = [...new Set([...operations, ...methods])].filter((name) => !exceptions.has(name)).map((name) => {
        const [service = "", method = ""] = name.split(".")
        return renamed.get(name) ?? (places.get(service) ?? `${service.toLowerCase()}.`) + method
      })
      assert.isAbove(placed.length, 25)
      const handle: unknown = (yield* AshClient).sessions.attach(sessionId)
      const valueAt = (path: string) =>
        path.split(".").reduce((value, key) => Predicate.hasProperty(value, key) ? value[key] : undefined, handle)
      assert.deepStrictEqual(placed.filter((path) => !Predicate.isFunction(valueAt(path))), [])
      assert.sameMembers(placed, ["stream", ...Object.keys(equals).filter((name) => name !== "usage")])
    }).pipe(Effect.provide(Server.make(Server.json({})).layer)))

  it.effect("streams as Messages does", () =>
    Effect.gen(function*() {
      const handle = yield* opened()
      const events = yield* Stream.runCollect(handle.stream("one", { includePartialMessages: true }))
      const direct = yield* Stream.runCollect(
        (yield* Messages).send(handle.id, "one", { includePartialMessages: true })
      )
      assert.deepStrictEqual(events.map(({ _tag }) => _tag), direct.map(({ _tag }) => _tag))
    }).pipe(Effect.scoped, provideServer(echo)))

  it.effect("is of no use once its scope has closed, and nothing is sent", () =>
    Effect.gen(function*() {
      const handle = yield* Effect.scoped(opened())
      for (const call of [handle.ask("one"), handle.exec("ls"), handle.cancel(), handle.recover()]) {
        const error = yield* Effect.flip<unknown, AshError, never>(call)
        assert.strictEqual(error.reason._tag, "WrongState")
        assert.include(error.message, "has ended with the scope")
      }
    }).pipe(provideServer(echo)))

  it.effect("fails the stream that runs when its scope closes", () =>
    Effect.gen(function*() {
      const { begun, script } = yield* waiting
      yield* Effect.gen(function*() {
        const fiber = yield* Effect.scoped(Effect.gen(function*() {
          const handle = yield* opened()
          const fiber = yield* Effect.forkDetach(Effect.flip(handle.ask("slow one")))
          yield* begun.await
          return fiber
        }))
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error.reason._tag, "TurnCancelled")
        assert.include(error.partialTurn?.text ?? "", "I begin.")
      }).pipe(provideServer(script))
    }))

  it.effect("reads and writes files, and reports usage", () =>
    Effect.gen(function*() {
      const handle = yield* opened()
      yield* handle.files.write([{ path: "a.txt", content: "alpha" }])
      assert.strictEqual(yield* handle.files.readText("a.txt"), "alpha")
      assert.include((yield* handle.files.list()).files.map(({ path }) => path), "a.txt")
      yield* handle.files.delete("a.txt")
      assert.notInclude((yield* handle.files.list()).files.map(({ path }) => path), "a.txt")
      yield* handle.ask("one")
      assert.strictEqual((yield* handle.usage()).totalMessages, 1)
    }).pipe(Effect.scoped, provideServer(echo)))
})

describe("cancel", () => {
  it.effect("fails the running turn, reports what is lost, and leaves the session usable", () =>
    Effect.gen(function*() {
      const { begun, script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened()
        const fiber = yield* Effect.forkChild(Effect.flip(handle.ask("slow one")))
        yield* begun.await
        const restarted = yield* handle.cancel()
        assert.deepStrictEqual([restarted.lost, restarted.mayBeLost], [["memory"], ["workspace"]])
        const error = yield* Fiber.join(fiber)
        assert.deepStrictEqual([error.reason._tag, error.nothingHappened], ["TurnCancelled", false])
        assert.include(error.partialTurn?.text ?? "", "I begin.")
        assert.deepStrictEqual(yield* handle.fence, Option.none())
        assert.strictEqual((yield* handle.ask("two")).text, "You said: two")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("lets a turn that waits begin when the session is there again", () =>
    Effect.gen(function*() {
      const { begun, script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened()
        const first = yield* Effect.forkChild(Effect.flip(handle.ask("slow one")))
        yield* begun.await
        const second = yield* Effect.forkChild(handle.ask("two"))
        yield* handle.cancel()
        yield* Fiber.join(first)
        assert.strictEqual((yield* Fiber.join(second)).text, "You said: two")
      }).pipe(Effect.scoped, provideServer(script))
    }))
})

describe("what is cancelled", () => {
  it.effect("is not sent afterwards: a turn that waits for room to stream", () =>
    Effect.gen(function*() {
      const { begun, goOn, script } = yield* waiting
      const prompts: Array<string> = []
      yield* Effect.gen(function*() {
        const first = yield* opened()
        const second = yield* (yield* Sessions).open({ agent: "demo" })
        const running = yield* Effect.forkChild(first.ask("slow one"))
        yield* begun.await
        const held = yield* Effect.forkChild(Effect.flip(second.ask("two")))
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        yield* second.cancel()
        const error = yield* Fiber.join(held)
        assert.deepStrictEqual([error.reason._tag, error.nothingHappened], ["TurnCancelled", true])
        yield* goOn.open
        yield* Fiber.join(running)
        assert.strictEqual((yield* second.ask("three")).text, "You said: three")
        assert.deepStrictEqual(prompts, ["slow one", "three"])
      }).pipe(
        Effect.scoped,
        Effect.provide(AshEmbedded.layer({
          maxStreams: 1,
          script: (turn) => {
            prompts.push(turn.prompt)
            return script(turn)
          }
        }))
      )
    }))

  it.effect("by two at once is restarted once", () => {
    const server = Server.make(({ path }) =>
      path.includes("/messages?") ? Server.json({ messages: [] })() : Server.json({ session })()
    )
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId)
      const [first, second] = yield* Effect.all([handle.cancel(), handle.cancel()], { concurrency: "unbounded" })
      assert.deepStrictEqual(first, second)
      assert.strictEqual(server.requests.filter(({ path }) => path.endsWith("/stop")).length, 1)
    }).pipe(Effect.provide(server.layer))
  })
})

describe("the limits of a turn", () => {
  const layer = { timeouts: { idle: "3 minutes", turn: "4 minutes" } } as const
  const handle = { timeouts: { idle: "2 minutes" } } as const
  it.effect.each(
    [
      [{}, {}, "idle 3m"],
      [handle, {}, "idle 2m"],
      [handle, { idle: "1 minute" }, "idle 1m"],
      [handle, { idle: "off" }, "turn 4m"]
    ] as const
  )(
    "%j of a handle lie over the layer's, and %j of a call over them: %s",
    ([handle, call, expected]) =>
      Effect.gen(function*() {
        const { begun, script } = yield* waiting
        yield* Effect.gen(function*() {
          const session = yield* opened(handle)
          const fiber = yield* session.ask("slow one").pipe(
            RequestOptions.withTimeouts(call),
            Effect.flip,
            Effect.forkChild
          )
          yield* begun.await
          yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
          yield* TestClock.adjust("4 minutes")
          const { reason } = yield* Fiber.join(fiber)
          assert.strictEqual(
            reason._tag === "TimedOut" ? `${reason.timer} ${Duration.format(reason.duration)}` : reason._tag,
            expected
          )
        }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layer({ ...layer, script })))
      })
  )
})

describe("a session that is stopped or ended", () => {
  const ways = [
    ["Sessions.stop", (id: string) => Effect.flatMap(Sessions, ({ stop }) => stop(id))],
    ["Sessions.end", (id: string) => Effect.flatMap(Sessions, ({ end }) => end(id))]
  ] as const
  it.effect.each(ways)(
    "by %s of this program fails its running turn at once, and fences nothing",
    ([, way]) =>
      Effect.gen(function*() {
        const { begun, script } = yield* waiting
        yield* Effect.gen(function*() {
          const handle = yield* opened()
          const messages = yield* Messages
          for (
            const turn of [handle.ask("slow one"), Stream.runDrain(messages.send(handle.id, "slow one"))]
          ) {
            if ((yield* handle.get()).status !== "active") yield* handle.resume()
            const fiber = yield* Effect.forkChild(Effect.flip<unknown, AshError, never>(turn))
            yield* begun.await
            yield* begun.close
            yield* way(handle.id)
            const error = yield* Fiber.join(fiber)
            assert.strictEqual(error.reason._tag, "TurnCancelled")
            assert.include(error.partialTurn?.text ?? "", "I begin.")
            assert.deepStrictEqual(yield* handle.fence, Option.none())
            const next = yield* Effect.flip(handle.ask("two"))
            assert.strictEqual(next.reason._tag, "WrongState")
            if (way === ways[1][1]) break
          }
        }).pipe(Effect.scoped, provideServer(script))
      })
  )

  it.effect("by another program leaves its running turn silent, and is found out by the next one", () =>
    Effect.gen(function*() {
      const { begun, script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened({ timeouts: { idle: "1 minute" } })
        const fiber = yield* Effect.forkChild(Effect.flip(handle.ask("slow one")))
        yield* begun.await
        // As from elsewhere: past the gate of this program.
        yield* (yield* AshApiClient).sessions.end({ params: { id: handle.id } })
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "TimedOut")
        assert.strictEqual((yield* Effect.flip(handle.ask("two"))).reason._tag, "SessionFenced")
        const { reason } = yield* Effect.flip(handle.recover())
        assert.strictEqual(reason._tag === "WrongState" ? reason.status : reason._tag, "ended")
      }).pipe(Effect.scoped, provideServer(script))
    }))
})

describe("a turn that was never sent", () => {
  it.effect("does not fence its session: the question for the form of content failed", () => {
    const server = Server.make(({ path }) =>
      path.includes(noSession)
        ? Server.json({ error: "oops" }, 500)()
        : path.includes("/messages?")
        ? Server.json({ messages: [] })()
        : Server.json({ session })(), { retry: { times: 0 } })
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId)
      assert.strictEqual((yield* Effect.flip(handle.ask("one"))).reason._tag, "ServerFailure")
      assert.deepStrictEqual(yield* handle.fence, Option.none())
    }).pipe(Effect.provide(server.layer))
  })
})

describe("the workspace", () => {
  it.effect("is kept over a restart, where that is chosen", () =>
    Effect.gen(function*() {
      const { script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened({ recovery: "restart", keepWorkspace: true })
        yield* handle.files.write([{ path: "notes/a.txt", content: "alpha" }])
        yield* interrupted(handle)
        const [first] = yield* Stream.runCollect(handle.stream("two"))
        assert.deepInclude(first, { _tag: "SessionRestarted", lost: ["memory"], mayBeLost: [] })
        assert.strictEqual(yield* handle.files.readText("notes/a.txt"), "alpha")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("is lost otherwise", () =>
    Effect.gen(function*() {
      const { script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened({ recovery: "restart" })
        yield* handle.files.write([{ path: "notes/a.txt", content: "alpha" }])
        yield* interrupted(handle)
        yield* handle.ask("two")
        assert.strictEqual((yield* Effect.flip(handle.files.readText("notes/a.txt"))).reason._tag, "NotFound")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("is brought back by the next try, where the first fails on its way", () => {
    let uploads = 0
    const answers: Server.Script = ({ method, path }) => {
      if (path.includes(noSession)) return Server.json({ error: "Session not found" }, 404)()
      if (path.includes("/messages?")) return Server.json({ messages: [] })()
      if (path.endsWith("/messages")) return Server.sse("")()
      if (!path.endsWith("/workspace")) return Server.json({ session })()
      if (method === "GET") {
        return new Response(new Uint8Array([1, 2, 3]), { headers: { "content-type": "application/gzip" } })
      }
      uploads += 1
      return uploads === 1 ? Server.json({ error: "no" }, 500)() : Server.json({ message: "restored" })()
    }
    const server = Server.make(answers, { retry: { times: 0 } })
    return Effect.gen(function*() {
      const handle = (yield* Sessions).attach(sessionId, { keepWorkspace: true })
      yield* Effect.flip(handle.ask("one"))
      assert.strictEqual((yield* Effect.flip(handle.recover())).reason._tag, "ServerFailure")
      assert.isTrue(Option.isSome(yield* handle.fence))
      assert.isTrue(Option.isSome(yield* handle.recover()))
      const downloads = server.requests.filter(({ method, path }) => method === "GET" && path.endsWith("/workspace"))
      assert.strictEqual(downloads.length, 1)
      assert.strictEqual(uploads, 2)
      assert.deepStrictEqual(yield* handle.fence, Option.none())
    }).pipe(Effect.provide(server.layer))
  })
})

describe("what is known of a turn that broke off", () => {
  it.effect("is its text, and where in the conversation it began", () =>
    Effect.gen(function*() {
      const { begun, script } = yield* waiting
      yield* Effect.gen(function*() {
        const handle = yield* opened({ timeouts: { turn: "1 minute" } })
        yield* handle.ask("zero")
        const fiber = yield* Effect.forkChild(Effect.flip(handle.ask("slow one")))
        yield* begun.await
        yield* TestClock.adjust("1 minute")
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error.reason._tag === "TimedOut" ? error.reason.timer : error.message, "turn")
        assert.strictEqual(error.partialTurn?.text, "I begin.")
        const before = yield* Stream.runCollect(handle.history())
        assert.strictEqual(error.lastSequence, before.findLastIndex(({ role }) => role === "user"))
        assert.notInclude(JSON.stringify(error), "I begin.")
      }).pipe(Effect.scoped, provideServer(script))
    }))

  it.effect("distinguishes a turn that never arrived from the one before it", () => {
    const rows = [
      storedMessage(1, "user", "{\"type\":\"user\",\"content\":\"one\"}"),
      storedMessage(2, "assistant", JSON.stringify(result))
    ]
    const server = Server.forTurns(({ method, path }) => {
      const after = Number(new URL(path, "http://x").searchParams.get("after"))
      return path.includes("/events")
        ? Server.json({ events: [] })()
        : method === "GET"
        ? Server.json({ messages: rows.filter(({ sequence }) => sequence > after) })()
        : Server.lost(undefined as never)
    })
    return Effect.gen(function*() {
      const sessions = yield* Sessions
      assert.strictEqual((yield* sessions.attach(sessionId).reconcile())._tag, "Completed")
      const handle = sessions.attach(sessionId)
      yield* Effect.flip(handle.ask("two"))
      assert.deepStrictEqual(yield* handle.reconcile(), { _tag: "NotStarted" })
      // Nor is what another program says in the meantime taken for it.
      rows.push(
        storedMessage(3, "user", "{\"type\":\"user\",\"content\":[\"other\"]}"),
        storedMessage(4, "assistant", JSON.stringify(result))
      )
      assert.deepStrictEqual(yield* handle.reconcile(), { _tag: "NotStarted" })
      rows.push(
        storedMessage(
          5,
          "user",
          "{\"type\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"t\"},{\"type\":\"text\",\"text\":\"wo\"}]}"
        ),
        storedMessage(6, "assistant", JSON.stringify(result))
      )
      assert.strictEqual((yield* handle.reconcile())._tag, "Completed")
      assert.strictEqual(
        server.requests.filter(({ method, path }) => method === "POST" && !path.includes(noSession)).length,
        1
      )
    }).pipe(Effect.provide(server.layer))
  })
})

describe("labels", () => {
  it.effect("find what was left behind, and end it", () =>
    Effect.gen(function*() {
      const sessions = yield* Sessions
      yield* (yield* Agents).create({ name: "demo" })
      const scope = yield* Scope.make()
      const held = yield* Scope.provide(sessions.open({ agent: "demo" }, { label: "worker-1" }), scope)
      // As another process that was killed leaves one behind.
      const left = yield* sessions.create({ agent: "demo" })
      const [label] = yield* (yield* Attachments).list(held.id)
      yield* (yield* Attachments).upload(left.id, { filename: "worker-1", content: "x", mimeType: label?.mimeType })
      const other = yield* Scope.provide(sessions.open({ agent: "demo" }, { label: "worker-2" }), scope)
      const plain = yield* Scope.provide(sessions.open({ agent: "demo" }), scope)
      assert.deepStrictEqual(yield* sessions.sweep({ label: "worker-1", olderThan: "1 hour" }), [])
      yield* TestClock.adjust("2 hours")
      const swept = yield* sessions.sweep({ label: "worker-1", olderThan: "1 hour" })
      assert.deepStrictEqual(swept.map(({ id, status }) => [id, status]), [[left.id, "ended"]])
      for (const { id } of [held, other, plain]) assert.strictEqual((yield* sessions.get(id)).status, "active")
      assert.deepStrictEqual(yield* sessions.sweep({ label: "worker-1", olderThan: "1 hour" }), [])
      yield* Scope.close(scope, Exit.void)
    }).pipe(provideServer(echo)))

  it.effect("do not have a session ended that came into use while its label was asked for", () => {
    const asked = Latch.makeUnsafe()
    const answer = Latch.makeUnsafe()
    const label = { filename: "worker-1", mimeType: "application/vnd.effect-ash.label" }
    const attachment = {
      ...label,
      id: otherId,
      sessionId,
      messageId: "unlinked",
      size: 1,
      createdAt: session.createdAt
    }
    const server = Server.make(({ method, path }) =>
      path.endsWith("/attachments")
        ? Effect.as(Effect.andThen(asked.open, answer.await), Server.json({ attachments: [attachment] })())
        : path.endsWith("/exec")
        ? Effect.never
        : Server.json(method === "GET" && path === "/api/sessions" ? { sessions: [session] } : { session })()
    )
    return Effect.gen(function*() {
      const sessions = yield* Sessions
      yield* TestClock.setTime(Date.parse(session.createdAt) + 7_200_000)
      const sweeping = yield* Effect.forkChild(sessions.sweep({ label: "worker-1", olderThan: "1 hour" }))
      yield* asked.await
      yield* Effect.forkChild(sessions.exec(sessionId, "ls"), { startImmediately: true })
      yield* answer.open
      assert.deepStrictEqual(yield* Fiber.join(sweeping), [])
      assert.lengthOf(server.requests.filter(({ method }) => method === "DELETE"), 0)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect.each([Number.NaN, -1, Infinity])("are not swept by an age of %d", (olderThan) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip((yield* Sessions).sweep({ label: "worker-1", olderThan }))
      assert.strictEqual(error.reason._tag === "InvalidRequest" ? error.reason.field : "", "olderThan")
    }).pipe(provideServer(echo)))

  it.effect.each(["", "..", "a/b", "a b", "ü", "x".repeat(101)])(
    "%j is none, and no session is opened",
    (label) =>
      Effect.gen(function*() {
        const sessions = yield* Sessions
        for (const call of [sessions.open({ agent: "demo" }, { label }), sessions.sweep({ label, olderThan: 0 })]) {
          const error = yield* Effect.flip<unknown, AshError, Scope.Scope>(call)
          assert.strictEqual(error.reason._tag === "InvalidRequest" ? error.reason.field : "", "label")
        }
        assert.deepStrictEqual(yield* sessions.list(), [])
      }).pipe(Effect.scoped, provideServer(echo))
  )
})

describe("a sandbox that was made before its session", () => {
  const settings = { agent: "demo", extraEnv: { A: "1" }, systemPrompt: "x" }
  const warm = Effect.provide(AshEmbedded.layer({ script: echo, quirks: { warmPool: true } }))

  it.effect("is reported by the handle", () =>
    Effect.gen(function*() {
      yield* (yield* Agents).create({ name: "demo" })
      const sessions = yield* Sessions
      assert.deepStrictEqual((yield* sessions.open(settings)).ignoredSettings, ["systemPrompt", "extraEnv"])
      assert.deepStrictEqual((yield* sessions.open({ agent: "demo", model: "m" })).ignoredSettings, [])
    }).pipe(Effect.scoped, warm))

  it.effect("ignores nothing where the settings are empty", () =>
    Effect.gen(function*() {
      yield* (yield* Agents).create({ name: "demo" })
      const sessions = yield* Sessions
      const empty = [{ systemPrompt: "" }, { credentialId: "" }, { extraEnv: {} }, { mcpServers: {} }]
      for (const settings of [...empty, Object.assign({}, ...empty)]) {
        const handle = yield* sessions.open({ ...settings, agent: "demo" }, { requireFreshSandbox: true })
        assert.deepStrictEqual(handle.ignoredSettings, [])
        assert.notStrictEqual((yield* handle.get()).sandboxId, handle.id)
      }
    }).pipe(Effect.scoped, warm))

  it.effect("is refused where a fresh one is required, after three tries, and none is left", () =>
    Effect.gen(function*() {
      yield* (yield* Agents).create({ name: "demo" })
      const sessions = yield* Sessions
      const error = yield* Effect.flip(sessions.open(settings, { requireFreshSandbox: true }))
      assert.deepStrictEqual(error.reason._tag === "SettingsIgnored" ? error.reason.settings : [], [
        "systemPrompt",
        "extraEnv"
      ])
      assert.deepStrictEqual((yield* sessions.list()).map(({ status }) => status), ["ended", "ended", "ended"])
      assert.deepStrictEqual(
        (yield* sessions.open({ agent: "demo" }, { requireFreshSandbox: true })).ignoredSettings,
        []
      )
    }).pipe(Effect.scoped, warm))

  it.effect("is not there where the server makes one for each", () =>
    Effect.gen(function*() {
      yield* (yield* Agents).create({ name: "demo" })
      const handle = yield* (yield* Sessions).open(settings, { requireFreshSandbox: true })
      assert.deepStrictEqual(handle.ignoredSettings, [])
    }).pipe(Effect.scoped, provideServer(echo)))
})
