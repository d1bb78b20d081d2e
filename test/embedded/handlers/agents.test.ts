import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { ask, at, base64, deploy, listAt, open, textAt, withServer } from "../../support/embeddedServer.ts"

const read = (agent: string, path: string) =>
  Effect.map(ask("GET", `/api/agents/${agent}/files/${path}`), ({ body }) => at(body, "content"))
const notFound = (error: string) => ({ error, statusCode: 404 })

describe("deployment", () => {
  it.effect("makes an agent", () =>
    Effect.gen(function*() {
      const { body, status } = yield* deploy("demo", { env: { SECRET: "s" } })
      assert.strictEqual(status, 201)
      assert.deepInclude(at(body, "agent"), { name: "demo", tenantId: "default", version: 1, env: { SECRET: "***" } })
      assert.hasAllKeys(at(body, "agent"), [
        "id",
        "name",
        "tenantId",
        "version",
        "path",
        "env",
        "createdAt",
        "updatedAt"
      ])
      assert.deepStrictEqual((yield* ask("GET", "/api/agents/demo")).body, body)
    }).pipe(withServer()))

  it.effect("once more raises the version; its answer has the wrong time and no environment", () =>
    Effect.gen(function*() {
      const first = yield* deploy("demo", { env: { SECRET: "s" } })
      yield* TestClock.adjust("1 hour")
      const second = yield* deploy("demo")
      const stored = yield* ask("GET", "/api/agents/demo")
      assert.strictEqual(at(second.body, "agent", "version"), 2)
      assert.strictEqual(at(second.body, "agent", "id"), at(first.body, "agent", "id"))
      assert.strictEqual(at(second.body, "agent", "createdAt"), "1970-01-01T01:00:00.000Z")
      assert.isUndefined(at(second.body, "agent", "env"))
      assert.strictEqual(at(stored.body, "agent", "createdAt"), "1970-01-01T00:00:00.000Z")
      assert.deepStrictEqual(at(stored.body, "agent", "env"), { SECRET: "***" })
    }).pipe(withServer()))

  it.effect("writes the prompt, unless a file has it, and else a placeholder", () =>
    Effect.gen(function*() {
      const claude = { path: "CLAUDE.md", content: base64("from a file") }
      yield* deploy("prompt", { systemPrompt: "from the prompt" })
      yield* deploy("file", { systemPrompt: "from the prompt", files: [claude] })
      yield* deploy("bare")
      assert.strictEqual(yield* read("prompt", "CLAUDE.md"), "from the prompt")
      assert.strictEqual(yield* read("file", "CLAUDE.md"), "from a file")
      assert.include(String(yield* read("bare", "CLAUDE.md")), "bare")
    }).pipe(withServer()))

  it.effect("once more lays files over the old ones, and puts the placeholder over a prompt that is not sent again", () =>
    Effect.gen(function*() {
      yield* deploy("demo", { systemPrompt: "prompt", files: [{ path: "a.txt", content: base64("a") }] })
      yield* deploy("demo", { files: [{ path: "b.txt", content: base64("b") }] })
      assert.strictEqual(yield* read("demo", "a.txt"), "a")
      assert.strictEqual(yield* read("demo", "b.txt"), "b")
      assert.notStrictEqual(yield* read("demo", "CLAUDE.md"), "prompt")
    }).pipe(withServer()))

  it.effect("skips unsafe paths silently", () =>
    Effect.gen(function*() {
      const files = ["../evil.txt", "/abs.txt", "a..b.txt", "docs/a.txt"].map((path) => ({ path, content: "eA==" }))
      assert.strictEqual((yield* deploy("demo", { files })).status, 201)
      const { body } = yield* ask("GET", "/api/agents/demo/files")
      assert.deepStrictEqual(listAt(body, "files").map((file) => textAt(file, "path")), ["CLAUDE.md", "docs/a.txt"])
    }).pipe(withServer()))

  it.effect("takes a folder of the disk, if it holds a CLAUDE.md", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const path = yield* fileSystem.makeTempDirectoryScoped()
      const refused = yield* deploy("disk", { path })
      assert.strictEqual(refused.status, 400)
      assert.deepStrictEqual(refused.body, { error: "Agent directory must contain CLAUDE.md", statusCode: 400 })
      yield* fileSystem.writeFileString(`${path}/CLAUDE.md`, "on the disk")
      const { body } = yield* deploy("disk", { path, systemPrompt: "ignored" })
      assert.strictEqual(at(body, "agent", "path"), path)
      assert.strictEqual(yield* read("disk", "CLAUDE.md"), "on the disk")
    }).pipe(withServer({ agentPaths: true }), Effect.provide(NodeFileSystem.layer)))

  it.effect("takes no folder of the disk without the option", () =>
    Effect.gen(function*() {
      for (const path of [import.meta.dirname, ".", "agents/demo", ""]) {
        const { body, status } = yield* deploy("disk", { path })
        assert.strictEqual(status, 400)
        assert.include(textAt(body, "error"), "agentPaths: true")
      }
      assert.strictEqual((yield* ask("GET", "/api/agents/disk")).status, 404)
    }).pipe(withServer()))
})

describe("files of agents", () => {
  const write = (path: string) =>
    ask("POST", "/api/agents/demo/files", { json: { files: [{ path, content: "eA==" }] } })

  it.effect("are where their path leads, however it is spelt", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      for (const path of ["/x", "a/../y", "a..b", "../demo/z"]) {
        assert.deepStrictEqual((yield* write(path)).body, { written: 1 }, path)
      }
      const { body } = yield* ask("GET", "/api/agents/demo/files")
      assert.deepStrictEqual(listAt(body, "files").map((file) => textAt(file, "path")), [
        "CLAUDE.md",
        "a..b",
        "x",
        "y",
        "z"
      ])
      assert.deepStrictEqual((yield* ask("DELETE", "/api/agents/demo/files//x")).body, { deleted: true })
      for (const path of ["../x", "a/../../x", "/../x"]) {
        assert.deepStrictEqual((yield* write(path)).body, {
          error: `Path "${path}" escapes agent directory`,
          statusCode: 400
        })
      }
    }).pipe(withServer()))

  it.effect("are read by a path that there is", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      assert.deepStrictEqual((yield* ask("GET", "/api/agents/demo/files/")).body, {
        error: "File path required",
        statusCode: 400
      })
      for (const path of ["/x", "a..b"]) {
        const { body } = yield* ask("GET", `/api/agents/demo/files/${path}`)
        assert.deepStrictEqual(body, { error: "Invalid file path", statusCode: 400 })
      }
    }).pipe(withServer()))

  it.effect("are not deleted where they are folders", () =>
    Effect.gen(function*() {
      yield* deploy("demo", { files: [{ path: "d/x", content: "eA==" }] })
      for (const path of ["", "d", "."]) {
        const { body, status } = yield* ask("DELETE", `/api/agents/demo/files/${path}`)
        assert.strictEqual(status, 500)
        assert.deepInclude(body, { code: "EISDIR" })
      }
      for (
        const [path, code] of [["d", "EISDIR"], ["", "EISDIR"], ["d/x/y", "EEXIST"], ["n".repeat(300), "ENAMETOOLONG"]]
      ) {
        const onto = yield* write(path ?? "")
        assert.strictEqual(onto.status, 500)
        assert.deepInclude(onto.body, { code })
        assert.match(textAt(onto.body, "message"), new RegExp(`^${code}: `))
      }
    }).pipe(withServer()))
})

describe("agents", () => {
  it.effect("are listed by name", () =>
    Effect.gen(function*() {
      yield* deploy("b")
      yield* deploy("a")
      const { body } = yield* ask("GET", "/api/agents")
      assert.deepStrictEqual(listAt(body, "agents").map((agent) => textAt(agent, "name")), ["a", "b"])
    }).pipe(withServer()))

  it.effect("are not found by another name", () =>
    Effect.gen(function*() {
      for (const path of ["nosuch", "no%2Fsuch", "nosuch/config", "nosuch/files", "nosuch/files/x"]) {
        const { body, status } = yield* ask("GET", `/api/agents/${path}`)
        assert.strictEqual(status, 404)
        assert.deepStrictEqual(body, notFound("Agent not found"))
      }
      assert.strictEqual((yield* ask("DELETE", "/api/agents/nosuch")).status, 404)
      assert.strictEqual((yield* ask("PATCH", "/api/agents/nosuch", { json: {} })).status, 404)
    }).pipe(withServer()))

  it.effect("take another environment whole, and settings key by key, which are shown apart", () =>
    Effect.gen(function*() {
      yield* deploy("demo", { env: { A: "a" } })
      const patch = (json: Schema.JsonObject) => ask("PATCH", "/api/agents/demo", { json })
      const { body } = yield* patch({ env: { B: "b" }, config: { model: "m", turns: 5 } })
      assert.deepStrictEqual(at(body, "agent", "env"), { B: "***" })
      assert.isUndefined(at(body, "agent", "config"))
      assert.strictEqual(at(body, "agent", "version"), 1)
      const merged = yield* ask("PATCH", "/api/agents/demo/config", { json: { model: null, nested: { a: 1 } } })
      assert.deepStrictEqual(merged.body, { config: { model: null, turns: 5, nested: { a: 1 } } })
      assert.deepStrictEqual((yield* ask("GET", "/api/agents/demo/config")).body, merged.body)
      assert.isUndefined(at((yield* patch({ env: {} })).body, "agent", "env"))
    }).pipe(withServer()))

  it.effect("go with their sessions", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      assert.deepStrictEqual((yield* ask("DELETE", "/api/agents/demo")).body, { ok: true })
      assert.deepStrictEqual((yield* ask("GET", path)).body, notFound("Session not found"))
      assert.deepStrictEqual((yield* ask("GET", "/api/agents")).body, { agents: [] })
    }).pipe(withServer()))
})

describe("files of agents", () => {
  const long = `${"d".repeat(100)}/${"f".repeat(99)}`
  const files = ["docs/ünï cödé #1?.txt", long, "node_modules/x.js", ".claude/settings.json", "yarn.lock", "a.md"]

  const prepared = deploy("demo", { files: files.map((path) => ({ path, content: base64(`at ${path}`) })) })

  it.effect("are listed by path, but not the hidden ones", () =>
    Effect.gen(function*() {
      yield* prepared
      const { body } = yield* ask("GET", "/api/agents/demo/files")
      const listed = listAt(body, "files")
      assert.deepStrictEqual(
        listed.map((file) => textAt(file, "path")),
        [".claude/settings.json", "CLAUDE.md", "a.md", long, "docs/ünï cödé #1?.txt"]
      )
      assert.strictEqual(at(listed[2], "size"), 7)
      assert.match(textAt(listed[2], "modifiedAt"), /^\d{4}-.*\.\d{3}Z$/)
    }).pipe(withServer()))

  it.effect("are read by any path, its slashes escaped or not", () =>
    Effect.gen(function*() {
      yield* prepared
      for (const path of files.map(encodeURIComponent)) {
        const expected = `at ${decodeURIComponent(path)}`
        assert.strictEqual(yield* read("demo", path), expected)
        assert.strictEqual(yield* read("demo", path.replaceAll("%2F", "/")), expected)
      }
      assert.deepStrictEqual((yield* ask("GET", "/api/agents/demo/files/a.md")).body, {
        path: "a.md",
        content: "at a.md",
        size: 7
      })
    }).pipe(withServer()))

  it.effect("are read raw", () =>
    Effect.gen(function*() {
      yield* prepared
      const raw = yield* ask("GET", "/api/agents/demo/files/a.md?format=raw")
      assert.strictEqual(raw.text, "at a.md")
      assert.deepInclude(raw.headers, {
        "content-type": "text/markdown",
        "content-disposition": "attachment; filename*=UTF-8''a.md",
        "content-length": "7"
      })
      const settings = yield* ask("GET", "/api/agents/demo/files/.claude%2Fsettings.json?format=raw")
      assert.strictEqual(settings.text, "at .claude/settings.json")
      const text = yield* ask("GET", `/api/agents/demo/files/${encodeURIComponent("docs/ünï cödé #1?.txt")}?format=raw`)
      assert.deepInclude(text.headers, {
        "content-type": "application/octet-stream",
        "content-disposition": `attachment; filename*=UTF-8''${encodeURIComponent("ünï cödé #1?.txt")}`
      })
    }).pipe(withServer()))

  it.effect("are not read where there are none", () =>
    Effect.gen(function*() {
      yield* prepared
      const cases = [
        ["docs", 400, "Path is not a file"],
        ["..%2f..%2fetc%2fpasswd", 400, "Invalid file path"],
        ["a..b", 400, "Invalid file path"],
        ["%2Fetc%2Fpasswd", 400, "Invalid file path"],
        ["nosuch.txt", 404, "File not found"]
      ] as const
      for (const [path, status, error] of cases) {
        const answer = yield* ask("GET", `/api/agents/demo/files/${path}`)
        assert.deepStrictEqual(answer.body, { error, statusCode: status })
      }
      const format = yield* ask("GET", "/api/agents/demo/files/a.md?format=xml")
      assert.strictEqual(
        textAt(format.body, "message"),
        "querystring/format must be equal to one of the allowed values"
      )
    }).pipe(withServer()))

  it.effect("of more than 1 MiB are read raw only", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const half = { content: base64("x".repeat(700_000)) }
      yield* ask("POST", "/api/agents/demo/files", { json: { files: [{ path: "half.txt", ...half }] } })
      assert.strictEqual((yield* ask("GET", "/api/agents/demo/files/half.txt")).status, 200)
      const path = textAt((yield* ask("GET", "/api/agents/demo")).body, "agent", "path")
      const fileSystem = yield* FileSystem.FileSystem
      yield* fileSystem.writeFileString(`${path}/big.txt`, "x".repeat(1_048_577))
      assert.strictEqual((yield* ask("GET", "/api/agents/demo/files/big.txt")).status, 400)
      assert.strictEqual((yield* ask("GET", "/api/agents/demo/files/big.txt?format=raw")).text.length, 1_048_577)
    }).pipe(withServer(), Effect.provide(NodeFileSystem.layer)))

  it.effect("are written one by one, up to one outside the folder", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const write = (...paths: ReadonlyArray<string>) =>
        ask("POST", "/api/agents/demo/files", { json: { files: paths.map((path) => ({ path, content: "!aGk=" })) } })
      assert.deepStrictEqual((yield* write()).body, { written: 0 })
      assert.deepStrictEqual((yield* write("a/b.txt", "c.txt")).body, { written: 2 })
      assert.strictEqual(yield* read("demo", "a/b.txt"), "hi")
      assert.deepStrictEqual((yield* write("d.txt", "../../x", "e.txt")).body, {
        error: "Path \"../../x\" escapes agent directory",
        statusCode: 400
      })
      assert.strictEqual(yield* read("demo", "d.txt"), "hi")
      assert.isUndefined(yield* read("demo", "e.txt"))
    }).pipe(withServer()))

  it.effect("are deleted", () =>
    Effect.gen(function*() {
      yield* prepared
      const remove = (path: string) => ask("DELETE", `/api/agents/demo/files/${path}`)
      assert.deepStrictEqual((yield* remove("a.md")).body, { deleted: true })
      assert.deepStrictEqual((yield* remove("a.md")).body, notFound("File not found"))
      assert.deepStrictEqual((yield* remove("..%2f..%2fx")).body, {
        error: "Path escapes agent directory",
        statusCode: 400
      })
      const folder = yield* remove("docs")
      assert.strictEqual(folder.status, 500)
      assert.deepInclude(folder.body, { statusCode: 500, code: "EISDIR", error: "Internal Server Error" })
    }).pipe(withServer()))
})
