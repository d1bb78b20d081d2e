import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { gunzipSync, gzipSync } from "node:zlib"
import { ask, at, base64, file, open, pathsOf, send, withServer, writeFiles } from "../../support/embeddedServer.ts"

describe("workspaces", () => {
  it.effect("are packed without dependencies, caches and environments, and laid over another", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* writeFiles(path, [file("a/b.txt"), file(".env"), file("node_modules/x"), file(".cache/x"), file("ü")])
      yield* ask("POST", `${path}/exec`, { json: { command: "echo '#!/bin/sh' > run; chmod 755 run" } })
      const response = yield* send("GET", `${path}/workspace`)
      const bundle = new Uint8Array(yield* response.arrayBuffer)
      assert.deepInclude(response.headers, {
        "content-type": "application/gzip",
        "content-disposition": `attachment; filename="${path.split("/").at(-1)}.tar.gz"`,
        "content-length": String(bundle.length)
      })
      assert.strictEqual(gunzipSync(bundle).length % 512, 0)
      const other = yield* open()
      yield* writeFiles(other.path, [file("mine")])
      const { body } = yield* ask("POST", `${other.path}/workspace`, { json: { bundle: base64(bundle) } })
      assert.deepStrictEqual(body, { message: "Workspace restored to live sandbox" })
      assert.deepStrictEqual((yield* pathsOf(other.path)).paths, ["CLAUDE.md", "a/b.txt", "mine", "run", "ü"])
      const run = yield* ask("POST", `${other.path}/exec`, { json: { command: "test -x run" } })
      assert.strictEqual(at(run.body, "exitCode"), 0)
      yield* ask("POST", `${other.path}/stop`)
      const stopped = yield* ask("POST", `${other.path}/workspace`, { json: { bundle: base64(bundle) } })
      assert.deepStrictEqual(stopped.body, { message: "Workspace saved as snapshot" })
    }).pipe(withServer()))

  it.effect("that are none are refused", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const upload = (bundle: string) => ask("POST", `${path}/workspace`, { json: { bundle } })
      const garbage = yield* upload(base64("not a tarball"))
      assert.strictEqual(garbage.status, 500)
      assert.strictEqual(at(garbage.body, "message"), "Invalid bundle: not a gzip file")
      assert.deepStrictEqual((yield* upload("")).body, { error: "Empty bundle", statusCode: 400 })
      assert.strictEqual((yield* upload(base64(gzipSync("no archive").subarray(0, 12)))).status, 500)
      const missing = yield* ask("POST", `${path}/workspace`, { json: {} })
      assert.deepStrictEqual(missing.body, { error: "Bad Request", statusCode: 400 })
      const unknown = yield* ask("GET", "/api/sessions/00000000-0000-4000-8000-000000000000/workspace")
      assert.deepStrictEqual(unknown.body, { error: "Session not found", statusCode: 404 })
    }).pipe(withServer()))
})
