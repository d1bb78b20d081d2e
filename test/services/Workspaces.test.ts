import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import * as Bundle from "../../src/functions/Bundle.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { downloadWorkspace } from "../../src/node/downloadWorkspace.ts"
import { uploadWorkspace } from "../../src/node/uploadWorkspace.ts"
import { Agents } from "../../src/services/Agents.ts"
import { SessionFiles } from "../../src/services/SessionFiles.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { Workspaces } from "../../src/services/Workspaces.ts"
import { archive } from "../support/archive.ts"
import { sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const opened = Effect.gen(function*() {
  yield* (yield* Agents).create({ name: "demo" })
  const { id } = yield* (yield* Sessions).create({ agent: "demo" })
  return { id, workspaces: yield* Workspaces }
})

const textOf = (content: Uint8Array) => new TextDecoder().decode(content)

describe("Workspaces", () => {
  it.effect("lays a bundle over a workspace, and fetches its files", () =>
    Effect.gen(function*() {
      const { id, workspaces } = yield* opened
      const bundle = yield* Bundle.pack([{ path: "deep/a.txt", content: "a" }])
      yield* workspaces.upload(id, bundle)
      yield* workspaces.upload(id, Stream.make(yield* Bundle.pack([{ path: "b.txt", content: "b" }])))
      const files = yield* Stream.runCollect(workspaces.files(id))
      assert.deepStrictEqual(files.slice(1).map(({ content, path }) => [path, textOf(content)]), [
        ["b.txt", "b"],
        ["deep/a.txt", "a"]
      ])
      const name = yield* Effect.scoped(Effect.map(workspaces.download(id), ({ mediaType, name }) => [name, mediaType]))
      assert.deepStrictEqual(name, [`${id}.tar.gz`, "application/gzip"])
      const error = yield* Effect.flip(workspaces.upload(id, new Uint8Array([1])))
      assert.include(error.message, "Invalid bundle: not a gzip file")
    }).pipe(Effect.provide(AshEmbedded.layer({ retry: { times: 0 } }))))
})

describe("Workspaces.files", () => {
  it.effect("fails as the method that was called, also where the bundle is none", () =>
    Effect.gen(function*() {
      const workspaces = yield* Workspaces
      const error = yield* Effect.flip(Stream.runDrain(workspaces.files(sessionId)))
      assert.deepStrictEqual([error.operation, error.during], ["Workspaces.files", "Bundle.unpack"])
    }).pipe(Effect.provide(
      Server.make(() => new Response("no gzip", { headers: { "content-type": "application/gzip" } })).layer
    )))
})

describe("folders", () => {
  const folder = Effect.flatMap(FileSystem.FileSystem, (fileSystem) => fileSystem.makeTempDirectoryScoped())

  it.effect("are sent and fetched, with their permissions", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const { id } = yield* opened
      const from = yield* folder
      yield* fileSystem.makeDirectory(`${from}/bin`)
      yield* fileSystem.writeFileString(`${from}/bin/run`, "#!/bin/sh", { mode: 0o755 })
      yield* fileSystem.writeFileString(`${from}/.env`, "SECRET=1")
      assert.strictEqual(yield* uploadWorkspace(id, from), 1)
      yield* (yield* SessionFiles).write(id, [{ path: "ü/new.txt", content: "new" }])
      const to = `${yield* folder}/made/here`
      assert.strictEqual(yield* downloadWorkspace(id, to), 3)
      assert.strictEqual(yield* fileSystem.readFileString(`${to}/ü/new.txt`), "new")
      assert.strictEqual((yield* fileSystem.stat(`${to}/bin/run`)).mode & 0o777, 0o755 & ~process.umask())
      assert.isFalse(yield* fileSystem.exists(`${to}/.env`))
      const none = yield* Effect.flip(uploadWorkspace(id, `${from}/nosuch`))
      assert.strictEqual(none.operation, "uploadWorkspace")
    }).pipe(Effect.scoped, Effect.provide([AshEmbedded.layer(), NodeFileSystem.layer])))

  it.effect("a thousand odd files come back as they went", () =>
    Effect.gen(function*() {
      const { id } = yield* opened
      const [from, to] = [yield* folder, yield* folder]
      let seed = 11
      const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below
      const pieces = [
        " ",
        "  ",
        "'",
        "\"",
        "`",
        "$(x)",
        "*",
        "?",
        "[a]",
        "\\",
        "\n",
        "\t",
        "%2F",
        "%",
        "#",
        "&",
        ":",
        "|",
        ".",
        "..",
        "-",
        "--",
        "~",
        "\u00fc",
        "u\u0308",
        "\u4e2d\u6587",
        "\ud83d\ude00",
        "\u202e",
        "\u200d",
        "con",
        "__proto__",
        "constructor",
        "a",
        "B",
        "0",
        "x.tar.gz",
        "\u007f",
        "\u001b[31m"
      ]
      const name = () => {
        const length = random(20) === 0 ? 255 : 1 + random(40)
        let text = ""
        while (Buffer.byteLength(text) < length) text += pieces[random(pieces.length)]
        while (Buffer.byteLength(text) > length) text = Array.from(text).slice(0, -1).join("")
        return /^\.{0,2}$|^ *$/.test(text) ? "x" : text
      }
      const modes = [0o644, 0o755, 0o600, 0o700, 0o640, 0o744]
      const expected = new Map<string, readonly [mode: number, content: string]>()
      for (let index = 0; index < 1000; index++) {
        const deep = random(40) === 0 ? 25 : random(4)
        const path = [
          ...Array.from({ length: deep }, () => deep > 20 ? `${random(10)}`.padStart(80, "d") : name()),
          Array.from(`${index}${name()}`).slice(0, 60).join("")
        ].join("/")
        const size = [0, 1, 511, 512, 513, 5000][random(6)]!
        const content = new Uint8Array(size).map(() => random(256))
        const mode = modes[random(modes.length)]!
        mkdirSync(dirname(`${from}/${path}`), { recursive: true })
        writeFileSync(`${from}/${path}`, content)
        chmodSync(`${from}/${path}`, mode)
        expected.set(path, [mode, Buffer.from(content).toString("latin1")])
      }
      assert.strictEqual(yield* uploadWorkspace(id, from), 1000)
      assert.strictEqual(yield* downloadWorkspace(id, to), 1001)
      for (const [path, [mode, content]] of expected) {
        assert.strictEqual(readFileSync(`${to}/${path}`, "latin1"), content, path)
        assert.strictEqual(statSync(`${to}/${path}`).mode & 0o7777, mode & ~process.umask(), path)
      }
    }).pipe(Effect.scoped, Effect.provide([AshEmbedded.layer(), NodeFileSystem.layer])))

  it.effect("no file leaves them, not through a link either", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const outside = yield* folder
      yield* fileSystem.writeFileString(`${outside}/secret`, "untouched")
      const serving = (bundle: Uint8Array) =>
        Server.make(() => new Response(new Uint8Array(bundle), { headers: { "content-type": "application/gzip" } }))
          .layer
      const fetch = (bundle: Uint8Array, to: string) =>
        Effect.flip(downloadWorkspace(sessionId, to)).pipe(Effect.provide(serving(bundle)))

      const leaving = yield* fetch(yield* archive([Tar.file("../secret", "x")]), `${outside}/a`)
      assert.strictEqual(leaving.reason._tag, "Undecodable")

      const linked = yield* folder
      yield* fileSystem.symlink(outside, `${linked}/folder`)
      yield* fileSystem.symlink(`${outside}/secret`, `${linked}/file`)
      const through = yield* fetch(yield* archive([Tar.file("folder/secret", "x")]), linked)
      assert.include(through.message, "folder is a link")
      const onto = yield* fetch(yield* archive([Tar.file("file", "x")]), linked)
      assert.include(onto.message, "file is a link")
      const beyond = yield* fetch(yield* archive([Tar.file("folder/new/x", "x")]), linked)
      assert.include(beyond.message, "folder is a link")
      assert.strictEqual(yield* fileSystem.readFileString(`${outside}/secret`), "untouched")
      assert.deepStrictEqual((yield* fileSystem.readDirectory(outside)).toSorted(), ["a", "secret"])
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))
})
