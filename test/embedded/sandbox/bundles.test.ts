/** Archives and links reach nothing outside of the workspace, and cost no unbounded time or memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import { ask, at, listAt, open, send, textAt, withServer } from "../../support/embeddedServer.ts"

const archiveOf = (entries: Iterable<Tar.Entry>) =>
  Effect.map(
    Stream.runCollect(Stream.pipeThroughChannel(Stream.fromIterable(entries), Tar.encode())),
    (chunks) => gzipSync(Buffer.concat(chunks))
  )

/** A small bundle with a file of zeros: the MiB that its header declares, and the MiB that follow the header. */
const gzippedZeros = (size: number, sent: number) => {
  const header = Buffer.alloc(512)
  const fields = [[0, "zeros"], [100, "0000644"], [108, "0000000"], [116, "0000000"], [136, "00000000000"]] as const
  for (const [position, text] of fields) header.write(text, position)
  header.write((size * 1_048_576).toString(8).padStart(11, "0"), 124)
  header.write("0ustar\x0000", 156)
  header.write(" ".repeat(8), 148)
  header.write(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `, 148)
  const zeros = gzipSync(new Uint8Array(16 * 1_048_576))
  return Buffer.concat([gzipSync(header), ...Array.from({ length: sent / 16 }, () => zeros)])
}

const upload = (path: string, bundle: Uint8Array) =>
  ask("POST", `${path}/workspace`, { json: { bundle: Buffer.from(bundle).toString("base64") } })

const run = (path: string, command: string) => ask("POST", `${path}/exec`, { json: { command } })

const listed = (path: string) =>
  Effect.map(ask("GET", `${path}/files`), ({ body }) => listAt(body, "files").map((file) => textAt(file, "path")))

const write = (path: string, file: string, more = {}) =>
  Effect.map(
    ask("POST", `${path}/files`, { json: { files: [{ path: file, content: "eA==" }], ...more } }),
    ({ body }) => at(body, "files", 0)
  )

/** A folder outside of the server's, with a secret in it. */
const outside = Effect.acquireRelease(
  Effect.sync(() => {
    const folder = Fs.mkdtempSync(Path.join(tmpdir(), "outside-"))
    Fs.writeFileSync(Path.join(folder, "secret"), "secret")
    return folder
  }),
  (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true }))
)

describe("a bundle", () => {
  it.effect(
    "is refused where it unpacks to too many bytes, in little memory and without blocking other requests",
    () =>
      Effect.gen(function*() {
        const { path } = yield* open()
        const bombs = [gzippedZeros(1536, 1536), gzippedZeros(500, 528), gzippedZeros(0, 1536)]
        const before = process.memoryUsage().rss
        let ticks = 0
        const timer = setInterval(() => ticks += 1, 5)
        for (const bundle of bombs) {
          assert.isBelow(bundle.length, 2_000_000)
          const { body, status } = yield* upload(path, bundle)
          assert.strictEqual(status, 413)
          assert.match(textAt(body, "error"), /unpacks to more than 536870912 bytes/)
        }
        clearInterval(timer)
        assert.isAbove(ticks, 5)
        assert.isBelow(process.memoryUsage().rss - before, 400_000_000)
        assert.strictEqual((yield* ask("GET", path)).status, 200)
      }).pipe(withServer())
  )

  it.effect("is refused where it has too many entries, or too many levels of folders", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const deep = yield* archiveOf([Tar.file("d/".repeat(200) + "f", "x")])
      const { body, status } = yield* upload(path, deep)
      assert.strictEqual(status, 413)
      assert.match(textAt(body, "error"), /levels/)
      const header = yield* archiveOf([Tar.symlink("l", "l")])
      const links = Buffer.concat([gzipSync(gunzipSync(header).subarray(0, 512))])
      const many = Buffer.concat(Array.from({ length: 50_001 }, () => links))
      assert.match(textAt((yield* upload(path, many)).body, "error"), /entries/)
    }).pipe(withServer()))

  it.effect("is written only into the workspace, whatever its entries are named and link to", () =>
    Effect.gen(function*() {
      const folder = yield* outside
      const { path } = yield* open()
      const bundle = yield* archiveOf([
        Tar.file("../../../../../../../../../../../.." + Path.join(folder, "above"), "x"),
        Tar.symlink("out", folder),
        Tar.symlink("inner", "kept"),
        Tar.file("kept/file", "kept"),
        Tar.hardlink("hard", "kept/file"),
        Tar.hardlink("stolen", `${"../".repeat(20)}${folder}/secret`),
        Tar.symlink("nowhere", "/nonexistent/file")
      ])
      assert.strictEqual((yield* upload(path, bundle)).status, 200)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["secret"])
      assert.deepStrictEqual(yield* listed(path), ["CLAUDE.md", "hard", "inner/file", "kept/file"])
      assert.strictEqual((yield* ask("GET", `${path}/files/hard`)).text, "kept")
      const through = yield* archiveOf([Tar.symlink("way", folder), Tar.file("way/through", "x")])
      assert.strictEqual((yield* upload(path, through)).status, 500)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["secret"])
    }).pipe(withServer()))

  it.effect("of GNU tar is unpacked as GNU tar does, and packed again", () =>
    Effect.gen(function*() {
      const folder = yield* outside
      Fs.mkdirSync(Path.join(folder, "lib"))
      Fs.writeFileSync(Path.join(folder, "lib", "a"), "a")
      Fs.linkSync(Path.join(folder, "lib", "a"), Path.join(folder, "b"))
      Fs.symlinkSync("lib", Path.join(folder, "lib64"))
      const archive = execFileSync("tar", ["czf", "-", "-C", folder, "."])
      const { path } = yield* open()
      assert.strictEqual((yield* upload(path, archive)).status, 200)
      const files = ["CLAUDE.md", "b", "lib/a", "lib64/a", "secret"]
      assert.deepStrictEqual(yield* listed(path), files)
      const response = yield* send("GET", `${path}/workspace`)
      const packed = execFileSync("tar", ["tzf", "-"], { input: new Uint8Array(yield* response.arrayBuffer) })
      assert.deepStrictEqual(packed.toString().trim().split("\n"), files)
    }).pipe(withServer()))
})

describe("a pipe in a workspace", () => {
  it.effect("blocks no request: it is not read, and a write replaces it", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* run(path, "mkfifo a b c")
      assert.deepStrictEqual(yield* listed(path), ["CLAUDE.md"])
      assert.strictEqual((yield* ask("GET", `${path}/files/a`)).status, 400)
      assert.deepInclude(yield* write(path, "a"), { written: true })
      assert.strictEqual((yield* upload(path, yield* archiveOf([Tar.file("b", "x")]))).status, 200)
      assert.deepStrictEqual(yield* listed(path), ["CLAUDE.md", "a", "b"])
      assert.strictEqual((yield* send("GET", `${path}/workspace`)).status, 200)
    }).pipe(withServer()))
})

describe("a snapshot", () => {
  it.effect("has what can be read, and stays where the workspace is gone", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* run(path, "touch a \"$(printf 'm\\377')\" z; mkfifo pipe; mkdir d; touch d/f")
      yield* ask("POST", `${path}/pause`)
      yield* ask("POST", `${path}/resume`)
      yield* run(path, "cd ..; rm -rf workspace")
      yield* ask("POST", `${path}/stop`)
      assert.deepStrictEqual(yield* listed(path), ["CLAUDE.md", "a", "d/f", "z"])
    }).pipe(withServer()))
})

describe("links in a workspace", () => {
  it.effect("that lead out of it, or nowhere, count as absent", () =>
    Effect.gen(function*() {
      const folder = yield* outside
      const { path } = yield* open()
      yield* run(
        path,
        `ln -s "${folder}" out; ln -s "${folder}/secret" leak; ln -s "${folder}/new" dangling; mkdir in; ln -s ../out in/x`
      )
      assert.deepStrictEqual(yield* listed(path), ["CLAUDE.md"])
      for (const file of ["leak", "out/secret", "in/x/secret", "dangling"]) {
        for (const method of ["GET", "DELETE"] as const) {
          assert.strictEqual((yield* ask(method, `${path}/files/${file}`)).status, 404, `${method} ${file}`)
        }
        assert.deepInclude(yield* write(path, file), { written: false, error: "Invalid file path" })
      }
      assert.deepInclude(yield* write(path, "y", { targetPath: "out" }), { written: false })
      yield* run(path, `ln -s "${folder}" attachments`)
      const attached = yield* ask("POST", `${path}/attachments`, { json: { filename: "a", content: "eA==" } })
      assert.strictEqual(attached.status, 201)
      const response = yield* send("GET", `${path}/workspace`)
      const packed = execFileSync("tar", ["tzf", "-"], { input: new Uint8Array(yield* response.arrayBuffer) })
      assert.strictEqual(packed.toString(), "CLAUDE.md\n")
      assert.deepStrictEqual(Fs.readdirSync(folder), ["secret"])
      assert.strictEqual(Fs.readFileSync(Path.join(folder, "secret"), "utf8"), "secret")
    }).pipe(withServer()))

  it.effect("are followed as the system does, also where `..` comes after one", () =>
    Effect.gen(function*() {
      const folder = yield* outside
      const { path } = yield* open()
      const up = "../".repeat(20)
      yield* run(
        path,
        `mkdir -p a/b/c ".${folder}"; echo inside > ".${folder}/secret"; ln -s ../../.. a/b/c/d; mkdir e`
      )
      yield* run(path, `ln -s ../../../../../../../../.. a/b/c/far; ln -s "far/${up}${folder.slice(1)}/secret" a/b/c/x`)
      assert.strictEqual((yield* ask("GET", `${path}/files/a/b/c/x`)).status, 404)
      const response = yield* send("GET", `${path}/workspace`)
      const packed = execFileSync("tar", ["xzOf", "-"], { input: new Uint8Array(yield* response.arrayBuffer) })
      assert.notInclude(packed.toString(), "secret")
    }).pipe(withServer()))

  it.effect("in place of the workspace are no workspace", () =>
    Effect.gen(function*() {
      const folder = yield* outside
      const { path } = yield* open()
      yield* run(path, `cd ..; mv workspace elsewhere; ln -s "${folder}" workspace`)
      const none = { error: "No workspace available for this session", statusCode: 404 }
      for (const file of ["files", "files/secret", "workspace"]) {
        assert.deepStrictEqual((yield* ask("GET", `${path}/${file}`)).body, none)
      }
      const json = { files: [{ path: "new", content: "eA==" }] }
      assert.deepStrictEqual((yield* ask("POST", `${path}/files`, { json })).body, none)
      assert.strictEqual((yield* ask("DELETE", `${path}/files/secret`)).status, 404)
      const attached = yield* ask("POST", `${path}/attachments`, { json: { filename: "a", content: "eA==" } })
      assert.strictEqual(attached.status, 201)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["secret"])
      // Nor in the snapshots that a pause, a stop and a fork take, or in what a resume restores of them.
      for (const suffix of ["pause", "resume", "fork", "stop", "resume"]) {
        assert.isBelow((yield* ask("POST", `${path}/${suffix}`)).status, 300, suffix)
        assert.deepStrictEqual((yield* ask("GET", `${path}/files`)).body, none, suffix)
      }
    }).pipe(withServer({ quirks: { coldResumeLosesWorkspace: false } })))

  it.effect("in place of the files that the server writes are replaced", () =>
    Effect.gen(function*() {
      const folder = yield* outside
      const secret = Path.join(folder, "secret")
      const agent = Path.join(folder, "agent")
      Fs.mkdirSync(agent)
      for (const name of ["CLAUDE.md", ".mcp.json"]) Fs.symlinkSync("../secret", Path.join(agent, name))
      yield* ask("POST", "/api/agents", { json: { name: "linked", path: agent } })
      const json = { agent: "linked", systemPrompt: "prompt", mcpServers: { m: { url: "u" } } }
      const { body } = yield* ask("POST", "/api/sessions", { json })
      const path = `/api/sessions/${textAt(body, "session", "id")}`
      assert.strictEqual((yield* ask("GET", `${path}/files/CLAUDE.md`)).text, "prompt")
      yield* ask("POST", "/api/agents", { json: { name: "demo" } })
      yield* run(path, `ln -sf "${secret}" "$(dirname "$ASH_WORKSPACE_DIR")/../../agents/demo/CLAUDE.md"`)
      yield* ask("POST", "/api/agents", { json: { name: "demo", systemPrompt: "prompt" } })
      assert.strictEqual(Fs.readFileSync(secret, "utf8"), "secret")
    }).pipe(withServer({ agentPaths: true })))

  it.effect("to an agent's folder, and in it, lead where they did, and no session works in the folder", () =>
    Effect.gen(function*() {
      const folder = yield* outside
      const agent = Path.join(folder, "agent")
      Fs.mkdirSync(Path.join(agent, "sub"), { recursive: true })
      Fs.symlinkSync("agent", Path.join(folder, "linked"))
      Fs.writeFileSync(Path.join(agent, "a"), "a")
      execFileSync("/bin/sh", ["-c", "mkfifo pipe; touch \"$(printf 'm\\377')\""], { cwd: agent })
      for (const [name, end] of [["CLAUDE.md", "../secret"], ["in", "a"], ["sub/up", "../a"], ["out", "/dev/null"]]) {
        Fs.symlinkSync(end!, Path.join(agent, name!))
      }
      for (const name of ["agent", "linked"]) {
        yield* ask("POST", "/api/agents", { json: { name, path: Path.join(folder, name) } })
        const { body } = yield* ask("POST", "/api/sessions", { json: { agent: name } })
        const path = `/api/sessions/${textAt(body, "session", "id")}`
        const read = yield* run(path, "touch made; cat CLAUDE.md in sub/up out")
        assert.strictEqual(textAt(read.body, "stdout"), "secretaa")
        assert.deepStrictEqual(yield* listed(path), ["a", "in", "made", "sub/up"])
      }
      assert.notInclude(Fs.readdirSync(agent), "made")
    }).pipe(withServer({ agentPaths: true })))

  it.effect("within it are followed, and a delete removes the link, not its file", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* run(path, "mkdir d; echo a > d/a; ln -s d e; ln -s d/a f")
      assert.deepStrictEqual(yield* listed(path), ["CLAUDE.md", "d/a", "e/a", "f"])
      assert.strictEqual((yield* ask("GET", `${path}/files/f`)).text, "a\n")
      assert.strictEqual((yield* ask("DELETE", `${path}/files/f`)).status, 200)
      assert.deepStrictEqual(yield* listed(path), ["CLAUDE.md", "d/a", "e/a"])
    }).pipe(withServer()))

  it.effect("in a circle, or to one another, are listed once", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      yield* run(
        path,
        "ln -s . one; ln -s . two; for i in 1 2 3 4 5 6 7 8 9; do mkdir d$i; for j in 1 2 3 4 5 6 7 8 9; do ln -s ../d$j d$i/l$j; done; done; touch d1/file"
      )
      const files = yield* listed(path)
      assert.includeMembers([...files], ["CLAUDE.md", "d1/file", "one/CLAUDE.md"])
      assert.isBelow(files.length, 10)
      assert.strictEqual((yield* send("GET", `${path}/workspace`)).status, 200)
    }).pipe(withServer()))

  it.effect("in an agent's folder do not lead out of it either", () =>
    Effect.gen(function*() {
      const folder = yield* outside
      const { path } = yield* open()
      const agent = textAt((yield* ask("GET", "/api/agents/demo")).body, "agent", "path")
      yield* run(path, `ln -s "${folder}" "${agent}/out"`)
      const files = (yield* ask("GET", "/api/agents/demo/files")).body
      assert.deepStrictEqual(listAt(files, "files").map((file) => at(file, "path")), ["CLAUDE.md"])
      assert.strictEqual((yield* ask("GET", "/api/agents/demo/files/out/secret")).status, 404)
      assert.strictEqual((yield* ask("DELETE", "/api/agents/demo/files/out/secret")).status, 404)
      const json = { files: [{ path: "out/new", content: "eA==" }] }
      assert.strictEqual((yield* ask("POST", "/api/agents/demo/files", { json })).status, 400)
      assert.deepStrictEqual(Fs.readdirSync(folder), ["secret"])
    }).pipe(withServer()))
})
