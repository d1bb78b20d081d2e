import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { AshError } from "../../src/schema/AshError.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { session, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

type Call = (ash: AshClient["Service"]) => Effect.Effect<unknown, AshError>

const sending = (content: unknown, options: Record<string, unknown> = {}): Call => ({ messages }) =>
  Stream.runDrain(messages.send(sessionId, content as never, options as never))

const chars = (count: number) => "x".repeat(count)
const text = { type: "text", text: "a" }

/** What is refused, by the field that the error names, with a neighbour that is not. */
const cases: ReadonlyArray<readonly [field: string, refused: Call, sent: Call | undefined]> = [
  ["name", ({ agents }) => agents.create({ name: "" }), ({ agents }) => agents.create({ name: "a" })],
  ["name", ({ agents }) => agents.create({ name: chars(256) }), ({ agents }) => agents.create({ name: chars(255) })],
  ["name", ({ agents }) => agents.create({ name: "a b" }), ({ agents }) => agents.create({ name: "a_B-9" })],
  [
    "path",
    ({ agents }) => agents.create({ name: "a", path: chars(4097) }),
    ({ agents }) => agents.create({ name: "a", path: chars(4096) })
  ],
  [
    "systemPrompt",
    ({ agents }) => agents.create({ name: "a", systemPrompt: chars(1_000_001) }),
    ({ agents }) => agents.create({ name: "a", systemPrompt: chars(1_000_000) })
  ],
  ["files[0].path", ({ agents }) => agents.create({ name: "a", files: [{ path: "../b", content: "" }] }), undefined],
  ["agent", ({ sessions }) => sessions.create({ agent: "" }), undefined],
  [
    "agent",
    ({ sessions }) => sessions.create({ agent: chars(256) }),
    ({ sessions }) => sessions.create({ agent: chars(255) })
  ],
  [
    "credentialId",
    ({ sessions }) => sessions.create({ agent: "a", credentialId: chars(256) }),
    ({ sessions }) => sessions.create({ agent: "a", credentialId: chars(255) })
  ],
  [
    "model",
    ({ sessions }) => sessions.create({ agent: "a", model: chars(101) }),
    ({ sessions }) => sessions.create({ agent: "a", model: chars(100) })
  ],
  [
    "systemPrompt",
    ({ sessions }) => sessions.create({ agent: "a", systemPrompt: chars(1_000_001) }),
    ({ sessions }) => sessions.create({ agent: "a", systemPrompt: chars(1_000_000) })
  ],
  [
    "permissionMode",
    ({ sessions }) => sessions.create({ agent: "a", permissionMode: "plan" as never }),
    ({ sessions }) => sessions.create({ agent: "a", permissionMode: "permissionsByAgent" })
  ],
  [
    "model",
    ({ sessions }) => sessions.updateConfig(sessionId, { model: chars(101) }),
    ({ sessions }) => sessions.updateConfig(sessionId, { model: "" })
  ],
  [
    "command",
    ({ sessions }) => sessions.exec(sessionId, ""),
    ({ sessions }) => Effect.ignore(sessions.exec(sessionId, "x"))
  ],
  ["timeout", ({ sessions }) => sessions.exec(sessionId, "x", { timeout: 0 }), undefined],
  ["timeout", ({ sessions }) => sessions.exec(sessionId, "x", { timeout: 1.5 }), undefined],
  ["timeout", ({ sessions }) => sessions.exec(sessionId, "x", { timeout: "Infinity" as never }), undefined],
  [
    "timeout",
    ({ sessions }) => sessions.exec(sessionId, "x", { timeout: 300_001 }),
    ({ sessions }) => Effect.ignore(sessions.exec(sessionId, "x", { timeout: 300_000 }))
  ],
  ["limit", ({ sessions }) => sessions.listEvents(sessionId, { limit: 0 }), undefined],
  ["limit", ({ sessions }) => sessions.listEvents(sessionId, { limit: 1001 }), undefined],
  ["limit", ({ sessions }) => sessions.listEvents(sessionId, { limit: 1.5 }), undefined],
  ["after", ({ sessions }) => sessions.listEvents(sessionId, { after: -1 }), undefined],
  ["after", ({ sessions }) => sessions.logs(sessionId, { after: -2 }), undefined],
  ["limit", ({ messages }) => messages.list(sessionId, { limit: 0 }), undefined],
  ["limit", ({ messages }) => messages.list(sessionId, { limit: 1001 }), undefined],
  ["limit", ({ messages }) => messages.list(sessionId, { limit: NaN }), undefined],
  ["after", ({ messages }) => messages.list(sessionId, { after: -1 }), undefined],
  ["content", sending(chars(500_001)), sending(chars(500_000))],
  ["versionNumber", ({ agentVersions }) => agentVersions.get("a", 0), ({ agentVersions }) => agentVersions.get("a", 1)],
  ["versionNumber", ({ agentVersions }) => agentVersions.get("a", 1.5), undefined],
  ["versionNumber", ({ agentVersions }) => agentVersions.delete("a", "abc"), undefined],
  [
    "name",
    ({ agentVersions }) => agentVersions.create("a", { name: chars(256) }),
    ({ agentVersions }) => agentVersions.create("a", { name: chars(255) })
  ],
  [
    "releaseNotes",
    ({ agentVersions }) => agentVersions.update("a", 1, { releaseNotes: chars(10_001) }),
    ({ agentVersions }) => agentVersions.update("a", 1, { releaseNotes: chars(10_000) })
  ],
  [
    "question",
    ({ evals }) => evals.createCase("a", { question: "" }),
    ({ evals }) => evals.createCase("a", { question: "q" })
  ],
  ["cases[1].question", ({ evals }) => evals.importCases("a", [{ question: "q" }, { question: "" }]), undefined],
  ["id", ({ evals }) => evals.getRun("a", "x"), ({ evals }) => evals.getRun("a", sessionId)],
  ["runB", ({ evals }) => evals.compareRuns("a", sessionId, "x"), undefined],
  [
    "humanScore",
    ({ evals }) => evals.scoreResult("a", sessionId, { humanScore: 6 }),
    ({ evals }) => evals.scoreResult("a", sessionId, { humanScore: 5 })
  ],
  [
    "humanNotes",
    ({ evals }) => evals.scoreRun("a", sessionId, { humanNotes: chars(10_001) }),
    ({ evals }) => evals.scoreRun("a", sessionId, { humanNotes: chars(10_000) })
  ],
  ["files[0].path", ({ sessionFiles }) => sessionFiles.write(sessionId, [{ path: "/a", content: "" }]), undefined],
  [
    "files[1].content",
    ({ sessionFiles }) =>
      sessionFiles.write(sessionId, [{ path: "a", content: "" }, { path: "b", content: new Uint8Array(52_428_801) }]),
    undefined
  ],
  ["path", ({ sessionFiles }) => sessionFiles.delete(sessionId, "../a"), undefined],
  [
    "bundle",
    ({ workspaces }) => workspaces.upload(sessionId, new Uint8Array(104_857_601)),
    ({ workspaces }) => workspaces.upload(sessionId, new Uint8Array(1))
  ],
  [
    "content",
    ({ attachments }) => attachments.upload(sessionId, { filename: "a", content: new Uint8Array(786_433) }),
    ({ attachments }) => attachments.upload(sessionId, { filename: "a", content: new Uint8Array(700_000) })
  ],
  ["content", ({ attachments }) => attachments.upload(sessionId, { filename: "a", content: "" }), undefined],
  ["filename", ({ attachments }) => attachments.upload(sessionId, { filename: "", content: "a" }), undefined],
  [
    "mimeType",
    ({ attachments }) => attachments.upload(sessionId, { filename: "a", content: "a", mimeType: "a\nb" }),
    ({ attachments }) => attachments.upload(sessionId, { filename: "a", content: "a", mimeType: "text/plain" })
  ],
  ["key", ({ credentials }) => credentials.createCustom(Redacted.make("")), undefined],
  ["id", ({ credentials }) => credentials.delete("."), ({ credentials }) => credentials.delete("any id")],
  ["id", ({ apiKeys }) => apiKeys.delete(""), ({ apiKeys }) => apiKeys.delete("env")],
  ["prompt", ({ queueItems }) => queueItems.enqueue({ agentName: "a", prompt: "" }), undefined],
  [
    "priority",
    ({ queueItems }) => queueItems.enqueue({ agentName: "a", prompt: "p", priority: -1 }),
    ({ queueItems }) => queueItems.enqueue({ agentName: "a", prompt: "p", priority: 0 })
  ],
  ["limit", ({ queueItems }) => queueItems.list({ limit: 501 }), ({ queueItems }) => queueItems.list({ limit: 500 })],
  ["limit", ({ usage }) => usage.listEvents({ limit: 1001 }), ({ usage }) => usage.listEvents({ limit: 1000 })],
  ["sessionId", ({ usage }) => usage.stats({ sessionId: "x" }), undefined],
  ["content", sending([]), undefined],
  ["content", sending(Array.from({ length: 21 }, () => text)), sending(Array.from({ length: 20 }, () => text))],
  ["content", sending(5), undefined],
  ["content", sending(null), undefined],
  ["model", sending("x", { model: chars(101) }), sending("x", { model: chars(100) })],
  ["maxTurns", sending("x", { maxTurns: 0 }), sending("x", { maxTurns: 1 })],
  ["maxTurns", sending("x", { maxTurns: 1.5 }), undefined],
  ["maxBudgetUsd", sending("x", { maxBudgetUsd: -0.01 }), sending("x", { maxBudgetUsd: 0 })],
  ["maxBudgetUsd", sending("x", { maxBudgetUsd: Infinity }), undefined],
  ["effort", sending("x", { effort: "huge" }), sending("x", { effort: "max" })],
  ["thinking.type", sending("x", { thinking: {} }), sending("x", { thinking: { type: "disabled" } })],
  ["outputFormat.schema", sending("x", { outputFormat: { type: "json_schema" } }), undefined],
  ["includePartialMessages", sending("x", { includePartialMessages: "yes" }), undefined]
]

const answers: Server.Script = ({ method, path }) =>
  path.endsWith("/messages")
    ? Server.sse(Server.frames(["done", {}]))()
    : path === "/api/agents"
    ? Server.json({ error: "Agent not found" }, 404)()
    : Server.json({ session }, method === "POST" ? 201 : 200)()

describe("the limits of requests", () => {
  it.effect.each(cases.map((each, index) => ({ index, field: each[0], each })))(
    "$index: a bad $field is refused by its name, and nothing is sent",
    ({ each: [field, refused] }) => {
      const server = Server.forTurns(answers)
      return Effect.gen(function*() {
        const { message, reason } = yield* Effect.flip(Effect.flatMap(AshClient, refused))
        assert.strictEqual(reason._tag, "InvalidRequest")
        assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : undefined, field)
        assert.include(message, field)
        assert.isBelow(message.length, 300)
        assert.isUndefined(reason.http)
        assert.deepStrictEqual(server.requests, [])
      }).pipe(Effect.provide(server.layer))
    }
  )

  it.effect.each(cases.flatMap(([field, , sent], index) => sent === undefined ? [] : [{ index, field, sent }]))(
    "$index: the best $field beside it is sent",
    ({ sent }) => {
      const server = Server.forTurns(answers)
      return Effect.gen(function*() {
        yield* Effect.ignore(Effect.flatMap(AshClient, sent))
        assert.isAbove(server.requests.length, 0)
      }).pipe(Effect.provide(server.layer))
    }
  )

  it.effect.each(["", ".", "..", "not-a-uuid", "a/b", `${sessionId} `, `${sessionId}/..`, sessionId.slice(1)])(
    "the session id %j is refused by every call, and nothing is sent",
    (id) => {
      const server = Server.forTurns(answers)
      return Effect.gen(function*() {
        const { messages, sessions } = yield* AshClient
        const errors = yield* Effect.all([
          Effect.flip(sessions.get(id)),
          Effect.flip(sessions.updateConfig(id, {})),
          Effect.flip(sessions.pause(id)),
          Effect.flip(sessions.resume(id)),
          Effect.flip(sessions.stop(id)),
          Effect.flip(sessions.fork(id)),
          Effect.flip(sessions.end(id)),
          Effect.flip(sessions.exec(id, "ls")),
          Effect.flip(sessions.listEvents(id)),
          Effect.flip(sessions.logs(id)),
          Effect.flip(messages.list(id))
        ])
        for (const { reason } of errors) {
          assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : reason._tag, "id")
        }
        assert.deepStrictEqual(server.requests, [])
      }).pipe(Effect.provide(server.layer))
    }
  )

  it.effect("a session id that is none is refused by a send, and nothing is sent", () => {
    const server = Server.forTurns(answers)
    return Effect.gen(function*() {
      const { messages } = yield* AshClient
      const { reason } = yield* Effect.flip(Stream.runDrain(messages.send("not-a-uuid", "hello")))
      assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : reason._tag, "id")
      assert.deepStrictEqual(server.requests, [])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("a uuid in capitals is one", () => {
    const server = Server.forTurns(answers)
    return Effect.gen(function*() {
      const { sessions } = yield* AshClient
      yield* Effect.ignore(sessions.get(sessionId.toUpperCase()))
      assert.strictEqual(server.requests[0]?.path, `/api/sessions/${sessionId.toUpperCase()}`)
    }).pipe(Effect.provide(server.layer))
  })
})
