/** What goes out of any schema compiles as servers compile it, and takes what the schema encodes. */
import { assert, describe, it } from "@effect/vitest"
import { Ajv } from "ajv"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { answerSchema } from "../../../src/internal/turn/answerSchema.ts"

type Codec = Schema.Codec<any, any>

const leaves = {
  text: Schema.String,
  nonEmpty: Schema.NonEmptyString,
  long: Schema.String.check(Schema.isMinLength(3), Schema.isMaxLength(9)),
  trim: Schema.Trim,
  trimmed: Schema.Trimmed.check(Schema.isMinLength(2)),
  pattern: Schema.String.check(Schema.isPattern(/^[a-zé]{2,5}$/u)),
  uuid: Schema.String.check(Schema.isUUID()),
  beginning: Schema.String.check(Schema.isStartingWith("a-b/c")),
  template: Schema.TemplateLiteral(["v-", Schema.Finite, "/", Schema.Literals(["a", "b"])]),
  number: Schema.Number,
  describedNumber: Schema.Number.check(Schema.isGreaterThan(3)).annotate({ description: "more than three" }),
  finite: Schema.Finite.check(Schema.isBetween({ minimum: -5, maximum: 5 })),
  tens: Schema.Int.check(Schema.isMultipleOf(10)),
  int: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
  int32: Schema.Int.check(Schema.isInt32()),
  finiteFromText: Schema.FiniteFromString.check(Schema.isLessThan(1000)),
  bigint: Schema.BigInt,
  bigintFromText: Schema.BigIntFromString,
  boolean: Schema.Boolean,
  literal: Schema.Literal("x"),
  literals: Schema.Literals(["a", 1, true]),
  enumeration: Schema.Enum({ A: "a", B: 2 }),
  null: Schema.Null,
  undefined: Schema.Undefined,
  json: Schema.Json,
  unknown: Schema.Unknown,
  date: Schema.Date,
  dateTime: Schema.DateTimeUtc,
  dateTimeFromText: Schema.DateTimeUtcFromString.annotate({ description: "the day of birth" }),
  duration: Schema.Duration,
  url: Schema.URL,
  bytes: Schema.Uint8ArrayFromBase64,
  redacted: Schema.Redacted(Schema.String),
  fromJson: Schema.fromJsonString(Schema.Struct({ a: Schema.Finite })),
  symbol: Schema.Symbol,
  set: Schema.ReadonlySet(Schema.FiniteFromString),
  map: Schema.ReadonlyMap(Schema.String, Schema.Finite),
  hashSet: Schema.HashSet(Schema.String),
  option: Schema.Option(Schema.Date),
  optionFromNull: Schema.OptionFromNullOr(Schema.Finite),
  result: Schema.Result(Schema.String, Schema.Finite),
  empty: Schema.Struct({}),
  brand: Schema.String.pipe(Schema.brand("Name")),
  annotated: Schema.String.annotate({ format: "email", title: "T", description: "an address", examples: ["a@b"] }),
  unique: Schema.Array(Schema.Finite).check(Schema.isUnique(), Schema.isMaxLength(4)),
  keyed: Schema.Record(Schema.TemplateLiteral(["k-", Schema.String]), Schema.Finite),
  limited: Schema.Record(Schema.String, Schema.Finite).check(Schema.isMaxProperties(3)),
  withRest: Schema.StructWithRest(Schema.Struct({ a: Schema.Finite }), [Schema.Record(Schema.String, Schema.Finite)]),
  own: Schema.String.check(
    Schema.makeFilter((text: string) => text.length < 100, { toJsonSchema: () => ({ description: "a short text" }) })
  )
} satisfies Record<string, Codec>

const refused = {
  pattern: Schema.String.check(Schema.isPattern(/^a*$/)),
  patternOfNoUnicode: Schema.String.check(Schema.isPattern(/^a{$/)),
  ownPattern: Schema.String.check(Schema.makeFilter(() => true, { toJsonSchema: () => ({ pattern: "\\-" }) })),
  names: Schema.Record(Schema.String, Schema.Finite).check(
    Schema.isPropertyNames(Schema.String.check(Schema.isPattern(/^a/)))
  ),
  own: Schema.String.check(Schema.makeFilter(() => true)),
  ownOfNewerDraft: Schema.String.check(
    Schema.makeFilter(() => true, { toJsonSchema: () => ({ unevaluatedProperties: false }) })
  ),
  behind: Schema.Trim.check(Schema.makeFilter(() => true)),
  declared: Schema.declare((input): input is Date => input instanceof Date),
  symbolKey: Schema.Struct({ [Symbol.for("key")]: Schema.String }),
  prototype: Schema.Struct({ ["__proto__"]: Schema.String }),
  uniqueSymbol: Schema.UniqueSymbol(Symbol("local"))
} satisfies Record<string, Schema.Constraint>

interface Tree {
  readonly value: unknown
  readonly children: ReadonlyArray<Tree>
}

/** What schemas are put together by. */
const composites = {
  struct: (a: Codec, b: Codec): Codec => Schema.Struct({ a, "b c": Schema.optionalKey(b) }),
  optional: (a: Codec, b: Codec): Codec => Schema.Struct({ a: Schema.optional(a), b: Schema.NullOr(b) }),
  list: (a: Codec): Codec => Schema.Array(a).check(Schema.isMaxLength(3)),
  nonEmptyList: (a: Codec): Codec => Schema.NonEmptyArray(a),
  tuple: (a: Codec, b: Codec): Codec => Schema.Tuple([a, Schema.optionalKey(b)]),
  rest: (a: Codec, b: Codec): Codec => Schema.TupleWithRest(Schema.Tuple([a]), [b]),
  record: (a: Codec): Codec => Schema.Record(Schema.String, a),
  union: (a: Codec, b: Codec): Codec =>
    Schema.Union([Schema.TaggedStruct("A", { a }), Schema.TaggedStruct("B", { b })]),
  named: (a: Codec): Codec => Schema.Struct({ a }).annotate({ identifier: "A/B ~c%", description: "named" }),
  class: (a: Codec, b: Codec): Codec => class Thing extends Schema.Class<Thing>("Thing")({ a, b }) {},
  recursive: (value: Codec): Codec => {
    const tree: Schema.Codec<Tree, any> = Schema.Struct({
      value,
      children: Schema.Array(Schema.suspend((): Schema.Codec<Tree, any> => tree))
    }).annotate({ identifier: "Tree" })
    return tree
  },
  renamed: (a: Codec): Codec => Schema.Struct({ a }).pipe(Schema.encodeKeys({ a: "the a" }))
}

const names = <Name extends string>(table: Record<Name, unknown>) =>
  Arbitrary.map(Arbitrary.schema(Schema.Literals(Object.keys(table))), (name) => name as Name)

const leaf: Arbitrary.Arbitrary<Codec> = Arbitrary.map(names(leaves), (name) => leaves[name])

/** Schemas of so many levels. */
const schemas = (depth: number): Arbitrary.Arbitrary<Codec> =>
  depth === 0 ? leaf : Arbitrary.map(
    Arbitrary.all([names(composites), schemas(depth - 1), schemas(depth - 1)]),
    ([name, a, b]) => composites[name](a, b)
  )

const compile = (json: object) => new Ajv({ allErrors: true, logger: false }).compile(json)

const encoded = Effect.fnUntraced(function*(schema: Codec) {
  const sampled = yield* Effect.result(
    Effect.suspend(() => Arbitrary.sampleEffect(Arbitrary.schema(schema), { count: 3 }))
  )
  const values = Result.getOrElse(sampled, () => [])
  const encode = Schema.encodeEffect(Schema.toCodecJson(schema))
  return yield* Effect.forEach(values, (value) => encode(value))
})

/** Holds that a schema is taken, and with it what it encodes, which decodes to the same. */
const holds = Effect.fnUntraced(function*(schema: Codec) {
  const { isWrapped, json } = yield* Effect.fromResult(answerSchema(schema))
  const validate = compile(json)
  assert.strictEqual(json["type"], "object")
  assert.notMatch(JSON.stringify(json), /"(?:format|prefixItems|\$defs|\$schema)":/)
  const codec = Schema.toCodecJson(schema)
  const values = yield* encoded(schema)
  for (const value of values) {
    const answer: unknown = JSON.parse(JSON.stringify(isWrapped ? { value } : value))
    assert.isTrue(
      validate(answer),
      `${JSON.stringify(answer)} ${JSON.stringify(json)} ${JSON.stringify(validate.errors)}`
    )
    const again = yield* Schema.encodeEffect(codec)(yield* Schema.decodeUnknownEffect(codec)(value))
    assert.deepStrictEqual(again, value)
  }
  return values.length
})

describe("the JSON schema of an answer", () => {
  it.effect("takes each multiple of a fraction", () =>
    Effect.gen(function*() {
      const Price = Schema.Finite.check(Schema.isMultipleOf(0.01))
      const { json } = yield* Effect.fromResult(answerSchema(Price))
      const validate = compile(json)
      for (const value of [0.07, 1.13, 4.35]) {
        assert.strictEqual(yield* Schema.decodeEffect(Price)(value), value)
        assert.isTrue(validate({ value }))
      }
      assert.include(JSON.stringify(json), "a multiple of 0.01")
    }))

  it.effect.each(Object.entries(leaves))(
    "of %s is taken by servers, and takes what is encoded",
    ([, schema]) =>
      Effect.gen(function*() {
        assert.isAbove(yield* holds(schema), 0)
      })
  )

  it.effect.prop(
    "of any schema is taken by servers, and takes what is encoded",
    { schema: schemas(2) },
    ({ schema }) => holds(schema)
  )

  it.effect.prop(
    "is refused by its path, wherever it is",
    { name: names(refused), within: names(composites), further: names(composites), other: leaf },
    ({ further, name, other, within }) =>
      Effect.sync(() => {
        const schema = composites[further](composites[within](refused[name] as Codec, other), other)
        const failure = Option.getOrThrow(Result.getFailure(answerSchema(schema)))
        assert.match(failure.field, /^schema[.[]/)
        assert.match(failure.text, /\. (?:Give|Take|Rename)/)
      })
  )

  it("has in words what stands behind a transformation", () => {
    const schema = Schema.Struct({
      people: Schema.Array(Schema.Struct({
        born: Schema.DateTimeUtcFromString.annotate({ description: "the birthday" }),
        age: Schema.Number.check(Schema.isGreaterThan(3))
      })),
      first: Schema.Date,
      second: Schema.Date
    })
    const { json } = Result.getOrThrow(answerSchema(schema))
    assert.deepStrictEqual(String(json["description"]).split("; "), [
      "people[].born: the birthday",
      "people[].born: as ISO 8601, such as 2026-01-31T12:00:00Z",
      "first: as ISO 8601, such as 2026-01-31T12:00:00Z",
      "second: as ISO 8601, such as 2026-01-31T12:00:00Z",
      "people[].age: a value greater than 3"
    ])
  })

  it("has `format` in the description, and keeps what servers check", () => {
    const schema = Schema.Struct({
      id: Schema.String.check(Schema.isUUID()),
      tags: Schema.NonEmptyArray(Schema.String)
    })
    const { json } = Result.getOrThrow(answerSchema(schema))
    assert.containSubset(json["properties"], { id: { description: "a UUID; format: uuid" }, tags: { minItems: 1 } })
  })

  it("has the definitions of a recursive schema, whose root is an object itself", () => {
    const { isWrapped, json } = Result.getOrThrow(answerSchema(composites.recursive(Schema.String)))
    assert.isFalse(isWrapped)
    assert.containSubset(json, {
      type: "object",
      properties: { children: { items: { $ref: "#/definitions/Tree" } } },
      definitions: { Tree: { type: "object" } }
    })
  })

  it.each(["@org/Person", "people:Person", "a;,?&=+$!*'()#b", "~c% d", "é"])(
    "of an object is its own, whatever it is named, as %s",
    (identifier) => {
      const { isWrapped, json } = Result.getOrThrow(
        answerSchema(Schema.Struct({ name: Schema.String }).annotate({ identifier }))
      )
      assert.isFalse(isWrapped)
      assert.containSubset(json, { type: "object", properties: { name: { type: "string" } } })
    }
  )
})
