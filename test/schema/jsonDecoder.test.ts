/** Fast decoders, and what endpoints decode by them, against Effect's decoder of the same schemas. */
import { assert, describe, it, vi } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import { inspect } from "node:util"
import * as Endpoint from "../../src/internal/request/endpoint.ts"
import { AshApi } from "../../src/schema/AshApi.ts"
import * as Messages from "../../src/schema/ClaudeMessage.ts"
import { HostedApi } from "../../src/schema/HostedApi.ts"
import { jsonDecoder } from "../../src/schema/jsonDecoder.ts"
import { StoredContent, StoredMessage } from "../../src/schema/Message.ts"
import { SessionEvent } from "../../src/schema/SessionEvent.ts"
import { nullish, Time } from "../../src/schema/Wire.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { session } from "../support/fixtures.ts"
import * as ScriptedServer from "../support/ScriptedServer.ts"

type Json = Schema.Json
type Codec = Schema.Codec<unknown>

const time = "2026-11-22T10:40:59.772Z"

const times = [
  time,
  "2026-11-22T10:40:59Z",
  "2026-11-22T10:40Z",
  "2026-11-22T10:40:59.77212Z",
  "2026-11-22T10:40:59.772z",
  "2026-11-22T10:40:59.772",
  "2026-11-22T10:40:59.772+02:00",
  "2026-11-22T10:40:59.772Z\n",
  " 2026-11-22T10:40:59.772Z",
  "2026-11-22 10:40:59.772Z",
  "2026-11-22",
  "Sun, 22 Nov 2026 10:40:59 GMT",
  "2026-11-31T00:00:00.000Z",
  "2026-02-29T00:00:00.000Z",
  "2024-02-29T00:00:00.000Z",
  "2026-02-28T23:59:59.999Z",
  "2026-00-22T10:40:59.772Z",
  "2026-13-22T10:40:59.772Z",
  "2026-11-00T10:40:59.772Z",
  "2026-11-22T24:00:00.000Z",
  "2026-11-22T25:00:00.000Z",
  "2026-11-22T10:60:00.000Z",
  "2026-11-22T10:40:60.000Z",
  "2026-11-22 10:40:59.772+00",
  "2026-11-22T10:40:59.7722",
  "2026-11-22T10:40:59-0800",
  "2026-1-22",
  "11-22-26",
  "2026-11-22 10:40:59 -08:00 (PST)",
  "1970-01-01T00:00:00.000Z",
  "1969-12-28T23:59:59.999Z",
  "0000-01-01T00:00:00.000Z",
  "0099-03-01T00:00:00.000Z",
  "+012026-11-22T10:40:59.772Z",
  "-000001-11-22T10:40:59.772Z",
  "٢٠٢٦-11-22T10:40:59.772Z",
  "now"
]

const values: ReadonlyArray<unknown> = [undefined, Number.NaN, ...times, "", "{}", null, true, 0, [], {}, [null], {
  extra: [null]
}]

/** JSON of a schema, in which everything is there, and each text is a time. */
const sample = (ast: SchemaAST.AST): Json => {
  switch (ast._tag) {
    case "String":
      return time
    case "Number":
      return 3
    case "Boolean":
      return true
    case "Literal":
      return String(ast.literal)
    case "Union":
      return sample(ast.types[0]!)
    case "Arrays":
      return [...ast.elements, ...ast.rest.flatMap((item) => item._tag === "Suspend" ? [] : [item, item])].map(sample)
    case "Objects":
      return Object.fromEntries([
        ...ast.propertySignatures.map(({ name, type }) => [name, sample(type)]),
        ...ast.indexSignatures.map(({ type }) => ["some", sample(type)])
      ])
    default:
      return { some: ["JSON"] }
  }
}

/** The JSON with one thing changed, for each thing and each change. */
const variants = function*(json: Json): Generator<unknown> {
  yield* values
  if (Array.isArray(json)) {
    for (const [index, item] of json.entries()) {
      for (const variant of variants(item)) yield json.map((other, at) => at === index ? variant : other)
    }
  } else if (typeof json === "object" && json !== null) {
    yield { ...json, extra: { more: [1] } }
    for (const [name, value] of Object.entries(json)) {
      yield Object.fromEntries(Object.entries(json).filter(([other]) => other !== name))
      for (const variant of variants(value)) yield { ...json, [name]: variant }
    }
  }
}

const freeze = <A>(value: A): A => {
  if (typeof value === "object" && value !== null) Object.values(Object.freeze(value)).forEach(freeze)
  return value
}

const isJson = Schema.is(Schema.Json)

const format = SchemaIssue.makeFormatterStandardSchemaV1()

const resultOf = Effect.match({
  onSuccess: (value: unknown) => ({ value }),
  onFailure: (error: unknown) => ({
    issues: Schema.isSchemaError(error) ? [error.message, format(error.issue)] : error
  })
})

/** Decodes an answer with that JSON as the endpoint that answers so. */
const answerDecoder = ({ ast }: Schema.Constraint) => {
  const { decode } = Endpoint.make({
    ...HttpApiEndpoint.get("answer", "/"),
    success: new Set([Schema.make<Codec>(ast)])
  }, Context.empty())
  const request = HttpClientRequest.get("http://localhost")
  return (json?: Json) => {
    const response = HttpClientResponse.fromWeb(request, new Response(JSON.stringify(json)))
    return decode({ response, headers: response.headers })
  }
}

/** Counts the variants that decode, and those that do not. */
const compare = Effect.fnUntraced(function*(schema: Codec, json = sample(SchemaAST.toEncoded(schema.ast))) {
  const read = jsonDecoder(schema)
  const answer = answerDecoder(schema)
  const ordinary = Schema.decodeUnknownEffect(schema)
  const counts = { valid: 0, invalid: 0 }
  for (const variant of [freeze(json), ...variants(json)]) {
    // An answer without a body is no JSON.
    if (!(variant === undefined || isJson(variant))) continue
    const result = yield* resultOf(ordinary(variant))
    const message = JSON.stringify(variant)
    assert.deepStrictEqual(read(variant), "value" in result ? Option.some(result.value) : Option.none(), message)
    assert.deepStrictEqual(yield* resultOf(answer(variant)), result, message)
    counts["value" in result ? "valid" : "invalid"] += 1
  }
  assert.isTrue(Option.isSome(read(json)))
  return counts
})

interface Declared {
  readonly identifier: string
  readonly success: ReadonlySet<Schema.Constraint>
}

const answers = Object.entries({ ...AshApi.groups, ...HostedApi.groups }).flatMap(([group, { endpoints }]) =>
  Object.values<Declared>(endpoints).flatMap(({ identifier, success }) =>
    [...success].flatMap(({ ast }) =>
      ast._tag === "Objects" ? [{ name: `${group}.${identifier}`, schema: Schema.make<Codec>(ast) }] : []
    )
  )
)

interface Tree {
  readonly at: DateTime.Utc
  readonly children: ReadonlyArray<Tree>
}

interface TreeJson {
  readonly at: string
  readonly children: ReadonlyArray<TreeJson>
}

const Tree = Schema.Struct({
  at: Time,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree, TreeJson> => Tree))
})

describe("the client", () => {
  it.effect("decodes what it gets without generating code, which some places forbid", () =>
    Effect.gen(function*() {
      const generate = vi.spyOn(globalThis, "Function")
      const { layer } = ScriptedServer.make(ScriptedServer.json({ sessions: [session] }))
      const [decoded] = yield* Effect.provide(Effect.flatMap(Sessions, (sessions) => sessions.list()), layer)
      assert.lengthOf(generate.mock.calls, 0)
      generate.mockRestore()
      assert.strictEqual(decoded?.lastActiveAt.epochMilliseconds, Date.parse(session.lastActiveAt))
    }))
})

describe("an endpoint decodes as Effect's decoder, and reports the same", () => {
  it("most answers of lists and single things", () => assert.isAbove(answers.length, 35))

  it.effect.each(answers)("the answer of $name", ({ schema }) =>
    Effect.gen(function*() {
      const { invalid, valid } = yield* compare(schema)
      assert.isAbove(valid, 0)
      assert.isAbove(invalid, 0)
    }))

  it.effect.each<readonly [string, Codec]>([
    [
      "a field that is not there, and gets a value",
      Schema.Struct({ at: Time.pipe(Schema.withDecodingDefaultKey(Effect.succeed(time))) })
    ],
    [
      "a check of what was decoded",
      Schema.Struct({ at: Time }).check(Schema.makeFilter(({ at }) => at.epochMilliseconds > 0))
    ],
    ["times by name", Schema.Struct({ at: Time, times: Schema.Record(Schema.String, Time) })],
    [
      "a text, and times",
      Schema.Struct({ at: Time, times: Schema.TupleWithRest(Schema.Tuple([Schema.String]), [Time]) })
    ],
    ["a number or a time", Schema.Struct({ at: Time, or: Schema.Union([Schema.Finite, Time]) })],
    ["a number, a time or null", Schema.Struct({ at: Time, or: Schema.Union([Schema.Finite, Schema.Null, Time]) })],
    ["any JSON", Schema.Json],
    ["a tree", Tree]
  ])("schemas that no answer has yet: %s", ([, schema]) =>
    Effect.gen(function*() {
      assert.isAbove((yield* compare(schema)).invalid, 0)
    }))
})

describe("messages decode as by Effect's decoder", () => {
  const { AssistantMessage, MessageBlock, PartialMessage, ResultMessage, SystemInit, UserMessage } = Messages

  it.effect.each<Codec>([
    AssistantMessage,
    MessageBlock,
    PartialMessage,
    ResultMessage,
    SystemInit,
    UserMessage,
    StoredMessage,
    Schema.Struct({ at: Schema.optionalKey(Time), tuple: Schema.Tuple([Schema.String]), or: Schema.NullOr(Time) }),
    Schema.Struct({ strict: Schema.optionalKey(Schema.String), byName: Schema.Record(Schema.String, Schema.Boolean) })
  ])("%#", (schema) =>
    Effect.gen(function*() {
      // A tag of the JSON's own is not read.
      const json: Json = JSON.parse(
        JSON.stringify(sample(SchemaAST.toEncoded(schema.ast)), (name, value) => name === "_tag" ? undefined : value)
      )
      assert.isAbove((yield* compare(schema, json)).valid, 1)
    }))
})

it.effect("what is valid is decoded once, and not anew by the ordinary decoder", () =>
  Effect.gen(function*() {
    let count = 0
    const decode = SchemaGetter.transform((text: string) => {
      count += 1
      return text
    })
    const schema = Schema.Array(Schema.Struct({
      counted: Schema.String.pipe(Schema.decodeTo(Schema.String, { decode, encode: decode })),
      at: Schema.Array(Time),
      endedAt: nullish(Time)
    }))
    const decoded = yield* answerDecoder(schema)([
      { counted: "a", at: [time, "2026-11-22", "2026-11-30T00:00:00.000Z"] },
      { counted: "b", at: [], endedAt: null, extra: true },
      { counted: "c", at: [], endedAt: time }
    ])
    assert.lengthOf(yield* Schema.decodeUnknownEffect(Schema.Array(Schema.Unknown))(decoded), 3)
    assert.strictEqual(count, 3)
  }))

describe("what is made of a schema that has a reader of its own is decoded as by Effect", () => {
  const makers: ReadonlyArray<readonly [name: string, make: (schema: Codec) => Codec, json: (json: Json) => Json]> = [
    ["itself", (schema) => schema, (json) => json],
    ["its JSON codec", Schema.toCodecJson, (json) => json],
    ["annotated", (schema) => schema.annotate({ title: "a" }), (json) => json],
    ["its text", Schema.fromJsonString, (json) => JSON.stringify(json)],
    ["its type", Schema.toType, (json) => json],
    [
      "another way to its type",
      (schema) =>
        Schema.Unknown.pipe(Schema.decodeTo(Schema.toType(schema), {
          decode: SchemaGetter.transform((json) =>
            Schema.decodeUnknownSync(schema)(Array.isArray(json) ? json[0] : json)
          ),
          encode: SchemaGetter.transform((value) => value)
        })),
      (json) => [json]
    ],
    ["flipped", Schema.flip, (json) => json]
  ]
  const row = { id: "e", sessionId: "s", type: "text", sequence: 1, createdAt: time }
  const contents = ["{\"type\":\"user\",\"content\":\"a\"}", { type: "user", content: ["a", null] }, "no JSON"]
  const rows = ["{\"text\":\"a\"}", { text: 1 }, null].map((data) => ({ ...row, data }))
  const schemas: ReadonlyArray<readonly [schema: Codec, jsons: ReadonlyArray<Json>]> = [
    [Schema.make<Codec>(StoredContent.ast), contents],
    [Schema.make<Codec>(SessionEvent.ast), rows]
  ]
  it.each(makers)("%s", (_, make, jsonOf) => {
    for (const [schema, jsons] of schemas) {
      const made = make(schema)
      const [read, decode] = [jsonDecoder(made), Schema.decodeUnknownOption(made)]
      for (const json of jsons.map(jsonOf)) assert.deepStrictEqual(read(json), decode(json), JSON.stringify(json))
    }
  })
})

describe("times", () => {
  it("of ten thousand years", () => {
    const decode = jsonDecoder(Schema.Array(Time))
    const first = Date.parse("0000-01-01T00:00:00.000Z")
    // Eleven days and some apart, so that each day of the year and each digit occurs.
    const times = Array.from({ length: 332_000 }, (_, index) => first + index * 950_412_345)
    const decoded = Option.getOrThrow(decode(times.map((time) => new Date(time).toISOString())))
    assert.strictEqual(decoded.findIndex((time, index) => time.epochMilliseconds !== times[index]), -1)
  })

  it("are those of Effect, whatever is done with them", () => {
    const { at } = Option.getOrThrow(jsonDecoder(Schema.Struct({ at: Time }))({ at: time }))
    const other = DateTime.makeUnsafe(time)
    assert.deepStrictEqual(at, other)
    assert.isTrue(Equal.equals(at, other) && Hash.hash(at) === Hash.hash(other) && DateTime.isUtc(at))
    const uses: ReadonlyArray<(at: DateTime.Utc) => unknown> = [
      inspect,
      JSON.stringify,
      String,
      DateTime.formatIso,
      DateTime.formatUtc,
      DateTime.toPartsUtc,
      (at) => DateTime.formatIso(DateTime.add(at, { months: 1 })),
      (at) => DateTime.formatIso(DateTime.startOf(at, "week")),
      (at) => DateTime.formatIsoZoned(DateTime.setZoneNamedUnsafe(at, "Europe/Berlin"))
    ]
    for (const use of uses) assert.deepStrictEqual(use(at), use(other))
  })
})
