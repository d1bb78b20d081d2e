import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Latch from "effect/Latch"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import type { EmbeddedOptions } from "../../../src/embedded/EmbeddedOptions.ts"
import {
  ask,
  at,
  deploy,
  listAt,
  listen,
  named,
  open,
  saidIn,
  say,
  statusOf,
  textAt,
  withServer
} from "../../support/embeddedServer.ts"

const content = Buffer.from("x").toString("base64")
const noWorkspace = { error: "No workspace available for this session", statusCode: 404 }
const noRoom = { error: "Sandbox capacity reached and no evictable sandboxes (all running)", statusCode: 503 }

/** Writes a file of the prompt's name. After a prompt that ends in `crash` its process dies. */
const writer: AgentScript.AgentScript = ({ prompt, workspace }) =>
  Stream.fromEffect(workspace.writeFile(`${prompt}.txt`, prompt)).pipe(
    Stream.map(() => prompt.endsWith("crash") ? AgentScript.crash : AgentScript.say("written"))
  )

const health = Effect.map(ask("GET", "/health"), ({ body }) => body)

/** Makes the agent crash, and waits until its sandbox is gone. */
const crash = Effect.fnUntraced(function*(path: string, prompt = "crash") {
  const before = Number(at(yield* health, "activeSandboxes"))
  yield* listen(path, prompt)
  yield* Effect.repeat(health, { until: (body) => Number(at(body, "activeSandboxes")) < before })
})

/** What is left of a session's sandbox. */
const left = Effect.fnUntraced(function*(path: string) {
  const files = yield* ask("GET", `${path}/files`)
  const logs = yield* ask("GET", `${path}/logs`)
  return {
    status: yield* statusOf(path),
    source: files.status === 404 ? files.body : at(files.body, "source"),
    files: listAt(files.body, "files").map((file) => at(file, "path")),
    logs: listAt(logs.body, "logs").map((line) => at(line, "text"))
  }
})

type Path = (path: string) => Effect.Effect<unknown, unknown, HttpClient.HttpClient | Scope.Scope>

const stop: Path = (path) => ask("POST", `${path}/stop`)
const pause: Path = (path) => ask("POST", `${path}/pause`)
const resume: Path = (path) => ask("POST", `${path}/resume`)
const end: Path = (path) => ask("DELETE", path)
const turn = (prompt: string): Path => (path) => say(path, prompt)
const exec = (command: string): Path => (path) => ask("POST", `${path}/exec`, { json: { command } })
const crashes: Path = (path) => crash(path)
const crashesLater: Path = (path) => crash(path, "later-crash")
const another: Path = () => ask("POST", "/api/sessions", { json: { agent: "demo" } })

const created = ["Sandbox created"]
const alive = { source: "sandbox", logs: created }

/** What happens to a session, and what is left of its sandbox then. */
const ends: ReadonlyArray<readonly [name: string, ReadonlyArray<Path>, Schema.JsonObject, EmbeddedOptions?]> = [
  ["none", [turn("a")], { ...alive, status: "active", files: ["CLAUDE.md", "a.txt"] }],
  ["a crash", [crashes], { status: "active", source: noWorkspace, files: [], logs: created }],
  ["a crash after a command", [exec("touch b.txt"), crashes], {
    status: "active",
    source: noWorkspace,
    files: [],
    logs: created
  }],
  ["a crash after a turn, which was kept", [turn("a"), exec("touch b.txt"), crashesLater], {
    status: "active",
    source: "snapshot",
    files: ["CLAUDE.md", "a.txt"],
    logs: created
  }],
  ["a crash after a pause, which was kept", [exec("touch b.txt"), pause, resume, crashesLater], {
    status: "active",
    source: "snapshot",
    files: ["CLAUDE.md", "b.txt"],
    logs: created
  }],
  ["a stop after a crash", [crashes, stop], { status: "stopped", source: noWorkspace, files: [], logs: [] }],
  ["an end after a crash", [crashes, end], { status: "ended", source: noWorkspace, files: [], logs: [] }],
  ["a resume after a crash", [crashes, turn("a"), resume], { ...alive, status: "active", files: ["CLAUDE.md"] }],
  ["a resume after a crash, with the workspace", [crashes, turn("a"), resume], {
    ...alive,
    status: "active",
    files: ["CLAUDE.md", "crash.txt"]
  }, { quirks: { coldResumeLosesWorkspace: false } }],
  ["a stop", [exec("touch b.txt"), stop], {
    status: "stopped",
    source: "snapshot",
    files: ["CLAUDE.md", "b.txt"],
    logs: []
  }],
  ["an end", [turn("a"), end], { status: "ended", source: "snapshot", files: ["CLAUDE.md", "a.txt"], logs: [] }],
  ["a pause", [turn("a"), pause], { ...alive, status: "paused", files: ["CLAUDE.md", "a.txt"] }],
  ["a stop, a resume and a crash", [turn("a"), stop, resume, crashesLater], {
    status: "active",
    source: "snapshot",
    files: ["CLAUDE.md", "a.txt"],
    logs: created
  }],
  ["an eviction", [exec("touch b.txt"), another], {
    status: "paused",
    source: "snapshot",
    files: ["CLAUDE.md", "b.txt"],
    logs: []
  }, { maxSandboxes: 1 }],
  ["a stop, without caches, locks and modules", [
    exec("mkdir tmp .cache node_modules d d/venv; touch tmp/a .cache/b node_modules/c d/x.lock d/venv/y d/c"),
    stop
  ], { status: "stopped", source: "snapshot", files: ["CLAUDE.md", "d/c"], logs: [] }],
  ["a stop, with its links as links", [
    exec("touch a; ln -s a l; ln -s / root; ln -s . self"),
    turn("b"),
    exec("rm root self"),
    stop
  ], { status: "stopped", source: "snapshot", files: ["CLAUDE.md", "a", "b.txt", "l"], logs: [] }]
]

describe("what is left of a sandbox after", () => {
  for (const [name, steps, expected, options] of ends) {
    it.effect(name, () =>
      Effect.gen(function*() {
        const { path } = yield* open()
        for (const step of steps) yield* step(path)
        assert.deepStrictEqual<unknown>(yield* left(path), expected)
      }).pipe(withServer({ script: writer, ...options })))
  }

  it.effect("a crash: no file is read, written or deleted, and no bundle goes out or in", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* crash(path)
      const answers = [
        yield* ask("GET", `${path}/files`),
        yield* ask("GET", `${path}/files/CLAUDE.md`),
        yield* ask("GET", `${path}/files/CLAUDE.md?format=json`),
        yield* ask("POST", `${path}/files`, { json: { files: [{ path: "a", content }] } }),
        yield* ask("DELETE", `${path}/files/CLAUDE.md`),
        yield* ask("GET", `${path}/workspace`),
        yield* ask("POST", `${path}/workspace`, { json: { bundle: content } })
      ]
      for (const { body, status } of answers) {
        assert.strictEqual(status, 404)
        assert.deepStrictEqual(body, noWorkspace)
      }
    }).pipe(withServer({ script: writer })))

  it.effect("the deletion of its agent: it stays alive, and no session leads to it", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* ask("DELETE", "/api/agents/demo")
      assert.strictEqual((yield* ask("GET", `${path}/files`)).status, 404)
      assert.strictEqual(at(yield* health, "activeSandboxes"), 1)
      yield* open()
      assert.strictEqual(at(yield* health, "activeSandboxes"), 1)
    }).pipe(withServer({ maxSandboxes: 1 })))
})

/** Waits for its latch at the prompt `wait`. */
const patient = Effect.map(Latch.make(), (latch) => {
  const script: AgentScript.AgentScript = ({ prompt }) =>
    prompt === "wait"
      ? Stream.concat(
        Stream.make(AgentScript.say("waiting")),
        Stream.fromEffect(Effect.as(latch.await, AgentScript.say("over")))
      )
      : Stream.make(AgentScript.say("hi"))
  return { latch, script }
})

describe("a server without room", () => {
  const create = ask("POST", "/api/sessions", { json: { agent: "demo" } })
  const opened = Effect.map(open(), ({ path }) => path)

  it.effect("evicts the least recently used sandbox: a turn, a command and a start count as use", () =>
    Effect.gen(function*() {
      const [a, b, c] = [yield* opened, yield* opened, yield* opened]
      yield* say(b, "hi")
      yield* exec("true")(a)
      const statuses = Effect.all([statusOf(a), statusOf(b), statusOf(c)])
      yield* create
      assert.deepStrictEqual(yield* statuses, ["active", "active", "paused"])
      yield* create
      assert.deepStrictEqual(yield* statuses, ["active", "paused", "paused"])
      yield* ask("POST", `${c}/resume`)
      assert.deepStrictEqual(yield* statuses, ["paused", "paused", "active"])
      const { body } = yield* ask("POST", `${b}/messages`, { json: { content: "hi" } })
      assert.deepStrictEqual(body, { error: "Session is paused", statusCode: 400 })
      assert.deepInclude(at(yield* health, "pool"), { total: 5, cold: 2, warm: 3, waiting: 0, running: 0 })
      const events = yield* ask("GET", `${a}/events?type=lifecycle`)
      assert.strictEqual(listAt(events.body, "events").length, 1)
    }).pipe(withServer({ script: AgentScript.echo, maxSandboxes: 3 })))

  it.effect("refuses a sandbox where every other runs a turn, and does not disturb the turns", () =>
    Effect.gen(function*() {
      const { latch, script } = yield* patient
      yield* Effect.gen(function*() {
        const path = yield* opened
        const turn = yield* listen(path, "wait")
        yield* turn.until(named("message"))
        for (const refused of [yield* create, yield* ask("POST", `${path}/fork`)]) {
          assert.strictEqual(refused.status, 503)
          assert.deepStrictEqual(refused.body, noRoom)
        }
        assert.deepInclude(at(yield* health, "pool"), { total: 1, cold: 0, warm: 0, waiting: 0, running: 1 })
        yield* latch.open
        assert.deepStrictEqual(saidIn(yield* turn.until(named("done"))), ["waiting", "over"])
        yield* Effect.repeat(health, { until: (body) => at(body, "pool", "waiting") === 1 })
        assert.strictEqual((yield* create).status, 201)
        assert.strictEqual(yield* statusOf(path), "paused")
      }).pipe(withServer({ script, maxSandboxes: 1 }))
    }))

  it.effect("refuses a sandbox where every other runs a command", () =>
    Effect.gen(function*() {
      const path = yield* opened
      const command = yield* Effect.forkChild(exec("touch began; while [ ! -e go ]; do sleep 0.01; done")(path))
      yield* Effect.repeat(ask("GET", `${path}/files/began`), { until: ({ status }) => status === 200 })
      assert.deepStrictEqual((yield* create).body, noRoom)
      yield* ask("POST", `${path}/files`, { json: { files: [{ path: "go", content }] } })
      yield* Effect.repeat(create, { until: ({ status }) => status === 201 })
      assert.strictEqual(yield* statusOf(path), "paused")
      command.interruptUnsafe()
    }).pipe(withServer({ maxSandboxes: 1 })))

  it.effect("evicts no sandbox before its session has started, however many start at once", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const answers = yield* Effect.all(Array.from({ length: 8 }, () => create), { concurrency: "unbounded" })
      for (const { body, status } of answers) {
        if (status !== 201) assert.deepStrictEqual(body, noRoom)
      }
      assert.strictEqual(at(yield* health, "activeSandboxes"), 2)
      const sessions = listAt((yield* ask("GET", "/api/sessions")).body, "sessions")
      const active = sessions.filter((session) => at(session, "status") === "active")
      assert.strictEqual(active.length, 2)
      for (const session of active) {
        assert.strictEqual((yield* ask("GET", `/api/sessions/${textAt(session, "id")}/files`)).status, 200)
      }
    }).pipe(withServer({ maxSandboxes: 2 })))
})
