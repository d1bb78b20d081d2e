/** Recordings of a real server, put to the embedded one in a like state: status, shape of the body, headers. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import { ask, becomes, listAt, send, textAt, withServer } from "../embedded/wire.ts"
import { found, none, type Recording, recordings } from "../support/recordings.ts"

const base64 = (text: string) => Buffer.from(text).toString("base64")
const file = (path: string, content = "alpha") => ({ path, content: base64(content) })

const nobody = /^00000000-0000-/
const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi

/** The state that a session has to be in, as the recording tells it. */
const stateOf = ({ file, response: { body, status } }: Recording): string => {
  const error = textAt(body as Schema.Json, "error")
  const told = /^Session is (\w+)|with status "(\w+)"/.exec(error)
  return status === 410 ? "ended" : told?.[1] ?? told?.[2] ?? /stopped|paused|ended/.exec(file)?.[0] ??
    (file.includes("fork-resume") ? "paused" : "active")
}

const toState: Readonly<Record<string, ReadonlyArray<readonly ["POST" | "DELETE", string]>>> = {
  paused: [["POST", "/pause"]],
  stopped: [["POST", "/stop"]],
  ended: [["DELETE", ""]]
}

/** A server with one of everything, and what each of its things is called. */
const furnish = Effect.fnUntraced(function*(recording: Recording) {
  const files = [
    file("CLAUDE.md"),
    file("data.bin"),
    file("ünïcode name.txt"),
    file(".claude/settings.json")
  ]
  for (const name of ["demo", "bypath", "inline", "bare", "bare2"]) {
    yield* ask("POST", "/api/agents", { json: { name, files } })
  }
  yield* ask("PATCH", "/api/agents/bypath", {
    json: { env: { SECRET_B: "b" }, config: { model: "m", max_turns: 1, description: "d", nested: { a: 1 } } }
  })
  const { body } = yield* ask("POST", "/api/sessions", { json: { agent: "demo", mcpServers: { m: { url: "u" } } } })
  const session = textAt(body, "session", "id")
  const path = `/api/sessions/${session}`
  yield* ask("POST", `${path}/messages`, { json: { content: "hello" } })
  yield* ask("POST", `${path}/files`, {
    json: {
      files: [
        file("a.txt"),
        file("dir/b.bin"),
        file("sub/dir/c.txt"),
        file("out/report.md"),
        { path: "big.bin", content: Buffer.alloc(1_100_000).toString("base64") }
      ]
    }
  })
  const attached = yield* ask("POST", `${path}/attachments`, { json: { filename: "x", content: base64("x") } })
  const fork = yield* ask("POST", `${path}/fork`)
  for (const [method, suffix] of toState[stateOf(recording)] ?? []) yield* ask(method, `${path}${suffix}`)

  yield* ask("POST", "/api/credentials", { json: { type: "openai", key: "k" } })
  const credentials: Record<string, string> = {}
  for (
    const [name, type, key] of [
      ["anthropic", "anthropic", "k"],
      ["bedrock", "bedrock", "{\"accessKeyId\":\"A\",\"secretAccessKey\":\"S\",\"region\":\"r\"}"],
      ["bedrock-not-json", "bedrock", "no json"],
      ["bedrock-missing-field", "bedrock", "{\"accessKeyId\":\"A\"}"]
    ] as const
  ) {
    const { body } = yield* ask("POST", "/api/credentials", { json: { type, key } })
    credentials[name] = textAt(body, "credential", "id")
  }
  const credential = credentials[/session-with-(.*)\.json/.exec(recording.file)?.[1] ?? "anthropic"] ?? ""

  const inline = "/api/agents/inline"
  const version = recording.file.includes("versions-list-empty") || recording.file.includes("versions-create")
    ? undefined
    : yield* ask("POST", `${inline}/versions`, { json: { name: "first", systemPrompt: "p", knowledgeFiles: ["a"] } })
  if (recording.file.includes("clone-number")) yield* ask("POST", `${inline}/versions`, { json: {} })
  if (version !== undefined) yield* ask("POST", `${inline}/versions`, { json: {} })

  const json = {
    question: "hello",
    expectedTopics: ["x"],
    expectedNotTopics: ["y"],
    referenceAnswer: "r",
    category: "greeting",
    tags: ["a"],
    chatHistory: [{ role: "user", content: "hi" }]
  }
  const evalCase = yield* ask("POST", `${inline}/eval-cases`, { json })
  const run = yield* ask("POST", `${inline}/eval-runs`, { json: {} })
  const runId = textAt(run.body, "run", "id")
  if (!recording.file.includes("pending") && recording.request.path.includes("eval-r")) {
    yield* becomes(`${inline}/eval-runs/${runId}`, ["run", "status"], "completed")
  }
  const results = yield* ask("GET", `${inline}/eval-runs/${runId}/results`)

  const queued = recording.file.includes("queue-stats-empty") || recording.file.includes("queue-list-empty")
    ? undefined
    : yield* ask("POST", "/api/queue", { json: { agentName: "demo", prompt: "hello" } })
  const item = textAt(queued?.body, "item", "id")
  if (recording.file.includes("cancel-again")) yield* ask("DELETE", `/api/queue/${item}`)
  if (recording.file.includes("queue-get-completed")) {
    yield* becomes(`/api/queue/${item}`, ["item", "status"], "completed")
  }
  if (recording.file.includes("apikeys-list.")) yield* ask("POST", "/api/api-keys", { json: { label: "ci" } })
  const key = yield* ask("POST", "/api/api-keys", { json: {} })

  return {
    "session": session,
    "fork": textAt(fork.body, "session", "id"),
    "attachment": textAt(attached.body, "attachment", "id"),
    "credential": credential,
    "version": textAt(version?.body, "version", "id"),
    "eval-cases": textAt(evalCase.body, "case", "id"),
    "eval-runs": runId,
    "eval-results": textAt(listAt(results.body, "results")[0], "id"),
    "queue": item,
    "key": textAt(key.body, "id")
  }
})

type Names = Effect.Success<ReturnType<typeof furnish>>

const isOfNothing = /^(?!File ).* not found$/

/** Ids that the recording says are of nothing stay so. */
const renamed = (text: string, { file, response: { body } }: Recording, names: Names): string =>
  isOfNothing.test(textAt(body as Schema.Json, "error")) && !file.includes("compare") ?
    text :
    text.replace(uuid, (id, offset: number) => {
      if (nobody.test(id)) return id
      const before = text.slice(0, offset)
      const kind = ([
        [/attachments\/$/, "attachment"],
        [/credentials\/$|credentialId":"$/, "credential"],
        [/versions\/$/, "version"],
        [/eval-cases\/$/, "eval-cases"],
        [/eval-runs\/$|run[AB]=$/, "eval-runs"],
        [/eval-results\/$/, "eval-results"],
        [/queue\/$/, "queue"],
        [/api-keys\/$/, "key"]
      ] as const).find(([pattern]) => pattern.test(before))?.[1] ?? "session"
      return names[file.includes("fork-") && kind === "session" ? "fork" : kind]
    })

/** What a body is made of: its fields and their types. Null may stand for any; of a list the first element counts. */
const shapeOf = (json: unknown): unknown => {
  if (Array.isArray(json)) return json.length === 0 ? [] : [shapeOf(json[0])]
  if (typeof json !== "object" || json === null) return json === null ? null : typeof json
  return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, shapeOf(value)]))
}

/** Where two shapes differ. */
const differences = (expected: unknown, actual: unknown, path = "body"): ReadonlyArray<string> => {
  if (expected === null || actual === null) return []
  if (Array.isArray(expected) && Array.isArray(actual)) {
    return expected.length === 0 || actual.length === 0 ? [] : differences(expected[0], actual[0], `${path}[0]`)
  }
  if (typeof expected === "object" && typeof actual === "object") {
    const [a, b] = [expected as Record<string, unknown>, actual as Record<string, unknown>]
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((name) =>
      !(name in a) || !(name in b)
        ? [`${path}.${name} is only ${name in a ? "recorded" : "here"}`]
        : differences(a[name], b[name], `${path}.${name}`)
    )
  }
  return expected === actual ? [] : [`${path} is ${String(actual)}, was ${String(expected)}`]
}

const headers = [
  "content-type",
  "content-disposition",
  "x-ash-source",
  "x-content-type-options",
  "cache-control",
  "access-control-allow-origin"
]

/** What cannot agree, or is not worth imitating. */
const exceptions: Readonly<Record<string, string>> = {
  "010": "the key was taken out together with the spaces before it",
  "015": "a folder of the recording's own disk",
  "022": "a folder of the recording's own disk",
  "402": "counts by a status are of whatever sessions there are",
  "415": "a key that was deleted before",
  "432": "a body without a type, which has a test of its own",
  "434": "a body of another type, which has a test of its own",
  "417": "internal route",
  "419": "the key of another tenant",
  "420": "the key of another tenant",
  "422": "the key of another tenant",
  "424": "internal route",
  "435": "a body recorded as a text",
  "467": "a race of the real server, which answers one command with the result of another",
  "480": "a sandbox that died while the session was idle",
  "502": "a race between a pause and a message",
  "515": "the rate limit, which has tests of its own",
  "519": "the rate limit, which has tests of its own",
  "520": "the rate limit, which has tests of its own",
  "525": "the eviction of idle sandboxes: the embedded server refuses the next one instead",
  "569": "the key of another tenant",
  "570": "the key of another tenant"
}

const numberOf = ({ file }: Recording) => file.slice(0, 3)

/** Bodies that are no JSON were recorded in words; the tests of the embedded server have their like. */
const compared = recordings
  .filter((recording) => recording.request.bodyNote === undefined && !(numberOf(recording) in exceptions))
  .map((recording) => ({ file: recording.file, recording }))

describe.skipIf(!found)(`recordings, against the embedded server${none}`, () => {
  it("are many, and the exceptions few", () => {
    assert.isAbove(compared.length, 100)
    assert.isBelow(Object.keys(exceptions).length, 30)
  })

  it.effect.each(compared)("$file", ({ recording }) =>
    Effect.gen(function*() {
      const { request, response } = recording
      const names = yield* furnish(recording)
      const path = renamed(request.path, recording, names)
      const body = request.body === undefined
        ? request.headers["content-type"] === "application/json" ? { text: "" } : {}
        : { json: JSON.parse(renamed(JSON.stringify(request.body), recording, names)) }
      const { authorization } = request.headers
      const options = {
        ...body,
        authorization: authorization === undefined ? null : authorization.replace(/<redacted>|ash_\S+/i, "embedded"),
        headers: request.headers["origin"] === undefined ? {} : { origin: request.headers["origin"] }
      }
      const answer = yield* Effect.scoped(Effect.gen(function*() {
        const answer = yield* send(request.method as "GET", path, options)
        if (answer.headers["content-type"] === "text/event-stream") return { ...pick(answer), body: undefined }
        return { ...pick(answer), body: yield* Effect.orElseSucceed(answer.json, () => undefined) }
      }))
      assert.strictEqual(answer.status, response.status)
      for (const name of headers) {
        const recorded = response.headers[name]
        const expected = recorded === undefined ? undefined : renamed(recorded, recording, names)
        assert.strictEqual(answer.headers[name], expected, name)
      }
      if (response.body === undefined) return
      if (response.status >= 400) {
        assert.deepStrictEqual(
          normalized(answer.body),
          normalized(JSON.parse(renamed(JSON.stringify(response.body), recording, names)))
        )
      } else {
        assert.deepStrictEqual(differences(shapeOf(response.body), shapeOf(answer.body)), [])
      }
    }).pipe(withServer({ script: () => Stream.make(AgentScript.say("hello")) })))
})

const pick = (
  { headers, status }: { readonly headers: Readonly<Record<string, string>>; readonly status: number }
) => ({
  headers,
  status
})

/** Paths of the disk differ. */
const normalized = (body: unknown) => JSON.parse(JSON.stringify(body ?? null).replace(/'\/[^']*'/g, "'PATH'"))
