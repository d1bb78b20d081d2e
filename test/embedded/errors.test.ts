import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import type { EmbeddedOptions } from "../../src/embedded/EmbeddedOptions.ts"
import { ask, deploy, open } from "./wire.ts"
import * as Wire from "./wire.ts"

/** A server that counts, so that what it counts shows. */
const withServer = (options: EmbeddedOptions = {}) => Wire.withServer({ rateLimits: true, ...options })

const unknownId = "00000000-0000-4000-8000-000000000000"
const unauthorized = (error: string) => ({ error, statusCode: 401 })
const refused = { error: "Bad Request", statusCode: 400 }
const invalid = (message: string) => ({ statusCode: 400, code: "FST_ERR_VALIDATION", error: "Bad Request", message })

describe("auth", () => {
  const cases = [
    [null, "Missing Authorization header"],
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

  it.effect("is not asked for at exactly /health", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* ask("GET", "/health", { authorization: null })).status, 200)
      assert.strictEqual((yield* ask("GET", "/health?x=1", { authorization: null })).status, 401)
    }).pipe(withServer()))

  it.effect("takes the key of the options", () =>
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
    ["GET", `/api/sessions/${"a".repeat(101)}/events`]
  ] as const
  for (const [method, path] of unknown) {
    it.effect(`${method} ${path.slice(0, 40)} is none`, () =>
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

  it.effect("an empty part of a path is one", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* ask("GET", "/api/agents/")).body, { error: "Agent not found", statusCode: 404 })
      assert.deepStrictEqual(
        (yield* ask("GET", "/api/sessions/")).body,
        invalid("params/id must match format \"uuid\"")
      )
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
    it.effect(`POST ${path.replace(unknownId, ":id")} ${JSON.stringify(json).slice(0, 50)} says only Bad Request`, () =>
      Effect.gen(function*() {
        const answer = yield* ask("POST", path, { json })
        assert.strictEqual(answer.status, 400)
        assert.deepStrictEqual(answer.body, refused)
        assert.isDefined(answer.headers["x-ratelimit-limit"])
      }).pipe(withServer()))
  }

  const told = [
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
    ["POST", "/api/agents/demo/files", {}, "body must have required property 'files'"]
  ] as const
  for (const [method, path, json, message] of told) {
    it.effect(`${method} ${path.replace(unknownId, ":id")} says: ${message}`, () =>
      Effect.gen(function*() {
        const answer = yield* ask(method, path, json === undefined ? {} : { json })
        assert.strictEqual(answer.status, 400)
        assert.deepStrictEqual(answer.body, invalid(message))
      }).pipe(withServer()))
  }

  it.effect("an uppercase id is a UUID, but of no session", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const answer = yield* ask("GET", `/api/sessions/${path.slice("/api/sessions/".length).toUpperCase()}`)
      assert.deepStrictEqual(answer.body, { error: "Session not found", statusCode: 404 })
    }).pipe(withServer()))

  it.effect("bends values into shape, and ignores unknown fields", () =>
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
  it.effect("JSON that is none", () =>
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

  it.effect("none, although the content type says JSON", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const headers = { "content-type": "application/json" }
      const message = "Body cannot be empty when content-type is set to 'application/json'"
      const empty = { statusCode: 400, code: "FST_ERR_CTP_EMPTY_JSON_BODY", error: "Bad Request", message }
      assert.deepStrictEqual((yield* ask("POST", `${path}/resume`, { headers })).body, empty)
      assert.deepStrictEqual((yield* ask("DELETE", path, { headers })).body, empty)
      assert.deepStrictEqual((yield* ask("POST", `${path}/pause`, { headers })).body, refused)
    }).pipe(withServer()))

  it.effect("of another type", () =>
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

  it.effect("too large: 1 MiB, 50 MiB for messages", () =>
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

  it.effect("answers are for pages of loopback, without credentials", () =>
    Effect.gen(function*() {
      for (const origin of [...near, ...far]) {
        const { headers } = yield* ask("GET", "/api/agents", { headers: { origin } })
        assert.strictEqual(headers["access-control-allow-origin"], near.includes(origin) ? origin : undefined, origin)
        assert.isUndefined(headers["access-control-allow-credentials"])
        assert.strictEqual(headers["vary"], "Origin")
        assert.strictEqual(headers["content-type"], "application/json; charset=utf-8")
      }
    }).pipe(withServer()))

  it.effect("answers are for pages of the origins that were named, and no others", () =>
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
  it.effect("are told before a request what they may send, without a key", () =>
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

  it.effect("are told the headers that they asked for, and none where they asked for none", () =>
    Effect.gen(function*() {
      const { headers, status } = yield* ask("OPTIONS", "/api/nope", {
        authorization: null,
        headers: { origin: "http://localhost", "access-control-request-method": "PUT" }
      })
      assert.strictEqual(status, 204)
      assert.notProperty(headers, "access-control-allow-headers")
    }).pipe(withServer()))

  it.effect("are refused where their question lacks an origin or a method", () =>
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
