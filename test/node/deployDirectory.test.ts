import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { deployDirectory } from "../../src/node/deployDirectory.ts"
import { Agents } from "../../src/services/Agents.ts"
import { agent } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

/** A temporary folder with files, its name given. */
const folder = Effect.fnUntraced(function*(name: string, files: Readonly<Record<string, string | Uint8Array>>) {
  const fileSystem = yield* FileSystem.FileSystem
  const directory = `${yield* fileSystem.makeTempDirectoryScoped()}/${name}`
  yield* fileSystem.makeDirectory(directory)
  for (const [path, content] of Object.entries(files)) {
    const target = `${directory}/${path}`
    yield* fileSystem.makeDirectory(target.slice(0, target.lastIndexOf("/")), { recursive: true })
    yield* typeof content === "string"
      ? fileSystem.writeFileString(target, content)
      : fileSystem.writeFile(target, content)
  }
  return directory
})

interface Body {
  readonly name?: string
  readonly files: ReadonlyArray<{ readonly path: string; readonly content: string }>
  readonly env?: Record<string, string>
}

const answers: Server.Script = ({ path }) =>
  path === "/api/agents" ? Server.json({ agent }, 201)() : Server.json({ written: 1 })()

const deploy = (...args: Parameters<typeof deployDirectory>) => {
  const server = Server.make(answers)
  return Effect.map(
    Effect.result(deployDirectory(...args).pipe(Effect.provide(server.layer))),
    (result) => ({
      result,
      requests: server.requests,
      bodies: server.requests.map((request) => Server.jsonOf(request) as Body),
      error: result._tag === "Failure" ? result.failure : undefined
    })
  )
}

const test = (name: string, body: Effect.Effect<void, unknown, FileSystem.FileSystem>) =>
  it.live(name, () => body.pipe(Effect.provide(NodeFileSystem.layer)))

describe("deployDirectory", () => {
  test(
    "sends the files of a folder, whatever their bytes, under its name",
    Effect.gen(function*() {
      const bytes = new Uint8Array(1000).map((_, index) => index % 256)
      const directory = yield* folder("my agent.v2", {
        "CLAUDE.md": "# größer",
        "kb/deep/ü n.bin": bytes,
        ".claude/settings.json": "{}",
        "empty.txt": ""
      })
      const { bodies, requests, result } = yield* deploy(directory)
      assert.strictEqual(result._tag === "Success" ? result.success.version : undefined, 3)
      assert.deepStrictEqual(requests.map(({ method, path }) => `${method} ${path}`), ["POST /api/agents"])
      assert.strictEqual(bodies[0]?.name, "my-agent-v2")
      const files = new Map(bodies[0]?.files.map(({ content, path }) => [path, Buffer.from(content, "base64")]))
      assert.deepStrictEqual([...files.keys()].toSorted(), [
        ".claude/settings.json",
        "CLAUDE.md",
        "empty.txt",
        "kb/deep/ü n.bin"
      ])
      assert.isTrue(files.get("kb/deep/ü n.bin")?.equals(bytes))
      assert.strictEqual(files.get("CLAUDE.md")?.toString(), "# größer")
      assert.strictEqual(files.get("empty.txt")?.length, 0)
    }).pipe(Effect.scoped)
  )

  test(
    "takes another name, and a folder relative to the working one",
    Effect.gen(function*() {
      const directory = yield* folder("x", { "CLAUDE.md": "" })
      const relative = `${"../".repeat(process.cwd().split("/").length - 1)}${directory.slice(1)}/../x/`
      const { bodies } = yield* deploy(relative, { name: "other" })
      assert.strictEqual(bodies[0]?.name, "other")
      assert.strictEqual((yield* deploy(relative)).bodies[0]?.name, "x")
    }).pipe(Effect.scoped)
  )

  test(
    "makes .env and .env.local the environment, the latter over the former, and options over both",
    Effect.gen(function*() {
      const directory = yield* folder("a", {
        "CLAUDE.md": "",
        ".env": "# comment\nA=1\nB=\"two words\"\nexport C=3\nEMPTY=\n",
        ".env.local": "B=local\nD='4'\n",
        ".env.production": "P=1"
      })
      const { bodies } = yield* deploy(directory, { env: { D: "option", E: "5" } })
      assert.deepStrictEqual(bodies[0]?.env, { A: "1", B: "local", C: "3", EMPTY: "", D: "option", E: "5" })
      assert.deepStrictEqual(bodies[0]?.files.map(({ path }) => path), ["CLAUDE.md"])
    }).pipe(Effect.scoped)
  )

  test(
    "leaves out folders of dependencies and caches at any depth, and files that are of no use",
    Effect.gen(function*() {
      const ignored = ["node_modules", ".git", "__pycache__", ".cache", ".npm", ".pnpm-store", ".yarn", ".venv", "venv"]
      const directory = yield* folder("a", {
        "CLAUDE.md": "",
        ...Object.fromEntries([...ignored, ".tmp", "tmp"].flatMap((name) => [
          [`${name}/x`, "x"],
          [`src/${name}/x`, "x"]
        ])),
        "src/.DS_Store": "x",
        "src/server.pid": "1",
        "src/main.ts": "x",
        "src/.env": "SECRET=1",
        "tmpfile": "x",
        "src/tmp.ts": "x",
        "yarn.lock": "x"
      })
      const { bodies } = yield* deploy(directory)
      assert.deepStrictEqual(bodies[0]?.files.map(({ path }) => path).toSorted(), [
        "CLAUDE.md",
        "src/main.ts",
        "src/tmp.ts",
        "tmpfile",
        "yarn.lock"
      ])
      assert.deepStrictEqual(bodies[0]?.env, {})
    }).pipe(Effect.scoped)
  )

  test(
    "sends a big folder in several requests, each within the limit, the instructions in the first",
    Effect.gen(function*() {
      const big = new Uint8Array(300_000).fill(7)
      const directory = yield* folder("a", {
        "A1.bin": big,
        "A2.bin": big,
        "A3.bin": big,
        "A4.bin": big,
        "A5.bin": big,
        "CLAUDE.md": "# last by name"
      })
      const { bodies, requests } = yield* deploy(directory)
      assert.strictEqual(requests[0]?.path, "/api/agents")
      assert.isAbove(requests.length, 1)
      for (const { path } of requests.slice(1)) assert.strictEqual(path, "/api/agents/a/files")
      for (const { body } of requests) assert.isAtMost(Buffer.byteLength(body), 1_048_576)
      assert.include(bodies[0]?.files.map(({ path }) => path) ?? [], "CLAUDE.md")
      const all = bodies.flatMap(({ files }) => files)
      assert.deepStrictEqual(all.map(({ path }) => path).toSorted(), [
        "A1.bin",
        "A2.bin",
        "A3.bin",
        "A4.bin",
        "A5.bin",
        "CLAUDE.md"
      ])
      for (const { content, path } of all) {
        if (path !== "CLAUDE.md") assert.isTrue(Buffer.from(content, "base64").equals(big))
      }
    }).pipe(Effect.scoped)
  )

  test(
    "leaves a server with every file, whatever its name",
    Effect.gen(function*() {
      const names = [
        "[...slug]",
        "a..b",
        "..a",
        "a..",
        "...",
        "a.b",
        ".a",
        " ",
        "-",
        "a\\b",
        "%2e%2e",
        "\u00e9",
        "e\u0301"
      ]
      const paths = names.flatMap((name) => [`${name}/${name}`, `app/${name}/page`, `app/in/${name}.tsx`])
      const directory = yield* folder("a", Object.fromEntries(["CLAUDE.md", ...paths].map((path) => [path, "x"])))
      const files = yield* Effect.gen(function*() {
        yield* deployDirectory(directory)
        return yield* (yield* Agents).listFiles("a")
      }).pipe(Effect.provide(AshEmbedded.layer()))
      assert.deepStrictEqual(files.map(({ path }) => path).toSorted(), ["CLAUDE.md", ...paths].toSorted())
    }).pipe(Effect.scoped)
  )

  test(
    "refuses a folder without instructions, one that is not there, and a file, and sends nothing",
    Effect.gen(function*() {
      const directory = yield* folder("a", { "README.md": "", "kb/CLAUDE.md": "" })
      for (const path of [directory, `${directory}/nosuch`, `${directory}/README.md`]) {
        const { error, requests } = yield* deploy(path)
        assert.strictEqual(error?.operation, "deployDirectory")
        assert.strictEqual(error?.reason._tag === "InvalidRequest" ? error.reason.field : "", "directory")
        assert.deepStrictEqual(requests, [])
      }
      assert.include((yield* deploy(directory)).error?.message ?? "", "CLAUDE.md")
    }).pipe(Effect.scoped)
  )

  test(
    "refuses a file that no request can carry before anything is sent",
    Effect.gen(function*() {
      const directory = yield* folder("a", { "CLAUDE.md": "", "huge.bin": new Uint8Array(1_000_000), "kb.md": "x" })
      const { error, requests } = yield* deploy(directory)
      assert.strictEqual(error?.reason._tag, "InvalidRequest")
      assert.deepStrictEqual(requests.map(({ path }) => path), [])
    }).pipe(Effect.scoped)
  )

  test(
    "a link that leads nowhere, or around in a circle, does not keep a folder from its deployment",
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const directory = yield* folder("a", { "CLAUDE.md": "", "src/main.ts": "x" })
      yield* fileSystem.symlink(`${directory}/nosuch`, `${directory}/dangling`)
      const dangling = yield* deploy(directory)
      assert.isUndefined(dangling.error)
      yield* fileSystem.remove(`${directory}/dangling`)
      yield* fileSystem.symlink(directory, `${directory}/src/around`)
      const { bodies, error } = yield* deploy(directory)
      assert.isUndefined(error)
      assert.isBelow(bodies.flatMap(({ files }) => files).length, 10)
    }).pipe(Effect.scoped)
  )

  test(
    "a server that refuses fails with its reason",
    Effect.gen(function*() {
      const directory = yield* folder("a", { "CLAUDE.md": "" })
      const error = yield* Effect.flip(
        deployDirectory(directory).pipe(
          Effect.provide(Server.make(Server.json({ error: "Invalid API key" }, 401)).layer)
        )
      )
      assert.strictEqual(error.reason._tag, "Unauthorized")
      assert.deepStrictEqual([error.operation, error.during], ["deployDirectory", "Agents.create"])
    }).pipe(Effect.scoped)
  )
})
