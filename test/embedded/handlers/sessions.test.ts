import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import { patiently } from "../../support/clock.ts"
import {
  ask,
  at,
  deploy,
  listAt,
  named,
  open,
  say,
  statusOf,
  textAt,
  withServer
} from "../../support/embeddedServer.ts"
import { isAlive, isGone } from "../../support/processes.ts"

const echo = { script: AgentScript.echo }
const unknown = "/api/sessions/00000000-0000-4000-8000-000000000000"
const badRequest = (error: string) => ({ error, statusCode: 400 })
const exec = (path: string, command: string, more: Schema.JsonObject = {}) =>
  ask("POST", `${path}/exec`, { json: { command, ...more } })
const lifecycle = (path: string) =>
  Effect.map(
    ask("GET", `${path}/events?type=lifecycle`),
    ({ body }) => listAt(body, "events").map((event) => textAt(event, "data"))
  )

describe("a session", () => {
  it.effect("is created active, in a sandbox of its own", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const { body, status } = yield* ask("POST", "/api/sessions", { json: { agent: "demo", model: "m" } })
      assert.strictEqual(status, 201)
      const id = textAt(body, "session", "id")
      assert.deepStrictEqual(body, {
        session: {
          id,
          tenantId: "default",
          agentName: "demo",
          sandboxId: id,
          status: "active",
          runnerId: null,
          parentSessionId: null,
          createdAt: "1970-01-01T00:00:00.000Z",
          lastActiveAt: "1970-01-01T00:00:00.000Z"
        }
      })
      assert.deepStrictEqual((yield* ask("GET", `/api/sessions/${id}`)).body, body)
      assert.deepStrictEqual(yield* lifecycle(`/api/sessions/${id}`), [
        "{\"action\":\"created\",\"agentName\":\"demo\",\"model\":\"m\"}"
      ])
    }).pipe(withServer()))

  it.effect("is not created without its agent, its credential or its folder", () =>
    Effect.gen(function*() {
      const create = (json: Schema.JsonObject) => ask("POST", "/api/sessions", { json })
      assert.deepStrictEqual((yield* create({ agent: "nosuch" })).body, {
        error: "Agent \"nosuch\" not found",
        statusCode: 404
      })
      const { body } = yield* deploy("demo")
      assert.deepStrictEqual(
        (yield* create({ agent: "demo", credentialId: "c" })).body,
        badRequest("Invalid or inaccessible credential")
      )
      assert.strictEqual((yield* create({ agent: "demo", credentialId: "" })).status, 201)
      const fileSystem = yield* FileSystem.FileSystem
      yield* fileSystem.remove(textAt(body, "agent", "path"), { recursive: true })
      assert.strictEqual((yield* create({ agent: "demo" })).status, 422)
    }).pipe(withServer(), Effect.provide(NodeFileSystem.layer)))

  it.effect("is listed, the newest first, by agent", () =>
    Effect.gen(function*() {
      const first = yield* open()
      const second = yield* open()
      yield* deploy("other")
      yield* ask("POST", "/api/sessions", { json: { agent: "other" } })
      const { body } = yield* ask("GET", "/api/sessions?agent=demo&limit=1")
      assert.deepStrictEqual(listAt(body, "sessions").map((session) => textAt(session, "id")), [second.id, first.id])
      assert.strictEqual(listAt((yield* ask("GET", "/api/sessions")).body, "sessions").length, 3)
    }).pipe(withServer()))

  it.effect("is not found by another id", () =>
    Effect.gen(function*() {
      const requests = [
        ask("GET", unknown),
        ask("PATCH", `${unknown}/config`, { json: {} }),
        ask("POST", `${unknown}/pause`),
        ask("POST", `${unknown}/resume`),
        ask("POST", `${unknown}/stop`),
        ask("POST", `${unknown}/fork`),
        ask("DELETE", unknown),
        exec(unknown, "true"),
        ask("GET", `${unknown}/events`),
        ask("GET", `${unknown}/logs`),
        ask("GET", `${unknown}/messages`),
        ask("POST", `${unknown}/messages`, { json: { content: "hi" } })
      ]
      for (const { body, status } of yield* Effect.all(requests)) {
        assert.strictEqual(status, 404)
        assert.deepStrictEqual(body, { error: "Session not found", statusCode: 404 })
      }
    }).pipe(withServer()))
})

describe("the state machine", () => {
  const actions = {
    pause: (path: string) => ask("POST", `${path}/pause`),
    resume: (path: string) => ask("POST", `${path}/resume`),
    stop: (path: string) => ask("POST", `${path}/stop`),
    end: (path: string) => ask("DELETE", path)
  }
  const reach = {
    active: () => Effect.void,
    paused: actions.pause,
    stopped: actions.stop,
    ended: actions.end
  }
  const ended = { error: "Session has ended — create a new session", statusCode: 410 }
  const cases = [
    ["active", "pause", "paused"],
    ["active", "resume", "active"],
    ["active", "stop", "stopped"],
    ["active", "end", "ended"],
    ["paused", "pause", badRequest("Cannot pause session with status \"paused\"")],
    ["paused", "resume", "active"],
    ["paused", "stop", badRequest("Cannot stop session with status \"paused\"")],
    ["paused", "end", "ended"],
    ["stopped", "pause", badRequest("Cannot pause session with status \"stopped\"")],
    ["stopped", "resume", "active"],
    ["stopped", "stop", badRequest("Cannot stop session with status \"stopped\"")],
    ["stopped", "end", "ended"],
    ["ended", "pause", badRequest("Cannot pause session with status \"ended\"")],
    ["ended", "resume", ended],
    ["ended", "stop", badRequest("Cannot stop session with status \"ended\"")],
    ["ended", "end", "ended"]
  ] as const
  for (const [from, action, expected] of cases) {
    it.effect(`${action} a session that is ${from}`, () =>
      Effect.gen(function*() {
        const { path } = yield* open()
        yield* reach[from](path)
        const answer = yield* actions[action](path)
        if (typeof expected === "string") {
          assert.strictEqual(answer.status, 200)
          assert.strictEqual(at(answer.body, "session", "status"), expected)
          assert.strictEqual(yield* statusOf(path), expected)
        } else {
          assert.strictEqual(answer.status, expected.statusCode)
          assert.deepStrictEqual(answer.body, expected)
          assert.strictEqual(yield* statusOf(path), from)
        }
      }).pipe(withServer()))
  }

  for (const status of ["paused", "stopped", "ended"] as const) {
    it.effect(`a session that is ${status} takes no message and no command, but settings and reads`, () =>
      Effect.gen(function*() {
        const { path } = yield* open()
        yield* reach[status](path)
        const expected = badRequest(`Session is ${status}`)
        assert.deepStrictEqual((yield* ask("POST", `${path}/messages`, { json: { content: "hi" } })).body, expected)
        assert.deepStrictEqual((yield* exec(path, "true")).body, expected)
        const patched = yield* ask("PATCH", `${path}/config`, { json: { model: "m" } })
        assert.strictEqual(at(patched.body, "session", "status"), status)
        for (const list of ["messages", "events", "logs"]) {
          assert.strictEqual((yield* ask("GET", `${path}/${list}`)).status, 200)
        }
      }).pipe(withServer()))
  }

  it.effect("leaves its marks on the timeline", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      for (const action of ["pause", "resume", "resume", "stop", "resume", "end", "end"] as const) {
        yield* actions[action](path)
      }
      assert.deepStrictEqual(yield* lifecycle(path), [
        "{\"action\":\"created\",\"agentName\":\"demo\"}",
        "{\"action\":\"paused\"}",
        "{\"action\":\"resumed\",\"path\":\"warm\"}",
        "{\"action\":\"stopped\"}",
        "{\"action\":\"resumed\",\"path\":\"cold\",\"source\":\"local\"}",
        "{\"action\":\"ended\"}",
        "{\"action\":\"ended\"}"
      ])
      const health = yield* ask("GET", "/health")
      assert.deepInclude(at(health.body, "pool"), { total: 0, resumeWarmHits: 1, resumeColdHits: 1 })
    }).pipe(withServer()))

  it.effect("answers with the time from before the change", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* TestClock.adjust("1 second")
      const { body } = yield* actions.pause(path)
      assert.strictEqual(at(body, "session", "lastActiveAt"), "1970-01-01T00:00:00.000Z")
      assert.strictEqual(at((yield* ask("GET", path)).body, "session", "lastActiveAt"), "1970-01-01T00:00:01.000Z")
    }).pipe(withServer()))
})

describe("a fork", () => {
  it.effect("is paused, has the messages and the settings, but not the timeline", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open({ model: "parent-model" })
      yield* say(path, "hi")
      yield* ask("DELETE", path)
      const { body, status } = yield* ask("POST", `${path}/fork`)
      assert.strictEqual(status, 201)
      assert.deepInclude(at(body, "session"), { status: "paused", parentSessionId: id, agentName: "demo" })
      const fork = `/api/sessions/${textAt(body, "session", "id")}`
      const rows = (path: string) => Effect.map(ask("GET", `${path}/messages`), ({ body }) => listAt(body, "messages"))
      const [own, parents] = [yield* rows(fork), yield* rows(path)]
      assert.strictEqual(own.length, 3)
      assert.deepStrictEqual(own.map((row) => at(row, "content")), parents.map((row) => at(row, "content")))
      assert.deepStrictEqual(own.map((row) => at(row, "sequence")), [1, 2, 3])
      assert.notStrictEqual(at(own[0], "id"), at(parents[0], "id"))
      assert.deepStrictEqual(yield* lifecycle(fork), [`{"action":"forked","parentSessionId":"${id}"}`])
      yield* ask("POST", `${fork}/resume`)
      const frames = yield* say(fork, "again")
      assert.strictEqual(at(frames[1]?.data, "model"), "parent-model")
    }).pipe(withServer(echo)))
})

describe("a command", () => {
  it.effect("runs in the workspace, with the environment of the agent and the session", () =>
    Effect.gen(function*() {
      yield* deploy("demo", { systemPrompt: "be good", env: { A: "agent", B: "agent" } })
      const { body } = yield* ask("POST", "/api/sessions", { json: { agent: "demo", extraEnv: { B: "session" } } })
      const path = `/api/sessions/${textAt(body, "session", "id")}`
      const result = yield* exec(path, "cat CLAUDE.md; echo \" $A $B\"; echo oops >&2; exit 7")
      assert.strictEqual(result.status, 200)
      assert.deepStrictEqual(result.body, { exitCode: 7, stdout: "be good agent session\n", stderr: "oops\n" })
    }).pipe(withServer()))

  it.effect("that dies by a signal has exit code 1", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      assert.deepStrictEqual((yield* exec(path, "kill -9 $$")).body, { exitCode: 1, stdout: "", stderr: "" })
    }).pipe(withServer()))

  it.effect("that takes too long has exit code 1, and its output so far", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* fileSystem.makeTempDirectoryScoped()
      const { path } = yield* open()
      const command = `echo begun; touch "${folder}/begun"; sleep 1000`
      const fiber = yield* Effect.forkChild(exec(path, command, { timeout: 300 }))
      yield* TestClock.withLive(Effect.repeat(fileSystem.exists(`${folder}/begun`), {
        until: (exists) => exists,
        schedule: Schedule.spaced("10 millis")
      }))
      const { body } = yield* patiently(fiber)
      assert.deepStrictEqual(body, { exitCode: 1, stdout: "begun\n", stderr: "" })
    }).pipe(withServer(), Effect.provide(NodeFileSystem.layer)))

  it.effect("fails if it is empty, or prints more than 10 MiB", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const failed = { error: "Internal Server Error", statusCode: 500 }
      assert.deepStrictEqual((yield* exec(path, "")).body, failed)
      assert.deepStrictEqual((yield* exec(path, "head -c 11000000 /dev/zero | tr '\\0' x")).body, failed)
      assert.strictEqual(yield* statusOf(path), "active")
    }).pipe(withServer()))

  it.effect("keeps its characters whole", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const { body } = yield* exec(path, "printf 'h\\303\\251llo \\360\\237\\230\\200\\n'")
      assert.strictEqual(at(body, "stdout"), "héllo 😀\n")
    }).pipe(withServer()))
})

describe("the workspace", () => {
  it.effect("has the session's prompt and MCP servers", () =>
    Effect.gen(function*() {
      const { path } = yield* open({ systemPrompt: "mine", mcpServers: { tools: { url: "http://127.0.0.1:1/mcp" } } })
      const { body } = yield* exec(path, "cat CLAUDE.md .mcp.json")
      const config =
        "{\n  \"mcpServers\": {\n    \"tools\": {\n      \"url\": \"http://127.0.0.1:1/mcp\"\n    }\n  }\n}\n"
      assert.strictEqual(at(body, "stdout"), `mine${config}`)
      const events = yield* ask("GET", `${path}/events?type=mcp_status`)
      assert.deepStrictEqual(JSON.parse(textAt(events.body, "events", 0, "data")), {
        action: "configured",
        servers: [{ name: "tools", transport: "sse", url: "http://127.0.0.1:1/mcp" }]
      })
    }).pipe(withServer()))

  it.effect("is gone with the server, whatever ran in it", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* Effect.gen(function*() {
        const { path } = yield* open()
        yield* exec(path, "echo kept > file")
        const { body } = yield* exec(path, "pwd")
        return textAt(body, "stdout").trim()
      }).pipe(withServer(), Effect.tap((folder) => Effect.map(fileSystem.exists(folder), assert.isFalse)))
      assert.match(folder, /effect-ash-.*workspace$/)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.live("ends the processes that run in it", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* fileSystem.makeTempDirectoryScoped()
      const pid = yield* Effect.gen(function*() {
        const { path } = yield* open()
        yield* Effect.forkScoped(exec(path, `cd "${folder}"; echo $$ > part; mv part pid; sleep 1000`))
        const pid = yield* Effect.eventually(fileSystem.readFileString(`${folder}/pid`))
        assert.isTrue(isAlive(Number(pid)))
        return Number(pid)
      }).pipe(withServer())
      yield* isGone(pid)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("exists while the server does, and is a new one after a stop", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open()
      yield* exec(path, "echo kept > file")
      yield* ask("POST", `${path}/pause`)
      yield* ask("POST", `${path}/resume`)
      assert.strictEqual(at((yield* exec(path, "cat file")).body, "stdout"), "kept\n")
      yield* ask("POST", `${path}/stop`)
      const { body } = yield* ask("POST", `${path}/resume`)
      assert.notStrictEqual(at(body, "session", "sandboxId"), id)
      assert.strictEqual(at((yield* exec(path, "ls")).body, "stdout"), "CLAUDE.md\n")
    }).pipe(withServer()))
})

describe("logs", () => {
  it.effect("count from 0, are read by index, and go with the sandbox", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* say(path, "hi")
      const { body } = yield* ask("GET", `${path}/logs`)
      assert.strictEqual(at(body, "source"), "sandbox")
      assert.deepStrictEqual(
        listAt(body, "logs").map((entry) => [at(entry, "index"), at(entry, "level"), at(entry, "text")]),
        [[0, "system", "Sandbox created"], [1, "stdout", "a line"], [2, "stderr", "a warning"]]
      )
      const later = yield* ask("GET", `${path}/logs?after=1`)
      assert.deepStrictEqual(listAt(later.body, "logs").map((entry) => at(entry, "index")), [2])
      yield* ask("DELETE", path)
      assert.deepStrictEqual((yield* ask("GET", `${path}/logs`)).body, { logs: [], source: "sandbox" })
    }).pipe(withServer({
      script: () => Stream.make(AgentScript.log("a line"), AgentScript.log("a warning", "stderr"))
    })))
})

describe("settings", () => {
  it.effect("go with each message, those of the message over those of the session", () =>
    Effect.gen(function*() {
      const { path } = yield* open({ model: "of the session", allowedTools: ["Read"], betas: ["b"] })
      yield* ask("PATCH", `${path}/config`, { json: { allowedTools: ["Bash"], initialAgent: "helper" } })
      const frames = yield* say(path, "hi", { model: "of the message", maxTurns: 3, effort: "low" })
      const answer = frames.findLast(named("turn_complete"))
      assert.deepStrictEqual(JSON.parse(textAt(answer?.data, "result")), {
        model: "of the message",
        allowedTools: ["Bash"],
        betas: ["b"],
        initialAgent: "helper",
        maxTurns: 3,
        effort: "low"
      })
    }).pipe(withServer({ script: ({ options }) => Stream.make(AgentScript.say(JSON.stringify(options))) })))
})
