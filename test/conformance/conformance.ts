/**
 * One suite for every server: the embedded one, or the one that `ASH_SERVER_URL` and `ASH_API_KEY` name. It makes agents
 * and sessions of its own, removes them, and skips, with a word, what a server's rate limits do not let it do, or its
 * settings. Where no server answers, all of it fails. It asks agents for nothing but to say a word again.
 */
import { assert, layer } from "@effect/vitest"
import { Array, Context, Data, DateTime, Effect, Layer, Option, Redacted, Schedule, Stream } from "effect"
import { Ash, AshClient, type AshError, Bundle, Messages, RequestOptions, TurnStream } from "effect-ash"
import { AgentScript, AshEmbedded } from "effect-ash/embedded"
import { AshNode } from "effect-ash/node"
import * as Http from "node:http"
import * as Https from "node:https"
import type { TestContext } from "vitest"

const isEmbedded = (process.env["ASH_SERVER_URL"] ?? "") === ""

/** Repeats the prompt, or does what the prompt's first word requests. */
const script: AgentScript.AgentScript = ({ prompt, workspace }) =>
  prompt.startsWith("tool ")
    ? Stream.make(
      AgentScript.think("I look."),
      AgentScript.useTool({
        name: "Bash",
        input: { command: "ls" },
        result: Effect.succeed({ content: workspace.directory })
      }),
      AgentScript.say(`You said: ${prompt}`)
    )
    : prompt.startsWith("fail ")
    ? Stream.make(AgentScript.say("I try."), AgentScript.fail("out of luck"))
    : Stream.make(AgentScript.say(`You said: ${prompt}`))

const prefix = `conformance-${crypto.randomUUID().slice(0, 8)}`

/** What the tests share: an agent and a session, made when they are first needed, for servers allow few. */
class Shared extends Context.Service<Shared, {
  readonly agent: Effect.Effect<string, AshError>
  readonly session: Effect.Effect<string, AshError>
}>()("Shared") {
  static readonly layer = Layer.effect(
    Shared,
    Effect.gen(function*() {
      const { agents, sessions } = yield* AshClient
      const agent = yield* Effect.cached(
        Effect.as(
          agents.create({
            name: prefix,
            files: [
              { path: "CLAUDE.md", content: "Say exactly what you are told to say, and nothing else." },
              { path: "kb/ünï %2F#?.bin", content: new Uint8Array([0, 255, 128]) }
            ]
          }),
          prefix
        )
      )
      const session = yield* Effect.cached(
        Effect.flatMap(agent, (agent) => Effect.map(sessions.create({ agent }), ({ id }) => id))
      )
      yield* Effect.addFinalizer(() =>
        Effect.gen(function*() {
          const left = (yield* agents.list()).filter(({ name }) => name.startsWith(prefix))
          for (const { name } of left) {
            for (const { id } of yield* sessions.list({ agent: name })) yield* Effect.ignore(sessions.end(id))
            yield* agents.delete(name)
          }
        }).pipe(Effect.catch((error) => Effect.logWarning(`agents named ${prefix}* may be left behind`, error)))
      )
      return Shared.of({ agent, session })
    })
  )
}

const server = isEmbedded
  ? AshEmbedded.layerHttp({ script }).pipe(Layer.orDie)
  : Layer.unwrap(
    Effect.map(Ash.config, (options) =>
      Layer.merge(
        AshNode.layer({ ...options, whenRateLimited: "fail" }),
        Layer.succeed(AshEmbedded.EmbeddedAddress, {
          url: String(options.url),
          apiKey: options.apiKey ?? Redacted.make("")
        })
      ))
  ).pipe(Layer.orDie)

/** A request as it is, and what answers it: the services send nothing that a server takes for something else. */
const ask = Effect.fnUntraced(function*(method: string, path: string, body?: unknown) {
  const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
  const { hostname, port, protocol } = new URL(url)
  return yield* Effect.callback<{ readonly status: number; readonly type: string; readonly body: unknown }, Error>(
    (resume) => {
      const request = (protocol === "https:" ? Https : Http).request({
        hostname,
        port,
        path,
        method,
        headers: {
          authorization: `Bearer ${Redacted.value(apiKey)}`,
          ...(body === undefined ? {} : { "content-type": "application/json" })
        }
      }, (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString()
          const type = response.headers["content-type"] ?? ""
          resume(Effect.succeed({
            status: response.statusCode ?? 0,
            type,
            body: type.startsWith("application/json") && text !== "" ? JSON.parse(text) : text
          }))
        })
      })
      request.on("error", (error) => resume(Effect.fail(error)))
      request.end(typeof body === "string" ? body : JSON.stringify(body))
    }
  )
})

/** Waits no longer than this for a server that asks to wait. */
const patience = { maxRetryAfter: "20 seconds" } as const

/** A test ends here: what it is about is not to be had of this server. */
class Skipped extends Data.TaggedError("Skipped")<{ readonly why: string }> {}

/** Skips a test in one line: what `skip` throws would be logged with its stack. */
const skip = ({ skip, task }: TestContext, why: string) =>
  Effect.andThen(
    Effect.ignore(Effect.try(() => skip(why))),
    Effect.sync(() => {
      if (task.result !== undefined) Object.assign(task.result, { note: why })
    })
  )

layer(Shared.layer.pipe(Layer.provideMerge(server)), { excludeTestServices: true, timeout: "5 minutes" })(
  isEmbedded ? "the embedded server" : "the server of ASH_SERVER_URL",
  (it) => {
    const test = <E>(
      name: string,
      body: Effect.Effect<unknown, E, Shared | AshClient | Messages | AshEmbedded.EmbeddedAddress>
    ) =>
      it.effect(name, (context) =>
        body.pipe(
          RequestOptions.withRetry(patience),
          Effect.catchIf(isRateLimited, () => skip(context, "the server's rate limit")),
          Effect.catchIf((error) => error instanceof Skipped, ({ why }) => skip(context, why))
        ))

    test(
      "tells its health, and its metrics to who has the key",
      Effect.gen(function*() {
        const { health } = yield* AshClient
        const { activeSandboxes, pool, status } = yield* health.get()
        assert.strictEqual(status, "ok")
        assert.strictEqual(activeSandboxes, pool.warming + pool.warm + pool.waiting + pool.running)
        assert.strictEqual(pool.total, pool.cold + activeSandboxes)
        assert.include(yield* health.metrics(), "ash_up")
      })
    )

    test(
      "keeps agents, their environment, their settings and their files",
      Effect.gen(function*() {
        const { agents } = yield* AshClient
        const name = yield* (yield* Shared).agent
        assert.strictEqual((yield* agents.get(name)).name, name)
        assert.include((yield* agents.list()).map(({ name }) => name), name)
        const updated = yield* agents.update(name, { env: { TOKEN: "secret" } })
        assert.deepStrictEqual({ ...updated.env }, { TOKEN: "***" })
        yield* agents.updateConfig(name, { a: 1, b: { c: null } })
        assert.deepInclude(yield* agents.updateConfig(name, { a: null }), { a: null, b: { c: null } })
        assert.deepInclude(yield* agents.getConfig(name), { b: { c: null } })
        assert.strictEqual(yield* agents.writeFiles(name, [{ path: "notes/a b.md", content: "größer" }]), 1)
        assert.includeMembers((yield* agents.listFiles(name)).map(({ path }) => path), [
          "CLAUDE.md",
          "kb/ünï %2F#?.bin",
          "notes/a b.md"
        ])
        const bytes = yield* Effect.scoped(Effect.flatMap(
          agents.readFile(name, "kb/ünï %2F#?.bin"),
          ({ content }) => Stream.runCollect(content)
        ))
        assert.deepStrictEqual(Buffer.concat(bytes), Buffer.from([0, 255, 128]))
        yield* agents.deleteFile(name, "notes/a b.md")
        assert.strictEqual((yield* Effect.flip(agents.deleteFile(name, "notes/a b.md"))).reason._tag, "NotFound")
        assert.strictEqual((yield* Effect.flip(agents.get(`${prefix}-none`))).reason._tag, "NotFound")
      })
    )

    test(
      "keeps versions of agents",
      Effect.gen(function*() {
        const { agentVersions } = yield* AshClient
        const agent = yield* (yield* Shared).agent
        const first = yield* agentVersions.create(agent, {
          systemPrompt: "p",
          releaseNotes: "n",
          knowledgeFiles: ["a"]
        })
        const second = yield* agentVersions.create(agent, { cloneFrom: first.versionNumber, name: "second" })
        assert.deepInclude(second, { name: "second", systemPrompt: "p", releaseNotes: null })
        assert.strictEqual((yield* agentVersions.get(agent, second.id)).versionNumber, second.versionNumber)
        assert.strictEqual((yield* agentVersions.update(agent, first.id, { name: "renamed" })).name, "renamed")
        assert.strictEqual(yield* agentVersions.activate(agent, second.versionNumber), second.versionNumber)
        const active = (yield* agentVersions.list(agent)).filter(({ isActive }) => isActive)
        assert.deepStrictEqual(active.map(({ id }) => id), [second.id])
        for (const { id } of [first, second]) yield* agentVersions.delete(agent, id)
        assert.deepStrictEqual(yield* agentVersions.list(agent), [])
      })
    )

    test(
      "keeps eval cases and works off runs",
      Effect.gen(function*() {
        const { evals } = yield* AshClient
        const agent = yield* (yield* Shared).agent
        const one = yield* evals.createCase(agent, { question: "Say: blue", expectedTopics: ["blue"], category: "c" })
        assert.strictEqual(yield* evals.importCases(agent, [{ question: "Say: red", tags: ["t"], isActive: false }]), 1)
        assert.strictEqual((yield* evals.exportCases(agent)).length, 2)
        assert.strictEqual((yield* evals.listCases(agent, { isActive: false })).length, 1)
        assert.isNull((yield* evals.updateCase(agent, one.id, { category: null })).category)
        const { results, run } = yield* evals.runToCompletion(agent)
        assert.deepInclude(run, { status: "completed", totalCases: 1, completedCases: 1 })
        // The newest server asks nothing: it refuses the name that it gives the sandbox itself.
        assert.include(["completed", "error"], results[0]?.status)
        assert.isNumber(results[0]?.latencyMs)
        const scored = yield* evals.scoreResult(agent, results[0]?.id ?? "", { humanScore: 4, humanNotes: "n" })
        assert.strictEqual(scored.humanScore, 4)
        assert.strictEqual((yield* evals.scoreRun(agent, run.id, { humanNotes: "all" })).length, 1)
        const comparison = yield* evals.compareRuns(agent, run.id, run.id)
        assert.strictEqual(comparison.results[0]?.caseId, one.id)
        assert.strictEqual((yield* evals.getRun(agent, run.id)).id, run.id)
        yield* evals.deleteCase(agent, one.id)
        assert.strictEqual((yield* Effect.flip(evals.getCase(agent, one.id))).reason._tag, "NotFound")
      })
    )

    test(
      "opens a session and keeps its timeline",
      Effect.gen(function*() {
        const { sessions } = yield* AshClient
        const { agent, session } = yield* Shared
        const id = yield* session
        assert.strictEqual((yield* sessions.get(id)).status, "active")
        assert.include((yield* sessions.list({ agent: yield* agent, status: "active" })).map(({ id }) => id), id)
        assert.strictEqual((yield* sessions.updateConfig(id, { allowedTools: ["Bash"] })).id, id)
        const events = yield* Stream.runCollect(sessions.events(id, { type: "lifecycle", pageSize: 1 }))
        assert.deepInclude(events[0]?.data, { _tag: "Lifecycle", action: "created" })
        assert.isArray((yield* sessions.logs(id)).logs)
      })
    )

    test(
      "answers a message with a turn, and keeps it",
      Effect.gen(function*() {
        const messages = yield* Messages
        const id = yield* (yield* Shared).session
        const turn = yield* TurnStream.toTurn(messages.send(id, "Say exactly this word and nothing else: pomegranate"))
        assert.include(turn.text, "pomegranate")
        assert.strictEqual(turn.result?.subtype, "success")
        const partial = yield* Stream.runCollect(
          messages.send(id, "Say exactly this word and nothing else: quince", { includePartialMessages: true })
        )
        assert.deepStrictEqual(partial[0]?._tag, "SessionStart")
        assert.deepStrictEqual(partial.at(-1)?._tag, "Done")
        const blocks = yield* TurnStream.toTurn(messages.send(id, [
          { type: "text", text: "Say exactly this word and nothing else:" },
          { type: "text", text: " medlar" }
        ]))
        assert.include(blocks.text, "medlar")
        // Rows are written behind the turn.
        const rows = yield* Stream.runCollect(messages.history(id, { pageSize: 2 })).pipe(
          Effect.repeat({
            until: (rows) => rows.filter(({ role }) => role === "user").length === 3,
            schedule: Schedule.upTo(Schedule.spaced("100 millis"), { duration: "2 minutes" })
          })
        )
        assert.deepStrictEqual(rows.map(({ sequence }) => sequence), rows.map((_, index) => index + 1))
        const [first] = rows
        assert.strictEqual(first?.content._tag, "UserPrompt")
        assert.include(JSON.stringify(first?.content), "pomegranate")
      })
    )

    test(
      "mixes no turns of a handle, keeps its commands away from them, and is usable behind one that was cancelled",
      Effect.gen(function*() {
        const { sessions } = yield* AshClient
        const session = sessions.attach(yield* (yield* Shared).session)
        const words = ["mulberry", "sorrel", "tansy"]
        const [texts, { stdout }] = yield* Effect.all([
          Effect.forEach(words, (word) =>
            Effect.map(
              session.ask(`Say exactly this word and nothing else: ${word}`),
              ({ text }) => words.filter((other) => text.includes(other)).join()
            ), { concurrency: "unbounded" }),
          session.exec("echo from-a-command")
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(texts, words)
        assert.include(stdout, "from-a-command")
        const outcome = yield* session.reconcile()
        assert.strictEqual(outcome._tag, "Completed")
        yield* session.cancel()
        assert.include((yield* session.ask("Say exactly this word and nothing else: yarrow")).text, "yarrow")
      })
    )

    test(
      "keeps the files of a session, whatever they are called, and its workspace",
      Effect.gen(function*() {
        const { sessionFiles, workspaces } = yield* AshClient
        const id = yield* (yield* Shared).session
        const names = ["ünï/ä%2F?#.txt", "a b/+&=;,.txt", "x".repeat(200), "😀", "deep/er/and/deeper"]
        const content = Uint8Array.from({ length: 50_000 }, (_, index) => index % 256)
        yield* sessionFiles.write(id, names.map((path) => ({ path, content })))
        const listed = (yield* sessionFiles.list(id)).files
        for (const path of names) {
          assert.strictEqual(listed.find((file) => file.path === path)?.size, 50_000, path)
          const bytes = yield* Effect.scoped(
            Effect.flatMap(sessionFiles.read(id, path), ({ content }) => Stream.runCollect(content))
          )
          assert.isTrue(Buffer.concat(bytes).equals(content), path)
        }
        yield* sessionFiles.write(id, [{ path: "note.txt", content: "größer" }], { targetPath: "sub" })
        assert.strictEqual(yield* sessionFiles.readText(id, "sub/note.txt"), "größer")
        yield* sessionFiles.delete(id, "sub/note.txt")
        assert.strictEqual((yield* Effect.flip(sessionFiles.readText(id, "sub/note.txt"))).reason._tag, "NotFound")
        const refused = yield* Effect.flip(sessionFiles.write(id, [{ path: "deep", content: "" }]))
        assert.strictEqual(refused.reason._tag, "FilesRefused")
        yield* workspaces.upload(id, yield* Bundle.pack([{ path: "from/bundle.txt", content: "bundled" }]))
        assert.strictEqual(yield* sessionFiles.readText(id, "from/bundle.txt"), "bundled")
        const packed = yield* Stream.runCollect(workspaces.files(id))
        assert.includeMembers(packed.map(({ path }) => path), ["from/bundle.txt", "ünï/ä%2F?#.txt"])
      })
    )

    test(
      "keeps attachments",
      Effect.gen(function*() {
        const { attachments } = yield* AshClient
        const id = yield* (yield* Shared).session
        const attached = yield* attachments.upload(id, {
          filename: "ré port.txt",
          content: "hi",
          mimeType: "text/plain"
        })
        assert.include((yield* attachments.list(id)).map(({ id }) => id), attached.id)
        const text = yield* Effect.scoped(Effect.flatMap(
          attachments.download(attached.id),
          ({ content }) => Stream.mkString(Stream.decodeText(content))
        ))
        assert.strictEqual(text, "hi")
        yield* attachments.delete(attached.id)
        assert.strictEqual((yield* Effect.flip(attachments.delete(attached.id))).reason._tag, "NotFound")
      })
    )

    test(
      "runs commands in sessions, pauses, resumes, stops, forks and ends them, and reports why it does not",
      Effect.gen(function*() {
        const { sessionFiles, sessions } = yield* AshClient
        const agent = yield* (yield* Shared).agent
        const { id } = yield* sessions.create({ agent })
        // Not where turns run: the end of a command may end the stream of the next turn.
        assert.deepStrictEqual({ ...yield* sessions.exec(id, "echo out; echo err >&2; exit 3") }, {
          exitCode: 3,
          stdout: "out\n",
          stderr: "err\n"
        })
        assert.strictEqual((yield* sessions.pause(id)).status, "paused")
        const paused = yield* Effect.flip(sessions.pause(id))
        assert.strictEqual(paused.reason._tag, "WrongState")
        assert.strictEqual((yield* sessions.resume(id)).status, "active")
        yield* sessionFiles.write(id, [{ path: "kept.txt", content: "kept" }])
        assert.isNotEmpty((yield* sessions.logs(id)).logs)
        assert.strictEqual((yield* sessions.stop(id)).status, "stopped")
        const kept = yield* sessionFiles.list(id)
        assert.strictEqual(kept.source, "snapshot")
        assert.include(kept.files.map(({ path }) => path), "kept.txt")
        assert.isEmpty((yield* sessions.logs(id)).logs)
        assert.strictEqual((yield* sessions.resume(id)).status, "active")
        const fork = yield* sessions.fork(id)
        assert.deepInclude(fork, { status: "paused", parentSessionId: id })
        for (const each of [fork.id, id]) assert.strictEqual((yield* sessions.end(each)).status, "ended")
        const ended = yield* Effect.flip(sessions.resume(id))
        assert.deepInclude(ended.reason, { _tag: "WrongState", status: "ended" })
        const none = yield* Effect.flip(sessions.get("00000000-0000-4000-8000-000000000000"))
        assert.strictEqual(none.reason._tag, "NotFound")
      })
    )

    test(
      "ends a session with its scope",
      Effect.gen(function*() {
        const { sessions } = yield* AshClient
        const agent = yield* (yield* Shared).agent
        const { id } = yield* Effect.scoped(sessions.scoped({ agent }))
        assert.strictEqual((yield* sessions.get(id)).status, "ended")
      })
    )

    test(
      "keeps credentials, where it has a key to encrypt them with",
      Effect.gen(function*() {
        const { credentials } = yield* AshClient
        const { id } = yield* credentials.createCustom(Redacted.make("geheim"), { label: prefix }).pipe(
          RequestOptions.withRetry({ times: 0 }),
          Effect.catchReason(
            "AshError",
            "ServerFailure",
            () => new Skipped({ why: "the server has no key to encrypt credentials with" })
          )
        )
        const listed = (yield* credentials.list()).find((credential) => credential.id === id)
        assert.deepInclude(listed, { type: "custom", label: prefix })
        assert.notInclude(JSON.stringify(listed), "geheim")
        yield* credentials.delete(id)
        assert.strictEqual((yield* Effect.flip(credentials.delete(id))).reason._tag, "NotFound")
      })
    )

    test(
      "works off a queue",
      Effect.gen(function*() {
        const { queueItems } = yield* AshClient
        const agentName = yield* (yield* Shared).agent
        const word = yield* queueItems.enqueue({
          agentName,
          prompt: "Say exactly this word and nothing else: fennel",
          maxRetries: 1
        })
        const said = yield* queueItems.await(word.id)
        assert.deepInclude(said, { status: "completed", error: null, agentName, retryCount: 0 })
        assert.isTrue(DateTime.isDateTime(said.completedAt))
        assert.include((yield* queueItems.list({ status: "completed", limit: 500 })).map(({ id }) => id), word.id)
        const item = yield* queueItems.enqueue({ agentName: `${prefix}-none`, prompt: "Say: blue", maxRetries: 1 })
        assert.strictEqual((yield* queueItems.get(item.id)).id, item.id)
        const done = yield* queueItems.await(item.id)
        assert.strictEqual(done.status, "failed")
        assert.isString(done.error)
        assert.strictEqual((yield* Effect.flip(queueItems.cancel(item.id))).reason._tag, "WrongState")
        assert.include((yield* queueItems.list({ status: "failed", limit: 500 })).map(({ id }) => id), item.id)
        const { completed, failed } = yield* queueItems.stats()
        assert.isAtLeast(completed, 1)
        assert.isAtLeast(failed, 1)
      })
    )

    test(
      "counts usage",
      Effect.gen(function*() {
        const { analytics, usage } = yield* AshClient
        const { agent, session } = yield* Shared
        const filter = { agentName: yield* agent, sessionId: yield* session }
        const stats = yield* usage.stats(filter)
        assert.isAtLeast(stats.totalMessages, 1)
        const events = yield* usage.listEvents({ ...filter, limit: 1000, before: yield* DateTime.now })
        assert.strictEqual(events.filter(({ eventType }) => eventType === "message").length, stats.totalMessages)
        assert.isAtLeast((yield* analytics.get()).agents.total, 1)
      })
    )

    test(
      "makes keys and takes them back",
      Effect.gen(function*() {
        const { apiKeys } = yield* AshClient
        const { id, key } = yield* apiKeys.create({ label: prefix })
        assert.match(Redacted.value(key), /^ash_/)
        assert.include((yield* apiKeys.list()).map(({ id }) => id), id)
        yield* apiKeys.delete(id)
        assert.strictEqual((yield* Effect.flip(apiKeys.delete(id))).reason._tag, "NotFound")
      })
    )

    test(
      "answers requests that no client should send",
      Effect.gen(function*() {
        const { agent, session } = yield* Shared
        const name = yield* agent
        const id = yield* session
        const absentId = "00000000-0000-4000-8000-000000000000"
        const version = yield* ask("POST", `/api/agents/${name}/versions`, {})
        assert.strictEqual(version.status, 201)
        const rows = [
          [404, "GET", "/API/agents"],
          [404, "GET", `/api/agents/${name}/files/CLAUDE.md/`],
          [404, "GET", `/api/sessions/urn:uuid:${absentId}`],
          [404, "DELETE", "/api/credentials/.."],
          [404, "DELETE", "/api/api-keys/constructor"],
          [404, "GET", `/api/agents/${name}/versions/99999999999999999999`],
          [404, "GET", "/api/agents/constructor"],
          [404, "GET", `/api/agents/${name}/eval-runs/${absentId}`],
          [404, "PATCH", `/api/agents/${name}/eval-results/${absentId}`, {}],
          [404, "POST", `/api/agents/${name}/eval-runs/${absentId}/score`, {}],
          [400, "GET", "/api/agents/%"],
          [400, "GET", "/api/usage?after=2026-13-01"],
          [400, "GET", "/api/usage?after=2026-13-01T00:00:00Z"],
          [400, "GET", "/api/usage?limit="],
          [400, "GET", "/api/usage?limit=1.5"],
          [200, "GET", "/api/usage?limit=%201"],
          [200, "GET", "/api/usage?after=2016-12-31T23:59:60Z"],
          [400, "PATCH", `/api/agents/${name}`, { env: [{}] }],
          [400, "PATCH", `/api/agents/${name}`, "{\"constructor\":{\"prototype\":{}}}"],
          [400, "PATCH", `/api/agents/${name}`, "{\"\\u005f_proto__\":{}}"],
          [201, "POST", `/api/agents/${name}/versions`, { cloneFrom: "1" }],
          [400, "POST", `/api/agents/${name}/versions`, { cloneFrom: {} }],
          [400, "POST", `/api/agents/${name}/eval-cases`, { question: "q", category: ["x"] }],
          [400, "POST", `/api/sessions/${id}/workspace`, { bundle: "" }],
          [400, "POST", `/api/sessions/${id}/attachments`, { filename: "x", content: "" }]
        ] as const
        for (const [status, method, path, body] of rows) {
          assert.strictEqual(
            (yield* ask(method, path, body)).status,
            status,
            `${method} ${path} ${JSON.stringify(body)}`
          )
        }
        const bad = yield* ask("GET", "/api/agents/%zz")
        assert.deepStrictEqual(bad.body, {
          error: "Bad Request",
          code: "FST_ERR_BAD_URL",
          message: "'/api/agents/%zz' is not a valid url component",
          statusCode: 400
        })
        assert.include(JSON.stringify((yield* ask("GET", "/api/sessions?agent=")).body), id)
        const files = [{ path: "w.json", content: "e30=" }, { path: ".DS_Store", content: "" }]
        const written = yield* ask("POST", `/api/sessions/${id}/files`, { files, targetPath: "odd/../w" })
        assert.deepStrictEqual(written.body, {
          files: [
            { path: "w.json", written: true, size: 2 },
            { path: ".DS_Store", written: false, error: "Skipped: .DS_Store" }
          ]
        })
        assert.strictEqual((yield* ask("GET", `/api/sessions/${id}/files/w/w.json`)).type, "application/json")
        const json = yield* ask("GET", `/api/sessions/${id}/files/w/w.json?format=json`)
        assert.strictEqual(json.type, "application/json; charset=utf-8")
        const key = yield* ask("POST", "/api/api-keys", { label: 7 })
        assert.strictEqual(key.status, 201)
        const keyId = typeof key.body === "object" && key.body !== null && "id" in key.body ? key.body.id : ""
        assert.strictEqual((yield* ask("DELETE", `/api/api-keys/${keyId}`)).status, 204)
        const { agentVersions } = yield* AshClient
        for (const { id } of yield* agentVersions.list(name)) yield* agentVersions.delete(name, id)
      })
    )

    if (!isEmbedded) return

    test(
      "of scripted agents: tools and thinking are folded",
      Effect.gen(function*() {
        const messages = yield* Messages
        const turn = yield* TurnStream.toTurn(messages.send(yield* (yield* Shared).session, "tool please"))
        assert.strictEqual(turn.thinking, "I look.")
        assert.deepStrictEqual(turn.toolCalls.map(({ input, name, result }) => [name, input, result?.isError]), [
          ["Bash", { command: "ls" }, false]
        ])
      })
    )

    test(
      "of scripted agents: a turn that fails is a failure, behind its text",
      Effect.gen(function*() {
        const messages = yield* Messages
        const session = yield* (yield* Shared).session
        const error = yield* Effect.flip(Stream.runDrain(messages.send(session, "fail please")))
        assert.deepInclude(error.reason, { _tag: "TurnFailed", error: "out of luck" })
        const all = yield* Stream.runCollect(messages.sendWithErrors(session, "fail please"))
        assert.strictEqual(Array.last(all).pipe(Option.map(({ _tag }) => _tag), Option.getOrUndefined), "TurnError")
      })
    )
  }
)

const isRateLimited = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "reason" in error && typeof error.reason === "object" &&
  error.reason !== null && "_tag" in error.reason && error.reason._tag === "RateLimited"
