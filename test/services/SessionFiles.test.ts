import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { Agents } from "../../src/services/Agents.ts"
import { SessionFiles, type WriteProgress } from "../../src/services/SessionFiles.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const opened = Effect.gen(function*() {
  yield* (yield* Agents).create({ name: "demo" })
  const { id } = yield* (yield* Sessions).create({ agent: "demo" })
  return { id, files: yield* SessionFiles }
})

const bytes = Uint8Array.from({ length: 70_000 }, (_, index) => index % 251)

describe("SessionFiles", () => {
  it.effect("writes bytes, text and streams, reads them back, lists and deletes them", () =>
    Effect.gen(function*() {
      const { files, id } = yield* opened
      const path = "ünï/ä%2F?#.bin"
      const written = yield* files.write(id, [
        { path, content: Stream.make(bytes.slice(0, 10), bytes.slice(10)) },
        { path: "a.txt", content: "größer" },
        { path: "b", content: new Uint8Array() }
      ])
      assert.deepStrictEqual(written.map(({ path, size }) => [path, size]), [[path, 70_000], ["a.txt", 8], ["b", 0]])
      assert.strictEqual(yield* files.readText(id, "a.txt"), "größer")
      const file = yield* Effect.scoped(Effect.gen(function*() {
        const { content, ...rest } = yield* files.read(id, path)
        return { ...rest, content: Buffer.concat(yield* Stream.runCollect(content)) }
      }))
      assert.deepInclude(file, {
        name: "ä%2F?#.bin",
        mediaType: "application/octet-stream",
        size: 70_000,
        source: "sandbox"
      })
      assert.isTrue(file.content.equals(bytes))
      const list = yield* files.list(id, { includeHidden: false })
      assert.deepStrictEqual(list.files.map(({ path }) => path), ["CLAUDE.md", "a.txt", "b", path])
      assert.strictEqual(list.source, "sandbox")
      assert.isUndefined(yield* files.delete(id, path))
      const error = yield* Effect.flip(files.readText(id, path))
      assert.strictEqual(error.message, "SessionFiles.readText: File not found (404)")
    }).pipe(Effect.provide(AshEmbedded.layer())))

  it.effect("names the files that the server refused, having written the others", () =>
    Effect.gen(function*() {
      const { files, id } = yield* opened
      yield* files.write(id, [{ path: "folder/x", content: "" }])
      const { reason } = yield* Effect.flip(
        files.write(id, [{ path: "good", content: "g" }, { path: "folder", content: "" }])
      )
      assert.deepStrictEqual(reason._tag === "FilesRefused" ? reason.refused.map(({ path }) => path) : [], ["folder"])
      assert.include(reason.message, "1 of 2 files: folder (EISDIR")
      assert.strictEqual(yield* files.readText(id, "good"), "g")
    }).pipe(Effect.provide(AshEmbedded.layer())))

  it.effect.each<readonly [count: number, length: number]>([[1, 70_000], [3, 40_000], [500, 0], [500, 300], [
    1100,
    130
  ]])(
    "names all of %i refused files, however much the server reports of each: %i characters",
    ([count, length]) => {
      const paths = Array.from({ length: count }, (_, index) => `folder/${index}`)
      const server = Server.make((request) => {
        const { files } = Server.jsonOf(request) as { readonly files: ReadonlyArray<{ readonly path: string }> }
        return Server.json({ files: files.map(({ path }) => ({ path, written: false, error: "!".repeat(length) })) })()
      })
      return Effect.gen(function*() {
        const { write } = yield* SessionFiles
        const { reason } = yield* Effect.flip(
          write(sessionId, paths.map((path) => ({ path, content: "geheim-geheim" })))
        )
        assert.deepStrictEqual(reason._tag === "FilesRefused" ? reason.refused.map(({ path }) => path) : [], paths)
      }).pipe(Effect.provide(server.layer))
    }
  )

  const accept: Server.Script = (request) => {
    const { files } = Server.jsonOf(request) as { readonly files: ReadonlyArray<{ readonly path: string }> }
    return Server.json({ files: files.map(({ path }) => ({ path, written: true })) })()
  }

  /** The steps of a large file, from how many bytes were sent before. */
  const steps = (size: number, before: number) =>
    Array.from({ length: Math.floor(size / 196_608) }, (_, index) => before + (index + 1) * 196_608)

  it.effect("sends as many requests as the files need, and reports how far it is", () =>
    Effect.gen(function*() {
      const server = Server.make(accept)
      const progress: Array<WriteProgress> = []
      const { write } = yield* Effect.provide(SessionFiles, server.layer)
      const many = Array.from({ length: 501 }, (_, index) => ({ path: `f${index}`, content: "x" }))
      const large = { path: "large", content: new Uint8Array(17_000_000) }
      const results = yield* write(sessionId, [...many, large], {
        targetPath: "sub",
        onProgress: (step) => Effect.sync(() => progress.push(step))
      })
      assert.strictEqual(results.length, 502)
      const totalFiles = 502
      assert.deepStrictEqual(progress, [
        { filesWritten: 500, bytesWritten: 500, bytesSent: 500, totalFiles },
        { filesWritten: 501, bytesWritten: 501, bytesSent: 501, totalFiles },
        ...steps(17_000_000, 501).map((bytesSent) => ({ filesWritten: 501, bytesWritten: 501, bytesSent, totalFiles })),
        { filesWritten: 502, bytesWritten: 17_000_501, bytesSent: 17_000_501, totalFiles }
      ])
      for (const request of server.requests) assert.deepInclude(Server.jsonOf(request), { targetPath: "sub" })
    }))

  it.effect("reports no number twice, and none that falls, where a request is repeated, and sends the same again", () =>
    Effect.gen(function*() {
      const server = Server.make(Server.inOrder(Server.lost, Server.json({ error: "x" }, 503), accept), {
        retry: { delay: 0 }
      })
      const sent: Array<number> = []
      const { write } = yield* Effect.provide(SessionFiles, server.layer)
      const content = Stream.fromIterable([new Uint8Array(2_000_000).fill(7), new Uint8Array(1_000_001).fill(8)])
      yield* write(sessionId, [{ path: "a", content }], {
        onProgress: ({ bytesSent }) => Effect.sync(() => sent.push(bytesSent))
      })
      assert.deepStrictEqual(sent, [...steps(3_000_001, 0), 3_000_001])
      assert.strictEqual(server.requests.length, 3)
      assert.strictEqual(new Set(server.requests.map(({ body }) => body)).size, 1)
    }))

  it.effect("fails as what is run for its progress does, and sends no more", () =>
    Effect.gen(function*() {
      const server = Server.make(accept)
      const { write } = yield* Effect.provide(SessionFiles, server.layer)
      const content = new Uint8Array(5_000_000)
      const files = ["a", "b"].map((path) => ({ path, content }))
      const error = yield* Effect.flip(write(sessionId, files, { onProgress: () => Effect.fail("mine" as const) }))
      assert.strictEqual(error, "mine")
      assert.isBelow(server.requests.length, 2)
    }))

  it.effect("refuses a stream that is too long without reading all of it, and passes its failure on", () =>
    Effect.gen(function*() {
      const server = Server.make(accept)
      const { write } = yield* Effect.provide(SessionFiles, server.layer)
      let read = 0
      const endless = Stream.forever(Stream.make(new Uint8Array(1_000_000))).pipe(
        Stream.tap(() => Effect.sync(() => read++))
      )
      const error = yield* Effect.flip(write(sessionId, [{ path: "a", content: endless }]))
      assert.include(error.message, "files[0].content must have at most 52428800 bytes")
      assert.isBelow(read, 100)
      const own = yield* Effect.flip(write(sessionId, [{ path: "a", content: Stream.fail("mine" as const) }]))
      assert.strictEqual(own, "mine")
      assert.deepStrictEqual(server.requests, [])
    }))

  it.effect("refuses a path by its place among all files, before any of them is sent", () =>
    Effect.gen(function*() {
      const server = Server.make(accept)
      const { write } = yield* Effect.provide(SessionFiles, server.layer)
      const many = Array.from({ length: 501 }, (_, index) => ({ path: `f${index}`, content: "x" }))
      const { reason } = yield* Effect.flip(write(sessionId, [...many, { path: "../f", content: "x" }]))
      assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : reason._tag, "files[501].path")
      assert.deepStrictEqual(server.requests, [])
    }))

  it.effect("sends nothing where there is nothing to write", () =>
    Effect.gen(function*() {
      const server = Server.make(accept)
      const { write } = yield* Effect.provide(SessionFiles, server.layer)
      assert.deepStrictEqual(yield* write(sessionId, []), [])
      assert.deepStrictEqual(server.requests, [])
    }))
})
