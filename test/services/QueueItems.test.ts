import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import { QueueItems } from "../../src/services/QueueItems.ts"
import { sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const item = (status: string, error: string | null = null) => ({
  item: {
    id: sessionId,
    agentName: "demo",
    prompt: "p",
    status,
    priority: 0,
    retryCount: 0,
    maxRetries: 3,
    error,
    createdAt: "2026-11-22T10:40:59.772Z"
  }
})

describe("QueueItems", () => {
  it.effect("enqueues, lists, counts and cancels", () => {
    const server = Server.make(({ method, path }) =>
      path.endsWith("/stats")
        ? Server.json({ stats: { pending: 1, processing: 0, completed: 2, failed: 0, cancelled: 0 } })()
        : method === "GET"
        ? Server.json({ items: [item("pending").item] })()
        : Server.json(item(method === "POST" ? "pending" : "cancelled"), method === "POST" ? 201 : 200)()
    )
    return Effect.gen(function*() {
      const queue = yield* QueueItems
      assert.strictEqual((yield* queue.enqueue({ agentName: "demo", prompt: "p", priority: 2 })).status, "pending")
      assert.strictEqual((yield* queue.list({ status: "pending", limit: 5 })).length, 1)
      assert.strictEqual((yield* queue.stats()).completed, 2)
      assert.strictEqual((yield* queue.cancel(sessionId)).status, "cancelled")
      assert.deepStrictEqual(server.requests.map(({ method, path }) => `${method} ${path}`), [
        "POST /api/queue",
        "GET /api/queue?status=pending&limit=5",
        "GET /api/queue/stats",
        `DELETE /api/queue/${sessionId}`
      ])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect.each(["completed", "failed", "cancelled"])(
    "awaits an item until it is %s",
    (status) =>
      Effect.gen(function*() {
        const server = Server.make(Server.inOrder(
          Server.json(item("pending")),
          Server.json(item("processing")),
          Server.json(item("pending", "first attempt")),
          Server.json(item(status, "first attempt"))
        ))
        const fiber = yield* Effect.forkChild(
          Effect.flatMap(QueueItems, (queue) => queue.await(sessionId, { every: "10 seconds" })).pipe(
            Effect.provide(server.layer)
          )
        )
        yield* TestClock.adjust("1 minute")
        assert.deepInclude(yield* Fiber.join(fiber), { status, error: "first attempt" })
        assert.deepStrictEqual(server.requests.map(({ at }) => at), [0, 10_000, 20_000, 30_000])
      })
  )
})
