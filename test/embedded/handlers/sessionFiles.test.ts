import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import {
  ask,
  at,
  file,
  listAt,
  open,
  pathsOf,
  send,
  textAt,
  withServer,
  writeFiles
} from "../../support/embeddedServer.ts"

describe("session files", () => {
  it.effect("are written, listed, read as bytes and as JSON, and deleted", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const bytes = new Uint8Array([0, 1, 255, 254])
      const written = yield* writeFiles(path, [file("a.txt", "alpha"), file("dir/ü n.bin", bytes)])
      assert.deepStrictEqual(written.body, {
        files: [{ path: "a.txt", written: true, size: 5 }, { path: "dir/ü n.bin", written: true, size: 4 }]
      })
      assert.deepStrictEqual(yield* pathsOf(path), {
        paths: ["CLAUDE.md", "a.txt", "dir/ü n.bin"],
        source: "sandbox"
      })
      const raw = yield* send("GET", `${path}/files/dir/${encodeURIComponent("ü n.bin")}`)
      assert.deepStrictEqual(new Uint8Array(yield* raw.arrayBuffer), bytes)
      assert.deepInclude(raw.headers, {
        "content-type": "application/octet-stream",
        "content-disposition": "attachment; filename*=UTF-8''%C3%BC%20n.bin",
        "content-length": "4",
        "x-ash-source": "sandbox"
      })
      const slash = yield* ask("GET", `${path}/files/dir%2F${encodeURIComponent("ü n.bin")}`)
      assert.strictEqual(slash.status, 200)
      const json = yield* ask("GET", `${path}/files/a.txt?format=json`)
      assert.deepStrictEqual(json.body, { path: "a.txt", content: "alpha", size: 5, source: "sandbox" })
      assert.strictEqual((yield* ask("GET", `${path}/files/a.txt`)).headers["content-type"], "text/plain")
      const deleted = yield* ask("DELETE", `${path}/files/a.txt`)
      assert.deepStrictEqual(deleted.body, { path: "a.txt", deleted: true })
      assert.deepStrictEqual((yield* ask("GET", `${path}/files/a.txt`)).body, {
        error: "File not found",
        statusCode: 404
      })
    }).pipe(withServer()))

  it.effect("are written into a folder, each for itself", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* writeFiles(path, [file("dir/x")])
      const { body, status } = yield* writeFiles(path, [file("c.txt"), file("../../../out"), file(".DS_Store")], {
        targetPath: "sub/dir"
      })
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(listAt(body, "files").map((row) => [at(row, "path"), at(row, "written")]), [
        ["c.txt", true],
        ["../../../out", false],
        [".DS_Store", false]
      ])
      const odd = yield* writeFiles(path, [file("a/.DS_Store"), file(""), file("a..b")])
      assert.deepStrictEqual(odd.body, {
        files: [
          { path: "a/.DS_Store", written: false, error: "Skipped: .DS_Store" },
          { path: "", written: false, error: "Invalid file path" },
          { path: "a..b", written: false, error: "Invalid file path" }
        ]
      })
      const onto = yield* writeFiles(path, [file("dir"), file("nb64.txt")])
      const [dir, other] = listAt(onto.body, "files")
      assert.isFalse(at(dir, "written"))
      assert.match(textAt(dir, "error"), /EISDIR: illegal operation on a directory/)
      assert.isTrue(at(other, "written"))
      assert.include((yield* pathsOf(path)).paths, "sub/dir/c.txt")
    }).pipe(withServer()))

  it.effect("are written below the workspace, whatever the target folder is", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      for (const targetPath of ["/abs", "x/../y", "../y2", "../../..", "./z/"]) {
        const { body } = yield* writeFiles(path, [file("f")], { targetPath })
        assert.deepStrictEqual(body, { files: [{ path: "f", written: true, size: 1 }] }, targetPath)
      }
      assert.deepStrictEqual((yield* pathsOf(path)).paths, ["CLAUDE.md", "abs/f", "f", "y/f", "y2/f", "z/f"])
    }).pipe(withServer()))

  it.effect("are listed depth first, each folder by name", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* writeFiles(
        path,
        ["a/b", "a.txt", "a-b", "Z", "a/a/c", "x.lock/y", ".lock", ".pid.txt"].map((name) => file(name))
      )
      const expected = [".pid.txt", "CLAUDE.md", "Z", "a/a/c", "a/b", "a-b", "a.txt"]
      assert.deepStrictEqual((yield* pathsOf(path)).paths, expected)
    }).pipe(withServer()))

  it.effect("that are too many together are refused from there on", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const content = "A".repeat(48 * 1_048_576 * 4 / 3)
      const { body } = yield* writeFiles(
        path,
        ["a", "b", "c", "d"].map((path) => ({ path, content: path === "d" ? "" : content }))
      )
      assert.deepStrictEqual(listAt(body, "files").map((row) => [at(row, "path"), at(row, "error")]), [
        ["a", undefined],
        ["b", undefined],
        ["c", "Batch size limit exceeded"],
        ["d", "Batch size limit exceeded"]
      ])
    }).pipe(withServer()))

  it.effect("are none where their path ends as that of a folder", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      for (const method of ["GET", "DELETE"] as const) {
        const { body, status } = yield* ask(method, `${path}/files/CLAUDE.md/`)
        assert.strictEqual(status, 404)
        assert.deepStrictEqual(body, { error: "File not found", statusCode: 404 })
      }
      assert.strictEqual((yield* ask("GET", "/api/agents/demo/files/CLAUDE.md/")).status, 404)
      const dot = yield* ask("GET", `${path}/files/x/./CLAUDE.md?format=json`)
      assert.strictEqual(dot.status, 404)
    }).pipe(withServer()))

  it.effect("of JSON keep the type that they have, and only answers have a charset", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* writeFiles(path, [file("a.json", "{}")])
      assert.strictEqual((yield* ask("GET", `${path}/files/a.json`)).headers["content-type"], "application/json")
      const read = yield* ask("GET", `${path}/files/a.json?format=json`)
      assert.strictEqual(read.headers["content-type"], "application/json; charset=utf-8")
      const json = { files: [file("a.json", "{}")] }
      yield* ask("POST", "/api/agents/demo/files", { json })
      const raw = yield* ask("GET", "/api/agents/demo/files/a.json?format=raw")
      assert.strictEqual(raw.headers["content-type"], "application/json")
    }).pipe(withServer()))

  it.effect("are refused one by one where their path holds two dots or begins with a slash", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const { body } = yield* writeFiles(path, [file("a..b"), file("/tmp/x"), file("ok.txt")])
      assert.deepStrictEqual(listAt(body, "files").map((row) => at(row, "written")), [false, false, true])
    }).pipe(withServer()))

  it.effect("have the media type of their extension, and of nothing else", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* writeFiles(path, [file("x.constructor"), file("py"), file("dir.py/x"), file("a.TS")])
      for (
        const [name, type] of [
          ["x.constructor", "application/octet-stream"],
          ["py", "application/octet-stream"],
          ["dir.py/x", "application/octet-stream"],
          ["a.TS", "text/typescript"]
        ]
      ) assert.strictEqual((yield* ask("GET", `${path}/files/${name}`)).headers["content-type"], type)
    }).pipe(withServer()))

  it.effect("are refused where they are too many or too few, or the path is bad", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const none = yield* writeFiles(path, [])
      assert.strictEqual(at(none.body, "message"), "body/files must NOT have fewer than 1 items")
      const many = yield* writeFiles(path, Array.from({ length: 501 }, (_, index) => file(String(index))))
      assert.strictEqual(at(many.body, "message"), "body/files must NOT have more than 500 items")
      for (const [name, error] of [["a/..%2f..%2fx", "Invalid file path"], ["", "File path required"]] as const) {
        const { body, status } = yield* ask("GET", `${path}/files/${name}`)
        assert.strictEqual(status, 400)
        assert.deepStrictEqual(body, { error, statusCode: 400 })
      }
      yield* writeFiles(path, [file("dir/x")])
      assert.deepStrictEqual((yield* ask("DELETE", `${path}/files/dir`)).body, {
        error: "Path is not a file",
        statusCode: 400
      })
      const format = yield* ask("GET", `${path}/files/dir/x?format=xml`)
      assert.strictEqual(at(format.body, "message"), "querystring/format must be equal to one of the allowed values")
    }).pipe(withServer()))

  it.effect("that are large are not answered as JSON", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* writeFiles(path, [file("big.bin", new Uint8Array(1_100_000))])
      const { body } = yield* ask("GET", `${path}/files/big.bin?format=json`)
      assert.deepStrictEqual(body, { error: "File too large (1100000 bytes, max 1048576)", statusCode: 400 })
    }).pipe(withServer()))

  it.effect("are listed without dependencies, and without caches when asked", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* writeFiles(path, [
        file("node_modules/x"),
        file(".git/x"),
        file("yarn.lock"),
        file(".cache/x"),
        file("tmp/x"),
        file(".hidden")
      ])
      assert.deepStrictEqual((yield* pathsOf(path)).paths, [".cache/x", ".hidden", "CLAUDE.md", "tmp/x"])
      assert.deepStrictEqual((yield* pathsOf(path, "?includeHidden=false")).paths, [".hidden", "CLAUDE.md"])
      const { body } = yield* ask("GET", `${path}/files?includeHidden=1`)
      assert.strictEqual(at(body, "message"), "querystring/includeHidden must be equal to one of the allowed values")
    }).pipe(withServer()))

  it.effect("of a session that was stopped, or ended, are read from its snapshot", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* writeFiles(path, [file("kept.txt")])
      yield* ask("POST", `${path}/stop`)
      assert.deepStrictEqual(yield* pathsOf(path), { paths: ["CLAUDE.md", "kept.txt"], source: "snapshot" })
      yield* ask("DELETE", path)
      const { headers, text } = yield* ask("GET", `${path}/files/kept.txt`)
      assert.strictEqual(text, "kept.txt")
      assert.strictEqual(headers["x-ash-source"], "snapshot")
    }).pipe(withServer()))
})
