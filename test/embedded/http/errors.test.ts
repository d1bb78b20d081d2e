import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import type { EmbeddedOptions } from "../../../src/embedded/EmbeddedOptions.ts"
import { ask, at, deploy, listAt, open } from "../../support/embeddedServer.ts"
import * as Wire from "../../support/embeddedServer.ts"

/** A server with rate limits, whose headers show what it counts. */
const withServer = (options: EmbeddedOptions = {}) => Wire.withServer({ rateLimits: true, ...options })

const unknownId = "00000000-0000-4000-8000-000000000000"
const unauthorized = (error: string) => ({ error, statusCode: 401 })
const refused = { error: "Bad Request", statusCode: 400 }
const invalid = (message: string) => ({ statusCode: 400, code: "FST_ERR_VALIDATION", error: "Bad Request", message })

describe("auth", () => {
  const cases = [
    [null, "Missing Authorization header"],
    ["", "Missing Authorization header"],
    ["Basic embedded", "Invalid Authorization header format"],
    ["bearer embedded", "Invalid Authorization header format"],
    ["Bearer  embedded", "Invalid Authorization header format"],
    ["Bearer", "Invalid Authorization header format"],
    ["Bearer other", "Invalid API key"],
    ...["constructor", "toString", "__proto__", "valueOf", "hasOwnProperty", "0", "length", "undefined"].map((name) =>
      [`Bearer ${name}`, "Invalid API key"] as const
    )
  ] as const
  for (const [authorization, error] of cases) {
    it.effect(`${authorization} is refused`, () =>
      Effect.gen(function*() {
        const answer = yield* ask("GET", "/api/agents", { authorization })
        assert.strictEqual(answer.status, 401)
        assert.deepStrictEqual(answer.body, unauthorized(error))
        assert.isUndefined(answer.headers["x-ratelimit-limit"])
        assert.strictEqual(answer.headers["vary"], "Origin")
      }).pipe(withServer()))
  }

  it.effect("comes before the route and before the body", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* ask("GET", "/api/nope", { authorization: null })).status, 401)
      assert.strictEqual((yield* ask("POST", "/api/agents", { authorization: null, text: "{" })).status, 401)
    }).pipe(withServer()))

  it.effect("is not needed at exactly /health", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* ask("GET", "/health", { authorization: null })).status, 200)
      assert.strictEqual((yield* ask("GET", "/health?x=1", { authorization: null })).status, 401)
    }).pipe(withServer()))

  it.effect("accepts the key of the options", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* ask("GET", "/api/agents")).status, 401)
      assert.strictEqual((yield* ask("GET", "/api/agents", { authorization: "Bearer secret" })).status, 200)
    }).pipe(withServer({ apiKey: "secret" })))
})

describe("routes", () => {
  const unknown = [
    ["GET", "/api/nope?a=1"],
    ["PUT", "/api/agents"],
    ["GET", "//api/agents"],
    ["GET", "/api/agents/demo/"],
    ["GET", `/api/agents/${"a".repeat(101)}`],
    ["GET", `/api/sessions/${"a".repeat(101)}/events`],
    ["GET", "/API/agents"],
    ["GET", "/api/Agents/demo"]
  ] as const
  for (const [method, path] of unknown) {
    it.effect(`${method} ${path.slice(0, 40)} is no route`, () =>
      Effect.gen(function*() {
        const answer = yield* ask(method, path)
        assert.strictEqual(answer.status, 404)
        assert.deepStrictEqual(answer.body, {
          message: `Route ${method}:${path} not found`,
          error: "Not Found",
          statusCode: 404
        })
        assert.isUndefined(answer.headers["x-ratelimit-limit"])
      }).pipe(withServer()))
  }

  const withSemicolon = [
    "/api/agents;x=1",
    "/api/agents/demo/config;",
    "/health;",
    "/api/usage;/stats",
    "/;/api/agents"
  ]
  for (const path of withSemicolon) {
    it.effect(`${path} is no route, as a semicolon ends no path`, () =>
      Effect.gen(function*() {
        yield* deploy("demo")
        for (const url of [path, `${path}?a=b;c`]) {
          const { body, status } = yield* ask("GET", url)
          assert.strictEqual(status, 404)
          assert.deepInclude(body, { message: `Route GET:${url} not found` })
        }
      }).pipe(withServer()))
  }

  it.effect("a semicolon is part of a name", () =>
    Effect.gen(function*() {
      yield* deploy("demo", { files: ["a", "a;b", ";", "d;/x;y"].map((path) => ({ path, content: btoa(path) })) })
      for (const path of ["a", "a;b", ";", "d;/x;y"]) {
        const { body } = yield* ask("GET", `/api/agents/demo/files/${path}?format=json`)
        assert.deepInclude(body, { path, content: path })
      }
      const changed = yield* ask("PATCH", "/api/agents/demo;x", { json: { env: { A: "b" } } })
      assert.deepStrictEqual(changed.body, { error: "Agent not found", statusCode: 404 })
      assert.isUndefined(at((yield* ask("GET", "/api/agents/demo")).body, "agent", "env"))
      const removed = yield* ask("DELETE", "/api/agents/demo/files/a;c")
      assert.strictEqual(removed.status, 404)
    }).pipe(withServer()))

  it.effect("an empty segment matches a parameter", () =>
    Effect.gen(function*() {
      for (const path of ["/api/agents//files/a", "/api/agents//files/a/b", "/api/agents//config"]) {
        assert.deepStrictEqual((yield* ask("GET", path)).body, { error: "Agent not found", statusCode: 404 })
      }
      assert.deepStrictEqual((yield* ask("GET", "/api/agents/")).body, { error: "Agent not found", statusCode: 404 })
      assert.deepStrictEqual(
        (yield* ask("GET", "/api/sessions/")).body,
        invalid("params/id must match format \"uuid\"")
      )
    }).pipe(withServer()))

  const badUrls = ["/api/agents/%", "/api/agents/%zz?x=1", "/api/agents/a/files/%E0%A4", "/nope/%"]
  for (const path of badUrls) {
    it.effect(`${path} is no path, with a key or without`, () =>
      Effect.gen(function*() {
        for (const authorization of [null, "Bearer embedded"]) {
          const { body, headers, status } = yield* ask("GET", path, { authorization })
          assert.strictEqual(status, 400)
          assert.deepStrictEqual(body, {
            error: "Bad Request",
            code: "FST_ERR_BAD_URL",
            message: `'${path}' is not a valid url component`,
            statusCode: 400
          })
          assert.strictEqual(headers["content-type"], "application/json")
        }
      }).pipe(withServer()))
  }

  it.effect("a query may have invalid escapes", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* ask("GET", "/api/sessions?agent=%zz")).status, 200)
    }).pipe(withServer()))

  it.effect("HEAD is GET without the body", () =>
    Effect.gen(function*() {
      const answer = yield* ask("HEAD", "/api/agents")
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.text, "")
      assert.strictEqual(answer.headers["content-length"], "13")
    }).pipe(withServer()))
})

describe("validation", () => {
  const stripped = [
    ["/api/agents", {}],
    ["/api/agents", { name: "has space" }],
    ["/api/agents", { name: "" }],
    ["/api/agents", { name: "a".repeat(256) }],
    ["/api/agents", { name: "a", files: [{ path: "b" }] }],
    ["/api/sessions", {}],
    ["/api/sessions", { agent: "" }],
    ["/api/sessions", { agent: "demo", permissionMode: "yolo" }],
    [`/api/sessions/${unknownId}/exec`, { command: "x", timeout: 0 }],
    [`/api/sessions/${unknownId}/exec`, {}],
    [`/api/sessions/${unknownId}/messages`, {}],
    [`/api/sessions/${unknownId}/messages`, { content: "x", maxTurns: 0 }],
    [`/api/sessions/${unknownId}/messages`, { content: "x", thinking: {} }],
    [`/api/sessions/${unknownId}/messages`, { content: "x", effort: "much" }]
  ] as const
  for (const [path, json] of stripped) {
    it.effect(`POST ${path.replace(unknownId, ":id")} ${JSON.stringify(json).slice(0, 50)} is answered by Bad Request alone`, () =>
      Effect.gen(function*() {
        const answer = yield* ask("POST", path, { json })
        assert.strictEqual(answer.status, 400)
        assert.deepStrictEqual(answer.body, refused)
        assert.isDefined(answer.headers["x-ratelimit-limit"])
      }).pipe(withServer()))
  }

  const explained = [
    ["GET", "/api/sessions/not-a-uuid", undefined, "params/id must match format \"uuid\""],
    ["GET", `/api/sessions/${unknownId}/messages?limit=0`, undefined, "querystring/limit must be >= 1"],
    ["GET", `/api/sessions/${unknownId}/messages?limit=1001`, undefined, "querystring/limit must be <= 1000"],
    ["GET", `/api/sessions/${unknownId}/messages?limit=x`, undefined, "querystring/limit must be integer"],
    ["GET", `/api/sessions/${unknownId}/messages?limit=1&limit=2`, undefined, "querystring/limit must be integer"],
    ["GET", `/api/sessions/${unknownId}/events?after=-1`, undefined, "querystring/after must be >= 0"],
    ["GET", `/api/sessions/${unknownId}/logs?after=-5`, undefined, "querystring/after must be >= -1"],
    ["PATCH", "/api/agents/demo", { env: "x" }, "body/env must be object"],
    ["PATCH", "/api/agents/demo/config", undefined, "body must be object"],
    [
      "PATCH",
      `/api/sessions/${unknownId}/config`,
      { model: "m".repeat(101) },
      "body/model must NOT have more than 100 characters"
    ],
    ["POST", "/api/agents/demo/files", {}, "body must have required property 'files'"],
    [
      "POST",
      `/api/sessions/${unknownId}/files`,
      { files: [{ path: "a", content: "", mimeType: {} }] },
      "body/files/0/mimeType must be string"
    ],
    ["GET", "/api/usage?after=2026-13-01", undefined, "querystring/after must match format \"date-time\""],
    ["GET", "/api/usage?after=2026-13-01T00:00:00Z", undefined, "querystring/after must match format \"date-time\""],
    [
      "GET",
      "/api/usage/stats?before=2026-02-29T00:00:00Z",
      undefined,
      "querystring/before must match format \"date-time\""
    ],
    [
      "GET",
      "/api/analytics?after=2026-01-01T24:00:00Z",
      undefined,
      "querystring/after must match format \"date-time\""
    ],
    ["GET", "/api/queue?limit=", undefined, "querystring/limit must be integer"],
    ["GET", "/api/queue?limit=%20", undefined, "querystring/limit must be >= 1"],
    ["GET", "/api/queue?limit=1.5", undefined, "querystring/limit must be integer"],
    ["GET", "/api/queue?limit=1e400", undefined, "querystring/limit must be <= 500"],
    ["PATCH", "/api/agents/demo", { env: [{}] }, "body/env must be object"],
    ["PATCH", "/api/agents/demo", { env: null }, "body/env must be object"],
    ["PATCH", "/api/agents/demo", { env: { "a/b~c": {} } }, "body/env/a~1b~0c must be string"],
    ["POST", "/api/agents/demo/eval-cases", { question: "q", category: ["x"] }, "body/category must be string"],
    ["POST", "/api/agents/demo/eval-cases", { question: "q", category: {} }, "body/category must be string"],
    ["POST", "/api/agents/demo/eval-cases", { question: "q", tags: {} }, "body/tags must be array"],
    ["POST", "/api/agents/demo/eval-cases", { question: "q", chatHistory: [[{}]] }, "body/chatHistory/0 must be object"]
  ] as const
  for (const [method, path, json, message] of explained) {
    it.effect(`${method} ${path.replace(unknownId, ":id")} is refused: ${message}`, () =>
      Effect.gen(function*() {
        const answer = yield* ask(method, path, json === undefined ? {} : { json })
        assert.strictEqual(answer.status, 400)
        assert.deepStrictEqual(answer.body, invalid(message))
      }).pipe(withServer()))
  }

  it.effect("coerces values of several types, and lists, as AJV does", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const cases = [
        [{ category: "" }, { category: "" }],
        [{ category: null }, { category: null }],
        [{ category: 5 }, { category: "5" }],
        [{ category: [5] }, { category: "5" }],
        [{ category: [""] }, { category: null }],
        [{ tags: "x" }, { tags: ["x"] }],
        [{ tags: [5, null, ["x"]] }, { tags: ["5", "", "x"] }],
        [{ isActive: ["false"] }, { isActive: false }],
        [{ question: ["q"], expectedTopics: 0 }, { question: "q", expectedTopics: ["0"] }]
      ] as const
      for (const [json, expected] of cases) {
        const { body, status } = yield* ask("POST", "/api/agents/demo/eval-cases", { json: { question: "q", ...json } })
        assert.strictEqual(status, 201, JSON.stringify(json))
        assert.deepInclude(at(body, "case"), expected)
      }
    }).pipe(withServer()))

  const coerced = [
    "/api/queue?limit=%201",
    "/api/queue?limit=0x10",
    "/api/queue?limit=1e2",
    "/api/usage?after=2016-12-31t23:59:60.5z",
    "/api/usage?after=2026-01-01%2000:00:00%2B0530",
    "/api/usage?agentName=&sessionId=urn:uuid:00000000-0000-4000-8000-000000000000",
    "/api/sessions?agent=a&constructor=x&__proto__=y"
  ]
  for (const path of coerced) {
    it.effect(`${path} is accepted`, () =>
      Effect.gen(function*() {
        assert.strictEqual((yield* ask("GET", path)).status, 200)
      }).pipe(withServer()))
  }

  it.effect("a sequence number may be of any size", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      for (const after of ["1e300", "99999999999999999999", "1e400"]) {
        assert.deepStrictEqual((yield* ask("GET", `${path}/events?after=${after}`)).body, { events: [] })
      }
    }).pipe(withServer()))

  it.effect("an id with the prefix urn:uuid: is a UUID, but names nothing", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const id = `urn:uuid:${unknownId}`
      const things = [
        [`/api/sessions/${id}`, "Session not found"],
        [`/api/attachments/${id}`, "Attachment not found"],
        [`/api/queue/${id}`, "Queue item not found"],
        [`/api/agents/demo/eval-runs/${id}`, "Eval run not found"],
        [`/api/agents/demo/eval-runs/compare?runA=${id}&runB=${id}`, "Eval run A not found"],
        ["/api/agents/demo/versions/99999999999999999999", "Version not found"],
        ["/api/agents/demo/versions/01", "Version not found"],
        ["/api/agents/demo/versions/-1", "Version not found"]
      ] as const
      for (const [path, error] of things) {
        assert.deepStrictEqual((yield* ask("GET", path)).body, { error, statusCode: 404 }, path)
      }
    }).pipe(withServer()))

  it.effect("an empty text as a filter filters nothing", () =>
    Effect.gen(function*() {
      const { id } = yield* open()
      const { body } = yield* ask("GET", "/api/sessions?agent=")
      assert.strictEqual(at(body, "sessions", 0, "id"), id)
      yield* ask("POST", "/api/agents/demo/eval-cases", { json: { question: "q", category: "c" } })
      assert.strictEqual(listAt((yield* ask("GET", "/api/agents/demo/eval-cases?category=")).body, "cases").length, 1)
    }).pipe(withServer()))

  it.effect("a route accepts what it does not check", () =>
    Effect.gen(function*() {
      for (const json of [{ label: 7 }, [], "text", 5, {}]) {
        assert.strictEqual((yield* ask("POST", "/api/api-keys", { json })).status, 201)
      }
    }).pipe(withServer()))

  it.effect("an id in upper case is a UUID, but names no session", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const answer = yield* ask("GET", `/api/sessions/${path.slice("/api/sessions/".length).toUpperCase()}`)
      assert.deepStrictEqual(answer.body, { error: "Session not found", statusCode: 404 })
    }).pipe(withServer()))

  it.effect("coerces values, and ignores unknown fields", () =>
    Effect.gen(function*() {
      const agent = yield* ask("POST", "/api/agents", { json: { name: 42, env: { A: 1 }, slug: "s" } })
      assert.strictEqual(agent.status, 201)
      const { path } = yield* open()
      assert.strictEqual((yield* ask("PATCH", `${path}/config`, { json: { allowedTools: "Read" } })).status, 200)
      assert.strictEqual(
        (yield* ask("POST", `${path}/exec`, { json: { command: "true", timeout: "100" } })).status,
        200
      )
    }).pipe(withServer()))
})

describe("bodies", () => {
  it.effect("that are not JSON", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* ask("POST", "/api/agents", { text: "{" })).body, refused)
      const { body, status } = yield* ask("PATCH", "/api/agents/demo", { text: "{" })
      assert.strictEqual(status, 400)
      assert.deepInclude(body, { code: "FST_ERR_CTP_INVALID_JSON_BODY", error: "Bad Request" })
      assert.strictEqual((yield* ask("POST", "/api/agents", { text: "null" })).status, 400)
      assert.strictEqual((yield* ask("POST", "/api/agents", { text: "{\"name\":\"a\",\"__proto__\":{}}" })).status, 400)
      const bytes = new Uint8Array([...new TextEncoder().encode("{\"name\":\""), 0xff, 0x22, 0x7d])
      const encoding = yield* ask("PATCH", "/api/agents/demo", { bytes })
      assert.deepInclude(encoding.body, { statusCode: 400, code: "FST_ERR_CTP_INVALID_CONTENT_LENGTH" })
    }).pipe(withServer()))

  it.effect("that are no UTF-8 are refused by their length alone", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      // Three bytes of a character of four are replaced by one character, of three bytes.
      const bytes = Buffer.from("{\"a\":\"\xf0\x9f\x92\"}", "latin1")
      const { body } = yield* ask("PATCH", "/api/agents/demo/config", { bytes })
      assert.deepStrictEqual(body, { config: { a: "\ufffd" } })
      const half = Buffer.from(`{"a":"${"\xff".repeat(400_000)}"}`, "latin1")
      assert.strictEqual((yield* ask("PATCH", "/api/agents/demo/config", { bytes: half })).status, 413)
    }).pipe(withServer()))

  const poisoned = [
    "{\"constructor\":{\"prototype\":{}}}",
    "{\"a\":[{\"constructor\":{\"prototype\":1}}]}",
    "{\"\\u005f_proto__\":1}",
    "{\"a\":{\"__proto__\":null}}",
    "{\"constr\\u0075ctor\":{\"protot\\u0079pe\":null}}"
  ]
  const harmless = [
    "{\"constructor\":{}}",
    "{\"constructor\":\"prototype\"}",
    "{\"constructor\":[\"prototype\"]}",
    "{\"a\":\"__proto__\"}",
    "{\"prototype\":{}}",
    "\ufeff{}"
  ]
  it.effect("that reach into prototypes, escaped or not, are refused, and others are not", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      for (const text of poisoned) {
        const { body, status } = yield* ask("PATCH", "/api/agents/demo/config", { text })
        assert.strictEqual(status, 400, text)
        assert.strictEqual(at(body, "code"), "FST_ERR_CTP_INVALID_JSON_BODY", text)
      }
      for (const text of harmless) {
        assert.strictEqual((yield* ask("PATCH", "/api/agents/demo/config", { text })).status, 200, text)
      }
      const { body } = yield* ask("GET", "/api/agents/demo/config")
      assert.deepStrictEqual(body, { config: { constructor: ["prototype"], a: "__proto__", prototype: {} } })
    }).pipe(withServer()))

  it.effect("of a thousand levels are kept, and deeper ones are refused", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const nested = (levels: number, inner = "1") => "[".repeat(levels) + inner + "]".repeat(levels)
      const bodies = (levels: number) =>
        [
          ["PATCH", "/api/agents/demo/config", `{"a":${nested(levels)}}`],
          ["PATCH", "/api/agents/demo", `{"config":{"a":${nested(levels)}}}`],
          ["PATCH", `${path}/config`, `{"subagents":{"a":${nested(levels)}}}`],
          ["POST", "/api/agents", `{"name":"deep","a":${nested(levels)}}`],
          [
            "POST",
            `${path}/messages`,
            `{"content":[{"type":"text","text":"x"},{"type":"text","a":${nested(levels)}}]}`
          ],
          ["POST", "/api/api-keys", nested(levels)]
        ] as const
      for (const [method, path, text] of bodies(990)) {
        assert.isBelow((yield* ask(method, path, { text })).status, 300, path)
      }
      for (const levels of [1001, 20_000, 500_000]) {
        for (const [method, path, text] of bodies(levels)) {
          assert.strictEqual((yield* ask(method, path, { text })).status, 400, `${path} ${levels}`)
        }
      }
      assert.strictEqual((yield* ask("GET", "/api/agents/demo/config")).status, 200)
      assert.strictEqual((yield* ask("GET", `${path}/messages`)).status, 200)
    }).pipe(withServer({ script: AgentScript.echo })))

  it.effect("that are empty, with the content type of JSON", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const headers = { "content-type": "application/json" }
      const message = "Body cannot be empty when content-type is set to 'application/json'"
      const empty = { statusCode: 400, code: "FST_ERR_CTP_EMPTY_JSON_BODY", error: "Bad Request", message }
      assert.deepStrictEqual((yield* ask("POST", `${path}/resume`, { headers })).body, empty)
      assert.deepStrictEqual((yield* ask("DELETE", path, { headers })).body, empty)
      assert.deepStrictEqual((yield* ask("POST", `${path}/pause`, { headers })).body, refused)
    }).pipe(withServer()))

  it.effect("of another content type", () =>
    Effect.gen(function*() {
      const expected = {
        statusCode: 415,
        code: "FST_ERR_CTP_INVALID_MEDIA_TYPE",
        error: "Unsupported Media Type",
        message: "Unsupported Media Type"
      }
      const headers = { "content-type": "application/x-www-form-urlencoded" }
      const form = yield* ask("POST", "/api/agents", { text: "name=a", headers })
      assert.strictEqual(form.status, 415)
      assert.deepStrictEqual(form.body, expected)
      const text = yield* ask("POST", "/api/agents", { text: "{}", headers: { "content-type": "text/plain" } })
      assert.deepStrictEqual(text.body, refused)
      const charset = { "content-type": "application/json; charset=utf-8" }
      assert.strictEqual(
        (yield* ask("POST", "/api/agents", { text: "{\"name\":\"a\"}", headers: charset })).status,
        201
      )
    }).pipe(withServer()))

  it.effect("that are too large: over 1 MiB, over 50 MiB for messages", () =>
    Effect.gen(function*() {
      const answer = yield* deploy("big", { systemPrompt: "x".repeat(1_048_576) })
      assert.strictEqual(answer.status, 413)
      assert.strictEqual(answer.headers["connection"], "close")
      assert.deepStrictEqual(answer.body, {
        statusCode: 413,
        code: "FST_ERR_CTP_BODY_TOO_LARGE",
        error: "Payload Too Large",
        message: "Request body is too large"
      })
      const { path } = yield* open()
      const block = { type: "text", text: "x".repeat(1_048_576) }
      assert.strictEqual((yield* ask("POST", `${path}/messages`, { json: { content: [block, block] } })).status, 200)
    }).pipe(withServer({ script: AgentScript.echo })))
})

describe("headers", () => {
  const near = [
    "http://localhost",
    "http://localhost:3000",
    "https://127.0.0.1:8080",
    "http://127.4.5.6",
    "http://[::1]:1"
  ]
  const far = [
    "http://example.test",
    "null",
    "http://localhost.example.test",
    "http://127.0.0.1.example.test",
    "http://example.test:127",
    "http://localhost@example.test",
    "file://localhost",
    "chrome-extension://localhost"
  ]

  it.effect("pages of loopback may read responses, without credentials", () =>
    Effect.gen(function*() {
      for (const origin of [...near, ...far]) {
        const { headers } = yield* ask("GET", "/api/agents", { headers: { origin } })
        assert.strictEqual(headers["access-control-allow-origin"], near.includes(origin) ? origin : undefined, origin)
        assert.isUndefined(headers["access-control-allow-credentials"])
        assert.strictEqual(headers["vary"], "Origin")
        assert.strictEqual(headers["content-type"], "application/json; charset=utf-8")
      }
    }).pipe(withServer()))

  it.effect("pages of the origins in the options may read responses, and no others", () =>
    Effect.gen(function*() {
      for (const origin of [...near, ...far]) {
        const { headers } = yield* ask("GET", "/api/agents", { headers: { origin } })
        const isNamed = origin === "http://example.test"
        assert.strictEqual(headers["access-control-allow-origin"], isNamed ? origin : undefined, origin)
        assert.strictEqual(headers["access-control-allow-credentials"], "true")
      }
    }).pipe(withServer({ origins: ["http://example.test"] })))

  it.effect("the rest of the window counts down, for new sessions and deployments apart", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      yield* ask("GET", "/api/agents")
      yield* TestClock.adjust("1 minute")
      const { headers } = yield* ask("GET", "/api/agents")
      assert.deepInclude(headers, {
        "x-ratelimit-limit": "1500",
        "x-ratelimit-remaining": "1498",
        "x-ratelimit-reset": "840"
      })
      const created = yield* ask("POST", "/api/sessions", { json: { agent: "nosuch" } })
      assert.deepInclude(created.headers, { "x-ratelimit-limit": "20", "x-ratelimit-remaining": "19" })
    }).pipe(withServer()))
})

describe("browsers", () => {
  it.effect("learn what they may send by a preflight request, without a key", () =>
    Effect.gen(function*() {
      const { headers, status, text } = yield* ask("OPTIONS", "/api/agents", {
        authorization: null,
        headers: {
          origin: "https://localhost:3000",
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization, content-type"
        }
      })
      assert.deepStrictEqual([status, text], [204, ""])
      assert.deepInclude(headers, {
        vary: "Origin, Access-Control-Request-Headers",
        "access-control-allow-origin": "https://localhost:3000",
        "access-control-allow-methods": "GET, HEAD, PUT, PATCH, POST, DELETE",
        "access-control-allow-headers": "authorization, content-type"
      })
    }).pipe(withServer()))

  it.effect("may send the headers that they named, and none where they named none", () =>
    Effect.gen(function*() {
      const { headers, status } = yield* ask("OPTIONS", "/api/nope", {
        authorization: null,
        headers: { origin: "http://localhost", "access-control-request-method": "PUT" }
      })
      assert.strictEqual(status, 204)
      assert.notProperty(headers, "access-control-allow-headers")
    }).pipe(withServer()))

  it.effect("are refused where their preflight request lacks an origin or a method", () =>
    Effect.gen(function*() {
      const questions = [{}, { origin: "http://localhost" }, { "access-control-request-method": "POST" }]
      for (const headers of questions) {
        const answer = yield* ask("OPTIONS", "/api/agents", { authorization: null, headers })
        assert.deepStrictEqual([answer.status, answer.text], [400, "Invalid Preflight Request"])
        assert.strictEqual(answer.headers["content-type"], "text/plain")
      }
    }).pipe(withServer()))
})

describe("rate limits", () => {
  const create = ask("POST", "/api/sessions", { json: { agent: "nosuch" } })

  it.effect("refuse the 21st new session until the window ends", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(create, 20)
      yield* TestClock.adjust("5 minutes")
      const refused = yield* create
      assert.strictEqual(refused.status, 429)
      assert.strictEqual(refused.headers["retry-after"], "600")
      assert.deepStrictEqual(refused.body, {
        statusCode: 429,
        error: "Too Many Requests",
        message: "Rate limit exceeded, retry in 10 minutes"
      })
      assert.strictEqual((yield* ask("GET", "/api/agents")).status, 200)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual((yield* create).status, 404)
    }).pipe(withServer({ rateLimits: true })))

  it.effect("are off by default", () =>
    Effect.gen(function*() {
      yield* Effect.replicateEffect(create, 20)
      const answer = yield* create
      assert.strictEqual(answer.status, 404)
      assert.isUndefined(answer.headers["x-ratelimit-remaining"])
    }).pipe(Wire.withServer()))
})
