import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as Stream from "effect/Stream"
import { inspect } from "node:util"
import { AshApiClient } from "../../src/client/AshApiClient.ts"
import type { AshServices } from "../../src/layers/Ash.ts"
import { AshApi } from "../../src/schema/AshApi.ts"
import type { AshError } from "../../src/schema/AshError.ts"
import { HostedApi } from "../../src/schema/HostedApi.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { clientNames, clients } from "../support/clients.ts"
import { session, sessionId } from "../support/fixtures.ts"
import { promise } from "../support/promise.ts"
import * as Server from "../support/ScriptedServer.ts"
import * as Tracing from "../support/tracing.ts"

const canary = {
  key: "CANARY-key-4f1c",
  credential: "CANARY-credential-\"9b\\2e",
  env: "CANARY-env-7d3a",
  prompt: "CANARY-prompt: read\nmy mail",
  systemPrompt: "CANARY-system-1c9f"
}

const calls: ReadonlyArray<(ash: AshClient["Service"]) => Effect.Effect<unknown, unknown>> = [
  (_) => _.sessions.get(sessionId),
  (_) => _.sessions.create({ agent: "demo", extraEnv: { TOKEN: canary.env }, systemPrompt: canary.systemPrompt }),
  (_) => _.sessions.create({ agent: "demo", mcpServers: { a: { command: "x", env: { TOKEN: canary.env } } } }),
  (_) => _.agents.create({ name: "demo", env: { TOKEN: canary.env }, systemPrompt: canary.systemPrompt }),
  (_) => _.credentials.createCustom(Redacted.make(canary.credential)),
  (_) => Stream.runDrain(_.messages.send(sessionId, canary.prompt)),
  (_) =>
    Stream.runDrain(_.messages.send(sessionId, [{ type: "text", text: canary.prompt }, { type: "text", text: "b" }])),
  (_) => _.sessions.attach(sessionId).ask(canary.prompt),
  (_) => _.queueItems.enqueue({ agentName: "demo", prompt: canary.prompt })
]

/** Bad input that holds a secret: nothing is sent. */
const badInput: ReadonlyArray<(ash: AshClient["Service"]) => Effect.Effect<unknown, unknown>> = [
  (_) => _.sessions.create({ agent: "", extraEnv: { TOKEN: canary.env } }),
  (_) =>
    _.sessions.create({
      agent: "demo",
      extraEnv: { TOKEN: canary.env },
      systemPrompt: canary.systemPrompt.repeat(100_000)
    }),
  (_) => Stream.runDrain(_.messages.send("no-uuid", canary.prompt)),
  (_) => Stream.runDrain(_.messages.send(sessionId, canary.prompt.repeat(30_000))),
  (_) => _.agents.create({ name: "a/b", env: { TOKEN: canary.env } })
]

/** Servers that repeat whatever they were sent. */
const repeating: ReadonlyArray<readonly [name: string, script: Server.Script]> = [
  ["400", (_) => Server.json({ error: `bad: ${_.body}`, statusCode: 400 }, 400)()],
  ["401", (_) => Server.json({ error: `unknown key ${_.headers["authorization"]}` }, 401)()],
  ["404", (_) => Server.json({ error: `no ${_.body}`, code: _.headers["authorization"] }, 404)()],
  ["409", (_) => Server.json({ message: _.body, error: "x" }, 409)()],
  ["429", (_) => Server.json({ error: _.body }, 429, { "retry-after": "900" })()],
  ["500", (_) => Server.json({ error: `Failed to create session: ${_.body} ${JSON.stringify(_.headers)}` }, 500)()],
  ["502 in HTML", (_) => Server.text(`<html>${_.body} ${_.headers["authorization"]}</html>`, 502)()],
  ["200 that is none", (_) => Server.json({ echo: _.body, key: _.headers["authorization"] })()],
  ["a redirect", (_) => Server.text("", 302, { location: `http://evil.test/?key=${_.headers["authorization"]}` })()],
  [
    "an error in the stream",
    (_) => Server.sse(Server.frames(["error", { error: `cannot say ${_.body} with ${_.headers["authorization"]}` }]))()
  ],
  ["a lost connection", Server.lost],
  ["no server", Server.refused]
]

/** Everything that is logged, traced or failed with. */
const seenBy = Effect.fnUntraced(function*<A, E>(
  effect: Effect.Effect<A, E, AshServices>,
  layer: Layer.Layer<AshServices, unknown>
) {
  const seen: Array<string> = []
  const note = (value: unknown) => {
    seen.push(String(value), inspect(value, { depth: 20, showHidden: true }), JSON.stringify(value) ?? "")
  }
  const logger = Logger.make(({ cause, fiber, message }) => {
    note(message)
    seen.push(Cause.pretty(cause))
    note(fiber.getRef(References.CurrentLogAnnotations))
  })
  const { spans, trace } = Tracing.make()
  const exit = yield* effect.pipe(
    Effect.tapCause((cause) => Effect.logError("it failed", cause)),
    Effect.provide(layer),
    Effect.provide(Logger.layer([logger])),
    trace,
    Effect.exit
  )
  if (Exit.isFailure(exit)) {
    seen.push(Cause.pretty(exit.cause), inspect(exit.cause, { depth: 20 }))
    for (const reason of exit.cause.reasons) {
      note(reason)
      if (reason._tag !== "Fail") continue
      const error: unknown = reason.error
      note(error)
      if (error instanceof Error) seen.push(error.stack ?? "", error.message)
    }
  }
  for (const { attributes, events, name } of spans) seen.push(inspect([name, [...attributes], events], { depth: 20 }))
  return seen.join("\n")
})

const found = (text: string) => text.match(/CANARY[^"'\n]{0,20}/g)?.slice(0, 2) ?? []

/** How a server may spell what it repeats. */
const spellings: Record<string, (text: string) => string> = {
  "as it is": identity,
  "upper case": (text) => text.toUpperCase(),
  "lower case": (text) => text.toLowerCase(),
  "cut short": (text) => text.slice(0, 14),
  "cut in front": (text) => text.slice(4),
  JSON: (text) => JSON.stringify(text).slice(1, -1),
  "JSON of JSON": (text) => JSON.stringify(JSON.stringify(text)),
  "JSON with every character escaped": (text) =>
    Array.from(text, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  "JSON with slashes escaped": (text) => JSON.stringify(text).replaceAll("/", "\\/").slice(1, -1),
  "percent": encodeURIComponent,
  "percent of every byte": (text) => Buffer.from(text).toString("hex").replace(/../g, "%$&"),
  "percent of percent": (text) => encodeURIComponent(encodeURIComponent(text)),
  form: (text) => new URLSearchParams({ a: text }).toString().slice(2),
  "percent of JSON": (text) => encodeURIComponent(JSON.stringify(text)),
  "HTML names": (text) =>
    text.replaceAll("&", "&amp;").replaceAll("\"", "&quot;").replaceAll("-", "&hyphen;").replaceAll("/", "&sol;"),
  "HTML decimal": (text) => Array.from(text, (c) => `&#${c.charCodeAt(0)};`).join(""),
  "HTML hex": (text) => Array.from(text, (c) => `&#X${c.charCodeAt(0).toString(16)};`).join(""),
  "HTML of HTML": (text) => Array.from(text, (c) => `&amp;#${c.charCodeAt(0)};`).join(""),
  base64: (text) => Buffer.from(text).toString("base64"),
  "base64 for a URL": (text) => Buffer.from(text).toString("base64url"),
  "base64 behind something": (text) => Buffer.from(`:${text}`).toString("base64"),
  "base64 cut in front": (text) => Buffer.from(text).toString("base64").slice(1),
  "base64 in a URL": (text) => encodeURIComponent(Buffer.from(text).toString("base64")),
  hex: (text) => Buffer.from(text).toString("hex"),
  "hex in upper case": (text) => Buffer.from(text).toString("hex").toUpperCase(),
  "hex with spaces": (text) => Buffer.from(text).toString("hex").replace(/../g, "$& "),
  "hex with 0x": (text) => Buffer.from(text).toString("hex").replace(/../g, "0x$&, "),
  "numbers of bytes": (text) => JSON.stringify([...Buffer.from(text)]),
  "base64 of base64": (text) => Buffer.from(Buffer.from(text).toString("base64")).toString("base64"),
  "hex of base64": (text) => Buffer.from(Buffer.from(text).toString("base64")).toString("hex"),
  "base64 of hex": (text) => Buffer.from(Buffer.from(text).toString("hex")).toString("base64"),
  "base64 of UTF-16": (text) => Buffer.from(text, "utf16le").toString("base64"),
  "in lines": (text) => text.replace(/.{8}/g, "$&\n"),
  "in lines of base64": (text) => Buffer.from(text).toString("base64").replace(/.{8}/g, "$&\n  "),
  "with characters that are not seen": (text) => text.replace(/.{3}/g, "$&\u200b"),
  "octal of every byte": (text) =>
    Array.from(Buffer.from(text), (byte) => `\\${byte.toString(8).padStart(3, "0")}`).join(""),
  "hex escapes of every byte": (text) => Buffer.from(text).toString("hex").replace(/../g, "\\x$&"),
  "hex escapes of bytes beyond ASCII, in JSON": (text) =>
    JSON.stringify(
      Buffer.from(text).toString("latin1").replace(
        /[\x80-\xff]/g,
        (c) => `\\x${c.charCodeAt(0).toString(16)}`
      )
    ),
  "HTML without ends": (text) => Array.from(text, (c) => `&#${c.charCodeAt(0)}`).join(""),
  "percent of UTF-16": (text) => Array.from(text, (c) => `%u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")
}

/** Where a server repeats it. */
const places: ReadonlyArray<readonly [name: string, answer: (text: string) => Server.Script]> = [
  ["message", (text) => Server.json({ error: `bad value ${text} given`, statusCode: 400 }, 400)],
  ["code", (text) => Server.json({ error: "no", code: text, message: "no" }, 404)],
  [
    "field",
    (text) => Server.json({ error: "Bad Request", message: `body/${text.replace(/\s/g, "+")} must be string` }, 400)
  ],
  ["state", (text) => Server.json({ error: `Session is ${text}` }, 409)],
  ["page", (text) => Server.text(`<html>${text}</html>`, 502)],
  ["raw body", (text) => Server.text(text, 500)],
  ["wait", (text) => Server.json({ error: text }, 429, { "retry-after": "900" })],
  ["redirect", (text) => Server.text("", 302, { location: `http://evil.test/${encodeURIComponent(text)}` })],
  ["request id", (text) => Server.json({ error: "no" }, 500, { "x-request-id": encodeURIComponent(text) })],
  [
    "content coding",
    (text) => Server.text("x", 200, { "content-encoding": /[\w.+, -]{1,80}/.exec(text)?.[0] ?? "x" })
  ],
  ["page as success", (text) => Server.text(`<html>${text}</html>`)],
  [
    "broken connection",
    (text) => () => Effect.fail(Object.assign(new Error(`invalid header ${text}`), { code: "EINVAL" }))
  ]
]

/** All runs of 12 characters of a text; a word of the escapes themselves is none. */
const runsOf = (text: string) =>
  Array.from({ length: Math.max(0, text.length - 11) }, (_, at) => text.slice(at, at + 12))

/** A value of a schema with a secret in each of its free texts, which are put into a list. */
const valueOf = (ast: SchemaAST.AST, path: string, secrets: Array<string>): unknown => {
  const secret = () => {
    const text = `CANARY ${path}: "9b\\${secrets.length}e/x&y"\n<\u00fc>`
    secrets.push(text)
    return text
  }
  switch (ast._tag) {
    case "String":
      return /visible|media type/.test(JSON.stringify(ast.checks ?? "")) ? "image/png" : secret()
    case "Number":
      return 1
    case "Boolean":
      return true
    case "Literal":
      return ast.literal
    case "Null":
      return null
    case "Union":
      return valueOf(ast.types.find(({ _tag }) => _tag !== "Undefined" && _tag !== "Null") ?? ast, path, secrets)
    case "Arrays":
      return (ast.rest ?? []).map((item) => valueOf(item, `${path}[]`, secrets))
    case "Objects":
      return {
        ...Object.fromEntries(ast.indexSignatures.map(({ type }) => ["NAME", valueOf(type, `${path}.*`, secrets)])),
        ...Object.fromEntries(
          ast.propertySignatures.map(({ name, type }) => [name, valueOf(type, `${path}.${String(name)}`, secrets)])
        )
      }
    default:
      if (/Redacted/.test(JSON.stringify(ast.annotations ?? ""))) return Redacted.make(secret())
      if (ast === SchemaAST.toType(Schema.DateTimeUtcFromString.ast)) return DateTime.makeUnsafe(0)
      return ast._tag === "Declaration" && JSON.stringify(ast.annotations ?? "").includes("Uint8Array")
        ? new TextEncoder().encode(secret())
        : secret()
  }
}

/** What is no secret, and must be in order for a request to be sent. */
const inOrder: Record<string, unknown> = {
  agent: "demo",
  agentName: "demo",
  cloneFrom: "v1",
  credentialId: "c1",
  filename: "a.txt",
  id: sessionId,
  initialAgent: "demo",
  messageId: sessionId,
  mimeType: "text/plain",
  model: "opus",
  name: "demo",
  path: "a/b.txt",
  resultId: sessionId,
  runA: sessionId,
  runB: sessionId,
  sessionId,
  targetPath: "a",
  type: "custom",
  versionNumber: 1
}

/** Every endpoint with a request that holds a secret in each of its fields. */
const endpoints = () => {
  const found: Array<{
    readonly name: string
    readonly fields: ReadonlyArray<string>
    readonly call: (api: AshApiClient["Service"]) => Effect.Effect<unknown, AshError>
  }> = []
  for (const [api, groups] of [["ash", AshApi.groups], ["hosted", HostedApi.groups]] as const) {
    for (const [group, { endpoints }] of Object.entries(groups)) {
      for (const [name, endpoint] of Object.entries(endpoints as Record<string, HttpApiEndpoint.Top>)) {
        const fields: Array<string> = []
        const value = (schema: Schema.Top | undefined, path: string) =>
          schema === undefined ? undefined : replaceInOrder(valueOf(SchemaAST.toType(schema.ast), path, fields), fields)
        const payload = [...(endpoint.payload?.values() ?? [])].flatMap(({ schemas }) => schemas)[0]
        const request = {
          params: value(endpoint.params, "params"),
          query: value(endpoint.query, "query"),
          payload: value(payload, "payload")
        }
        if (fields.length === 0) continue
        found.push({
          name: `${api}.${group}.${name}`,
          fields,
          call: (api) =>
            (Reflect.get(Reflect.get(api, group), name) as (request: object) => Effect.Effect<unknown, AshError>)(
              request
            )
        })
      }
    }
  }
  return found
}

const replaceInOrder = (value: unknown, fields: Array<string>): unknown => {
  if (Array.isArray(value)) return value.map((item) => replaceInOrder(item, fields))
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => {
      if (typeof field !== "string" || !(name in inOrder)) return [name, replaceInOrder(field, fields)]
      const index = fields.indexOf(field)
      if (index >= 0) fields.splice(index, 1)
      return [name, inOrder[name]]
    })
  )
}

describe("secrets", () => {
  promise("P15", "no secret reaches an error, a log or a span", { fast: 1, full: 1 }, () =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      let cases = 0
      const check = Effect.fnUntraced(function*(
        name: string,
        call: (ash: AshClient["Service"]) => Effect.Effect<unknown, unknown>,
        layer: Layer.Layer<AshServices, unknown>
      ) {
        cases += 1
        const leaks = found(yield* seenBy(Effect.flatMap(AshClient, call), layer))
        if (leaks.length > 0) failures.push(`${name}: ${leaks.join(" and ")}`)
      })
      const apiKey = Redacted.make(canary.key)
      for (const [name, script] of repeating) {
        for (const [index, call] of calls.entries()) {
          const server = Server.forTurns((request) =>
            request.method === "GET" && request.path.includes("?")
              ? Server.json({ messages: [] })()
              : script(request), { apiKey, retry: { times: 0 }, whenRateLimited: "fail" })
          yield* check(`${name}, call ${index}`, call, server.layer)
        }
      }
      for (const [index, call] of badInput.entries()) {
        yield* check(`bad input ${index}`, call, Server.make(Server.json({ session }), { apiKey }).layer)
      }
      for (const key of [`${canary.key}\r\nx: y`, `${canary.key} `, `${canary.key}\n`, `${canary.key}ü`]) {
        yield* check(
          "a key that is none",
          calls[0] ?? (() => Effect.void),
          Server.make(Server.lost, { apiKey: Redacted.make(key) }).layer
        )
      }
      return { cases, failures, note: "errors, causes, logs and spans of servers that repeat what they are sent" }
    }))

  promise(
    "P15",
    "no field of a request comes back, however it is spelled",
    { fast: 7, full: 1 },
    (step) =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        let cases = 0
        const spellingNames = Object.keys(spellings)
        for (const { call, fields, name } of endpoints()) {
          for (const [index, canary] of fields.entries()) {
            for (const [round, spelling] of spellingNames.entries()) {
              if ((round + index) % step !== 0) continue
              cases += 1
              const spelled = (spellings[spelling] ?? identity)(canary)
              const [place, answer] = places[(index + round) % places.length] ?? ["", () => Server.lost]
              const server = Server.make(answer(spelled), { retry: { times: 0 }, whenRateLimited: "fail" })
              const error = yield* Effect.flip(Effect.flatMap(AshApiClient, call)).pipe(Effect.provide(server.layer))
              const seen = error.message + JSON.stringify(error) + inspect(error, { depth: 20 })
              const leak = runsOf(spelled).find((run) => seen.includes(run))
              if (leak !== undefined || server.requests.length !== 1) {
                failures.push(`${name}, ${canary}, ${spelling}, ${place}: ${leak ?? "not sent"} in ${error.message}`)
              }
            }
          }
        }
        return { cases, failures, note: `${spellingNames.length} spellings, ${places.length} places` }
      })
  )

  promise(
    "P15",
    "no header, cookie or key comes back, in a span neither",
    { fast: 7, full: 1 },
    (step) =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        let cases = 0
        const headers = {
          "x-token": "CANARY-header-9c1d/\"2e",
          cookie: "session=CANARY-cookie-77aa; other=CANARY-cookie-88bb; short=hunter2",
          "x-auth": "Bearer CANARY-bearer-03fe"
        }
        const secrets = [
          canary.key,
          headers["x-token"],
          "CANARY-cookie-77aa",
          "CANARY-cookie-88bb",
          "CANARY-bearer-03fe"
        ]
        for (const secret of secrets) {
          for (const [spelling, spell] of Object.entries(spellings)) {
            for (const [index, [place, answer]] of places.entries()) {
              if ((index + spelling.length) % step !== 0) continue
              cases += 1
              const server = Server.make(answer(spell(secret)), {
                apiKey: Effect.succeed(Redacted.make(canary.key)),
                headers,
                retry: { times: 0 }
              })
              const call = Effect.flatMap(AshClient, (_) => _.sessions.list({ agent: "CANARY-agent-5e5e" }))
              const seen = yield* seenBy(call, server.layer)
              const leak = [...runsOf(spell(secret)), ...found(seen)].find((run) => seen.includes(run))
              if (leak !== undefined) failures.push(`${secret}, ${spelling}, ${place}: ${leak}`)
            }
          }
        }
        return { cases, failures }
      })
  )

  it.effect.each<readonly [name: string, said: string, told: string]>([
    [
      "words of an environment",
      "true is no value of DEBUG, nor is 8080 or text",
      "true is no value of DEBUG, nor is 8080 or text"
    ],
    ["an agent's name", "Agent \"weather-forecast-bot\" not found", "Agent \"weather-forecast-bot\" not found"],
    ["a short secret", "hunter2: refused (hunter2x, HUNTER2)", "<redacted>: refused (hunter2x, <redacted>)"],
    [
      "a number",
      "Rate limit exceeded, retry in 15 minutes",
      "Rate limit exceeded, retry in 15 minutes"
    ],
    [
      "a secret that is a number",
      "Rate limit exceeded, retry in 4111111111 seconds",
      "Rate limit exceeded, retry in <redacted> seconds"
    ],
    ["a sentence", "the prompt is too long: You are a help...", "the prompt is too long: <redacted>..."],
    ["an id", "credential cred_0123456789abcdef not found", "credential cred_0123456789abcdef not found"]
  ])("%s: a message stays readable", ([, said, told]) =>
    Effect.gen(function*() {
      const server = Server.make(Server.json({ error: said, statusCode: 400 }, 400))
      const error = yield* Effect.flatMap(AshClient, (_) =>
        _.sessions.create({
          agent: "weather-forecast-bot",
          credentialId: "cred_0123456789abcdef",
          extraEnv: { DEBUG: "true", PORT: "8080", FORMAT: "text", PASSWORD: "hunter2", CARD: "4111111111" },
          systemPrompt: "You are a helpful assistant."
        })).pipe(Effect.flip, Effect.provide(server.layer))
      assert.strictEqual(error.reason.message, `${told} (400)`)
      assert.strictEqual(error.reason.http?.body, JSON.stringify({ error: told, statusCode: 400 }))
    }))

  it.effect.each<readonly [name: string, call: (api: AshApiClient["Service"]) => Effect.Effect<unknown, AshError>]>([
    ["a new key", (_) => _.apiKeys.create({ payload: {} })],
    ["an agent", (_) => _.agents.get({ params: { name: "demo" } })],
    ["an agent's config", (_) => _.agents.getConfig({ params: { name: "demo" } })],
    ["a command's output", (_) => _.sessions.exec({ params: { id: sessionId }, payload: { command: "env" } })],
    ["logs", (_) => _.sessions.logs({ params: { id: sessionId }, query: {} })],
    ["messages", (_) => _.messages.list({ params: { id: sessionId }, query: {} })],
    ["credentials", (_) => _.credentials.list({})],
    ["a signed URL", (_) => _.hosted.getFileUrl({ params: { id: "f1" } })],
    ["a queue item", (_) => _.queue.get({ params: { id: sessionId } })]
  ])("%s: an answer that cannot be read is not told", ([, call]) =>
    Effect.gen(function*() {
      const secret = { key: "CANARY-new-key", url: ["CANARY-signed"], stdout: 1, env: "CANARY", text: "CANARY" }
      for (const status of [200, 201]) {
        const error = yield* Effect.flip(Effect.flatMap(AshApiClient, call)).pipe(
          Effect.provide(Server.make(Server.json(secret, status)).layer)
        )
        assert.strictEqual(error.reason._tag, "Undecodable")
        assert.deepStrictEqual(found(error.message + inspect(error, { depth: 20 })), [])
      }
    }))

  it.effect("the name that a server gives a file is not in the error of one that is too large", () =>
    Effect.gen(function*() {
      const answer: Server.Script = ({ headers }) =>
        Server.text("large", 200, { "content-disposition": `attachment; filename="${headers["authorization"]}"` })()
      const { layer } = Server.make(answer, { apiKey: Redacted.make(canary.key), responseLimits: { text: 1 } })
      const { reason } = yield* Effect.flatMap(AshClient, (_) => _.sessionFiles.readText(sessionId, "a")).pipe(
        Effect.flip,
        Effect.provide(layer)
      )
      assert.include(reason.message, "larger than the limit of 1 bytes")
      assert.deepStrictEqual(found(reason.message), [])
    }))

  it.effect("a server's text on files is shown without them, and on one line", () =>
    Effect.gen(function*() {
      const content = "CANARY-file: a line\nand \u202eanother one"
      const spelled = Object.values(spellings).map((spell) => spell(content))
      const files = [
        { path: "a.txt", written: true, size: 1 },
        ...spelled.map((text, index) => ({
          path: `b/${index}.txt`,
          written: false,
          error: `cannot\u001b[2J\nwrite ${text}`
        }))
      ]
      const error = yield* Effect.flatMap(
        AshClient,
        (_) => _.sessionFiles.write(sessionId, files.map(({ path }) => ({ path, content })))
      ).pipe(Effect.flip, Effect.provide(Server.make(Server.json({ files })).layer))
      const { reason } = error
      assert.isTrue(reason._tag === "FilesRefused")
      const seen = error.message + JSON.stringify(error)
      assert.deepStrictEqual(spelled.flatMap(runsOf).filter((run) => seen.includes(run)), [])
      assert.deepStrictEqual(
        reason._tag === "FilesRefused" ? reason.refused.map(({ path }) => path) : [],
        files.slice(1).map(({ path }) => path)
      )
      assert.match(error.message, /^[^\p{Cc}]*b\/0.txt \(cannot\\u001b\[2J\\nwrite/u)
    }))

  /** A text that is large enough to be sent in pieces, without two parts that are the same, of characters of two bytes. */
  const largeText = Array.from({ length: 150_000 }, (_, index) => `${(index * 7_919).toString(36)}é`).join("ü")
  const place = (bytes: number) =>
    new TextDecoder().decode(new TextEncoder().encode(largeText).subarray(0, bytes)).length

  it.effect.each<readonly [where: string, at: number]>([
    ["its start", 20],
    ["a place where a part ends that is looked through", place(98_304)],
    ["the next one", place(2 * 98_304)],
    ["the last one", place(10 * 98_304)],
    ["its end", largeText.length - 20]
  ])("a large file does not come back: %s", ([, at]) =>
    Effect.gen(function*() {
      const excerpt = largeText.slice(at - 8, at + 8)
      // Of UTF-16 in base64 or hex digits only what is ASCII is found, in a small file as well.
      const spelled = Object.entries(spellings).flatMap(([name, spell]) =>
        name.includes("UTF-16") ? [] : spell(excerpt)
      )
      const files = spelled.map((text) => ({ path: "a", written: false, error: `cannot write: ${text}` }))
      const error = yield* Effect.flatMap(
        AshClient,
        (_) => _.sessionFiles.write(sessionId, [{ path: "a", content: largeText }])
      ).pipe(Effect.flip, Effect.provide(Server.make(Server.json({ files })).layer))
      const seen = error.message + JSON.stringify(error)
      assert.deepStrictEqual(spelled.flatMap(runsOf).filter((run) => seen.includes(run)), [])
    }))

  it.effect("a large picture does not come back in base64", () =>
    Effect.gen(function*() {
      const picture = Uint8Array.from({ length: 1_000_000 }, (_, index) => (index * 2_654_435_761) >>> 21)
      const base64 = Buffer.from(picture).toString("base64")
      for (const at of [0, 131_072 - 8, 2 * 131_072 - 8, base64.length - 16]) {
        const excerpt = base64.slice(at, at + 16)
        const files = [{ path: "a", written: false, error: `cannot write ${excerpt}` }]
        const error = yield* Effect.flatMap(
          AshClient,
          (_) => _.sessionFiles.write(sessionId, [{ path: "a", content: picture }])
        ).pipe(Effect.flip, Effect.provide(Server.make(Server.json({ files })).layer))
        assert.include(error.message, "a (cannot write <redacted>)")
      }
    }))

  promise(
    "P15",
    "a redirect to another origin never carries the key",
    { fast: 3, full: 3 },
    () =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        for (const client of clientNames) {
          const here = yield* Server.listen
          const elsewhere = yield* Server.listen
          yield* Effect.forkChild(
            Effect.forever(Effect.map(Queue.take(here.exchanges), ({ response }) =>
              response.writeHead(307, { location: `${elsewhere.url}/api/sessions/${sessionId}` }).end()))
          )
          const layer = clients[client]({ url: here.url, apiKey: Redacted.make(canary.key), retry: { times: 0 } })
          const seen = yield* seenBy(
            Effect.flatMap(AshClient, (_) =>
              _.sessions.get(sessionId)),
            layer
          )
          if (found(seen).length > 0) failures.push(`${client}: in what is seen`)
          if (!seen.includes("redirects (307)")) failures.push(`${client}: followed, or not told`)
          if ((yield* Queue.size(elsewhere.exchanges)) > 0) failures.push(`${client}: sent to the other origin`)
        }
        return { cases: 3, failures }
      }),
    it.live
  )
})
