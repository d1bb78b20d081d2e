import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { AshApiClient } from "../../../src/client/AshApiClient.ts"
import * as Failures from "../../../src/internal/request/failures.ts"
import type { AshErrorReason } from "../../../src/schema/AshError.ts"
import { sessionId } from "../../support/fixtures.ts"
import * as Server from "../../support/ScriptedServer.ts"

/** The error of a call that the server answers so. */
const errorOf = (script: Server.Script, method: "get" | "resume" = "get") =>
  Effect.gen(function*() {
    const { sessions } = yield* AshApiClient
    return yield* Effect.flip(sessions[method]({ params: { id: sessionId } }))
  }).pipe(Effect.provide(Server.make(script).layer))

const reasonOf = (script: Server.Script) => Effect.map(errorOf(script), ({ reason }) => reason)

interface Expected {
  readonly _tag: AshErrorReason["_tag"]
  readonly message: string
  readonly field?: string
  readonly status?: string
  readonly code?: string
}

describe("the error of an answer, by its shape", () => {
  const path = `/api/sessions/${sessionId}`

  it.effect.each<readonly [shape: string, script: Server.Script, status: number, expected: Expected]>([
    [
      "A, a handler's",
      Server.json({ error: "Session not found", statusCode: 404 }, 404),
      404,
      { _tag: "NotFound", message: "Session not found (404)" }
    ],
    [
      "A, the key",
      Server.json({ error: "Invalid API key", statusCode: 401 }, 401),
      401,
      {
        _tag: "Unauthorized",
        message: "the server refused the key: Invalid API key (401); set another apiKey (ASH_API_KEY)"
      }
    ],
    [
      "A, the state",
      Server.json({ error: "Session is paused", statusCode: 400 }, 400),
      400,
      { _tag: "WrongState", message: "Session is paused (400)", status: "paused" }
    ],
    [
      "A, ended",
      Server.json({ error: "Session has ended — create a new session", statusCode: 410 }, 410),
      410,
      { _tag: "WrongState", message: "Session has ended — create a new session (410)", status: "ended" }
    ],
    [
      "A, the agent's folder",
      Server.json({ error: "Agent directory not found", statusCode: 422 }, 422),
      422,
      { _tag: "InvalidRequest", message: "Agent directory not found (422)" }
    ],
    [
      "B, validation",
      Server.json({
        statusCode: 400,
        code: "FST_ERR_VALIDATION",
        error: "Bad Request",
        message: "params/id must match format \"uuid\""
      }, 400),
      400,
      {
        _tag: "InvalidRequest",
        message: "params/id must match format \"uuid\" (400)",
        field: "id",
        code: "FST_ERR_VALIDATION"
      }
    ],
    [
      "B, validation of a query",
      Server.json({ statusCode: 400, error: "Bad Request", message: "querystring/limit must be <= 1000" }, 400),
      400,
      { _tag: "InvalidRequest", message: "querystring/limit must be <= 1000 (400)", field: "limit" }
    ],
    [
      "B, too large",
      Server.json({
        statusCode: 413,
        code: "FST_ERR_CTP_BODY_TOO_LARGE",
        error: "Payload Too Large",
        message: "Request body is too large"
      }, 413),
      413,
      { _tag: "InvalidRequest", message: "Request body is too large (413)", code: "FST_ERR_CTP_BODY_TOO_LARGE" }
    ],
    [
      "B, uncaught",
      Server.json(
        { statusCode: 500, code: "EISDIR", error: "Internal Server Error", message: "EISDIR: is a dir" },
        500
      ),
      500,
      { _tag: "ServerFailure", message: "EISDIR: is a dir (500)", code: "EISDIR" }
    ],
    [
      "C, stripped",
      Server.json({ error: "Bad Request", statusCode: 400 }, 400),
      400,
      { _tag: "InvalidRequest", message: "Bad Request (400)" }
    ],
    [
      "D, no route",
      Server.json({ message: "Route GET:/x not found", error: "Not Found", statusCode: 404 }, 404),
      404,
      { _tag: "NotSupported", message: "this server does not have the route: Route GET:/x not found (404)" }
    ],
    [
      "E, the dashboard's",
      Server.json({ error: "Not found" }, 404),
      404,
      { _tag: "NotSupported", message: "this server does not have the route: Not found (404)" }
    ],
    ["F, bare", Server.json({ error: "Key not found" }, 404), 404, {
      _tag: "NotFound",
      message: "Key not found (404)"
    }],
    [
      "the status of the line, not of the body",
      Server.json({ error: "odd", statusCode: 404 }, 502),
      502,
      { _tag: "ServerFailure", message: "odd (502)" }
    ],
    [
      "nulls in the body",
      Server.json({ error: "odd", message: null, code: null, statusCode: null }, 400),
      400,
      { _tag: "InvalidRequest", message: "odd (400)" }
    ],
    ["an empty message", Server.json({ error: "Session not found", message: "", statusCode: 404 }, 404), 404, {
      _tag: "NotFound",
      message: "Session not found (404)"
    }],
    ["an empty error", Server.json({ error: "", message: "no such session" }, 404), 404, {
      _tag: "NotFound",
      message: "no such session (404)"
    }],
    ["nothing but blanks", Server.json({ error: " ", message: "\n" }, 404), 404, {
      _tag: "NotFound",
      message: "no reason given (404)"
    }],
    ["403", Server.json({ error: "Forbidden" }, 403), 403, {
      _tag: "Unauthorized",
      message: "the server refused this: Forbidden (403)"
    }]
  ])("%s", ([, script, status, { code, message, ...expected }]) =>
    Effect.gen(function*() {
      const { operation, reason } = yield* errorOf(script)
      assert.strictEqual(operation, "Sessions.get")
      assert.strictEqual(reason._tag, expected._tag)
      assert.strictEqual(reason.message, message)
      assert.strictEqual("field" in reason ? reason.field : undefined, expected.field)
      assert.strictEqual("status" in reason ? reason.status : undefined, expected.status)
      assert.strictEqual(reason.http?.status, status)
      assert.strictEqual(reason.http?.code, code)
      assert.strictEqual(reason.http?.method, "GET")
      assert.strictEqual(reason.http?.path, path)
    }))

  it.effect.each<readonly [shape: string, script: Server.Script, tag: string, words: ReadonlyArray<RegExp>]>([
    ["G, a page", Server.text("<html>Bad Gateway</html>", 502, { "content-type": "text/html" }), "ServerFailure", [
      /502/,
      /HTML/,
      /proxy/
    ]],
    ["G, a page of 404", Server.text("<!DOCTYPE html>", 404, { "content-type": "text/html" }), "Undecodable", [
      /404/,
      /HTML/
    ]],
    ...[413, 414, 431].map((status) =>
      [
        `a page of ${status}, which any server refuses as too large`,
        Server.text("<html>Too Large</html>", status, { "content-type": "text/html" }),
        "InvalidRequest",
        [new RegExp(`takes no request this large \\(${status}\\); send less`)]
      ] as const
    ),
    ["G, empty", Server.text("", 503), "ServerFailure", [/503/, /without a body/]],
    ["G, text", Server.text("upstream timed out", 504), "ServerFailure", [/504/]],
    ["JSON that is no error", Server.json([1, 2], 500), "ServerFailure", [/500/]],
    ["a redirection", Server.text("", 302, { location: "https://ash.test/login?token=geheim" }), "Undecodable", [
      /302/,
      /https:\/\/ash\.test\/login;/
    ]],
    ["a redirection to a part", Server.text("", 302, { location: "/login#token=geheim" }), "Undecodable", [
      /to \/login;/
    ]]
  ])("%s", ([, script, tag, words]) =>
    Effect.gen(function*() {
      const reason = yield* reasonOf(script)
      assert.strictEqual(reason._tag, tag)
      for (const word of words) assert.match(reason.message, word)
      assert.notInclude(reason.message, "<html>")
    }))

  it.effect.each(["Sandbox capacity reached (1/1)", "No runners available"])(
    "no room for a sandbox, \"%s\", is of what starts one",
    (error) =>
      Effect.gen(function*() {
        const full = Server.json({ error, statusCode: 503 }, 503)
        const { message, reason } = yield* errorOf(full, "resume")
        assert.strictEqual(reason._tag, "AtCapacity")
        assert.strictEqual(message, `Sessions.resume: ${error} (503)`)
        assert.strictEqual((yield* reasonOf(full))._tag, "ServerFailure")
      })
  )

  it.effect("Retry-After of 429 and 503 is a duration", () =>
    Effect.gen(function*() {
      const limited = yield* errorOf(
        Server.json({ statusCode: 429, error: "Too Many Requests", message: "Rate limit exceeded" }, 429, {
          "retry-after": "900"
        })
      )
      assert.strictEqual(limited.reason._tag, "RateLimited")
      assert.deepStrictEqual(limited.retryAfter, Duration.seconds(900))
      const full = yield* errorOf(Server.json({ error: "capacity reached" }, 503, { "retry-after": "5" }), "resume")
      assert.strictEqual(full.reason._tag, "AtCapacity")
      assert.deepStrictEqual(full.retryAfter, Duration.seconds(5))
      assert.deepStrictEqual(
        (yield* errorOf(Server.text("", 503, { "retry-after": "5" }))).retryAfter,
        Duration.seconds(5)
      )
    }))

  const dates = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]

  it.effect.each([...dates, "37", "037"].flatMap((value) => [value, `${value}, ${value}`, `${value} ,5`]))(
    "Retry-After of %j is a time, in each form, and where it is there twice",
    (value) =>
      Effect.gen(function*() {
        const headers = { "retry-after": value, date: "Sun, 06 Nov 1994 08:49:00 GMT" }
        assert.deepStrictEqual(
          (yield* errorOf(Server.json({ error: "x" }, 429, headers))).retryAfter,
          Duration.seconds(37)
        )
      })
  )

  it.effect.each(["", ",", "soon", "-4", "1.5", "37 s", "Sun, 06 Nov 1994", "Nov 6 1994 08:49:37"])(
    "Retry-After of %j is none",
    (value) =>
      Effect.gen(function*() {
        const { reason, retryAfter } = yield* errorOf(Server.json({ error: "x" }, 429, { "retry-after": value }))
        assert.strictEqual(reason._tag, "RateLimited")
        assert.isUndefined(retryAfter)
      })
  )

  it.effect("what may be tried again, and what certainly did nothing", () =>
    Effect.gen(function*() {
      for (
        const [status, isRetryable, nothingHappened] of [
          [400, false, true],
          [401, false, true],
          [404, false, true],
          [410, false, true],
          [429, true, true],
          [500, true, false],
          [502, true, false]
        ] as const
      ) {
        const error = yield* errorOf(Server.json({ error: "x" }, status))
        assert.deepStrictEqual([status, error.isRetryable, error.nothingHappened], [
          status,
          isRetryable,
          nothingHappened
        ])
      }
    }))

  it.each([200_000, 10])("what was sent is looked through once for all that is shown: %i characters", (length) => {
    const seen: Array<string> = []
    const redact = (text: string) => {
      seen.push(text)
      return text.slice(0, 65_536).replaceAll("geheim", "<redacted>")
    }
    const said = {
      code: "geheim",
      error: "Bad Request",
      message: "body/geheim must be shorter",
      more: "x".repeat(length)
    }
    const text = JSON.stringify(said)
    const response = HttpClientResponse.fromWeb(
      HttpClientRequest.post("http://ash.test/x"),
      new Response(text, { status: 400, headers: { "x-request-id": "geheim-1" } })
    )
    const reason = Failures.fromResponse(response, { text }, redact, 0, { answerInErrors: true, startsSandbox: false })
    assert.strictEqual(seen.length, length > 65_536 ? 2 : 1)
    assert.strictEqual(reason.message, "body/<redacted> must be shorter (400)")
    assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : "", "<redacted>")
    assert.strictEqual(reason.http?.code, "<redacted>")
    assert.strictEqual(reason.http?.requestId, "<redacted>-1")
    assert.notInclude(JSON.stringify(reason), "geheim")
  })

  it.effect("a body that breaks off leaves the status", () =>
    Effect.gen(function*() {
      const reason = yield* reasonOf(() => new Response(Server.breaking("{\"error\":", {})().body, { status: 500 }))
      assert.strictEqual(reason._tag, "ServerFailure")
      assert.strictEqual(reason.http?.status, 500)
    }))

  it.effect("a body without an end is read to a limit", () =>
    Effect.gen(function*() {
      const chunk = new TextEncoder().encode("x".repeat(16_384))
      const reason = yield* reasonOf(() =>
        new Response(new ReadableStream({ pull: (controller) => controller.enqueue(chunk) }), { status: 500 })
      )
      assert.strictEqual(reason._tag, "ServerFailure")
      assert.strictEqual(reason.http?.body?.length, 1000)
    }))
})

describe("a success that is none", () => {
  it.effect("a body of another shape: where, and not what", () =>
    Effect.gen(function*() {
      const reason = yield* reasonOf(Server.json({ session: { id: 4711_000_1, agentName: "demo" } }))
      assert.strictEqual(reason._tag, "Undecodable")
      assert.match(reason.message, /session\.\w+/)
      assert.notInclude(reason.message, "47110001")
      assert.strictEqual(reason.http?.status, 200)
    }))

  it.effect.each<readonly [what: string, script: Server.Script]>([
    ["a page", Server.text("<html>Log in</html>", 200, { "content-type": "text/html" })],
    ["no JSON", Server.text("ok", 200, { "content-type": "application/json" })],
    ["nothing", Server.text("", 200, { "content-type": "application/json" })],
    ["another status", Server.json({ session: {} }, 206)]
  ])("%s", ([, script]) =>
    Effect.gen(function*() {
      const reason = yield* reasonOf(script)
      assert.strictEqual(reason._tag, "Undecodable")
      assert.isAtLeast(reason.http?.status ?? 0, 200)
      assert.isFalse(reason.isRetryable)
    }))

  it.effect("a body that breaks off is a lost connection", () =>
    Effect.gen(function*() {
      const reason = yield* reasonOf(Server.breaking("{\"session\":{", { "content-type": "application/json" }))
      assert.strictEqual(reason._tag, "ConnectionLost")
      assert.include(reason.message, "ECONNRESET")
    }))
})

describe("no answer", () => {
  it.effect("a connection that breaks", () =>
    Effect.gen(function*() {
      const { nothingHappened, reason } = yield* errorOf(Server.lost)
      assert.strictEqual(reason._tag, "ConnectionLost")
      assert.include(reason.message, "ECONNRESET: socket hang up")
      assert.isFalse(nothingHappened)
    }))

  const coded = (code: string, message = code) => Object.assign(new Error(message), { code })
  const ofDeno = (words: string) =>
    new TypeError("fetch failed", { cause: new Error(`error sending request ${words}`) })
  const ofCall = (syscall: string, code: string) => Object.assign(coded(code, `${syscall} ${code}`), { syscall })

  it.effect.each<readonly [what: string, cause: Error]>([
    ["refused", coded("ECONNREFUSED")],
    ["no such host", coded("ENOTFOUND")],
    ["fetch on Node", new TypeError("fetch failed", { cause: coded("ECONNREFUSED") })],
    ["a port that fetch refuses", new TypeError("fetch failed", { cause: new Error("bad port") })],
    ["both families refused", new TypeError("fetch failed", { cause: new AggregateError([coded("ECONNREFUSED")]) })],
    ["Bun", coded("ConnectionRefused")],
    ["Deno", ofDeno("for url (http://ash.test/api): client error (Connect): tcp connect error")],
    ["the dropped packets of a firewall", new AggregateError([ofCall("connect", "ETIMEDOUT")])],
    ["a connection that is reset while it is made", ofCall("connect", "ECONNRESET")],
    ...["EAI_AGAIN", "EAI_FAIL", "EAI_NODATA", "ENOMEM"].map((code) =>
      [`a name that is not looked up: ${code}`, ofCall("getaddrinfo", code)] as const
    ),
    ...["ESERVFAIL", "ETIMEOUT"].map((code) =>
      [`no answer of a name server: ${code}`, ofCall("queryA", code)] as const
    ),
    ["a handshake that fails", ofCall("connect", "EPROTO")],
    ["a proxy that connects nothing", coded("ERR_PROXY_TUNNEL")],
    ...[
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "CERT_HAS_EXPIRED",
      "CERT_NOT_YET_VALID",
      "CERT_SIGNATURE_FAILURE",
      "INVALID_PURPOSE",
      "UNABLE_TO_GET_ISSUER_CERT",
      "ERR_TLS_CERT_ALTNAME_INVALID"
    ].map((code) => [`a certificate: ${code}`, new TypeError("fetch failed", { cause: coded(code) })] as const)
  ])("never reached: %s", ([, cause]) =>
    Effect.gen(function*() {
      const { nothingHappened, reason } = yield* errorOf(() => Effect.fail(cause))
      assert.strictEqual(reason._tag, "NotReached")
      assert.include(reason.message, "http://ash.test")
      assert.isTrue(nothingHappened)
    }))

  it.effect.each([
    ...["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL"].flatMap((code) =>
      ["read", "write"].map((syscall) => ofCall(syscall, code))
    ),
    // As of a renegotiation that fails while the body is sent.
    ofCall("write", "EPROTO"),
    // What is no TLS may arrive in a connection that was made, as from a proxy that gives up.
    ...["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_BAD_RECORD_TYPE"].map((code) => coded(code))
  ])("lost, behind what may have arrived: $message", (cause) =>
    Effect.gen(function*() {
      const { nothingHappened, reason } = yield* errorOf(() => Effect.fail(cause))
      assert.strictEqual(reason._tag, "ConnectionLost")
      assert.include(reason.message, cause.code)
      assert.isFalse(nothingHappened)
    }))

  it.effect("a request that Deno had begun to send is a lost connection, whatever its address says", () =>
    Effect.gen(function*() {
      const cause = ofDeno("from ::1 for http://ash.test/?(Connect): client error (SendRequest): closed")
      const { reason } = yield* errorOf(() => Effect.fail(cause))
      assert.strictEqual(reason._tag, "ConnectionLost")
    }))

  it.effect("a cause without a text is a lost connection: something may have been sent", () =>
    Effect.gen(function*() {
      const { nothingHappened, reason } = yield* errorOf(() => Effect.fail(Object.assign(new Error(""), { code: "" })))
      assert.strictEqual(reason._tag, "ConnectionLost")
      assert.isFalse(nothingHappened)
    }))
})

describe("secrets", () => {
  const everything = (error: unknown) => `${String(error)} ${JSON.stringify(error)} ${(error as Error).stack}`

  it.effect("a key that the server repeats is in no part of the error", () =>
    Effect.gen(function*() {
      for (
        const script of [
          Server.json({ error: `Invalid API key ${Server.apiKey}` }, 401),
          Server.json({ error: "Bad Request", message: `headers/authorization ${Server.apiKey}` }, 400),
          Server.text(`<html>${Server.apiKey}</html>`, 502),
          Server.json({ session: { id: Server.apiKey } }),
          Server.text(Server.apiKey, 200, { "content-type": "application/json" })
        ]
      ) {
        const text = everything(yield* errorOf(script))
        assert.notInclude(text, Server.apiKey)
      }
    }))

  it.effect("a key on the edge of the excerpt of the body is not there in part", () =>
    Effect.gen(function*() {
      for (let cut = 1; cut < Server.apiKey.length; cut++) {
        const { reason } = yield* errorOf(Server.text(`${"x".repeat(1000 - cut)}${Server.apiKey}`, 500))
        assert.notInclude(reason.http?.body ?? "", Server.apiKey.slice(0, Math.max(cut, 4)))
      }
    }))

  it.effect("a path has no query and no host, a redirection no token", () =>
    Effect.gen(function*() {
      const { reason } = yield* Effect.flip(
        Effect.flatMap(AshApiClient, ({ sessions }) => sessions.list({ query: { agent: "geheim" } }))
      ).pipe(Effect.provide(Server.make(Server.json({ error: "x" }, 404)).layer))
      assert.strictEqual(reason.http?.path, "/api/sessions")
      const redirected = yield* errorOf(Server.text("", 302, { location: "https://u:geheim@ash.test/" }))
      assert.notInclude(everything(redirected), "geheim")
    }))

  it.effect("input that is refused is not repeated", () =>
    Effect.gen(function*() {
      const { agents, messages } = yield* AshApiClient
      const key = "sk-geheim-4711"
      const errors = [
        yield* Effect.flip(agents.create({ payload: { name: "demo", env: { KEY: Redacted.make(key) as never } } })),
        yield* Effect.flip(agents.create({ payload: { name: `${key}!` } })),
        yield* Effect.flip(agents.get({ params: { name: `${key}/x` } })),
        yield* Effect.flip(
          Effect.scoped(messages.send({ params: { id: sessionId }, payload: { content: "x", model: key.repeat(20) } }))
        )
      ]
      for (const error of errors) {
        assert.strictEqual(error.reason._tag, "InvalidRequest")
        assert.notInclude(everything(error), key)
      }
    }).pipe(Effect.provide(Server.make(Server.json({})).layer)))
})

describe("a stream of bytes", () => {
  it.effect("breaks with the operation and the status", () =>
    Effect.gen(function*() {
      const { agents } = yield* AshApiClient
      const { body } = yield* agents.readFile({ params: { name: "demo", path: "a.txt" }, query: {} })
      const error = yield* Effect.flip(Stream.runDrain(body))
      assert.strictEqual(error.reason._tag, "ConnectionLost")
      assert.strictEqual(error.reason.http?.status, 200)
      assert.strictEqual(error.operation, "Agents.readFile")
    }).pipe(Effect.scoped, Effect.provide(Server.make(Server.breaking("part", {})).layer)))
})
