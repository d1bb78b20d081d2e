import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ask, at, base64, listAt, open, pathsOf, textAt, withServer } from "../../support/embeddedServer.ts"

describe("attachments", () => {
  it.effect("whose media type is no header cannot be read", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const { body } = yield* attach(path, { filename: "x", content: base64("x"), mimeType: "text/plain\r\nx: y" })
      const address = `/api/attachments/${textAt(body, "attachment", "id")}`
      const read = yield* ask("GET", address)
      assert.strictEqual(read.status, 500)
      assert.strictEqual(at(read.body, "code"), "ERR_INVALID_CHAR")
    }).pipe(withServer()))

  const attach = (path: string, json: Record<string, string>) => ask("POST", `${path}/attachments`, { json })

  it.effect("are kept by their last name, copied into the sandbox, read and deleted", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open()
      const { body, status } = yield* attach(path, {
        filename: "../dir/ré port.txt",
        content: base64("attached"),
        mimeType: "text/plain"
      })
      assert.strictEqual(status, 201)
      assert.deepInclude(at(body, "attachment"), {
        sessionId: id,
        tenantId: "default",
        messageId: "unlinked",
        filename: "ré port.txt",
        mimeType: "text/plain",
        size: 8
      })
      assert.include((yield* pathsOf(path)).paths, "attachments/ré port.txt")
      const address = `/api/attachments/${textAt(body, "attachment", "id")}`
      const { headers, text } = yield* ask("GET", address)
      assert.strictEqual(text, "attached")
      assert.deepInclude(headers, {
        "content-type": "text/plain",
        "content-disposition": "attachment; filename*=UTF-8''r%C3%A9%20port.txt",
        "content-length": "8",
        "x-content-type-options": "nosniff"
      })
      const messageId = "0cb0da9b-d53c-4c7c-ac89-7651c336a2c5"
      const second = yield* attach(path, { filename: "y", content: "eQ==", messageId })
      assert.deepInclude(at(second.body, "attachment"), { messageId, mimeType: "application/octet-stream" })
      const list = yield* ask("GET", `${path}/attachments`)
      assert.deepStrictEqual(listAt(list.body, "attachments").map((row) => at(row, "filename")), ["ré port.txt", "y"])
      assert.strictEqual((yield* ask("DELETE", address)).status, 204)
      for (const method of ["GET", "DELETE"] as const) {
        assert.deepStrictEqual((yield* ask(method, address)).body, { error: "Attachment not found", statusCode: 404 })
      }
    }).pipe(withServer()))

  it.effect("that are bad are refused without a reason", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      for (const json of [{ content: "eA==" }, { filename: "y", content: "eQ==", messageId: "nope" }]) {
        const { body } = yield* ask("POST", `${path}/attachments`, { json })
        assert.deepStrictEqual(body, { error: "Bad Request", statusCode: 400 })
      }
      const empty = yield* attach(path, { filename: "y", content: "" })
      assert.deepStrictEqual(empty.body, { error: "Empty attachment content", statusCode: 400 })
      const large = yield* attach(path, { filename: "y", content: base64(new Uint8Array(800_000)) })
      assert.deepStrictEqual(large.body, { error: "Payload Too Large", statusCode: 413 })
    }).pipe(withServer()))
})
