/** Arbitrary requests to every route: the server answers each, and fails only where the real one does. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import type * as HttpMethod from "effect/http/HttpMethod"
import * as Schema from "effect/Schema"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import * as Routes from "../../../src/embedded/http/Routes.ts"
import type { Rule } from "../../../src/embedded/http/Validation.ts"
import * as Quirks from "../../../src/embedded/Quirks.ts"
import { AshApi } from "../../../src/schema/AshApi.ts"
import { ask, at, open, textAt, withServer } from "../../support/embeddedServer.ts"

interface Endpoint {
  readonly method: HttpMethod.HttpMethod
  readonly path: string
}

const endpoints = Object.values(AshApi.groups).flatMap((group): ReadonlyArray<Endpoint> =>
  Object.values(group.endpoints)
)
const routes = Routes.make(Quirks.defaults)

/** The names that every object of JavaScript has. */
const inherited = ["constructor", "toString", "__proto__", "valueOf", "hasOwnProperty"]

/** Placeholders for what the server has: a session, a version, a case and so on. */
const known = [
  "@session",
  "@version",
  "@case",
  "@run",
  "@result",
  "@key",
  "@credential",
  "@attachment",
  "@item"
]

/** What stands for an id in a path, mostly. */
const ownOf = (path: string): ReadonlyArray<string> =>
  path.includes("/eval-cases/")
    ? ["@case"]
    : path.includes("/eval-runs/")
    ? ["@run"]
    : path.includes("/eval-results/")
    ? ["@result"]
    : path.includes("/versions/")
    ? ["@version", "1"]
    : path.includes("/api-keys/")
    ? ["@key"]
    : path.includes("/credentials/")
    ? ["@credential"]
    : path.startsWith("/api/attachments/")
    ? ["@attachment"]
    : path.startsWith("/api/queue/")
    ? ["@item"]
    : ["@session"]

const odd = [
  ...inherited,
  "",
  " ",
  ".",
  "..",
  "../..",
  "a/b/",
  "/etc/passwd",
  "a..b",
  "%",
  "%2e%2e",
  "\u0000",
  "ünï 💥",
  "x".repeat(101),
  "n".repeat(300),
  "0",
  "-1",
  "01",
  " 1",
  "1.5",
  "1e400",
  "Infinity",
  "99999999999999999999",
  "true",
  "demo",
  "CLAUDE.md",
  "2026-13-01",
  "2026-13-01T00:00:00Z",
  "2026-01-01T00:00:00+0530",
  "2016-12-31t23:59:60z",
  "00000000-0000-4000-8000-000000000000",
  "urn:uuid:00000000-0000-4000-8000-000000000000"
]

const among = (choices: ReadonlyArray<string>) => Arbitrary.schema(Schema.Literals(choices))
const words = among([...odd, ...known])
const texts = among([...odd, ...known, "\ud800", "💥".repeat(200), "[]", "{\"a\":1}"])
const scalars = Arbitrary.schema(
  Schema.Union([Schema.Literals([0, 1, -1, 2.5, 1e300, 4_294_967_296, true, false]), Schema.Null])
)
const chance = (...weights: ReadonlyArray<Arbitrary.Arbitrary<Schema.Json>>) =>
  Arbitrary.flatMap(
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: weights.length - 1 }))),
    (index) => weights[index] ?? scalars
  )

const recordOf = (
  fields: ReadonlyArray<readonly [string, Arbitrary.Arbitrary<Schema.Json>]>,
  required: ReadonlyArray<string> = []
) =>
  Arbitrary.map(
    Arbitrary.all(
      fields.map(([name, value]) => Arbitrary.all([Arbitrary.Constant(name), value, Arbitrary.schema(Schema.Boolean)]))
    ),
    (entries): Schema.Json =>
      Object.fromEntries(
        entries.flatMap(([name, value, isThere]) => isThere || required.includes(name) ? [[name, value]] : [])
      )
  )

/** Any JSON. Its keys are the names that every object has. */
const anything = (depth: number): Arbitrary.Arbitrary<Schema.Json> =>
  depth === 0 ? chance(texts, scalars) : chance(
    texts,
    scalars,
    Arbitrary.array(anything(depth - 1), { maxLength: 3 }),
    recordOf([...inherited, "a"].map((name) => [name, anything(depth - 1)]))
  )

/** JSON that follows a rule, or almost does. */
const near = (rule: Rule): Arbitrary.Arbitrary<Schema.Json> => {
  const wrong = anything(1)
  switch (rule.type) {
    case "either":
    case "oneOf":
      return chance(...rule.rules.map(near))
    case "null":
      return Arbitrary.Constant(null)
    case "string": {
      const right = rule.enum === undefined
        ? rule.format === "uuid"
          ? among(known)
          : texts
        : among(rule.enum)
      return chance(right, right, right, right, right, right, wrong)
    }
    case "array": {
      const list = Arbitrary.array(near(rule.items), { maxLength: 3 })
      return chance(list, list, near(rule.items))
    }
    case "object": {
      const fields = Object.entries(rule.properties ?? {}).map(([name, rule]) => [name, near(rule)] as const)
      const further = inherited.filter((name) => name !== "__proto__").map((name) =>
        [name, rule.others === undefined ? wrong : near(rule.others)] as const
      )
      return chance(recordOf([...fields, ...further], rule.required), recordOf(fields, rule.required))
    }
    default:
      return chance(scalars, scalars, texts, wrong)
  }
}

const encode = (text: string) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd"))

/** A segment of a path: mostly one that exists, else any. */
const segmentOf = (part: string, path: string) => {
  const mostly = part === ":name" ? ["demo"] : part === ":path" ? ["CLAUDE.md", "attachments/a"] : ownOf(path)
  return part.startsWith(":")
    ? among([...Array.from({ length: odd.length }, () => mostly).flat(), ...odd])
    : Arbitrary.Constant(part)
}

const requests = endpoints.map(({ method, path }) => {
  const key = `${method} ${path}`
  const { body, query } = routes.get(key) ?? {}
  const names = [
    ...Object.entries(query?.properties ?? {}),
    ...["constructor", "__proto__"].map((name) => [name, undefined] as const)
  ]
  return Arbitrary.map(
    Arbitrary.all({
      segments: Arbitrary.all(path.split("/").map((part) => segmentOf(part, path))),
      query: recordOf(names.map(([name, rule]) => [name, rule === undefined ? words : near(rule)])),
      body: body === undefined ? anything(1) : near(body),
      hasBody: Arbitrary.schema(Schema.Boolean),
      value: words
    }),
    ({ body, hasBody, query, segments, value }) => ({
      key,
      method,
      path: segments.map((segment) => segment.startsWith("@") ? segment : encode(segment)).join("/"),
      query: Object.entries(query ?? {}),
      body: method === "GET" || (!hasBody && !routes.get(key)?.body) ? undefined : body,
      headers: { "x-test": value.replace(/[^\x20-\x7e]/g, ""), "x-constructor": "__proto__" }
    })
  )
})

const one = Arbitrary.flatMap(
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: requests.length - 1 }))),
  (index) => requests[index] ?? Arbitrary.Constant(undefined)
)

/** Where the real server fails as well. */
const failures: ReadonlyArray<readonly [key: string, message: RegExp]> = [
  ["POST /api/sessions/:id/workspace", /^(Invalid bundle: not a gzip file|Failed to extract bundle)/],
  ["POST /api/sessions/:id/exec", /^Internal Server Error$/],
  ["POST /api/sessions/:id/messages", /^Sandbox not found$/],
  ["DELETE /api/agents/:name/files/:path", /^EISDIR/],
  ["POST /api/agents/:name/files", /^(EISDIR|ENOTDIR|EEXIST|ENAMETOOLONG|.*The argument 'path' must be)/],
  ["POST /api/agents", /^(EISDIR|ENOTDIR|EEXIST|ENAMETOOLONG|.*The argument 'path' must be)/],
  ["GET /api/attachments/:id", /^Invalid character in header content/]
]

/** What the server has, by its placeholders. */
const furnish = Effect.gen(function*() {
  const { id, path } = yield* open()
  const of = (path: string, json: Schema.JsonObject, ...where: ReadonlyArray<string>) =>
    Effect.map(ask("POST", path, { json }), ({ body }) => textAt(body, ...where))
  const attachment = yield* of(`${path}/attachments`, { filename: "a", content: "YQ==" }, "attachment", "id")
  const version = yield* of("/api/agents/demo/versions", {}, "version", "id")
  const question = yield* of("/api/agents/demo/eval-cases", { question: "q" }, "case", "id")
  const run = yield* of("/api/agents/demo/eval-runs", {}, "run", "id")
  const key = yield* of("/api/api-keys", {}, "id")
  const credential = yield* of("/api/credentials", { type: "custom", key: "k" }, "credential", "id")
  const results = yield* ask("GET", `/api/agents/demo/eval-runs/${run}/results`)
  const result = textAt(results.body, "results", 0, "id")
  const item = yield* of("/api/queue", { agentName: "demo", prompt: "p" }, "item", "id")
  const ids = [id, version, question, run, result, key, credential, attachment, item]
  return new Map(known.map((word, index) => [word, ids[index] ?? word]))
})

const fill = (text: string, things: ReadonlyMap<string, string>) =>
  text.replace(/@[a-z]+/g, (word) => things.get(word) ?? word)

describe("any request", () => {
  it.effect.prop(
    "is answered, and fails only where the real server fails",
    { batch: Arbitrary.array(one, { minLength: 20, maxLength: 20 }) },
    ({ batch }) =>
      Effect.gen(function*() {
        const things = yield* furnish
        for (const request of batch) {
          if (request === undefined) continue
          const query = request.query.map(([name, value]) =>
            `${encode(name)}=${encode(fill(typeof value === "string" ? value : JSON.stringify(value), things))}`
          )
          const url = `${fill(request.path, things)}?${query.join("&")}`
          const { body, status, text } = yield* ask(request.method, url, {
            headers: request.headers,
            ...(request.body === undefined ? {} : { text: fill(JSON.stringify(request.body), things) })
          })
          const message = String(at(body, "message") ?? at(body, "error"))
          const isKnown = failures.some(([key, pattern]) => key === request.key && pattern.test(message))
          if (status >= 500 && !isKnown) {
            assert.fail(`${request.method} ${url} ${JSON.stringify(request.body)} is ${status}: ${text}`)
          }
          assert.notInclude(text, "[native code]")
          assert.notInclude(text, "[object Object]")
          // The schemas of clients refuse nothing that passed the checks of the routes.
          assert.notInclude(text, "cannot be handled")
        }
      }).pipe(withServer({ script: AgentScript.echo })),
    { timeout: 120_000, arbitrary: { runs: 40, seed: 11, maxShrinks: 60 } }
  )
})

describe("the names that every object has", () => {
  for (const { method, path } of endpoints) {
    it.effect(`find nothing by ${method} ${path}`, () =>
      Effect.gen(function*() {
        yield* open()
        for (const name of inherited) {
          const url = path.replace(/:(\w+)/g, (_, param: string) => param === "name" ? "demo" : name)
          const other = path.replace(/:(\w+)/g, name)
          const fields = Object.keys(routes.get(`${method} ${path}`)?.query?.properties ?? {})
          const query = [...fields, ...inherited].map((field) => `${field}=${name}`).join("&")
          const headers = { "x-test": name, [name === "__proto__" ? "x-proto" : `x-${name}`]: name }
          for (const address of [url, other, `${url}?${query}`, `${other}?${name}`]) {
            for (const json of [undefined, { [name]: name }, { name, agent: name, [name]: {} }]) {
              if (method === "GET" && json !== undefined) continue
              const { status, text } = yield* ask(method, address, { headers, ...(json === undefined ? {} : { json }) })
              assert.isBelow(status, 500, `${method} ${address} ${JSON.stringify(json)}: ${text}`)
              assert.notInclude(text, "[native code]")
            }
          }
        }
      }).pipe(withServer({ script: AgentScript.echo })))
  }

  it.effect("are keys like others in what is stored by name", () =>
    Effect.gen(function*() {
      const names = inherited.filter((name) => name !== "__proto__")
      const named = Object.fromEntries(names.map((name) => [name, `its ${name}`]))
      yield* ask("POST", "/api/agents", { json: { name: "demo", env: named } })
      const { body } = yield* ask("GET", "/api/agents/demo")
      assert.deepStrictEqual(at(body, "agent", "env"), Object.fromEntries(names.map((name) => [name, "***"])))
      yield* ask("PATCH", "/api/agents/demo/config", { json: named })
      assert.deepStrictEqual((yield* ask("GET", "/api/agents/demo/config")).body, { config: named })
      for (const name of inherited) {
        assert.strictEqual((yield* ask("POST", "/api/agents", { json: { name } })).status, 201)
        assert.strictEqual(textAt((yield* ask("GET", `/api/agents/${name}`)).body, "agent", "name"), name)
        const session = yield* ask("POST", "/api/sessions", { json: { agent: name, extraEnv: { constructor: "c" } } })
        const path = `/api/sessions/${textAt(session.body, "session", "id")}`
        assert.strictEqual(
          (yield* ask("POST", `${path}/files`, { json: { files: [{ path: name, content: "eA==" }] } })).status,
          200
        )
        assert.strictEqual((yield* ask("GET", `${path}/files/${name}`)).text, "x")
        const { body } = yield* ask("POST", `${path}/exec`, { json: { command: "echo $constructor" } })
        assert.strictEqual(at(body, "stdout"), "c\n")
      }
    }).pipe(withServer()))
})
