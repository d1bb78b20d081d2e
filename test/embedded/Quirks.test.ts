import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import {
  ask,
  at,
  deploy,
  type Frame,
  listAt,
  listen,
  named,
  open,
  type RequestOptions,
  saidIn,
  say,
  statusOf,
  textAt,
  withServer
} from "../support/embeddedServer.ts"

/** An agent that says a word, waits for its latch, and says another: `a-1`, then `a-2` for the prompt `a`. */
const makeAgent = Effect.gen(function*() {
  const latches = { a: yield* Latch.make(), b: yield* Latch.make() }
  const latchOf = (prompt: string) => prompt === "b" ? latches.b : latches.a
  const script: AgentScript.AgentScript = ({ prompt }) =>
    Stream.make(AgentScript.say(`${prompt}-1`)).pipe(
      Stream.concat(Stream.drain(Stream.fromEffect(latchOf(prompt).await))),
      Stream.concat(Stream.make(AgentScript.say(`${prompt}-2`)))
    )
  return { script, latches }
})

const says = (text: string) => (frame: Frame) => saidIn([frame]).includes(text)
const stored = (path: string) =>
  Effect.map(
    ask("GET", `${path}/messages`),
    ({ body }) =>
      listAt(body, "messages").map((row) => JSON.parse(textAt(row, "content"))).map((content) =>
        String(content.type === "user" ? content.content : content.result ?? content.message.content[0].text)
      )
  )

it.effect("a quirk that is undefined is as the newest server has it", () =>
  Effect.gen(function*() {
    const { path } = yield* open()
    const { status } = yield* ask("POST", `${path}/messages`, { json: { content: [{ type: "text", text: "hi" }] } })
    assert.strictEqual(status, 400)
  }).pipe(withServer({ quirks: { content: undefined, mixTurns: undefined } })))

describe("mixTurns", () => {
  it.effect("on: turns receive each other's frames, and the first to end ends both", () =>
    Effect.gen(function*() {
      const { latches, script } = yield* makeAgent
      yield* Effect.gen(function*() {
        const { id, path } = yield* open()
        const a = yield* listen(path, "a")
        yield* a.until(says("a-1"))
        const b = yield* listen(path, "b")
        yield* b.until(says("b-1"))
        yield* latches.b.open
        const [framesOfA, framesOfB] = yield* Effect.all([a.until(named("done")), b.until(named("done"))])
        assert.deepStrictEqual(saidIn(framesOfA), ["b-1", "b-2"])
        assert.deepStrictEqual(saidIn(framesOfB), ["b-2"])
        assert.deepStrictEqual(framesOfA.at(-1)?.data, { sessionId: id })
        yield* Effect.all([Fiber.join(a.fiber), Fiber.join(b.fiber)])
        assert.deepStrictEqual(yield* stored(path), ["a", "a-1", "b", "b-1", "b-2", "b-2"])
      }).pipe(withServer({ script }))
    }))

  it.effect("off: the second turn waits for the first", () =>
    Effect.gen(function*() {
      const { latches, script } = yield* makeAgent
      const order: Array<string> = []
      yield* Effect.gen(function*() {
        const { path } = yield* open()
        const a = yield* listen(path, "a")
        yield* a.until(says("a-1"))
        yield* latches.b.open
        const b = yield* listen(path, "b")
        yield* b.until(named("session_start"))
        // A command takes longer than a turn takes to begin: if b did not wait, it would be over by now.
        yield* ask("POST", `${path}/exec`, { json: { command: "true" } })
        yield* latches.a.open
        assert.deepStrictEqual(saidIn(yield* a.until(named("done"))), ["a-2"])
        assert.deepStrictEqual(saidIn(yield* b.until(named("done"))), ["b-1", "b-2"])
        assert.deepStrictEqual(order, ["a begins", "a ends", "b begins", "b ends"])
      }).pipe(withServer({
        script: (turn) => {
          order.push(`${turn.prompt} begins`)
          return Stream.ensuring(script(turn), Effect.sync(() => order.push(`${turn.prompt} ends`)))
        },
        quirks: { mixTurns: false }
      }))
    }))

  it.effect("on: a command ends the stream of a turn, and the rest is lost", () =>
    Effect.gen(function*() {
      const { script } = yield* makeAgent
      yield* Effect.gen(function*() {
        const { path } = yield* open()
        const a = yield* listen(path, "a")
        yield* a.until(says("a-1"))
        const { body } = yield* ask("POST", `${path}/exec`, { json: { command: "echo mid" } })
        assert.strictEqual(at(body, "stdout"), "mid\n")
        assert.deepStrictEqual(yield* a.until(named("done")), [{ event: "done", data: { sessionId: "" } }])
        yield* Fiber.join(a.fiber)
        assert.deepStrictEqual(yield* stored(path), ["a", "a-1"])
      }).pipe(withServer({ script }))
    }))

  it.effect("off: a command disturbs no turn", () =>
    Effect.gen(function*() {
      const { latches, script } = yield* makeAgent
      yield* Effect.gen(function*() {
        const { id, path } = yield* open()
        const a = yield* listen(path, "a")
        yield* a.until(says("a-1"))
        yield* ask("POST", `${path}/exec`, { json: { command: "true" } })
        yield* latches.a.open
        const rest = yield* a.until(named("done"))
        assert.deepStrictEqual(saidIn(rest), ["a-2"])
        assert.deepStrictEqual(rest.at(-1)?.data, { sessionId: id })
      }).pipe(withServer({ script, quirks: { mixTurns: false } }))
    }))

  it.effect("on: after a disconnect the next turn receives the frames of the old one, which ends it", () =>
    Effect.gen(function*() {
      const { latches, script } = yield* makeAgent
      yield* Effect.gen(function*() {
        const { path } = yield* open()
        const a = yield* listen(path, "a")
        yield* a.until(says("a-1"))
        yield* Fiber.interrupt(a.fiber)
        const b = yield* listen(path, "b")
        yield* b.until(says("b-1"))
        yield* latches.a.open
        assert.deepStrictEqual(saidIn(yield* b.until(named("done"))), ["a-2"])
      }).pipe(withServer({ script }))
    }))
})

describe("dropAfterDisconnect", () => {
  const turn = Effect.fnUntraced(function*(dropAfterDisconnect: boolean) {
    const { latches, script } = yield* makeAgent
    const isOver = yield* Deferred.make<void>()
    return yield* Effect.gen(function*() {
      const { path } = yield* open()
      const a = yield* listen(path, "a")
      yield* a.until(says("a-1"))
      yield* Fiber.interrupt(a.fiber)
      yield* latches.a.open
      yield* Deferred.await(isOver)
      // The end of the old turn is behind us: what it says next to last is stored by now, or never.
      yield* say(path, "z")
      return yield* stored(path)
    }).pipe(withServer({
      script: (turn) =>
        turn.prompt === "z"
          ? AgentScript.echo(turn)
          : Stream.ensuring(script(turn), Deferred.succeed(isOver, undefined)),
      quirks: { dropAfterDisconnect, mixTurns: false }
    }))
  })

  it.effect("on: what the turn sends after the client disconnected is not stored", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* turn(true), ["a", "a-1", "z", "z", "z"])
    }))

  it.effect("off: it is stored", () =>
    Effect.gen(function*() {
      const rows = yield* turn(false)
      assert.includeOrderedMembers(rows, ["a", "a-1"])
      assert.strictEqual(rows.filter((row) => row === "a-2").length, 2)
    }))

  it.effect("on: the agent works on without a reader", () =>
    Effect.gen(function*() {
      const { latches, script } = yield* makeAgent
      const isOver = yield* Deferred.make<void>()
      yield* Effect.gen(function*() {
        const { path } = yield* open()
        const a = yield* listen(path, "a")
        yield* a.until(says("a-1"))
        yield* Fiber.interrupt(a.fiber)
        yield* latches.a.open
        yield* Deferred.await(isOver)
        const { body } = yield* ask("POST", `${path}/exec`, { json: { command: "cat late" } })
        assert.strictEqual(at(body, "stdout"), "written late")
      }).pipe(withServer({
        script: (turn) =>
          script(turn).pipe(
            Stream.concat(Stream.drain(Stream.fromEffect(turn.workspace.writeFile("late", "written late")))),
            Stream.ensuring(Deferred.succeed(isOver, undefined))
          )
      }))
    }))
})

describe("hangOnDeadSandbox", () => {
  const crash = { script: () => Stream.make(AgentScript.say("last words"), AgentScript.crash) }
  const silent = { script: () => Stream.make(AgentScript.say("last words"), AgentScript.silence) }
  const isOpen = (fiber: Fiber.Fiber<unknown, unknown>) =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 hour")
      return fiber.pollUnsafe() === undefined
    })

  it.effect("on: a stream whose sandbox crashed stays open; the next message fails, and succeeds after a resume", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const turn = yield* listen(path, "hi")
      yield* turn.until(says("last words"))
      yield* Effect.repeat(ask("GET", "/health"), {
        until: ({ body }) => at(body, "activeSandboxes") === 0
      })
      assert.isTrue(yield* isOpen(turn.fiber))
      assert.strictEqual(yield* statusOf(path), "active")
      const command = yield* ask("POST", `${path}/exec`, { json: { command: "true" } })
      assert.deepStrictEqual(command.body, { error: "Sandbox not found", statusCode: 500 })
      assert.strictEqual(yield* statusOf(path), "active")
      const next = yield* ask("POST", `${path}/messages`, { json: { content: "hi" } })
      assert.strictEqual(next.status, 500)
      assert.deepStrictEqual(next.body, { error: "Sandbox not found", statusCode: 500 })
      assert.strictEqual(yield* statusOf(path), "error")
      assert.strictEqual((yield* ask("POST", `${path}/resume`)).status, 200)
      const again = yield* listen(path, "hi")
      yield* again.until(says("last words"))
    }).pipe(withServer(crash)))

  for (const [name, method, suffix] of [["stop", "POST", "/stop"], ["end", "DELETE", ""]] as const) {
    it.effect(`on: ${name} during a turn leaves its stream open`, () =>
      Effect.gen(function*() {
        const { path } = yield* open()
        const turn = yield* listen(path, "hi")
        yield* turn.until(says("last words"))
        assert.strictEqual((yield* ask(method, `${path}${suffix}`)).status, 200)
        assert.isTrue(yield* isOpen(turn.fiber))
      }).pipe(withServer(silent)))
  }

  it.effect("off: the stream ends with an error", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open()
      const frames = yield* say(path, "hi")
      assert.deepStrictEqual(frames.slice(-2), [
        { event: "error", data: { error: "Sandbox died" } },
        { event: "done", data: { sessionId: id } }
      ])
    }).pipe(withServer({ ...crash, quirks: { hangOnDeadSandbox: false } })))

  it.effect("a silent agent is silent for ever, dead or alive", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const turn = yield* listen(path, "hi")
      yield* turn.until(says("last words"))
      assert.isTrue(yield* isOpen(turn.fiber))
      assert.deepInclude(at((yield* ask("GET", "/health")).body, "pool"), { running: 1, waiting: 0 })
    }).pipe(withServer({ ...silent, quirks: { hangOnDeadSandbox: false } })))

  it.effect("a pause does not interrupt the turn", () =>
    Effect.gen(function*() {
      const { latches, script } = yield* makeAgent
      yield* Effect.gen(function*() {
        const { path } = yield* open()
        const a = yield* listen(path, "a")
        yield* a.until(says("a-1"))
        yield* ask("POST", `${path}/pause`)
        const { body } = yield* ask("POST", `${path}/messages`, { json: { content: "b" } })
        assert.deepStrictEqual(body, { error: "Session is paused", statusCode: 400 })
        yield* latches.a.open
        assert.deepStrictEqual(saidIn(yield* a.until(named("done"))), ["a-2"])
        assert.deepStrictEqual(yield* stored(path), ["a", "a-1", "a-2", "a-2"])
      }).pipe(withServer({ script }))
    }))
})

describe("coldResumeLosesWorkspace", () => {
  const stopAndResume = Effect.gen(function*() {
    const { path } = yield* open({ systemPrompt: "mine" })
    yield* ask("POST", `${path}/exec`, { json: { command: "echo kept > file" } })
    yield* ask("POST", `${path}/stop`)
    yield* ask("POST", `${path}/resume`)
    const { body } = yield* ask("POST", `${path}/exec`, { json: { command: "cat CLAUDE.md; ls" } })
    return textAt(body, "stdout")
  })

  it.effect("on: a session starts again with the agent's files alone", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* stopAndResume, "# demo\nCLAUDE.md\n")
    }).pipe(withServer()))

  it.effect("off: a session starts again with the files it had", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* stopAndResume, "mineCLAUDE.md\nfile\n")
    }).pipe(withServer({ quirks: { coldResumeLosesWorkspace: false } })))

  it.effect("off: with the changes since the last snapshot, and with caches and dependencies", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const made = "mkdir -p node_modules/m; touch node_modules/m/a gone; ln -s CLAUDE.md link"
      yield* ask("POST", `${path}/exec`, { json: { command: made } })
      yield* ask("POST", `${path}/stop`)
      yield* ask("POST", `${path}/files`, { json: { files: [{ path: "late", content: "" }] } })
      yield* ask("DELETE", `${path}/files/gone`)
      yield* ask("POST", `${path}/resume`)
      const { body } = yield* ask("POST", `${path}/exec`, { json: { command: "ls -R; readlink link" } })
      assert.strictEqual(
        textAt(body, "stdout"),
        ".:\nCLAUDE.md\nlate\nlink\nnode_modules\n\n./node_modules:\nm\n\n./node_modules/m:\na\nCLAUDE.md\n"
      )
    }).pipe(withServer({ quirks: { coldResumeLosesWorkspace: false } })))

  it.effect("off: of the place that another session took", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* ask("POST", `${path}/exec`, { json: { command: "touch mine" } })
      yield* ask("POST", "/api/sessions", { json: { agent: "demo" } })
      assert.strictEqual(yield* statusOf(path), "paused")
      yield* ask("POST", `${path}/resume`)
      const { body } = yield* ask("POST", `${path}/exec`, { json: { command: "ls" } })
      assert.strictEqual(textAt(body, "stdout"), "CLAUDE.md\nmine\n")
    }).pipe(withServer({ quirks: { coldResumeLosesWorkspace: false }, maxSandboxes: 1 })))
})

describe("warmPool", () => {
  const create = Effect.gen(function*() {
    yield* deploy("demo", { systemPrompt: "the agent's" })
    const json = { agent: "demo", systemPrompt: "mine", extraEnv: { MINE: "1" } }
    const { body } = yield* ask("POST", "/api/sessions", { json })
    const path = `/api/sessions/${textAt(body, "session", "id")}`
    const found = yield* ask("POST", `${path}/exec`, { json: { command: "cat CLAUDE.md; echo \" $MINE\"" } })
    return {
      isWarm: at(body, "session", "id") !== at(body, "session", "sandboxId"),
      found: at(found.body, "stdout")
    }
  })

  it.effect("off: a session gets what it asks for", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* create, { isWarm: false, found: "mine 1\n" })
    }).pipe(withServer()))

  it.effect("on: a session gets a sandbox that was made before it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* create, { isWarm: true, found: "the agent's \n" })
    }).pipe(withServer({ quirks: { warmPool: true } })))

  const warm = { quirks: { warmPool: true, content: "intact" }, script: AgentScript.echo } as const
  const start = Effect.fnUntraced(function*(more: Schema.JsonObject = {}, options: RequestOptions = {}) {
    const { body } = yield* ask("POST", "/api/sessions", { ...options, json: { agent: "demo", ...more } })
    const id = textAt(body, "session", "id")
    return { path: `/api/sessions/${id}`, isWarm: id !== at(body, "session", "sandboxId") }
  })
  const run = Effect.fnUntraced(function*(path: string, command: string, options: RequestOptions = {}) {
    return textAt((yield* ask("POST", `${path}/exec`, { ...options, json: { command } })).body, "stdout")
  })
  const pool = Effect.map(ask("GET", "/health"), ({ body }) => at(body, "pool"))

  it.effect("on: each session has the environment and the permissions of the one before it", () =>
    Effect.gen(function*() {
      yield* deploy("demo", { env: { AGENT: "a" } })
      const credential = yield* ask("POST", "/api/credentials", { json: { type: "custom", key: "secret" } })
      const asked: ReadonlyArray<Schema.JsonObject> = [
        { extraEnv: { S: "one" }, permissionMode: "default" },
        { credentialId: textAt(credential.body, "credential", "id") },
        { extraEnv: { S: "three" } },
        {}
      ]
      const seen: Array<string> = []
      const modes: Array<string> = []
      for (const more of asked) {
        const { path } = yield* start(more)
        seen.push((yield* run(path, "echo $AGENT,$S,$ASH_CUSTOM_API_KEY")).trim())
        const [init] = (yield* say(path, "hi")).filter(({ data }) => at(data, "subtype") === "init")
        modes.push(textAt(init?.data, "permissionMode"))
      }
      assert.deepStrictEqual(seen, ["a,,", "a,one,", "a,,secret", "a,three,"])
      assert.deepStrictEqual(modes, ["bypassPermissions", "default", "bypassPermissions", "bypassPermissions"])
    }).pipe(withServer(warm)))

  it.effect("on: sandboxes that were made before are counted, at the deployment and after each session", () =>
    Effect.gen(function*() {
      assert.deepInclude(yield* pool, { total: 0, warm: 0, preWarmHits: 0 })
      yield* deploy("demo")
      yield* deploy("demo")
      assert.deepInclude(yield* pool, { total: 2, warm: 2, waiting: 0, preWarmHits: 0 })
      const { path } = yield* start()
      yield* say(path, "hi")
      assert.deepInclude(yield* pool, { total: 3, warm: 2, waiting: 1, preWarmHits: 1 })
      yield* ask("POST", `${path}/fork`)
      yield* ask("POST", `${path}/stop`)
      yield* ask("POST", `${path}/resume`)
      assert.deepInclude(yield* pool, { total: 4, warm: 4, waiting: 0, preWarmHits: 3, resumeColdHits: 1 })
      assert.include((yield* ask("GET", "/metrics")).text, "ash_resume_total{path=\"prewarm\"} 3")
    }).pipe(withServer(warm)))

  it.effect("on: files are those of the time when the sandbox was made, of the tenant that deployed the agent", () =>
    Effect.gen(function*() {
      const other = { authorization: "Bearer other" }
      yield* deploy("demo", { systemPrompt: "first", env: { AGENT: "a" } })
      yield* ask("POST", "/api/agents", {
        ...other,
        json: { name: "demo", systemPrompt: "second", env: { AGENT: "b" } }
      })
      const sessions = [yield* start({}, other), yield* start({}, other), yield* start({}, other)]
      const found = yield* Effect.forEach(sessions, ({ path }) => run(path, "cat CLAUDE.md; echo \" $AGENT\"", other))
      assert.deepStrictEqual(found, ["first a\n", "second b\n", "second b\n"])
    }).pipe(withServer({ ...warm, tenants: { other: "other" } })))

  it.effect("on: a session reports no MCP servers that it does not have", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const { path } = yield* start({ mcpServers: { m: { url: "http://127.0.0.1:1" } } })
      const { body } = yield* ask("GET", `${path}/events?type=mcp_status`)
      assert.deepStrictEqual(listAt(body, "events"), [])
      assert.strictEqual((yield* ask("GET", `${path}/files/.mcp.json`)).status, 404)
    }).pipe(withServer(warm)))

  it.effect("on: a server without room evicts the sandboxes that were made before first", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      yield* deploy("other")
      const first = yield* start()
      assert.isTrue(first.isWarm)
      const second = yield* start({ extraEnv: { S: "mine" } })
      assert.isFalse(second.isWarm)
      assert.strictEqual(yield* run(second.path, "echo $S"), "mine\n")
      assert.strictEqual(yield* statusOf(first.path), "active")
      assert.deepInclude(yield* pool, { total: 2, cold: 0, warm: 2, preWarmHits: 1, maxCapacity: 2 })
    }).pipe(withServer({ ...warm, maxSandboxes: 2 })))
})
