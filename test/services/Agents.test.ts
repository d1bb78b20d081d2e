import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Agents } from "../../src/services/Agents.ts"
import { agent } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

/** Runs a call against a server that answers so, and gives what came back and what was sent. */
const exchange = <A, E>(script: Server.Script, call: (agents: Agents["Service"]) => Effect.Effect<A, E>) => {
  const server = Server.make(script)
  return Effect.flatMap(Agents, call).pipe(
    Effect.provide(server.layer),
    Effect.map((answer) => ({ answer, requests: server.requests, request: server.requests[0] }))
  )
}

const assertRequest = (request: Server.Received | undefined, method: string, path: string, body?: unknown) => {
  assert.strictEqual(request?.method, method)
  assert.strictEqual(request?.path, path)
  assert.strictEqual(request?.headers["authorization"], `Bearer ${Server.apiKey}`)
  if (body === undefined) {
    assert.strictEqual(request?.body, "")
    assert.notProperty(request?.headers, "content-type")
  } else {
    assert.deepStrictEqual(request === undefined ? undefined : Server.jsonOf(request), body)
    assert.match(request?.headers["content-type"] ?? "", /^application\/json/)
  }
}

const encoded = (text: string) => Buffer.from(text).toString("base64")

describe("create", () => {
  it.effect("sends files as base64 and leaves out what is undefined", () =>
    Effect.gen(function*() {
      const { answer, request } = yield* exchange(Server.json({ agent }, 201), (agents) =>
        agents.create({
          name: "demo",
          systemPrompt: undefined,
          files: [
            { path: "CLAUDE.md", content: "größer" },
            { path: "lib/data.bin", content: new Uint8Array([0, 255, 128]) }
          ],
          env: { TOKEN: "x" }
        }))
      assertRequest(request, "POST", "/api/agents", {
        name: "demo",
        files: [{ path: "CLAUDE.md", content: encoded("größer") }, { path: "lib/data.bin", content: "AP+A" }],
        env: { TOKEN: "x" }
      })
      assert.strictEqual(answer.version, 3)
      assert.deepStrictEqual(answer.env, { TOKEN: "***" })
      assert.strictEqual(answer.createdAt.epochMilliseconds, 1_795_344_059_772)
    }))

  it.effect("by a folder of the server", () =>
    Effect.gen(function*() {
      const { request } = yield* exchange(
        Server.json({ agent }, 201),
        (agents) => agents.create({ name: "demo", path: "/srv/a" })
      )
      assertRequest(request, "POST", "/api/agents", { name: "demo", path: "/srv/a" })
    }))

  it.effect("a folder without instructions", () =>
    Effect.gen(function*() {
      const { answer } = yield* exchange(
        Server.json({ error: "CLAUDE.md not found", statusCode: 400 }, 400),
        (agents) => Effect.flip(agents.create({ name: "demo", path: "/tmp" }))
      )
      assert.strictEqual(answer.reason._tag, "InvalidRequest")
      assert.strictEqual(answer.operation, "Agents.create")
      assert.strictEqual(answer.message, "Agents.create: CLAUDE.md not found (400)")
    }))

  it.effect("the path of a file that a server refuses is in the error", () =>
    Effect.gen(function*() {
      const { answer } = yield* exchange(
        Server.json({ error: "cannot write lib/handlers/index.ts", statusCode: 400 }, 400),
        (agents) =>
          Effect.flip(agents.create({ name: "demo", files: [{ path: "lib/handlers/index.ts", content: "" }] }))
      )
      assert.strictEqual(answer.message, "Agents.create: cannot write lib/handlers/index.ts (400)")
    }))

  it.effect("more than a request may carry is refused here", () =>
    Effect.gen(function*() {
      const { answer, requests } = yield* exchange(
        Server.json({ agent }, 201),
        (agents) =>
          Effect.flip(agents.create({ name: "demo", files: [{ path: "a.bin", content: new Uint8Array(800_000) }] }))
      )
      assert.strictEqual(answer.reason._tag, "InvalidRequest")
      assert.strictEqual(answer.reason._tag === "InvalidRequest" ? answer.reason.field : "", "body")
      assert.include(answer.message, "1048576")
      assert.deepStrictEqual(requests, [])
    }))

  it.effect.each(["app/[...slug]/page.tsx", "a..b", "..a", "a../b", "..."])(
    "%j, which servers would skip, is refused here",
    (path) =>
      Effect.gen(function*() {
        const files = [{ path: "CLAUDE.md", content: "" }, { path, content: "x" }]
        const { answer, requests } = yield* exchange(
          Server.json({ agent }, 201),
          (agents) => Effect.flip(agents.create({ name: "demo", files }))
        )
        assert.strictEqual(answer.reason._tag === "InvalidRequest" ? answer.reason.field : "", "files[1].path")
        assert.deepStrictEqual(requests, [])
      })
  )
})

describe("list", () => {
  it.effect("all agents", () =>
    Effect.gen(function*() {
      const other = { ...agent, name: "other", env: undefined }
      const { answer, request } = yield* exchange(Server.json({ agents: [agent, other] }), ({ list }) => list())
      assertRequest(request, "GET", "/api/agents")
      assert.deepStrictEqual(answer.map(({ name }) => name), ["demo", "other"])
    }))

  it.effect("can be run again", () =>
    Effect.gen(function*() {
      const { requests } = yield* exchange(Server.json({ agents: [] }), ({ list }) => Effect.replicateEffect(list(), 2))
      assert.strictEqual(requests.length, 2)
    }))
})

describe("get", () => {
  it.effect("one agent", () =>
    Effect.gen(function*() {
      const { answer, request } = yield* exchange(Server.json({ agent }), (agents) => agents.get("demo"))
      assertRequest(request, "GET", "/api/agents/demo")
      assert.strictEqual(answer.id, agent.id)
    }))

  it.effect("none of that name", () =>
    Effect.gen(function*() {
      const { answer, requests } = yield* exchange(
        Server.json({ error: "Agent not found", statusCode: 404 }, 404),
        (agents) => Effect.flip(agents.get("nosuch"))
      )
      assert.strictEqual(answer.reason._tag, "NotFound")
      assert.strictEqual(answer.message, "Agents.get: Agent not found (404)")
      assert.strictEqual(requests.length, 1)
    }))
})

describe("update", () => {
  it.effect("environment and settings, null for a setting", () =>
    Effect.gen(function*() {
      const { answer, request } = yield* exchange(
        Server.json({ agent }),
        (agents) => agents.update("demo", { env: {}, config: { preWarmCount: 2, model: null } })
      )
      assertRequest(request, "PATCH", "/api/agents/demo", { env: {}, config: { preWarmCount: 2, model: null } })
      assert.strictEqual(answer.name, "demo")
    }))

  it.effect("what is undefined is left out", () =>
    Effect.gen(function*() {
      const { request } = yield* exchange(
        Server.json({ agent }),
        (agents) => agents.update("demo", { env: undefined })
      )
      assertRequest(request, "PATCH", "/api/agents/demo", {})
    }))
})

describe("delete", () => {
  it.effect("sends no body and no content type", () =>
    Effect.gen(function*() {
      const { answer, request } = yield* exchange(Server.json({ ok: true }), (agents) => agents.delete("demo"))
      assertRequest(request, "DELETE", "/api/agents/demo")
      assert.isUndefined(answer)
    }))

  it.effect("none of that name", () =>
    Effect.gen(function*() {
      const { answer } = yield* exchange(
        Server.json({ error: "Agent not found", statusCode: 404 }, 404),
        (agents) => Effect.flip(agents.delete("nosuch"))
      )
      assert.strictEqual(answer.reason._tag, "NotFound")
    }))
})

describe("settings", () => {
  it.effect("getConfig", () =>
    Effect.gen(function*() {
      const config = { preWarmCount: 1, nested: { a: [null] } }
      const { answer, request } = yield* exchange(Server.json({ config }), (agents) => agents.getConfig("demo"))
      assertRequest(request, "GET", "/api/agents/demo/config")
      assert.deepStrictEqual(answer, config)
    }))

  it.effect("updateConfig", () =>
    Effect.gen(function*() {
      const { answer, request } = yield* exchange(
        Server.json({ config: { a: 1, b: null } }),
        (agents) => agents.updateConfig("demo", { b: null })
      )
      assertRequest(request, "PATCH", "/api/agents/demo/config", { b: null })
      assert.deepStrictEqual(answer, { a: 1, b: null })
    }))

  it.effect("updateConfig with nothing has a body all the same", () =>
    Effect.gen(function*() {
      const { request } = yield* exchange(Server.json({ config: {} }), (agents) => agents.updateConfig("demo", {}))
      assertRequest(request, "PATCH", "/api/agents/demo/config", {})
    }))
})

describe("files", () => {
  it.effect("listFiles", () =>
    Effect.gen(function*() {
      const file = { path: "kb/ü.md", size: 10, modifiedAt: agent.createdAt }
      const { answer, request } = yield* exchange(Server.json({ files: [file] }), (agents) => agents.listFiles("demo"))
      assertRequest(request, "GET", "/api/agents/demo/files")
      assert.strictEqual(answer[0]?.path, "kb/ü.md")
      assert.strictEqual(answer[0]?.size, 10)
    }))

  const download = (agents: Agents["Service"], path: string) =>
    Effect.scoped(Effect.gen(function*() {
      const { content, ...file } = yield* agents.readFile("demo", path)
      const bytes = yield* Stream.runCollect(content)
      return { file, bytes: Buffer.concat(bytes) }
    }))

  it.effect("readFile gives the bytes, and what the server reports of them", () =>
    Effect.gen(function*() {
      const bytes = new Uint8Array(70_000).map((_, index) => index % 256)
      const { answer, request } = yield* exchange(() =>
        new Response(bytes, {
          headers: {
            "content-type": "text/markdown",
            "content-length": "70000",
            "content-disposition": "attachment; filename*=UTF-8''%C3%BC%20n.md"
          }
        }), (agents) => download(agents, "kb/x.md"))
      assertRequest(request, "GET", "/api/agents/demo/files/kb/x.md?format=raw")
      assert.deepStrictEqual(answer.file, {
        name: "ü n.md",
        mediaType: "text/markdown",
        size: 70_000,
        source: undefined
      })
      assert.isTrue(answer.bytes.equals(bytes))
    }))

  it.effect("readFile of a server that reports nothing", () =>
    Effect.gen(function*() {
      const { answer } = yield* exchange(
        () => new Response(new Uint8Array([1])),
        (agents) => download(agents, "kb/x.md")
      )
      assert.deepStrictEqual(answer.file, {
        name: "x.md",
        mediaType: "application/octet-stream",
        size: undefined,
        source: undefined
      })
    }))

  it.effect("readFile of a name that is no encoding", () =>
    Effect.gen(function*() {
      const { answer } = yield* exchange(
        () => new Response("x", { headers: { "content-disposition": "attachment; filename*=UTF-8''%E0%A4%A" } }),
        (agents) => download(agents, "a.md")
      )
      assert.strictEqual(answer.file.name, "a.md")
    }))

  it.effect("readFile of a file that is not there", () =>
    Effect.gen(function*() {
      const { answer } = yield* exchange(
        Server.json({ error: "File not found", statusCode: 404 }, 404),
        (agents) => Effect.flip(download(agents, "a.md"))
      )
      assert.strictEqual(answer.reason._tag, "NotFound")
      assert.strictEqual(answer.operation, "Agents.readFile")
    }))

  it.effect("readFile of a file that breaks off fails in the content, after the bytes that came", () =>
    Effect.gen(function*() {
      let read = ""
      const { answer } = yield* exchange(Server.breaking("part", {}), (agents) =>
        Effect.scoped(Effect.gen(function*() {
          const { content } = yield* agents.readFile("demo", "a.md")
          return yield* Effect.flip(
            Stream.runForEach(content, (bytes) => Effect.sync(() => read += new TextDecoder().decode(bytes)))
          )
        })))
      assert.strictEqual(read, "part")
      assert.strictEqual(answer.reason._tag, "ConnectionLost")
      assert.strictEqual(answer.operation, "Agents.readFile")
    }))

  it.effect("writeFiles", () =>
    Effect.gen(function*() {
      const { answer, request } = yield* exchange(
        Server.json({ written: 1 }),
        (agents) => agents.writeFiles("demo", [{ path: "kb/ü.md", content: "ü" }])
      )
      assertRequest(request, "POST", "/api/agents/demo/files", { files: [{ path: "kb/ü.md", content: encoded("ü") }] })
      assert.strictEqual(answer, 1)
    }))

  it.effect("writeFiles sends as many requests as the files need, and refuses a file that none can carry", () =>
    Effect.gen(function*() {
      const content = new Uint8Array(400_000)
      const files = ["a", "b", "c"].map((path) => ({ path, content }))
      const { answer, requests } = yield* exchange(
        (request) => {
          const { files } = Server.jsonOf(request) as { readonly files: ReadonlyArray<unknown> }
          return Server.json({ written: files.length })()
        },
        (agents) => agents.writeFiles("demo", files)
      )
      assert.strictEqual(answer, 3)
      assert.strictEqual(requests.length, 3)
      const refused = yield* exchange(
        Server.json({ written: 1 }),
        (agents) => Effect.flip(agents.writeFiles("demo", [...files, { path: "d", content: new Uint8Array(800_000) }]))
      )
      const { reason } = refused.answer
      assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : "", "files[3].content")
      assert.deepStrictEqual(refused.requests, [])
    }))

  it.effect("writeFiles with a path that leaves the folder sends nothing", () =>
    Effect.gen(function*() {
      const { answer, requests } = yield* exchange(
        Server.json({ written: 1 }),
        (agents) => Effect.flip(agents.writeFiles("demo", [{ path: "a", content: "" }, { path: "../b", content: "" }]))
      )
      assert.strictEqual(answer.reason._tag === "InvalidRequest" ? answer.reason.field : "", "files[1].path")
      assert.deepStrictEqual(requests, [])
    }))

  it.effect("deleteFile", () =>
    Effect.gen(function*() {
      const { answer, request } = yield* exchange(
        Server.json({ deleted: true }),
        (agents) => agents.deleteFile("demo", "kb/x.md")
      )
      assertRequest(request, "DELETE", "/api/agents/demo/files/kb/x.md")
      assert.isUndefined(answer)
    }))
})

describe("paths", () => {
  it.effect.each<readonly [path: string, sent: string]>([
    ["ünï/ä%2F?#.txt", "%C3%BCn%C3%AF/%C3%A4%252F%3F%23.txt"],
    ["a b/c  d", "a%20b/c%20%20d"],
    ["+&=;,:@!$'()*", "%2B%26%3D%3B%2C%3A%40!%24'()*"],
    ["...", "..."],
    ["a..b/.hidden", "a..b/.hidden"],
    [`${"d".repeat(99)}/${"f".repeat(100)}`, `${"d".repeat(99)}/${"f".repeat(100)}`],
    ["files/files/x", "files/files/x"],
    ["%2e%2e/x", "%252e%252e/x"],
    ["😀", "%F0%9F%98%80"],
    ["a\\b", "a%5Cb"]
  ])("%j", ([path, sent]) =>
    Effect.gen(function*() {
      const { request } = yield* exchange(Server.json({ deleted: true }), (agents) => agents.deleteFile("demo", path))
      const [, actual = ""] = request?.path.split("/api/agents/demo/files/") ?? []
      // Which of the reserved characters are escaped is free, so long as every segment reads as it was given.
      assert.deepStrictEqual(actual.split("/").map(decodeURIComponent), path.split("/"))
      assert.deepStrictEqual(sent.split("/").map(decodeURIComponent), path.split("/"))
      assert.notMatch(actual, /[?#]/)
    }))

  it.effect.each(["", ".", "..", "a//b", "/a", "a/", "a/../b", "./a", "a/.", "../../etc/passwd"])(
    "%j is refused, and nothing is sent",
    (path) =>
      Effect.gen(function*() {
        const { answer, requests } = yield* exchange(Server.json({}), (agents) =>
          Effect.all([
            Effect.flip(agents.deleteFile("demo", path)),
            Effect.flip(Effect.scoped(agents.readFile("demo", path)))
          ]))
        for (const { reason } of answer) {
          assert.strictEqual(reason._tag, "InvalidRequest")
          assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : "", "path")
          assert.isUndefined(reason.http)
        }
        assert.deepStrictEqual(requests, [])
      })
  )

  it.effect.each(["", ".", "..", "a/b", "a b", "ä", "a%2Fb", "x".repeat(101), "demo\n"])(
    "the agent's name %j is refused, and nothing is sent",
    (name) =>
      Effect.gen(function*() {
        const { answer, requests } = yield* exchange(Server.json({}), (agents) =>
          Effect.all([
            Effect.flip(agents.get(name)),
            Effect.flip(agents.update(name, {})),
            Effect.flip(agents.delete(name)),
            Effect.flip(agents.getConfig(name)),
            Effect.flip(agents.updateConfig(name, {})),
            Effect.flip(agents.listFiles(name)),
            Effect.flip(agents.writeFiles(name, [])),
            Effect.flip(agents.deleteFile(name, "a")),
            Effect.flip(Effect.scoped(agents.readFile(name, "a")))
          ]))
        for (const { reason } of answer) {
          assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : "", "name")
        }
        assert.deepStrictEqual(requests, [])
      })
  )

  it.effect("a name of 100 characters is sent", () =>
    Effect.gen(function*() {
      const name = "x".repeat(100)
      const { request } = yield* exchange(Server.json({ agent }), (agents) => agents.get(name))
      assert.strictEqual(request?.path, `/api/agents/${name}`)
    }))
})
