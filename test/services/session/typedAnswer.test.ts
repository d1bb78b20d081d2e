import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Stream from "effect/Stream"
import { inspect } from "node:util"
import { RequestOptions, type RequestOptionsInput } from "../../../src/client/RequestOptions.ts"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import * as Budget from "../../../src/functions/Budget.ts"
import * as AshEmbedded from "../../../src/layers/AshEmbedded.ts"
import { AnswerInvalid, InvalidRequest } from "../../../src/schema/Reasons.ts"
import type { SessionHandle, SessionHandleOptions } from "../../../src/services/SessionHandle.ts"
import { Sessions } from "../../../src/services/Sessions.ts"
import { result, sessionId } from "../../support/fixtures.ts"
import { accidents, make as makeMortal } from "../../support/mortalServer.ts"
import * as Server from "../../support/ScriptedServer.ts"
import * as Turns from "../../support/turns.ts"
import { withWarnings } from "../../support/warnings.ts"

const Person = Schema.Struct({ name: Schema.NonEmptyString, born: Schema.DateTimeUtcFromString })
const ada = { name: "Ada", born: "1815-12-10T00:00:00.000Z" }
const decoded = { name: "Ada", born: DateTime.makeUnsafe("1815-12-10T00:00:00.000Z") }

/** What an agent answers in one turn. */
type Reply = AgentScript.TurnResult

const inText = (result: string): Reply => ({ result })
const structured = (structuredOutput: Schema.Json): Reply => ({
  structuredOutput,
  cost: 0.25,
  usage: { input_tokens: 10 }
})
const fenced = (json: string) => inText(`Here it is:\n\n\`\`\`json\n${json}\n\`\`\`\n\nThat is all.`)

/** Runs it with an agent that answers its turns one after the other, and gives what it was asked. */
const withReplies = (
  replies: ReadonlyArray<Reply>,
  options?: SessionHandleOptions,
  ofLayer: Omit<AshEmbedded.AshEmbeddedOptions, "agents"> = {}
) =>
<A, E, R>(test: (session: SessionHandle) => Effect.Effect<A, E, R>) => {
  let turn = 0
  const script: AgentScript.AgentScript = () => Stream.make(AgentScript.finish(replies[turn++] ?? {}))
  return Effect.gen(function*() {
    const session = yield* (yield* Sessions).open({ agent: "extractor" }, options)
    const result = yield* test(session)
    return { result, asked: yield* (yield* AshEmbedded.AskedTurns).all }
  }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layer({ ...ofLayer, agents: { extractor: { script } } })))
}

const failing = (replies: ReadonlyArray<Reply>, retries?: number) =>
  Effect.map(
    withReplies(replies)((session) => Effect.flip(session.askAs(Person, "Who is it?", { retries }))),
    ({ asked, result }) => ({ asked, error: result, reason: result.reason })
  )

describe("a typed answer", () => {
  const found: ReadonlyArray<readonly [string, Reply, "structured_output" | "text"]> = [
    ["the structured output", structured(ada), "structured_output"],
    ["a text that is JSON", inText(` ${JSON.stringify(ada)}\n`), "text"],
    ["one code block in a text", fenced(JSON.stringify(ada, null, 2)), "text"],
    ["a code block without a language, by tildes", inText(`~~~\n${JSON.stringify(ada)}\n~~~`), "text"],
    ["a text, where the structured output is null", { structuredOutput: null, result: JSON.stringify(ada) }, "text"]
  ]
  const silent: ReadonlyArray<readonly [string, object]> = [
    ["has none", { result: undefined }],
    ["has null", { result: null }],
    ["has an empty one", { result: "" }],
    ["has a blank one", { result: " \n" }],
    ["has no text", { result: { text: "Ada" } }]
  ]
  it.effect.each(silent)("is decoded out of the text of the agent, where that of the result %s", ([, fields]) => {
    const says = { type: "assistant", message: { content: [{ type: "text", text: JSON.stringify(ada) }] } }
    const { layer } = Turns.serving(Turns.turnOf(Turns.start, ["message", says], Turns.result(fields), Turns.done))
    return Effect.gen(function*() {
      const session = yield* (yield* Sessions).open({ agent: "extractor" })
      const { from, value } = yield* session.askAs(Person, "Who is it?")
      assert.deepStrictEqual([value, from], [decoded, "text"])
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect.each(found)("is decoded out of %s", ([, reply, from]) =>
    Effect.gen(function*() {
      const { asked, result } = yield* withReplies([reply])((session) => session.askAs(Person, "Who is it?"))
      assert.deepStrictEqual(result.value, decoded)
      assert.strictEqual(result.from, from)
      assert.lengthOf(result.turns, 1)
      assert.deepInclude(asked[0]?.options.outputFormat, { type: "json_schema" })
    }))

  it.effect("of a schema that is no object is asked for as the value of one", () =>
    Effect.gen(function*() {
      const Years = Schema.Array(Schema.Int)
      const replies = [structured({ value: [1] }), fenced("[2]"), fenced(`{"value":[3]}`)]
      const { asked, result } = yield* withReplies(replies)((session) =>
        Effect.forEach(replies, () => session.askAs(Years, "Which years?"))
      )
      assert.deepStrictEqual(result.map(({ value }) => value), [[1], [2], [3]])
      assert.deepStrictEqual(result.map(({ from }) => from), ["structured_output", "text", "text"])
      assert.containSubset(asked[0]?.options.outputFormat?.schema, {
        type: "object",
        properties: { value: { type: "array" } },
        required: ["value"]
      })
    }))

  const corrected: ReadonlyArray<readonly [string, Reply, RegExp]> = [
    ["that does not match", structured({ name: "", born: "long ago" }), /not valid:\n- name: .*\n- born: Expected/],
    ["in prose", inText("Ada, born in 1815."), /without its structured output/],
    ["that is empty", inText(""), /without its structured output/],
    ["that was cut short", inText(`{"name":"Ada","bo`), /no complete JSON/],
    ["whose code block was cut short", inText("```json\n{\"name\":\"Ada\""), /no complete JSON/],
    ["of two code blocks", inText("```\n{}\n```\nor\n```\n{}\n```"), /without its structured output/]
  ]
  it.effect.each(corrected)("%s is asked for again, with what is wrong", ([, reply, told]) =>
    Effect.gen(function*() {
      const { asked, result } = yield* withReplies([reply, structured(ada)])((session) =>
        session.askAs(Person, "Who is it?")
      )
      assert.deepStrictEqual(result.value, decoded)
      assert.lengthOf(result.turns, 2)
      assert.match(asked[1]?.prompt ?? "", told)
      assert.deepStrictEqual(asked[1]?.options.outputFormat, asked[0]?.options.outputFormat)
      assert.strictEqual(asked[1]?.session.id, asked[0]?.session.id)
    }))

  it.effect("that never matches fails with its turns, their cost and its issues, and shows no value", () =>
    Effect.gen(function*() {
      const wrong = structured({ name: "TOP-SECRET", born: "TOP-SECRET" })
      const { asked, error, reason } = yield* failing([wrong, wrong, wrong], 2)
      assert.instanceOf(reason, AnswerInvalid)
      assert.lengthOf(asked, 3)
      assert.strictEqual(error.operation, "SessionHandle.askAs")
      assert.deepInclude(reason, { kind: "Mismatch", costUsd: 0.75 })
      assert.deepStrictEqual(reason.issues.map(({ path }) => path), [["born"]])
      assert.lengthOf(Redacted.value(reason.turns), 3)
      assert.deepStrictEqual(Redacted.value(reason.answer), { name: "TOP-SECRET", born: "TOP-SECRET" })
      for (const printed of [inspect(error), JSON.stringify(error), String(error)]) {
        assert.notInclude(printed, "TOP-SECRET")
        assert.include(printed, "born")
      }
    }))

  const kinds: ReadonlyArray<readonly [string, Reply, AnswerInvalid["kind"], Schema.Json]> = [
    ["prose", inText("Ada."), "Absent", "Ada."],
    ["JSON that is cut short", inText("{\"na"), "NotJson", "{\"na"],
    ["a code block that is no JSON", fenced("{name}"), "NotJson", fenced("{name}").result ?? ""]
  ]
  it.effect.each(kinds)("that is %s has its kind", ([, reply, kind, answer]) =>
    Effect.gen(function*() {
      const { asked, reason } = yield* failing([reply], 0)
      assert.instanceOf(reason, AnswerInvalid)
      assert.strictEqual(reason.kind, kind)
      assert.strictEqual(Redacted.value(reason.answer), answer)
      assert.lengthOf(asked, 1)
    }))

  it.effect("of more levels than can be decoded does not match", () =>
    Effect.gen(function*() {
      interface Tree {
        readonly below: ReadonlyArray<Tree>
      }
      const Tree: Schema.Codec<Tree> = Schema.Struct({
        below: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
      })
      const deep = inText("{\"below\":[".repeat(50_000) + "]}".repeat(50_000))
      const { result } = yield* withReplies([deep, deep])((session) => Effect.flip(session.askAs(Tree, "Which tree?")))
      assert.deepInclude(result.reason, { kind: "Mismatch" })
    }))

  it.effect("with a key of any length is asked for again", () =>
    Effect.gen(function*() {
      const Counts = Schema.Record(Schema.String, Schema.Int)
      const replies = [structured({ ["x".repeat(600_000)]: 0.5 }), structured({ x: 1 })]
      const { result } = yield* withReplies(replies)((session) => session.askAs(Counts, "How many?"))
      assert.deepStrictEqual(result.value, { x: 1 })
    }))

  it.effect("is not asked for again where the turn did not end with success", () =>
    Effect.gen(function*() {
      for (const end of [{ subtype: "error_max_budget_usd" }, { isError: true, result: "no credit" }]) {
        const { asked, reason } = yield* failing([end], 5)
        assert.strictEqual(reason._tag, "TurnUnsuccessful")
        assert.lengthOf(asked, 1)
      }
    }))

  it.effect("keeps the turns before a new try that did not end with success", () =>
    Effect.gen(function*() {
      const { reason } = yield* failing([structured({ name: "Ada" }), { subtype: "error_max_budget_usd", cost: 1 }])
      assert.instanceOf(reason, AnswerInvalid)
      assert.deepInclude(reason, { kind: "Mismatch", costUsd: 1.25 })
      assert.deepStrictEqual(Redacted.value(reason.turns).map(({ outcome }) => outcome._tag), [
        "Success",
        "MaxBudgetUsd"
      ])
    }))

  it.effect("a check or a transformation of one's own puts no value into an issue", () =>
    Effect.gen(function*() {
      const Odd = Schema.Struct({
        a: Schema.String.check(Schema.makeFilter((text: string) => `${text} is bad`, { toJsonSchema: () => ({}) })),
        b: Schema.fromJsonString(Schema.Finite),
        c: Schema.Record(Schema.String, Schema.Finite)
      })
      const { result } = yield* withReplies([structured({ a: "SECRET", b: "SECRET", c: { SECRET: "SECRET" } })])((
        session
      ) => Effect.flip(session.askAs(Odd, "x", { retries: 0 })))
      assert.instanceOf(result.reason, AnswerInvalid)
      assert.notInclude(result.message, "SECRET")
      assert.notInclude(result.reason.issues.map(({ message }) => message).join(), "SECRET")
      assert.deepStrictEqual(result.reason.issues.map(({ path }) => path), [["a"], ["b"], ["c", "SECRET"]])
    }))

  it.effect("has in its issues what its schema says of itself", () =>
    Effect.gen(function*() {
      const members = [Schema.Struct({ x: Schema.optionalKey(Schema.String) }), Schema.Struct({})]
      const Odd = Schema.Struct({
        a: Schema.Tuple([Schema.String]),
        b: Schema.Union(members, { mode: "oneOf" }).annotate({ message: "Expected one of two" }),
        c: Schema.Literals(["x", "y"]).annotate({ message: "Expected x or y" }),
        d: Schema.String.check(Schema.makeFilter(() => false, { toJsonSchema: () => ({}) }))
      })
      const { result } = yield* withReplies([structured({ a: ["x", "y"], b: {}, c: "z", d: "x" })])((session) =>
        Effect.flip(session.askAs(Odd, "x", { retries: 0 }))
      )
      assert.instanceOf(result.reason, AnswerInvalid)
      assert.deepStrictEqual(result.reason.issues, [
        { path: ["a", 1], message: "Expected no excess property" },
        { path: ["b"], message: "Expected one of two" },
        { path: ["c"], message: "Expected x or y" },
        { path: ["d"], message: "Expected a valid value" }
      ])
    }))

  const reported = { reportInput: true }
  const own: ReadonlyArray<readonly [string, (value: string) => SchemaIssue.Issue]> = [
    ["a message", (value) => new SchemaIssue.InvalidValue({ message: value })],
    ["what was expected, and the value", (value) => new SchemaIssue.InvalidValue({ message: value }, value, reported)],
    ["a refusal", (value) => new SchemaIssue.Forbidden({ message: value })],
    ["the type, and the value", (value) => new SchemaIssue.InvalidType(Schema.Finite.ast, value, reported)],
    ["a key", (value) => new SchemaIssue.UnexpectedKey(Schema.Finite.ast, value, reported)],
    ["a member", (value) => new SchemaIssue.OneOf(Schema.Union([Schema.Finite]).ast, [], value, reported)],
    ["a choice", (value) => new SchemaIssue.AnyOf(Schema.Literals(["x", "y"]).ast, [], value, reported)],
    ["a check", (value) => {
      const issue = new SchemaIssue.InvalidValue(undefined, value, reported)
      return new SchemaIssue.Filter(Schema.isNonEmpty(), issue, value, reported)
    }],
    ["a place", (value) => new SchemaIssue.Pointer(["at"], new SchemaIssue.Forbidden({ message: value }))]
  ]
  it.effect.each(own)(
    "a check or a transformation that reports %s puts no value into an issue",
    ([, issueOf]) =>
      Effect.gen(function*() {
        const check = Schema.makeFilter(issueOf, { toJsonSchema: () => ({}) })
        const Odd = Schema.Struct({
          a: Schema.String.check(check),
          b: Schema.String.pipe(Schema.decodeTo(Schema.String, {
            decode: SchemaGetter.fail<string, string>((text) => issueOf(Option.getOrElse(text, () => ""))),
            encode: SchemaGetter.passthrough()
          })),
          c: Schema.String.pipe(Schema.decodeTo(Schema.String, {
            decode: SchemaGetter.forbidden<string, string>((text) => `not ${Option.getOrElse(text, () => "")}`),
            encode: SchemaGetter.passthrough()
          }))
        })
        const { result } = yield* withReplies([structured({ a: "SECRET", b: "SECRET", c: "SECRET" })])((session) =>
          Effect.flip(session.askAs(Odd, "x", { retries: 0 }))
        )
        assert.instanceOf(result.reason, AnswerInvalid)
        assert.notInclude(JSON.stringify(result.reason.issues), "SECRET")
        assert.deepStrictEqual(result.reason.issues.map(({ path }) => path[0]), ["a", "b", "c"])
      })
  )

  it.effect("needs the services of its schema", () =>
    Effect.gen(function*() {
      class Countries extends Context.Service<Countries, ReadonlyMap<string, string>>()("test/Countries") {}
      const Country = Schema.String.pipe(Schema.decodeTo(Schema.String, {
        decode: SchemaGetter.transformEffect((code: string) =>
          Effect.map(Countries, (countries) => countries.get(code) ?? "")
        ),
        encode: SchemaGetter.passthrough()
      }))
      const Named = Schema.Struct({ country: Country })
      const { result } = yield* withReplies([structured({ country: "nl" })])((session) =>
        session.askAs(Named, "Which?").pipe(Effect.provideService(Countries, new Map([["nl", "Netherlands"]])))
      )
      assert.deepStrictEqual(result.value, { country: "Netherlands" })
    }))
})

describe("a new try", () => {
  it.effect.each(accidents.map((accident) => [accident] as const))(
    "is for the agent that gave the answer: with a session that is %s since, it is not sent, and nothing is restarted",
    ([accident]) => {
      const server = makeMortal({ retry: { times: 0 } })
      return Effect.gen(function*() {
        const handle = (yield* Sessions).attach(sessionId, { recovery: "restart" })
        const { reason } = yield* Effect.flip(handle.askAs(Person, `then ${accident}`))
        assert.instanceOf(reason, AnswerInvalid)
        assert.deepInclude(reason, { kind: "Absent" })
        assert.match(reason.message, /after 1 turn, and could not be corrected \(/)
        assert.isFalse(reason.nothingHappened)
        assert.isFalse(server.requests.some(({ path }) => path.endsWith("/resume")))
        assert.strictEqual((yield* handle.ask("next")).text, "You said: next")
      }).pipe(Effect.provide(server.layer))
    }
  )

  it.effect("is not sent where the session is restarted while the answer is decoded", () =>
    Effect.gen(function*() {
      const decoding = Latch.makeUnsafe()
      const decoded = Latch.makeUnsafe()
      const Slow = Schema.Struct({
        name: Schema.String.pipe(
          Schema.decode({
            decode: SchemaGetter.checkEffect(() =>
              Effect.as(Effect.andThen(decoding.open, decoded.await), "is not the name")
            ),
            encode: SchemaGetter.passthrough()
          })
        )
      })
      const { asked, result } = yield* withReplies([structured({ name: "Ada" })])((session) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Effect.flip(session.askAs(Slow, "Who?")))
          yield* decoding.await
          yield* session.cancel()
          yield* decoded.open
          return yield* Fiber.join(fiber)
        })
      )
      assert.lengthOf(asked, 1)
      assert.strictEqual(result.reason._tag, "AnswerInvalid")
      assert.match(result.message, /may have lost its memory/)
    }))

  it.effect("that breaks off fails as any turn does, and leaves the session fenced", () => {
    const answered = Server.sse(Server.frames(["message", result], ["done", { sessionId }]))
    const server = Server.forTurns(Server.inOrder(answered, Server.sse("")))
    return Effect.gen(function*() {
      const session = (yield* Sessions).attach(sessionId)
      const { reason } = yield* Effect.flip(session.askAs(Person, "Who is it?"))
      assert.strictEqual(reason._tag, "StreamTruncated")
      assert.isTrue(Option.isSome(yield* session.fence))
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("comes before whatever else waits for the session", () =>
    Effect.gen(function*() {
      const { asked } = yield* withReplies([inText("Ada."), structured(ada)])((session) =>
        Effect.all([
          session.askAs(Person, "Who is it?"),
          session.ask("And now?")
        ], { concurrency: "unbounded" })
      )
      assert.lengthOf(asked, 3)
      assert.match(asked[1]?.prompt ?? "", /structured output/)
      assert.strictEqual(asked[2]?.prompt, "And now?")
    }))

  it.effect("for which no budget is left is not sent, and the answer before it is what fails", () =>
    Effect.gen(function*() {
      const budget = yield* Budget.make({ tokens: 10 })
      const { asked, result } = yield* withReplies([structured({ name: 1 })], { budget })((session) =>
        Effect.flip(session.askAs(Person, "Who is it?", { retries: 3 }))
      )
      assert.lengthOf(asked, 1)
      assert.deepInclude(result.reason, { _tag: "AnswerInvalid", kind: "Mismatch", costUsd: 0.25 })
      assert.match(result.message, /budget of 10 tokens is used up/)
    }))

  it.effect("and the question count each in the budgets of the handle, with a share for each", () =>
    Effect.gen(function*() {
      const budget = yield* Budget.make({ usd: 1 })
      const { asked, result } = yield* withReplies([structured({}), structured(ada)], { budget })((session) =>
        Effect.andThen(session.askAs(Person, "Who is it?", { maxBudgetUsd: 0.6 }), session.spent)
      )
      assert.deepStrictEqual(asked.map(({ options }) => options.maxBudgetUsd), [0.6, 0.6])
      assert.deepInclude(result, { usd: 0.5, turns: 2 })
      assert.deepInclude(yield* budget.spent, { usd: 0.5, turns: 2 })
      assert.strictEqual(yield* budget.held, 0)
    }))
})

describe("a typed turn has an end:", () => {
  const bounded: ReadonlyArray<
    readonly [
      string,
      SessionHandleOptions,
      RequestOptionsInput,
      maxBudgetUsd: number | undefined,
      number | undefined
    ]
  > = [
    ["a budget of 1 USD by default", {}, {}, undefined, 1],
    ["the budget that is given", {}, { timeouts: { turn: "1 minute" } }, 0.5, 0.5],
    ["the time limit of the call", {}, { timeouts: { turn: "1 minute" } }, undefined, undefined],
    ["the time limit of the handle", { timeouts: { turn: "1 minute" } }, {}, undefined, undefined],
    [
      "a budget where the call switches the time limit off",
      { timeouts: { turn: "1 minute" } },
      {
        timeouts: { turn: "off" }
      },
      undefined,
      1
    ]
  ]
  it.effect("the time limit of the layer", () =>
    Effect.gen(function*() {
      const limited = withReplies([structured(ada)], {}, { timeouts: { turn: "1 minute" } })
      const { asked } = yield* limited((session) => session.askAs(Person, "Who is it?"))
      assert.isUndefined(asked[0]?.options.maxBudgetUsd)
    }))

  it.effect.each(bounded)("%s", ([, handle, request, maxBudgetUsd, sent]) =>
    Effect.gen(function*() {
      const { asked } = yield* withReplies([structured(ada)], handle)((session) =>
        session.askAs(Person, "Who is it?", { maxBudgetUsd })
      ).pipe(Effect.provideService(RequestOptions, request))
      assert.strictEqual(asked[0]?.options.maxBudgetUsd, sent)
    }))
})

describe("nothing is sent", () => {
  const refused: ReadonlyArray<readonly [string, Schema.ConstraintDecoder<unknown>, field: string, RegExp]> = [
    ["a pattern that gets no form", Schema.String.check(Schema.isPattern(/^a$/)), "schema.people[].x", /flag u/],
    [
      "a declared type",
      Schema.declare((input): input is Date => input instanceof Date),
      "schema.people[].x",
      /declared/
    ],
    ["a check of one's own", Schema.String.check(Schema.makeFilter(() => true)), "schema.people[].x", /toJsonSchema/],
    [
      "a key that is a symbol",
      Schema.Struct({ [Symbol.for("k")]: Schema.String }),
      "schema.people[].x[Symbol(k)]",
      /key/
    ]
  ]
  it.effect.each(refused)("for %s: its path and why", ([, x, field, why]) =>
    Effect.gen(function*() {
      const schema = Schema.Struct({ people: Schema.Array(Schema.Struct({ x })) })
      const { asked, result } = yield* withReplies([])((session) => Effect.flip(session.askAs(schema, "Who?")))
      assert.instanceOf(result.reason, InvalidRequest)
      assert.strictEqual(result.reason.field, field)
      assert.match(result.message, why)
      assert.isTrue(result.nothingHappened)
      assert.deepStrictEqual(asked, [])
    }))

  it.effect("for a number of retries that is none", () =>
    Effect.gen(function*() {
      for (const retries of [-1, 0.5, NaN]) {
        const { asked, reason } = yield* failing([], retries)
        assert.deepInclude(reason, { field: "retries" })
        assert.deepStrictEqual(asked, [])
      }
    }))
})

describe("an outputFormat by hand", () => {
  const asking = (outputFormat: { readonly type: string; readonly schema: Schema.JsonObject }) =>
    withWarnings(withReplies([structured(ada)])((session) => session.ask("Who is it?", { outputFormat })))

  it.effect("that servers ignore is warned of, by what they ignore it for", () =>
    Effect.gen(function*() {
      const schema = { type: "object", properties: { born: { type: "string", format: "date" } } }
      const { result: { result }, warnings } = yield* asking({ type: "json_schema", schema })
      assert.lengthOf(warnings, 1)
      assert.match(warnings[0] ?? "", /`format`.*\/schema\/properties\/born\/format/)
      assert.isUndefined(result.structuredOutput)
    }))

  it.effect("of any number of levels is sent, or refused by its name", () =>
    Effect.gen(function*() {
      const { layer } = Turns.serving(Turns.whole)
      const session = yield* Effect.provide(Effect.map(Sessions, (all) => all.attach(sessionId)), layer)
      for (const levels of [10, 300, 1000, 2000, 3000, 4000, 6000, 9000, 20_000]) {
        let schema: Schema.JsonObject = {}
        for (let level = 0; level < levels; level++) schema = { not: schema }
        const asked = session.ask("Who is it?", { outputFormat: { type: "json_schema", schema } })
        const { result } = yield* withWarnings(Effect.result(asked))
        if (Result.isFailure(result)) assert.instanceOf(result.failure.reason, InvalidRequest)
      }
    }))

  it.effect("that servers take is not", () =>
    Effect.gen(function*() {
      const { result: { result }, warnings } = yield* asking({ type: "json_schema", schema: { type: "object" } })
      assert.deepStrictEqual(warnings, [])
      assert.deepStrictEqual(result.structuredOutput, ada)
    }))
})
