/** A run of an agent: what it is started with, what it results in, and the workflow that it is. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import * as Workflow from "effect/workflow/Workflow"
import { checkInput } from "../internal/request/failures.ts"
import { isDuration } from "../internal/request/options.ts"
import { AshError } from "../schema/AshError.ts"
import { BytesFromBase64 } from "../schema/Bytes.ts"
import { TokenUsage } from "../schema/ClaudeMessage.ts"
import { FilePath } from "../schema/Ids.ts"
import { MessageContent, SendMessageOptions } from "../schema/Message.ts"
import { CreateSessionRequest } from "../schema/Session.ts"
import { UsageScope } from "../schema/Turn.ts"
import { atMost, omittable } from "../schema/Wire.ts"
import {
  PlanFailed,
  ResultTooLarge,
  RunCancelled,
  RunRejected,
  TooManyAttempts,
  TurnOutcomeUnknown
} from "./RunErrors.ts"

/** A turn: what the agent is asked, and how. */
export interface Ask extends Schema.Schema.Type<typeof Ask> {}
export const Ask = Schema.TaggedStruct("Ask", {
  content: MessageContent,
  options: omittable(SendMessageOptions)
}).annotate({ identifier: "Ask" })

/** What a person reads or writes at an approval. What is too large for a driver to read would stop all runs of a database. */
const Remark = Schema.String.check(atMost(100_000))

/** A wait for an approval or a rejection, by the token that the run's status then has. */
export interface Approval extends Schema.Schema.Type<typeof Approval> {}
export const Approval = Schema.TaggedStruct("Approval", { message: Remark }).annotate({ identifier: "Approval" })

/** A wait for a time, which no process has to live through. */
export interface Sleep extends Schema.Schema.Type<typeof Sleep> {}
export const Sleep = Schema.TaggedStruct("Sleep", {
  duration: Schema.Duration.check(
    Schema.makeFilter((wait) => isDuration(wait) && Duration.toMillis(wait) <= 3_153_600_000_000, {
      expected: "a duration of 0 to 36,500 days"
    })
  )
}).annotate({ identifier: "Sleep" })

/** A step of a run. */
export type Step = typeof Step.Type
export const Step = Schema.Union([Ask, Approval, Sleep]).annotate({ identifier: "Step" })

/** A step as it is read back: what an earlier version let in is read by this one. */
export const StoredStep = Schema.Union([
  Ask,
  Schema.TaggedStruct("Approval", { message: Schema.String }),
  Schema.TaggedStruct("Sleep", { duration: Schema.Duration })
])

/** Makes a step, or throws its refusal. */
const made = <S extends Step>(operation: string, step: Schema.Schema<S>, input: unknown) =>
  Effect.runSync(checkInput(Schema.toType(step))(operation, input))

/** A turn, with options of its own. Throws an `AshError` for what is none, as the others do. */
export const ask = (content: MessageContent, options?: SendMessageOptions): Ask =>
  made("ask", Ask, { _tag: "Ask", content, options })

/** A wait for an approval of what the message tells. */
export const approval = (message: string): Approval => made("approval", Approval, { _tag: "Approval", message })

/** A wait for a time, of whole milliseconds. */
export const sleep = (duration: Duration.Input): Sleep =>
  made("sleep", Sleep, {
    _tag: "Sleep",
    duration: isDuration(duration)
      ? Duration.millis(Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(duration))))
      : Duration.negativeInfinity
  })

/**
 * A file to bring into the workspace before the first turn, as text or as bytes. It is kept in the database, so large ones
 * belong elsewhere.
 */
export interface BroughtFile extends Schema.Schema.Type<typeof BroughtFile> {}
export const BroughtFile = Schema.Struct({
  path: FilePath,
  /** Its text ... */
  content: omittable(Schema.String),
  /** ... or its bytes. Not a union: the binary form in which runners talk could not tell its members apart. */
  bytes: omittable(BytesFromBase64)
}).check(
  Schema.makeFilter(
    ({ bytes, content }: { readonly bytes?: unknown; readonly content?: unknown }) =>
      (bytes === undefined) !== (content === undefined),
    { expected: "a file with either content or bytes" }
  )
).annotate({ identifier: "BroughtFile" })

/**
 * What a run is started with. All of it lies in the database in the clear, so that keys belong to the layers of the
 * runners: `secrets` there. A later version of this package adds fields that may be absent, and no others.
 */
export interface AgentRunPayload extends Schema.Schema.Type<typeof AgentRunPayload> {}
export const AgentRunPayload = Schema.Struct({
  /** Names the run. The same id is the same run: started again, it is not run again. 1 to 200 characters, none of control. */
  id: Schema.String.check(Schema.isPattern(/^[^\p{C}]{1,200}$/u, { expected: "1 to 200 characters, none of control" })),
  agent: CreateSessionRequest.fields.agent.check(Schema.isPattern(/^[^\0]*$/, { expected: "a name without NUL" })),
  /** What is done one after the other; a text or blocks are a turn. Absent where a plan decides. */
  steps: omittable(Schema.Array(Schema.Union([MessageContent, Step]))),
  /** The name of the plan, of those that the runners have, that decides on each step by the turn before. */
  plan: omittable(Schema.String),
  /** What the plan is given. */
  input: omittable(Schema.Json),
  /** Settings of the session. Environment and MCP servers may hold keys: they come from `secrets` of the runners. */
  session: omittable(Schema.Struct(Struct.pick(CreateSessionRequest.fields, [
    "allowedTools",
    "betas",
    "credentialId",
    "disallowedTools",
    "initialAgent",
    "model",
    "permissionMode",
    "subagents",
    "systemPrompt"
  ]))),
  /** Files to bring into the workspace before the first turn. */
  files: omittable(Schema.Array(BroughtFile)),
  /** Paths of the files that the result names, which must be there behind the last turn. */
  collect: omittable(Schema.Array(FilePath)),
  /**
   * What to do where it is not known what became of a turn, as the process that was at it died, or it took too long:
   *
   * - `"fail"`: fail with `TurnOutcomeUnknown`.
   * - `"repeatTurn"`: ask the same in a fresh session, which has no memory of earlier turns and only the files brought in.
   * - `"repeatRun"`: begin again with the first step, in a fresh session.
   *
   * @default "fail"
   */
  whenUnknown: omittable(Schema.Literals(["fail", "repeatTurn", "repeatRun"]))
}).annotate({ identifier: "AgentRunPayload" })

/** What is known of a turn beside what was said: where it ran, and what it used. */
const turnFields = {
  /** The step of the run, from 0. */
  step: Schema.Int,
  /** How often a fresh session was needed before. */
  generation: Schema.Int,
  sessionId: Schema.String,
  /** The turn's messages are those of the session behind this sequence number ... */
  afterSequence: Schema.Finite,
  /** ... up to this one, where that is known. */
  lastSequence: omittable(Schema.Finite),
  usage: omittable(TokenUsage),
  /** US dollars: an estimate. */
  costUsd: omittable(Schema.Finite),
  usageScope: UsageScope,
  /** Whether its end was received, or read from what the server keeps, as the process that was at it had died. */
  how: Schema.Literals(["received", "reconciled"]),
  /** What the session lost before the turn, where it had to be resumed: a server pauses one that idles. */
  restarted: omittable(Schema.Struct({
    reason: Schema.String,
    lost: Schema.Array(Schema.String),
    mayBeLost: Schema.Array(Schema.String)
  }))
}

/** A turn of a run, without what was said. */
export interface RunTurnSummary extends Schema.Schema.Type<typeof RunTurnSummary> {}
export const RunTurnSummary = Schema.Struct(turnFields).annotate({ identifier: "RunTurnSummary" })

/** A turn of a run, as far as it is kept. */
export interface RunTurn extends Schema.Schema.Type<typeof RunTurn> {}
export const RunTurn = Schema.Struct({
  ...turnFields,
  text: Schema.String,
  /** Whether the text is cut: the server keeps all of it. */
  isPartial: Schema.Boolean,
  structuredOutput: omittable(Schema.Json)
}).annotate({ identifier: "RunTurn" })

/** A file that a run leaves: the server keeps it with the session, whose files stay readable after its end. */
export interface CollectedFile extends Schema.Schema.Type<typeof CollectedFile> {}
export const CollectedFile = Schema.Struct({
  sessionId: Schema.String,
  path: Schema.String,
  /** Bytes, where the server reports it. */
  size: omittable(Schema.Finite)
}).annotate({ identifier: "CollectedFile" })

/** What a run results in. */
export interface RunResult extends Schema.Schema.Type<typeof RunResult> {}
export const RunResult = Schema.Struct({
  id: Schema.String,
  /** The text of the last turn. */
  text: Schema.String,
  /** Whether the text is cut. */
  isPartial: Schema.Boolean,
  /** The structured output of the last turn. */
  structuredOutput: omittable(Schema.Json),
  /** Tokens of all turns whose end is known, those of earlier generations too. */
  usage: TokenUsage,
  /** US dollars of the same: an estimate. */
  costUsd: Schema.Finite,
  /** The session of the last generation. It has ended. */
  sessionId: Schema.String,
  /** How many sessions it took: more than 1 where what became of a turn was not known. */
  generations: Schema.Int,
  /** The turns of the last generation, and where turns alone were repeated, those before. */
  turns: Schema.Array(RunTurnSummary),
  files: Schema.Array(CollectedFile)
}).annotate({ identifier: "RunResult" })

/** How a run fails. */
export type RunFailure = typeof RunFailure.Type
export const RunFailure = Schema.Union([
  AshError,
  TurnOutcomeUnknown,
  RunCancelled,
  RunRejected,
  TooManyAttempts,
  ResultTooLarge,
  PlanFailed
])

/**
 * The workflow. Its tag has the version of its payload and its activities. What the engine is given it gives back as it is:
 * where it could not read it, it would end the run by itself, and the row would not.
 */
export const AgentRun = Workflow.make("effect-ash/AgentRun/1", {
  payload: Schema.Struct({
    ...Record.map(AgentRunPayload.fields, () => omittable(Schema.Json)),
    id: Schema.String
  }),
  success: RunResult,
  error: RunFailure,
  idempotencyKey: ({ id }) => id
})

/** What an approval was decided to be, as it is read back. */
export type Decision = typeof Decision.Type
export const Decision = Schema.Union([
  Schema.TaggedStruct("Approved", { note: omittable(Schema.String) }),
  Schema.TaggedStruct("Rejected", { reason: Schema.String }),
  Schema.TaggedStruct("Cancelled", {})
])
