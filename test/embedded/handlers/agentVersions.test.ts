import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { ask, at, deploy, listAt, textAt, withServer } from "../../support/embeddedServer.ts"

const path = "/api/agents/demo/versions"
const create = (json: Schema.JsonObject = {}) => ask("POST", path, { json })
const numbers = Effect.map(
  ask("GET", path),
  ({ body }) => listAt(body, "versions").map((row) => at(row, "versionNumber"))
)

describe("versions", () => {
  it.effect("are numbered, named by default, and listed from the highest", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      assert.deepStrictEqual((yield* ask("GET", path)).body, { versions: [] })
      const first = yield* create({ name: "first", systemPrompt: "p", releaseNotes: "n", knowledgeFiles: ["a"] })
      assert.strictEqual(first.status, 201)
      assert.deepInclude(at(first.body, "version"), {
        agentName: "demo",
        tenantId: "default",
        versionNumber: 1,
        name: "first",
        systemPrompt: "p",
        releaseNotes: "n",
        knowledgeFiles: ["a"],
        isActive: false,
        createdBy: null
      })
      const second = yield* create()
      assert.deepInclude(at(second.body, "version"), {
        versionNumber: 2,
        name: "v2",
        systemPrompt: null,
        releaseNotes: null,
        knowledgeFiles: null
      })
      assert.deepStrictEqual(yield* numbers, [2, 1])
    }).pipe(withServer()))

  it.effect("are named by number and by id, and nothing else names one", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const { body } = yield* create()
      const id = textAt(body, "version", "id")
      for (const name of ["1", id]) assert.deepStrictEqual((yield* ask("GET", `${path}/${name}`)).body, body)
      for (const name of ["abc", "01", "0", "2", "1.0", "-1"]) {
        const { body, status } = yield* ask("GET", `${path}/${name}`)
        assert.strictEqual(status, 404)
        assert.deepStrictEqual(body, { error: "Version not found", statusCode: 404 })
      }
      const none = yield* ask("GET", "/api/agents/nosuch/versions/abc")
      assert.deepStrictEqual(none.body, { error: "Agent not found", statusCode: 404 })
    }).pipe(withServer()))

  it.effect("begin as a copy, without the notes", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const { body } = yield* create({ systemPrompt: "p", releaseNotes: "n", knowledgeFiles: ["a"] })
      for (const cloneFrom of [1, "1", textAt(body, "version", "id")]) {
        const clone = yield* create({ cloneFrom })
        assert.strictEqual(clone.status, 201)
        assert.deepInclude(at(clone.body, "version"), { systemPrompt: "p", releaseNotes: null, knowledgeFiles: ["a"] })
      }
      assert.strictEqual((yield* create({ cloneFrom: "01" })).status, 400)
      const bad = yield* create({ cloneFrom: 99 })
      assert.deepStrictEqual(bad.body, { error: "Source version 99 not found", statusCode: 400 })
    }).pipe(withServer()))

  it.effect("are changed and deleted; the highest number is given again", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      yield* create({ systemPrompt: "p" })
      yield* create()
      const changed = yield* ask("PATCH", `${path}/1`, { json: { releaseNotes: "new" } })
      assert.deepInclude(at(changed.body, "version"), { systemPrompt: "p", releaseNotes: "new" })
      const deleted = yield* ask("DELETE", `${path}/2`)
      assert.deepStrictEqual([deleted.status, deleted.text], [204, ""])
      assert.strictEqual((yield* ask("DELETE", `${path}/2`)).status, 404)
      assert.strictEqual(at((yield* create()).body, "version", "versionNumber"), 2)
    }).pipe(withServer()))

  it.effect("one is active, and new sessions without a prompt get its prompt", () =>
    Effect.gen(function*() {
      yield* deploy("demo", { systemPrompt: "the agent's" })
      yield* create({ systemPrompt: "one" })
      yield* create({ systemPrompt: "two" })
      const promptOf = Effect.fnUntraced(function*(json: Schema.JsonObject) {
        const { body } = yield* ask("POST", "/api/sessions", { json: { agent: "demo", ...json } })
        const command = { command: "cat CLAUDE.md" }
        return textAt(
          (yield* ask("POST", `/api/sessions/${textAt(body, "session", "id")}/exec`, { json: command })).body,
          "stdout"
        )
      })
      assert.strictEqual(yield* promptOf({}), "the agent's")
      yield* ask("POST", `${path}/1/activate`)
      const { body } = yield* ask("POST", `${path}/2/activate`)
      assert.deepStrictEqual(body, { activated: true, versionNumber: 2 })
      const active = listAt((yield* ask("GET", path)).body, "versions").filter((row) => at(row, "isActive") === true)
      assert.deepStrictEqual(active.map((row) => at(row, "versionNumber")), [2])
      assert.strictEqual(yield* promptOf({}), "two")
      assert.strictEqual(yield* promptOf({ systemPrompt: "mine" }), "mine")
      yield* ask("DELETE", `${path}/2`)
      assert.strictEqual(yield* promptOf({}), "the agent's")
    }).pipe(withServer()))

  it.effect("a body is needed, and a bad one is refused without a reason", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      for (const options of [{}, { json: { name: "x".repeat(256) } }]) {
        const { body, status } = yield* ask("POST", path, options)
        assert.strictEqual(status, 400)
        assert.deepStrictEqual(body, { error: "Bad Request", statusCode: 400 })
      }
      const { body } = yield* ask("PATCH", `${path}/1`, { json: { releaseNotes: "x".repeat(10_001) } })
      assert.strictEqual(at(body, "message"), "body/releaseNotes must NOT have more than 10000 characters")
    }).pipe(withServer()))
})
