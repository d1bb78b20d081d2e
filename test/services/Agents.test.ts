import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Redacted, Stream } from "effect"
import { Agents } from "effect-ash"
import { agent, json, scripted } from "../support/Script.ts"

const apiKey = Redacted.make("secret-key")

/** Runs one call against one answer, and gives what was sent with what came back. */
const exchange = <A, E>(
  answer: Response,
  call: (agents: Agents["Service"]) => Effect.Effect<A, E>
) =>
  Effect.gen(function*() {
    const { layer, sent } = scripted(() => answer, { apiKey, retry: { times: 0 } })
    const result = yield* Effect.provide(Effect.flatMap(Agents, call), layer)
    assert.strictEqual(sent.length, 1)
    assert.strictEqual(sent[0]?.headers["authorization"], "Bearer secret-key")
    return { result, line: `${sent[0]?.method} ${sent[0]?.url}`, body: sent[0]?.body }
  })

const refusal = <A, E>(call: (agents: Agents["Service"]) => Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const { layer, sent } = scripted(() => json({}))
    const error = yield* Effect.flip(Effect.provide(Effect.flatMap(Agents, call), layer))
    assert.deepStrictEqual(sent, [])
    return error
  })

describe("Agents", () => {
  it.effect("create sends files as base64, be they bytes or text, and leaves out what is not given", () =>
    Effect.gen(function*() {
      const { body, line, result } = yield* exchange(json({ agent: agent() }, 201), (agents) =>
        agents.create({
          name: "helper",
          systemPrompt: undefined,
          files: [
            { path: "CLAUDE.md", content: "# ünï" },
            { path: "a/b.bin", content: new Uint8Array([0, 255]) }
          ],
          env: { TOKEN: "t" }
        }))
      assert.strictEqual(line, "POST /api/agents")
      assert.deepStrictEqual(body, {
        name: "helper",
        files: [{ path: "CLAUDE.md", content: "IyDDvG7Drw==" }, { path: "a/b.bin", content: "AP8=" }],
        env: { TOKEN: "t" }
      })
      assert.strictEqual(DateTime.formatIso(result.createdAt), "2026-11-22T10:40:51.213Z")
    }))

  it.effect("list, get, update and delete", () =>
    Effect.gen(function*() {
      const list = yield* exchange(json({ agents: [agent(), agent({ name: "other" })] }), (agents) => agents.list)
      assert.strictEqual(list.line, "GET /api/agents")
      assert.deepStrictEqual(list.result.map(({ name }) => name), ["helper", "other"])

      const get = yield* exchange(json({ agent: agent({ env: { A: "***" } }) }), (agents) => agents.get("helper"))
      assert.strictEqual(get.line, "GET /api/agents/helper")
      assert.deepStrictEqual(get.result.env, { A: "***" })

      const update = yield* exchange(json({ agent: agent() }), (agents) =>
        agents.update("helper", { env: {}, config: { model: null } }))
      assert.strictEqual(update.line, "PATCH /api/agents/helper")
      assert.deepStrictEqual(update.body, { env: {}, config: { model: null } })

      const deletion = yield* exchange(json({ ok: true }), (agents) =>
        agents.delete("helper"))
      assert.strictEqual(deletion.line, "DELETE /api/agents/helper")
      assert.strictEqual(deletion.body, undefined)
    }))

  it.effect("getConfig and updateConfig", () =>
    Effect.gen(function*() {
      const get = yield* exchange(json({ config: { preWarmCount: 2 } }), (agents) => agents.getConfig("helper"))
      assert.strictEqual(get.line, "GET /api/agents/helper/config")
      assert.deepStrictEqual(get.result, { preWarmCount: 2 })

      const update = yield* exchange(json({ config: { a: 1, b: null } }), (agents) =>
        agents.updateConfig("helper", { b: null }))
      assert.strictEqual(update.line, "PATCH /api/agents/helper/config")
      assert.deepStrictEqual(update.body, { b: null })
      assert.deepStrictEqual(update.result, { a: 1, b: null })
    }))

  it.effect("listFiles, writeFiles and deleteFile", () =>
    Effect.gen(function*() {
      const list = yield* exchange(
        json({ files: [{ path: "a/b.txt", size: 3, modifiedAt: "2026-11-22T10:40:51.213Z" }] }),
        (agents) => agents.listFiles("helper")
      )
      assert.strictEqual(list.line, "GET /api/agents/helper/files")
      assert.strictEqual(list.result[0]?.size, 3)

      const write = yield* exchange(json({ written: 1 }), (agents) =>
        agents.writeFiles("helper", [{ path: "a.txt", content: "abc" }]))
      assert.strictEqual(write.line, "POST /api/agents/helper/files")
      assert.deepStrictEqual(write.body, { files: [{ path: "a.txt", content: "YWJj" }] })
      assert.strictEqual(write.result, 1)

      const deletion = yield* exchange(json({ deleted: true }), (agents) =>
        agents.deleteFile("helper", "a b.txt"))
      assert.strictEqual(deletion.line, "DELETE /api/agents/helper/files/a%20b.txt")
    }))

  it.effect("readFile gives the bytes, and the name, type and size that the server tells", () =>
    Effect.gen(function*() {
      const { line, result } = yield* exchange(
        new Response(new Uint8Array([1, 2, 3]), {
          headers: {
            "content-type": "text/x-python",
            "content-length": "3",
            "content-disposition": "attachment; filename*=UTF-8''%C3%A4.py"
          }
        }),
        (agents) =>
          Effect.scoped(Effect.gen(function*() {
            const file = yield* agents.readFile("helper", "src/ä.py")
            return { ...file, content: yield* Stream.runCollect(file.content) }
          }))
      )
      assert.strictEqual(line, "GET /api/agents/helper/files/src/%C3%A4.py?format=raw")
      assert.strictEqual(result.name, "ä.py")
      assert.strictEqual(result.mediaType, "text/x-python")
      assert.strictEqual(result.size, 3)
      assert.deepStrictEqual(result.content.flatMap((chunk) => [...chunk]), [1, 2, 3])
    }))

  const paths = [
    ["ünï/ä%2F?#.txt", "%C3%BCn%C3%AF/%C3%A4%252F%3F%23.txt"],
    ["with space/+&=;,.txt", "with%20space/%2B%26%3D%3B%2C.txt"],
    ["files/files/x", "files/files/x"],
    ["x".repeat(200), "x".repeat(200)]
  ] as const
  it.effect.each(paths)("the path of a file survives: %s", ([path, encoded]) =>
    Effect.gen(function*() {
      const { line } = yield* exchange(json({ deleted: true }), (agents) => agents.deleteFile("helper", path))
      assert.strictEqual(line, `DELETE /api/agents/helper/files/${encoded}`)
    }))

  it.effect.each(["", ".", "..", "a//b", "/a", "a/", "a/../b", "./a", "../../x"])(
    "the path %j is refused before it is sent",
    (path) =>
      Effect.gen(function*() {
        const error = yield* refusal((agents) => agents.deleteFile("helper", path))
        assert.strictEqual(error.reason._tag, "InvalidRequest")
        assert.include(error.message, "Agents.deleteFile: path must be")
      })
  )

  it.effect.each(["", ".", "..", "a/b", "a b", "x".repeat(101)])(
    "the name %j is refused before it is sent",
    (name) =>
      Effect.gen(function*() {
        const error = yield* refusal((agents) => agents.get(name))
        assert.strictEqual(error.reason._tag, "InvalidRequest")
        assert.include(error.message, "Agents.get: name must be")
      })
  )

  it.effect("names the file at fault among several, and not its content", () =>
    Effect.gen(function*() {
      const error = yield* refusal((agents) =>
        agents.create({
          name: "helper",
          files: [{ path: "a", content: "canary" }, { path: "../b", content: "canary" }]
        })
      )
      assert.deepInclude(error.reason, { _tag: "InvalidRequest", field: "files[1].path" })
      assert.notInclude(JSON.stringify(error), "canary")
    }))

  it.effect("refuses more than a body may have", () =>
    Effect.gen(function*() {
      const error = yield* refusal((agents) =>
        agents.create({ name: "helper", files: [{ path: "a", content: new Uint8Array(1_048_576) }] })
      )
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.include(error.message, "1048576")
    }))
})
