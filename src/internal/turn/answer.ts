/** From a turn to the answer that it was asked for, decoded, or to what is wrong with it. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type { AnswerIssue } from "../../schema/AnswerIssue.ts"
import type { Turn } from "../../schema/Turn.ts"
import { jsonIn } from "./answerText.ts"

/** Where an answer was: in the structured output, or in the text. */
export type AnswerSource = "structured_output" | "text"

/** An answer. */
export interface Answer<A> {
  readonly value: A
  readonly from: AnswerSource
}

export interface Fault {
  readonly kind: "Absent" | "NotJson" | "Mismatch"
  readonly issues: ReadonlyArray<AnswerIssue>
  readonly answer: unknown
}

const issueLimit = 50

const expecting = (expected: unknown) => `Expected ${Predicate.isString(expected) ? expected : "a valid value"}`

/** What stands in the schema alone: what a check or a transformation makes may have the value in it. */
const messageOf = (issue: SchemaIssue.Leaf | SchemaIssue.Composite | SchemaIssue.AnyOf): string => {
  switch (issue._tag) {
    case "InvalidValue":
    case "Forbidden":
      return expecting(issue.annotations?.["expected"])
    case "MissingKey":
      return SchemaIssue.defaultLeafHook(issue)
    case "UnexpectedKey":
      return SchemaIssue.defaultLeafHook(new SchemaIssue.UnexpectedKey(issue.ast))
    case "OneOf":
      return SchemaIssue.defaultLeafHook(new SchemaIssue.OneOf(issue.ast, []))
    default:
      return SchemaIssue.defaultLeafHook(new SchemaIssue.InvalidType(issue.ast))
  }
}

const issuesIn = (issue: SchemaIssue.Issue, path: AnswerIssue["path"], said?: string): ReadonlyArray<AnswerIssue> => {
  switch (issue._tag) {
    case "Filter": {
      const { expected, message } = issue.filter.annotations ?? {}
      const own = issue.issue._tag === "InvalidValue" ? expecting(expected) : undefined
      return issuesIn(issue.issue, path, said ?? (Predicate.isString(message) ? message : own))
    }
    case "Encoding":
      return issuesIn(issue.issue, path, said)
    case "Pointer":
      return issuesIn(issue.issue, [...path, ...issue.path.filter((key) => !Predicate.isSymbol(key))], said)
    case "Composite":
    case "AnyOf":
      if (issue.issues.length > 0) return issue.issues.flatMap((inner) => issuesIn(inner, path, said))
  }
  return [{ path, message: said ?? messageOf(issue) }]
}

const mismatch = (answer: unknown, issues: ReadonlyArray<AnswerIssue>) =>
  Result.fail<Fault>({ kind: "Mismatch", issues, answer })

export const answerReader = <S extends Schema.Constraint>(schema: S, isWrapped: boolean) => {
  type Decoded = Effect.Effect<Result.Result<S["Type"], Fault>, never, S["DecodingServices"]>

  const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(schema), { errors: "all" })
  const bare = (json: unknown): Decoded =>
    Effect.match(decode(json), {
      onSuccess: Result.succeed,
      onFailure: ({ issue }) => mismatch(json, issuesIn(issue, []).slice(0, issueLimit))
    }).pipe(
      // JSON of so many levels, as a recursive schema allows, is more than can be decoded.
      Effect.catchDefect((defect) =>
        defect instanceof RangeError
          ? Effect.succeed(mismatch(json, [{ path: [], message: "Expected fewer levels" }]))
          : Effect.die(defect)
      )
    )

  const unwrapped = (json: unknown): Decoded =>
    Predicate.hasProperty(json, "value")
      ? bare(json.value)
      : Effect.succeed(mismatch(json, [{ path: [], message: "Expected an object with the field value" }]))

  /** In a text the answer may stand without the object around it. */
  const inText = (json: unknown): Decoded =>
    Effect.flatMap(
      unwrapped(json),
      (result) =>
        Result.isFailure(result) ? Effect.map(bare(json), Result.orElse(() => result)) : Effect.succeed(result)
    )

  return ({ result, structuredOutput, text: said }: Turn): Effect.Effect<
    Result.Result<Answer<S["Type"]>, Fault>,
    never,
    S["DecodingServices"]
  > => {
    const from = (source: AnswerSource) => Result.map((value: S["Type"]) => ({ value, from: source }))
    if (Predicate.isNotNullish(structuredOutput)) {
      return Effect.map((isWrapped ? unwrapped : bare)(structuredOutput), from("structured_output"))
    }
    const last = result?.result ?? ""
    const text = last.trim() === "" ? said : last
    const found = jsonIn(text)
    return Result.isSuccess(found)
      ? Effect.map((isWrapped ? inText : bare)(found.success), from("text"))
      : Effect.succeed(Result.fail({ kind: found.failure, issues: [], answer: text }))
  }
}
