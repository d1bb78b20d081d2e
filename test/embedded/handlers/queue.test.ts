import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import { ask, at, becomes, deploy, listAt, open, textAt, withServer } from "../../support/embeddedServer.ts"

const enqueue = (json: Schema.JsonObject) =>
  Effect.map(
    ask("POST", "/api/queue", { json: { agentName: "demo", ...json } }),
    ({ body }) => `/api/queue/${textAt(body, "item", "id")}`
  )

const itemAt = (path: string) => Effect.map(ask("GET", path), ({ body }) => at(body, "item"))

describe("the queue", () => {
  it.effect("takes an item with its defaults, whatever its agent", () =>
    Effect.gen(function*() {
      const { body, status } = yield* ask("POST", "/api/queue", { json: { agentName: "", prompt: "p" } })
      assert.strictEqual(status, 201)
      assert.deepInclude(at(body, "item"), {
        tenantId: "default",
        sessionId: null,
        agentName: "",
        prompt: "p",
        status: "pending",
        priority: 0,
        retryCount: 0,
        maxRetries: 3,
        error: null,
        startedAt: null,
        completedAt: null
      })
      assert.notProperty(at(body, "item"), "retryAfter")
      for (const json of [{ agentName: "demo", prompt: "" }, { agentName: "demo", prompt: "x", sessionId: "nope" }]) {
        assert.deepStrictEqual((yield* ask("POST", "/api/queue", { json })).body, {
          error: "Bad Request",
          statusCode: 400
        })
      }
    }).pipe(withServer()))

  it.effect("goes on behind an item whose session cannot be set up", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const broken = `d="$(dirname "$(dirname "$ASH_WORKSPACE_DIR")")"; mv "$d" "$d-away"; touch "$d"`
      const mended = broken.replace(/; mv.*/, `; rm "$d"; mv "$d-away" "$d"`)
      yield* ask("POST", `${path}/exec`, { json: { command: broken } })
      const first = yield* enqueue({ prompt: "first", maxRetries: 1 })
      yield* becomes(first, ["item", "status"], "failed")
      assert.include(textAt(yield* itemAt(first), "error"), "FileSystem")
      const second = yield* enqueue({ prompt: "second", maxRetries: 2 })
      yield* becomes(second, ["item", "retryCount"], 1)
      const folder = textAt((yield* ask("GET", "/api/agents/demo")).body, "agent", "path")
      execFileSync("/bin/sh", ["-c", mended], {
        env: { ASH_WORKSPACE_DIR: join(folder, "../../sandboxes/x/workspace") }
      })
      yield* becomes(second, ["item", "status"], "completed")
    }).pipe(withServer({ script: AgentScript.echo })))

  it.effect("works items off by priority, then by age, in sessions that stay and that it does not report", () => {
    const asked: Array<string> = []
    const script: AgentScript.AgentScript = ({ prompt }) => {
      asked.push(prompt)
      return Stream.make(AgentScript.say("done"))
    }
    return Effect.gen(function*() {
      yield* deploy("demo")
      const low = yield* enqueue({ prompt: "low" })
      yield* enqueue({ prompt: "high", priority: 5 })
      const last = yield* enqueue({ prompt: "late" })
      yield* becomes(last, ["item", "status"], "completed")
      assert.deepStrictEqual(asked, ["high", "low", "late"])
      assert.deepInclude(yield* itemAt(low), { status: "completed", sessionId: null, error: null, retryCount: 0 })
      assert.isString(at(yield* itemAt(low), "completedAt"))
      const sessions = listAt((yield* ask("GET", "/api/sessions")).body, "sessions")
      assert.deepStrictEqual(sessions.map((row) => at(row, "status")), ["active", "active", "active"])
      const usage = yield* ask("GET", "/api/usage")
      assert.deepStrictEqual(usage.body, { events: [] })
    }).pipe(withServer({ script }))
  })

  it.effect("tries again after 5 seconds, then 10, and gives up", () =>
    Effect.gen(function*() {
      const path = yield* enqueue({ agentName: "nosuch", prompt: "p" })
      yield* becomes(path, ["item", "retryCount"], 1)
      assert.deepInclude(yield* itemAt(path), { status: "pending", error: "Agent \"nosuch\" not found" })
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(at(yield* itemAt(path), "retryCount"), 1)
      yield* becomes(path, ["item", "status"], "failed")
      assert.deepInclude(yield* itemAt(path), { retryCount: 3, maxRetries: 3, error: "Agent \"nosuch\" not found" })
      const once = yield* enqueue({ agentName: "nosuch", prompt: "p", maxRetries: 0 })
      yield* becomes(once, ["item", "status"], "failed")
      assert.strictEqual(at(yield* itemAt(once), "retryCount"), 1)
    }).pipe(withServer()))

  it.effect("uses the session of an item, if it is active", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open()
      const item = yield* enqueue({ prompt: "p", sessionId: id })
      yield* becomes(item, ["item", "status"], "completed")
      assert.strictEqual(at(yield* itemAt(item), "sessionId"), id)
      yield* ask("POST", `${path}/pause`)
      const second = yield* enqueue({ prompt: "p", sessionId: id, maxRetries: 1 })
      yield* becomes(second, ["item", "status"], "failed")
    }).pipe(withServer()))

  it.effect("cancels what is pending, and nothing else", () =>
    Effect.gen(function*() {
      const latch = yield* Latch.make()
      const script: AgentScript.AgentScript = () =>
        Stream.unwrap(Effect.as(latch.await, Stream.make(AgentScript.say("done"))))
      yield* Effect.gen(function*() {
        yield* deploy("demo")
        const first = yield* enqueue({ prompt: "p" })
        const second = yield* enqueue({ prompt: "p" })
        yield* becomes(first, ["item", "status"], "processing")
        assert.deepStrictEqual((yield* ask("DELETE", first)).body, {
          error: "Cannot cancel item with status \"processing\"",
          statusCode: 400
        })
        const cancelled = yield* ask("DELETE", second)
        assert.deepInclude(at(cancelled.body, "item"), { status: "cancelled", completedAt: null })
        const stats = yield* ask("GET", "/api/queue/stats")
        assert.deepStrictEqual(stats.body, {
          stats: { pending: 0, processing: 1, completed: 0, failed: 0, cancelled: 1 }
        })
        const listed = yield* ask("GET", "/api/queue?status=cancelled&limit=1")
        assert.strictEqual(listAt(listed.body, "items").length, 1)
        const bad = yield* ask("GET", "/api/queue?status=weird")
        assert.strictEqual(at(bad.body, "message"), "querystring/status must be equal to one of the allowed values")
        yield* latch.open
        yield* becomes(first, ["item", "status"], "completed")
        const gone = yield* ask("DELETE", "/api/queue/00000000-0000-4000-8000-000000000000")
        assert.deepStrictEqual(gone.body, { error: "Queue item not found", statusCode: 404 })
      }).pipe(withServer({ script }))
    }))
})
