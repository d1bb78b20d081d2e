/** The faults of the official clients, by their numbers in docs/parity.md: what happens here instead. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { noSession, session, sessionEvent, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

type Call<A = unknown, E = AshError> = (ash: AshClient["Service"]) => Effect.Effect<A, E>

/** Runs a call against a server that answers so, and gives what came back and what was sent. */
const exchange = <A, E>(script: Server.Script, call: Call<A, E>) =>
  Effect.gen(function*() {
    const server = Server.forTurns(script, { retry: { times: 0 } })
    const answer = yield* Effect.flatMap(AshClient, call).pipe(Effect.provide(server.layer))
    return { answer, request: server.requests.find(({ path }) => !path.includes(noSession)) }
  })

const empty: Server.Script = () => new Response(null, { status: 204 })
const turn = Server.frames(["session_start", { sessionId }], ["done", { sessionId }])

describe("of the TypeScript client", () => {
  const deletions: ReadonlyArray<readonly [string, Call]> = [
    ["a credential", ({ credentials }) => credentials.delete("a")],
    ["an attachment", ({ attachments }) => attachments.delete(sessionId)],
    ["a version", ({ agentVersions }) => agentVersions.delete("demo", 1)],
    ["a case", ({ evals }) => evals.deleteCase("demo", sessionId)]
  ]
  it.effect.each(deletions)(
    "T-1: the deletion of %s, which is answered with nothing, succeeds",
    ([, call]) =>
      Effect.gen(function*() {
        assert.isUndefined((yield* exchange(empty, call)).answer)
      })
  )

  it.effect("T-2: entities come without a wrapper", () =>
    Effect.gen(function*() {
      const { agents, agentVersions, evals } = yield* AshClient
      yield* agents.create({ name: "demo" })
      const version = yield* agentVersions.create("demo")
      const evalCase = yield* evals.createCase("demo", { question: "q" })
      const run = yield* evals.startRun("demo")
      const entities = [
        version,
        yield* agentVersions.get("demo", 1),
        yield* agentVersions.update("demo", 1, {}),
        evalCase,
        yield* evals.getCase("demo", evalCase.id),
        yield* evals.updateCase("demo", evalCase.id, {}),
        run,
        yield* evals.getRun("demo", run.id),
        (yield* evals.compareRuns("demo", run.id, run.id)).runA
      ]
      assert.deepStrictEqual(entities.map(({ id }) => id), [
        ...Array.from({ length: 3 }, () => version.id),
        ...Array.from({ length: 3 }, () => evalCase.id),
        ...Array.from({ length: 3 }, () => run.id)
      ])
    }).pipe(Effect.provide(AshEmbedded.layer())))

  it.effect("T-3, T-4: a status is filtered, and a total that no server sends is no number", () =>
    Effect.gen(function*() {
      const all = Server.json({ sessions: [session, { ...session, status: "ended" }] })
      assert.strictEqual((yield* exchange(all, ({ sessions }) => sessions.list({ status: "ended" }))).answer.length, 1)
      const { answer } = yield* exchange(all, ({ sessions }) => Effect.flip(sessions.listPage()))
      assert.strictEqual(answer.reason._tag, "NotSupported")
    }))

  it.effect("T-7: a missing route is distinguished from a missing resource", () =>
    Effect.gen(function*() {
      const tagOf = (body: object) =>
        Effect.map(
          exchange(Server.json(body, 404), ({ projectFiles }) => Effect.flip(projectFiles.getUrl("a"))),
          ({ answer }) => answer.reason._tag
        )
      assert.strictEqual(
        yield* tagOf({ message: "Route GET:/api/files/a/url not found", error: "Not Found" }),
        "NotSupported"
      )
      assert.strictEqual(yield* tagOf({ error: "File not found", statusCode: 404 }), "NotFound")
    }))

  it.effect("T-8, T-9, T-10, T-11: what it cannot send is sent", () =>
    Effect.gen(function*() {
      const created = yield* exchange(
        Server.json({ session }, 201),
        ({ sessions }) => sessions.create({ agent: "demo", permissionMode: "default" })
      )
      assert.include(created.request?.body, "\"permissionMode\":\"default\"")
      const image = { media_type: "image/png", data: new Uint8Array([1]), type: "base64" } as const
      const sent = yield* exchange(Server.sse(turn), ({ messages }) =>
        Stream.runDrain(messages.send(sessionId, [{ type: "text", text: "look" }, { type: "image", source: image }])))
      assert.include(sent.request?.body, "\"data\":\"AQ==\"")
      const after = DateTime.makeUnsafe("2026-11-22T10:00:00.000Z")
      const usage = yield* exchange(Server.json({ events: [] }), (ash) =>
        ash.usage.listEvents({ after, before: after }))
      assert.strictEqual(
        usage.request?.path,
        "/api/usage?after=2026-11-22T10%3A00%3A00.000Z&before=2026-11-22T10%3A00%3A00.000Z"
      )
      const version = yield* exchange(empty, ({ agentVersions }) =>
        agentVersions.delete("demo", sessionId))
      assert.strictEqual(version.request?.path, `/api/agents/demo/versions/${sessionId}`)
    }))

  it.effect("T-12: keys, metrics, the bytes of an agent's file, and the server's description", () =>
    Effect.gen(function*() {
      const { agents, apiKeys, health } = yield* AshClient
      yield* agents.create({ name: "demo", files: [{ path: "x.bin", content: new Uint8Array([0, 255]) }] })
      assert.isNotEmpty(Redacted.value((yield* apiKeys.create()).key))
      assert.include(yield* health.metrics(), "ash_uptime_seconds")
      const bytes = yield* Effect.scoped(
        Effect.flatMap(agents.readFile("demo", "x.bin"), ({ content }) => Stream.runCollect(content))
      )
      assert.deepStrictEqual(Buffer.concat(bytes), Buffer.from([0, 255]))
      assert.property(yield* health.openApi(), "openapi")
    }).pipe(Effect.provide(AshEmbedded.layer())))
})

describe("of the Python client", () => {
  it.effect("P-1, P-2: pause, resume, stop, fork and end work", () =>
    Effect.gen(function*() {
      const { agents, sessions } = yield* AshClient
      yield* agents.create({ name: "demo" })
      const { id } = yield* sessions.create({ agent: "demo" })
      const statuses = yield* Effect.all([
        sessions.pause(id),
        sessions.resume(id),
        sessions.stop(id),
        sessions.fork(id),
        sessions.end(id)
      ])
      assert.deepStrictEqual(statuses.map(({ status }) => status), ["paused", "active", "stopped", "paused", "ended"])
    }).pipe(Effect.provide(AshEmbedded.layer())))

  it.effect.each(["\u2028", "\u2029", "\u0085"])("P-4: a frame with %j arrives", (separator) =>
    Effect.gen(function*() {
      const delta = `one${separator}two`
      const script = Server.sse(`event: text_delta\ndata: {"delta":"${delta}"}\n\n${turn}`)
      const { answer } = yield* exchange(script, ({ messages }) => Stream.runCollect(messages.send(sessionId, "a b")))
      assert.deepStrictEqual(answer[0], { _tag: "TextDelta", delta })
    }))

  it.effect("P-5, P-6: turns are streams, downloads bytes", () =>
    Effect.gen(function*() {
      const { answer } = yield* exchange(Server.sse(turn), ({ messages }) =>
        Stream.runCollect(messages.send(sessionId, "a b")))
      assert.deepStrictEqual(
        answer.map(({ _tag }) =>
          _tag
        ),
        ["SessionStart", "Done"]
      )
      const bytes: Server.Script = () => new Response(new Uint8Array([1, 2]))
      for (
        const call of [
          (ash: AshClient["Service"]) => ash.workspaces.download(sessionId),
          (ash: AshClient["Service"]) => ash.attachments.download(sessionId)
        ]
      ) {
        const { answer } = yield* exchange(
          bytes,
          (ash) => Effect.scoped(Effect.flatMap(call(ash), ({ content }) => Stream.runCollect(content)))
        )
        assert.deepStrictEqual(Buffer.concat(answer), Buffer.from([1, 2]))
      }
    }))

  it.effect.each<readonly [status: number, tag: string]>([
    [401, "Unauthorized"],
    [413, "InvalidRequest"],
    [422, "InvalidRequest"],
    [429, "RateLimited"]
  ])("P-7: a %i is a failure", ([status, tag]) =>
    Effect.gen(function*() {
      const { answer } = yield* exchange(Server.json({ error: "x" }, status), ({ sessions }) =>
        Effect.flip(sessions.list()))
      assert.strictEqual(answer.reason._tag, tag)
    }))

  it.effect("P-8: a kind of event that is not in the published list breaks nothing", () =>
    Effect.gen(function*() {
      const events = [
        sessionEvent(1, "mcp_status", "{\"action\":\"error\",\"error\":\"x\"}"),
        sessionEvent(2, "brand_new", "{\"a\":1}")
      ]
      const { answer } = yield* exchange(Server.json({ events }), ({ sessions }) => sessions.listEvents(sessionId))
      assert.deepStrictEqual(answer.map(({ data }) => data._tag), ["McpStatus", "Unknown"])
    }))

  it.effect.each([{ error: "API key not found" }, { message: "only a message" }, {}, [], "text"])(
    "P-10: the error %j is read",
    (body) =>
      Effect.gen(function*() {
        const { answer } = yield* exchange(Server.json(body, 500), ({ apiKeys }) => Effect.flip(apiKeys.list()))
        assert.strictEqual(answer.reason._tag, "ServerFailure")
        assert.include(answer.message, "500")
      })
  )

  it.effect("P-13: an agent has an environment, a prompt and files", () =>
    Effect.gen(function*() {
      const { agents } = yield* AshClient
      const agent = yield* agents.create({
        name: "demo",
        systemPrompt: "p",
        env: { A: "1" },
        files: [{ path: "a", content: "" }]
      })
      assert.deepStrictEqual({ ...agent.env }, { A: "***" })
      assert.deepStrictEqual((yield* agents.listFiles("demo")).map(({ path }) => path), ["CLAUDE.md", "a"])
    }).pipe(Effect.provide(AshEmbedded.layer())))

  it.effect("P-14: an id that a tool's result does not have is absent", () =>
    Effect.gen(function*() {
      const script = Server.sse(Server.frames(["tool_result", { content: "x" }]) + turn)
      const { answer } = yield* exchange(script, ({ messages }) => Stream.runCollect(messages.send(sessionId, "a b")))
      assert.deepStrictEqual(answer[0], { _tag: "ToolResult", content: "x" })
    }))
})
