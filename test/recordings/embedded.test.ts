/** Recordings of a real server, put to the embedded one in a like state: status, headers, values or shapes, frames. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as Frames from "../../src/embedded/wire/Frames.ts"
import { isObject } from "../../src/embedded/wire/Json.ts"
import { parseJson } from "../../src/schema/Wire.ts"
import { ask, at, becomes, listAt, open, say, send, textAt, withServer } from "../support/embeddedServer.ts"
import { bytesOf, found, none, type Recording, recordings } from "../support/recordings.ts"

/** Of text of one byte a character. */
const base64 = (text: string) => Buffer.from(text, "latin1").toString("base64")
const file = (path: string, content = "alpha") => ({ path, content: base64(content) })

const absentId = /^00000000-0000-/
const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi

/** The state that a session has to be in, as the recording tells it. */
const stateOf = ({ file, response: { body, status } }: Recording): string => {
  const error = textAt(body as Schema.Json, "error")
  const told = /^Session is (\w+)|with status "(\w+)"/.exec(error)
  return status === 410 ? "ended" : told?.[1] ?? told?.[2] ?? /stopped|paused|ended/.exec(file)?.[0] ??
    (/fork-resume|serverkill-session-after/.test(file) ? "paused" : "active")
}

const toState: Readonly<Record<string, ReadonlyArray<readonly ["POST" | "DELETE", string]>>> = {
  paused: [["POST", "/pause"]],
  stopped: [["POST", "/stop"]],
  ended: [["DELETE", ""]]
}

/** A server with one of everything, and what each of its things is called. */
const furnish = Effect.fnUntraced(function*(recording: Recording) {
  const files = [
    file("CLAUDE.md", "# by path\n"),
    file("data.bin", "data"),
    file("ünïcode name.txt", "inhalt"),
    file(".claude/settings.json", "{}")
  ]
  const { method, path: target } = recording.request
  const created = method === "POST" && target === "/api/agents" ? recording.request.body?.name : undefined
  const isAbout = (name: string) => recording.file.includes(name)
  const agents = isAbout("agents-list-empty")
    ? []
    : isAbout("agents-list.")
    ? ["42", "bare", "bare2", "bypath", "inline", "prompted"]
    : isAbout("cors-get") || isAbout("other-route")
    ? ["demo"]
    : ["demo", "bypath", "inline", "bare", "bare2"]
  for (const name of [...agents, ...agents.filter((name) => name === "bypath")].filter((name) => name !== created)) {
    yield* ask("POST", "/api/agents", { json: { name, files } })
  }
  if (agents.includes("bypath")) {
    const config = isAbout("config-get-after")
      ? { model: null, max_turns: 5, description: "hi", nested: { a: 1 } }
      : { model: "m", max_turns: 5, description: "d", nested: { a: 1 } }
    const env = isAbout("agents-list.") ? { SECRET_A: "a" } : { SECRET_B: "b" }
    yield* ask("PATCH", "/api/agents/bypath", { json: { env, config } })
  }
  const { body } = yield* ask("POST", "/api/sessions", { json: { agent: "demo", mcpServers: { m: { url: "u" } } } })
  const session = textAt(body, "session", "id")
  const path = `/api/sessions/${session}`
  const prompts = isAbout("events-type")
    ? ["tool"]
    : isAbout("events-all")
    ? ["fail"]
    : isAbout("messages-after")
    ? ["hello", "hello"]
    : ["hello"]
  for (const content of prompts) yield* ask("POST", `${path}/messages`, { json: { content } })
  yield* ask("POST", `${path}/files`, {
    json: {
      files: [
        file("a.txt"),
        file("dir/b.bin", "\x00\x01\xff\xfe"),
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
  const notes = isAbout("versions-list.") ? "new notes" : "notes"
  const versions = [
    { name: "first", systemPrompt: "v1 prompt", releaseNotes: notes, knowledgeFiles: ["docs/a.txt"] },
    {},
    { cloneFrom: 1 },
    { cloneFrom: 1 }
  ].slice(
    0,
    isAbout("versions-list-empty") || isAbout("versions-create.")
      ? 0
      : isAbout("create-empty-object")
      ? 1
      : isAbout("versions-list.")
      ? 4
      : 2
  )
  const made = yield* Effect.forEach(versions, (json) => ask("POST", `${inline}/versions`, { json }))
  if (isAbout("versions-list.")) yield* ask("POST", `${inline}/versions/1/activate`)

  const json = {
    question: "hello",
    expectedTopics: ["hello", "help"],
    expectedNotTopics: ["secret"],
    referenceAnswer: "Hello!",
    category: isAbout("case-get.") ? "greet" : "greeting",
    tags: ["a", "b"],
    chatHistory: [{ role: "user", content: "hi" }]
  }
  const evalCase = yield* ask("POST", `${inline}/eval-cases`, { json })
  if (isAbout("cases-list")) {
    yield* ask("POST", `${inline}/eval-cases`, { json: { question: "q2" } })
    yield* ask("POST", `${inline}/eval-cases`, { json: { question: "q3", isActive: false } })
  }
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
  const labels = isAbout("apikeys-list-initial") ? [] : isAbout("apikeys-list.") ? ["dashboard-key", "ci"] : [""]
  const keys = yield* Effect.forEach(labels, (label) => ask("POST", "/api/api-keys", { json: { label } }))

  return {
    "session": session,
    "fork": textAt(fork.body, "session", "id"),
    "attachment": textAt(attached.body, "attachment", "id"),
    "credential": credential,
    "version": textAt(made[0]?.body, "version", "id"),
    "eval-cases": textAt(evalCase.body, "case", "id"),
    "eval-runs": runId,
    "eval-results": textAt(listAt(results.body, "results")[0], "id"),
    "queue": item,
    "key": textAt(keys[0]?.body, "id")
  }
})

/** The body of a recorded request, as it was sent. */
const bodyOf = (recording: Recording, names: Names) => {
  const { body, bodyBase64, bodyNote, bodyText, headers } = recording.request
  if (body !== undefined) return { json: JSON.parse(renamed(JSON.stringify(body), recording, names)) }
  if (bodyBase64 !== undefined) return { bytes: Buffer.from(bodyBase64, "base64") }
  if (bodyNote !== undefined) return { text: "x".repeat(Number(headers["content-length"])) }
  return bodyText !== undefined || headers["content-type"] !== undefined ? { text: bodyText ?? "" } : {}
}

type Names = Effect.Success<ReturnType<typeof furnish>>

const isOfNothing = /^(?!File ).* not found$/

/** Ids that the recording says are of nothing stay so. */
const renamed = (text: string, { file, response: { body } }: Recording, names: Names): string =>
  isOfNothing.test(textAt(body as Schema.Json, "error")) && !file.includes("compare") ?
    text :
    text.replace(uuid, (id, offset: number) => {
      if (absentId.test(id)) return id
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

/** What a body is made of: its fields and their types. */
const shapeOf = (json: unknown): unknown => {
  if (Array.isArray(json)) return json.map(shapeOf)
  if (typeof json !== "object" || json === null) return json === null ? null : typeof json
  return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, shapeOf(value)]))
}

/** Where two shapes differ. Null may stand for any; every element of a list is like one of the other list. */
const differences = (expected: unknown, actual: unknown, path = "body"): ReadonlyArray<string> => {
  if (expected === null || actual === null) return []
  if (Array.isArray(expected) && Array.isArray(actual)) {
    if (expected.length === 0) return []
    const isLike = (one: unknown) => (other: unknown) => differences(one, other).length === 0
    return [
      ...actual.length === 0 ? [`${path} is empty`] : [],
      ...actual.filter((element) => !expected.some(isLike(element))).map((each) =>
        `${path} has ${JSON.stringify(each)}, and had only ${JSON.stringify(expected)}`
      ),
      ...expected.filter((element) => !actual.some(isLike(element))).map((each) =>
        `${path} had ${JSON.stringify(each)}, and has only ${JSON.stringify(actual)}`
      )
    ]
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

const script: AgentScript.AgentScript = ({ prompt }) =>
  prompt === "tool"
    ? Stream.make(AgentScript.useTool({ name: "Bash", input: {}, result: Effect.succeed({ content: "a" }) }))
    : prompt === "fail"
    ? Stream.make(AgentScript.fail("scripted failure"))
    : Stream.make(
      AgentScript.log("some stderr line", "stderr"),
      AgentScript.log("some stdout line"),
      AgentScript.say("hello")
    )

const comparedHeaders = [
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
  "417": "internal route",
  "419": "the key of another tenant",
  "420": "the key of another tenant",
  "422": "the key of another tenant",
  "424": "internal route",
  "467": "a race of the real server, which answers one command with the result of another",
  "480": "a sandbox that died while the session was idle",
  "502": "a race between a pause and a message",
  "515": "the rate limit, which has tests of its own",
  "519": "the rate limit, which has tests of its own",
  "520": "the rate limit, which has tests of its own",
  "569": "the key of another tenant",
  "570": "the key of another tenant"
}

/** What the server had to tell of, and its like here: values differ, and what they are made of does not. */
const anotherState: Readonly<Record<string, string>> = {
  "110": "cases of several categories",
  "114": "scores",
  "115": "scores of several cases",
  "117": "scores of several cases",
  "120": "scores of several cases",
  "142": "a session that was not forked",
  "174": "another conversation",
  "194": "another conversation",
  "195": "another conversation",
  "199": "another conversation",
  "200": "another conversation",
  "204": "another conversation",
  "212": "another conversation",
  "227": "another conversation",
  "232": "another conversation",
  "294": "another conversation",
  "295": "no MCP servers",
  "297": "other files",
  "344": "other files",
  "350": "other files",
  "364": "other credentials",
  "390": "other items",
  "394": "another conversation",
  "395": "another conversation",
  "400": "another conversation",
  "454": "another conversation",
  "455": "another conversation",
  "459": "another conversation",
  "530": "another conversation",
  "552": "another conversation",
  "554": "another log",
  "574": "other files"
}

const numberOf = ({ file }: Recording) => file.slice(0, 3)

const compared = recordings
  .filter((recording) => !(numberOf(recording) in exceptions))
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
      const { authorization, "content-length": _, ...headers } = request.headers
      const options = {
        ...bodyOf(recording, names),
        authorization: authorization === undefined ? null : authorization.replace(/<redacted>|ash_\S+/i, "embedded"),
        headers
      }
      const answer = yield* Effect.scoped(Effect.gen(function*() {
        const answer = yield* send(request.method as "GET", path, options)
        if (answer.headers["content-type"] === "text/event-stream") return { ...pick(answer), body: undefined }
        return { ...pick(answer), body: yield* Effect.orElseSucceed(answer.json, () => undefined) }
      }))
      assert.strictEqual(answer.status, response.status)
      for (const name of comparedHeaders) {
        const recorded = response.headers[name]
        const expected = recorded === undefined ? undefined : renamed(recorded, recording, names)
        assert.strictEqual(answer.headers[name], expected, name)
      }
      const closes = (headers: Readonly<Record<string, string>>) => headers["connection"] === "close"
      assert.strictEqual(closes(answer.headers), closes(response.headers))
      if (response.body === undefined) return
      if (response.status >= 400) {
        assert.deepStrictEqual(
          normalized(answer.body),
          normalized(JSON.parse(renamed(JSON.stringify(response.body), recording, names)))
        )
      } else {
        const [expected, actual] = [normalized(response.body), normalized(answer.body)]
        if (numberOf(recording) in anotherState) {
          assert.notDeepEqual(actual, expected)
          assert.deepStrictEqual(differences(shapeOf(expected), shapeOf(actual)), [])
        } else assert.deepStrictEqual(actual, expected)
      }
    }).pipe(withServer({ script, origins: ["http://example.test"] })))
})

/** The frames of a recorded stream, as they were sent, each with its name, whatever is in it, and its data. */
const framesOf = (text: string) =>
  text.split("\n\n").slice(0, -1).map((frame) => {
    const [, event = "", data = ""] = /^event: ([^]*?)\ndata: ([^\n]*)/.exec(frame) ?? []
    return { sent: `${frame}\n\n`, event, json: parseJson(data) }
  })

type RecordedFrame = ReturnType<typeof framesOf>[number]

/** A message of the agent, as the server was given it; blocks of the type `message` make frames of that name, too. */
const messageOf = ({ event, json }: RecordedFrame) =>
  event === "message" && isObject(json) && json["type"] !== "message" ? [json] : []

const errorOf = ({ event, json }: RecordedFrame) => event === "error" ? [textAt(json, "error")] : []

/** What a script cannot say in its own words: each turn here has a beginning and a result of its own. */
const isOwn = ({ event, json }: RecordedFrame) =>
  event === "turn_complete" ||
  (event === "message" && (at(json, "subtype") === "init" || at(json, "type") === "result"))

const turns = recordings
  .filter(({ response }) => response.headers["content-type"] === "text/event-stream")
  .map((recording) => {
    const sent = bytesOf(recording.response).toString()
    return { file: recording.file, recording, sent, frames: framesOf(sent) }
  })

/** Turns that a script can take again: of one agent, and with an end. */
const repeatable = turns.filter(({ frames, recording }) =>
  recording.response.endedBy === "end" && frames.some((frame) => messageOf(frame).length > 0)
)

/** The results of a real agent's turns. */
const results = turns.filter(({ file }) => file.includes("realsdk")).flatMap(({ file, frames }) =>
  frames.map(({ json }) => json).filter((json) => at(json, "type") === "result").map((result) => ({ file, result }))
)

describe.skipIf(!found)(`frames of recorded turns${none}`, () => {
  it.effect.each(results)(
    "the result of $file tells of its usage as the embedded server does",
    ({ result }) =>
      Effect.gen(function*() {
        const { path } = yield* open()
        const own = (yield* say(path, "hello")).find(({ data }) => at(data, "type") === "result")
        const usage = at(result, "usage")
        assert.deepStrictEqual(differences(shapeOf(usage), shapeOf(at(own?.data, "usage"))), [])
        assert.deepStrictEqual(Object.keys(Object(at(own?.data, "usage"))), Object.keys(Object(usage)))
      }).pipe(withServer({ script }))
  )

  it("are many", () => {
    assert.isAbove(turns.length, 80)
    assert.isAbove(repeatable.length, 60)
  })

  it.each(turns)("$file is made of its messages, byte for byte", ({ frames, recording, sent }) => {
    const made = frames.flatMap((frame): ReadonlyArray<Frames.Frame> => {
      const { event, json } = frame
      if (event === "session_start") return [Frames.sessionStart(textAt(json, "sessionId"), textAt(json, "version"))]
      if (event === "done" && at(json, "sessionId") !== undefined) return [Frames.done(textAt(json, "sessionId"))]
      return [...errorOf(frame).map(Frames.error), ...messageOf(frame).flatMap(Frames.fromMessage)]
    })
    const bytes = Buffer.concat(made.map(Frames.encode)).toString()
    if (recording.response.endedBy === "client-abort") assert.isTrue(sent.startsWith(bytes))
    else assert.strictEqual(bytes, sent)
  })

  it.effect.each(repeatable)(
    "$file comes from the embedded server, byte for byte",
    ({ frames, sent }) =>
      Effect.gen(function*() {
        const { id, path } = yield* open()
        const { text } = yield* ask("POST", `${path}/messages`, { json: { content: "go" } })
        const without = (text: string) =>
          framesOf(text).filter((frame) => !isOwn(frame)).map(({ sent }) => sent).join("")
        const start = "data: {\"sessionId\":\""
        const session = textAt(frames[0]?.json, "sessionId")
        assert.strictEqual(without(text), without(sent).replaceAll(start + session, start + id))
      }).pipe(withServer({
        script: () =>
          Stream.fromIterable([
            ...frames.filter((frame) => !isOwn(frame)).flatMap(messageOf).map(AgentScript.message),
            ...frames.flatMap(errorOf).map(AgentScript.fail)
          ])
      }))
  )
})

const pick = (
  { headers, status }: { readonly headers: Readonly<Record<string, string>>; readonly status: number }
) => ({
  headers,
  status
})

/** Ids, times, new keys and paths of the disk differ. */
const normalized = (body: unknown) =>
  JSON.parse(
    JSON.stringify(body ?? null)
      .replaceAll(uuid, "ID")
      .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z/g, "TIME")
      .replaceAll(/'\/[^']*'/g, "'PATH'")
      .replaceAll(/"(path|key|keyPrefix)":"(?:\/|ash_|embedded)[^"•]*/g, "\"$1\":\"$1")
  )
