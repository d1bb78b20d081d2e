import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Attachments } from "../../src/services/Attachments.ts"
import { Sessions } from "../../src/services/Sessions.ts"

describe("Attachments", () => {
  it.effect("attaches bytes, text and streams, lists, fetches and deletes them", () =>
    Effect.gen(function*() {
      yield* (yield* Agents).create({ name: "demo" })
      const { id } = yield* (yield* Sessions).create({ agent: "demo" })
      const attachments = yield* Attachments
      const first = yield* attachments.upload(id, {
        filename: "dir/ré port.txt",
        content: Stream.make(new Uint8Array([104]), new Uint8Array([105])),
        mimeType: "text/plain"
      })
      assert.deepInclude(first, { filename: "ré port.txt", size: 2, messageId: "unlinked" })
      yield* attachments.upload(id, { filename: "b", content: "größer" })
      assert.deepStrictEqual((yield* attachments.list(id)).map(({ filename, size }) => [filename, size]), [
        ["ré port.txt", 2],
        ["b", 8]
      ])
      const file = yield* Effect.scoped(Effect.gen(function*() {
        const { content, ...rest } = yield* attachments.download(first.id)
        return { ...rest, text: yield* Stream.mkString(Stream.decodeText(content)) }
      }))
      assert.deepStrictEqual(file, {
        name: "ré port.txt",
        mediaType: "text/plain",
        size: 2,
        source: undefined,
        text: "hi"
      })
      assert.isUndefined(yield* attachments.delete(first.id))
      const error = yield* Effect.flip(attachments.delete(first.id))
      assert.strictEqual(error.message, "Attachments.delete: Attachment not found (404)")
    }).pipe(Effect.provide(AshEmbedded.layer())))
})
