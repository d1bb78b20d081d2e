/** A prompt whose answer is a value of a schema: asked for as structured output, and once more where it is none. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { failure } from "../../internal/request/operations.ts"
import { checked, count, optionsOf, refusal } from "../../internal/request/options.ts"
import { printable } from "../../internal/request/printable.ts"
import { type Answer, answerReader, type Fault } from "../../internal/turn/answer.ts"
import { answerSchema } from "../../internal/turn/answerSchema.ts"
import type { Remark } from "../../internal/turn/expressible.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { MessageContent, SendMessageOptions } from "../../schema/Message.ts"
import { AnswerInvalid } from "../../schema/Reasons.ts"
import type { Turn } from "../../schema/Turn.ts"
import type { HandleState } from "./handleState.ts"
import { ask, settingsOf, type Stay, stayIn } from "./handleTurn.ts"

/** Options of a prompt with a typed answer. */
export interface AskAsOptions extends Omit<SendMessageOptions, "outputFormat"> {
  /**
   * US dollars after which a turn ends with `error_max_budget_usd`. Each new try has as many of its own.
   *
   * @default 1, unless the call, the handle or the layer has a time limit for turns, `timeouts.turn`
   */
  readonly maxBudgetUsd?: number | undefined
  /** How often an answer that does not match is sent back with its mismatches, and asked for again. @default 1 */
  readonly retries?: number | undefined
}

/** A typed answer. */
export interface TypedAnswer<A> extends Answer<A> {
  /** The turns that it took, oldest first. */
  readonly turns: ReadonlyArray<Turn>
}

const operation = "SessionHandle.askAs"

/** The others are of the message, and refused with it. */
const rules = optionsOf<Pick<AskAsOptions, "retries">>({ retries: count(0) })

/** US dollars. A turn with structured output can go on for ever, whatever its `maxTurns` (docs/ash.md 3.6). */
const defaultBudget = 1

const refused = ({ field, text }: Remark) =>
  refusal(operation, field, `${field} cannot be asked for: ${text}. Nothing was sent`)

/** The budget of a turn, which has one unless it has a time limit. */
const budgetOf = (handle: HandleState, { maxBudgetUsd }: AskAsOptions) =>
  Effect.map(
    settingsOf(handle, operation),
    ({ turn: limits }) => maxBudgetUsd === undefined && !Duration.isFinite(limits.turn) ? defaultBudget : maxBudgetUsd
  )

const fieldOf = (path: ReadonlyArray<string | number>) =>
  path.map((key) => Predicate.isNumber(key) ? `[${key}]` : `.${key}`).join("").replace(/^\./, "") || "the whole"

/** Characters of an issue that the agent receives: a key of its answer may be long. */
const sizeOfIssue = 500

/** The message by which an answer is asked for again. */
const correction = ({ issues, kind }: Fault, isWrapped: boolean): string => {
  if (kind === "Mismatch") {
    const list = issues.map(({ message, path }) =>
      `- ${fieldOf(isWrapped ? ["value", ...path] : path)}: ${message}`.slice(0, sizeOfIssue)
    )
    return `Your structured answer is not valid:\n${list.join("\n")}\nGive it once more, corrected. Do no other work.`
  }
  const what = kind === "Absent" ? "came without its structured output" : "is no complete JSON"
  return `Your answer ${what}. Give it once more, by calling the StructuredOutput tool. Do no other work.`
}

const namedPlaces = 3

/** The places that are wrong, by the names of the schema: other names are the agent's words. */
const places = ({ issues }: Fault, names: ReadonlySet<string>) => {
  const named = issues.slice(0, namedPlaces).map(({ path }) =>
    printable(fieldOf(path.map((key) => Predicate.isNumber(key) || names.has(key) ? key : "*")))
  )
  return named.join(", ") + (issues.length > namedPlaces ? " and more" : "")
}

const isJson = Schema.is(Schema.Json)

/** An answer as JSON; null where it has more levels than can be looked at. */
const jsonOf = (answer: unknown): Schema.Json =>
  Result.getOrElse(Result.try(() => isJson(answer) ? answer : null), () => null)

const costOf = (turns: ReadonlyArray<Turn>): number | undefined =>
  turns.reduce<number | undefined>(
    (sum, { costUsd }) => sum === undefined || costUsd === undefined ? undefined : sum + costUsd,
    0
  )

const invalid = (
  handle: HandleState,
  fault: Fault,
  turns: ReadonlyArray<Turn>,
  names: ReadonlySet<string>,
  notCorrected: AshError | undefined = undefined
) => {
  const what = {
    Absent: "the agent gave no answer in the form of the schema",
    NotJson: "the answer of the agent is no complete JSON",
    Mismatch: `the answer of the agent does not match the schema, at ${places(fault, names)}`
  }
  return failure(operation, AnswerInvalid, {
    message: `${what[fault.kind]}, after ${turns.length === 1 ? "1 turn" : `${turns.length} turns`}` +
      `${notCorrected === undefined ? "" : `, and could not be corrected (${notCorrected.reason.message})`}. ` +
      "`answer` has its text; describe the fields in the schema, or allow more `retries`",
    sessionId: handle.id,
    kind: fault.kind,
    issues: fault.issues,
    answer: Redacted.make(jsonOf(fault.answer), { label: "the answer" }),
    turns: Redacted.make(turns, { label: "the turns" }),
    costUsd: costOf(turns)
  })
}

/** Whether a turn that failed has come to its end. */
const hasEnded = ({ reason }: AshError): boolean => reason._tag === "TurnUnsuccessful" || reason._tag === "TurnFailed"

/** Asks for a value of a schema. All tries are one stay, as a new one is for an agent that remembers the one before. */
export const askAs = <S extends Schema.Constraint>(
  handle: HandleState,
  schema: S,
  content: MessageContent,
  options: AskAsOptions | undefined
): Effect.Effect<TypedAnswer<S["Type"]>, AshError, S["DecodingServices"]> =>
  Effect.scopedWith(Effect.fnUntraced(function*(scope) {
    yield* checked(operation, rules, options)
    const { retries = 1, ...sendOptions } = options ?? {}
    const { isWrapped, json, names } = yield* Effect.mapError(Effect.fromResult(answerSchema(schema)), refused)
    const read = answerReader(schema, isWrapped)
    const maxBudgetUsd = yield* budgetOf(handle, sendOptions)
    const outputFormat = { type: "json_schema", schema: json }
    const here = yield* stayIn(scope, handle, operation)
    const attempt = (content: MessageContent, stay: Stay) =>
      ask(handle, { operation, content, options: { ...sendOptions, maxBudgetUsd, outputFormat }, stay })

    let turn = yield* attempt(content, here)
    const { memory: { restarts } } = yield* here.gate
    let turns: ReadonlyArray<Turn> = [turn]
    let answer = yield* read(turn)
    for (let left = retries; Result.isFailure(answer) && left > 0; left--) {
      const fault = answer.failure
      const before = yield* handle.spending.spent
      turn = yield* Effect.catch(
        attempt(correction(fault, isWrapped), { ...here, restarts }),
        (error) =>
          Effect.flatMap(handle.spending.spent, (after) => {
            const isSent = after.turns !== before.turns
            if (isSent && !hasEnded(error)) return Effect.fail(error)
            // What there is to report is the answer, and what it cost.
            const partial = isSent && error.partialTurn !== undefined ? [error.partialTurn] : []
            return Effect.fail(invalid(handle, fault, [...turns, ...partial], names, error))
          })
      )
      turns = [...turns, turn]
      answer = yield* read(turn)
    }
    if (Result.isFailure(answer)) return yield* invalid(handle, answer.failure, turns, names)
    return { ...answer.success, turns }
  }))
