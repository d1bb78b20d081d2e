import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { ProjectFiles } from "../../src/services/ProjectFiles.ts"
import { otherId as id } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const file = { id, filename: "a.txt", size: 2, ttl: "7d", createdAt: "2026-11-22T10:40:59.772Z" }

describe("ProjectFiles", () => {
  it.effect("stores, lists, locates and deletes files on the hosted product", () => {
    const server = Server.make(({ method, path }) =>
      path.endsWith("/url")
        ? Server.json({ url: "https://files.test/a" })()
        : method === "DELETE"
        ? new Response(null, { status: 204 })
        : method === "POST"
        ? Server.json({ file }, 201)()
        : Server.json({ files: [file] })()
    )
    return Effect.gen(function*() {
      const files = yield* ProjectFiles
      const created = yield* files.create({ filename: "a.txt", content: new Uint8Array([104, 105]), ttl: "7d" })
      assert.strictEqual(created.id, id)
      assert.strictEqual((yield* files.list()).length, 1)
      assert.strictEqual(yield* files.getUrl(id), "https://files.test/a")
      assert.isUndefined(yield* files.delete(id))
      assert.deepStrictEqual(server.requests.map(({ method, path }) => `${method} ${path}`), [
        "POST /api/files",
        "GET /api/files",
        `GET /api/files/${id}/url`,
        `DELETE /api/files/${id}`
      ])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("fails with NotSupported on a server that has none", () =>
    Effect.gen(function*() {
      const files = yield* ProjectFiles
      for (
        const call of [
          files.list(),
          files.getUrl(id),
          files.delete(id),
          files.create({ filename: "a", content: new Uint8Array(1) })
        ]
      ) {
        const { message, reason } = yield* Effect.flip(call)
        assert.strictEqual(reason._tag, "NotSupported")
        assert.include(message, "this server does not have the route")
      }
    }).pipe(Effect.provide(AshEmbedded.layer())))
})
