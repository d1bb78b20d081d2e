/** Evals: questions to an agent, runs that ask them, and how its answers are scored. */
import * as Schema from "effect/Schema"
import { Uuid } from "./Ids.ts"
import { anyFields, atMost, nullish, objectInput, omittable, open, rowFields, Time } from "./Wire.ts"

/** A message of the conversation before a question. */
export interface ChatMessage extends Schema.Schema.Type<typeof ChatMessage> {}
export const ChatMessage = objectInput(
  Schema.StructWithRest(Schema.Struct({ role: Schema.String, content: Schema.String }), [anyFields])
).annotate({ identifier: "ChatMessage" })

/** A question to an agent, and what is expected of its answer. */
export interface EvalCase extends Schema.Schema.Type<typeof EvalCase> {}
export const EvalCase = Schema.Struct({
  ...rowFields,
  agentName: Schema.String,
  question: Schema.String,
  /** Texts that the answer should contain. */
  expectedTopics: nullish(Schema.Array(Schema.String)),
  /** Texts that the answer should not contain. */
  expectedNotTopics: nullish(Schema.Array(Schema.String)),
  referenceAnswer: nullish(Schema.String),
  category: nullish(Schema.String),
  tags: nullish(Schema.Array(Schema.String)),
  /** Kept, and never sent to the agent. */
  chatHistory: nullish(Schema.Array(ChatMessage)),
  /** Runs ask active cases only. */
  isActive: Schema.Boolean,
  updatedAt: Time
}).annotate({ identifier: "EvalCase" })

const texts = omittable(Schema.NullOr(Schema.Array(Schema.String)))
const text = omittable(Schema.NullOr(Schema.String))

const optionalFields = {
  expectedTopics: texts,
  expectedNotTopics: texts,
  referenceAnswer: text,
  category: text,
  tags: texts,
  chatHistory: omittable(Schema.NullOr(Schema.Array(ChatMessage))),
  isActive: omittable(Schema.Boolean)
}

/** The body of `POST /api/agents/:name/eval-cases`, and a case of an import. */
export interface CreateEvalCaseRequest extends Schema.Schema.Type<typeof CreateEvalCaseRequest> {}
export const CreateEvalCaseRequest = Schema.Struct({ question: Schema.NonEmptyString, ...optionalFields })
  .annotate({ identifier: "CreateEvalCaseRequest" })

/** The body of `PATCH /api/agents/:name/eval-cases/:id`. Null empties a field that may be empty. */
export interface UpdateEvalCaseRequest extends Schema.Schema.Type<typeof UpdateEvalCaseRequest> {}
export const UpdateEvalCaseRequest = Schema.Struct({
  question: omittable(Schema.NonEmptyString),
  ...optionalFields
}).annotate({ identifier: "UpdateEvalCaseRequest" })

/** The body of `POST /api/agents/:name/eval-runs`. */
export interface StartEvalRunRequest extends Schema.Schema.Type<typeof StartEvalRunRequest> {}
export const StartEvalRunRequest = Schema.Struct({
  /** Recorded with the run. It does not select the prompt, which is always that of the active version. */
  versionNumber: omittable(Schema.Int),
  /** Ask only cases of these categories. */
  categories: omittable(Schema.Array(Schema.String)),
  /** Ask only cases with one of these tags. */
  tags: omittable(Schema.Array(Schema.String))
}).annotate({ identifier: "StartEvalRunRequest" })

/** What the results of a run come to. Averages are over completed results, the pass rate is over all. */
export interface EvalRunSummary extends Schema.Schema.Type<typeof EvalRunSummary> {}
export const EvalRunSummary = Schema.Struct({
  avgTopicScore: Schema.Finite,
  avgSafetyScore: Schema.Finite,
  /** No known server judges by a model. */
  avgLlmJudgeScore: nullish(Schema.Finite),
  /** Milliseconds. */
  avgLatencyMs: Schema.Finite,
  /** 0 to 1. */
  passRate: Schema.Finite
}).annotate({ identifier: "EvalRunSummary" })

/** The state of a run. Open: a newer server may send others. */
export type EvalRunStatus = typeof EvalRunStatus.Type
export const EvalRunStatus = open(["pending", "running", "completed", "failed"])

/** A run of an agent's active cases. */
export interface EvalRun extends Schema.Schema.Type<typeof EvalRun> {}
export const EvalRun = Schema.Struct({
  ...rowFields,
  agentName: Schema.String,
  versionNumber: nullish(Schema.Finite),
  status: EvalRunStatus,
  totalCases: Schema.Finite,
  completedCases: Schema.Finite,
  /** Once the run is completed. */
  summary: nullish(EvalRunSummary),
  startedAt: nullish(Time),
  completedAt: nullish(Time)
}).annotate({ identifier: "EvalRun" })

/** An answer of an agent, and its scores. */
export interface EvalResult extends Schema.Schema.Type<typeof EvalResult> {}
export const EvalResult = Schema.Struct({
  ...rowFields,
  evalRunId: Schema.String,
  evalCaseId: Schema.String,
  agentResponse: nullish(Schema.String),
  topicScore: nullish(Schema.Finite),
  safetyScore: nullish(Schema.Finite),
  llmJudgeScore: nullish(Schema.Finite),
  /** 1 to 5. */
  humanScore: nullish(Schema.Finite),
  humanNotes: nullish(Schema.String),
  /** Milliseconds. */
  latencyMs: nullish(Schema.Finite),
  status: open(["pending", "running", "completed", "error"]),
  /** Why the question got no answer. */
  error: nullish(Schema.String),
  completedAt: nullish(Time)
}).annotate({ identifier: "EvalResult" })

const scoreFields = {
  /** 1 to 5. */
  humanScore: omittable(Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 5 }, { expected: "1 to 5" }))),
  /** At most 10,000 characters. */
  humanNotes: omittable(Schema.String.check(atMost(10_000)))
}

const hasScore = Schema.makeFilter(
  (score: { readonly humanScore?: unknown; readonly humanNotes?: unknown }) =>
    score.humanScore !== undefined || score.humanNotes !== undefined,
  { expected: "an object with humanScore, humanNotes or both" }
)

/** The body of `PATCH /api/agents/:name/eval-results/:id`: a person's score, notes, or both. */
export interface ScoreEvalResultRequest extends Schema.Schema.Type<typeof ScoreEvalResultRequest> {}
export const ScoreEvalResultRequest = Schema.Struct(scoreFields).check(hasScore)
  .annotate({ identifier: "ScoreEvalResultRequest" })

/** The body of `POST /api/agents/:name/eval-runs/:id/score`: scores one result of the run, or all of them. */
export interface ScoreEvalRunRequest extends Schema.Schema.Type<typeof ScoreEvalRunRequest> {}
export const ScoreEvalRunRequest = Schema.Struct({ resultId: omittable(Uuid), ...scoreFields }).check(hasScore)
  .annotate({ identifier: "ScoreEvalRunRequest" })

/** What was scored. */
export interface ScoredEvalResults extends Schema.Schema.Type<typeof ScoredEvalResults> {}
export const ScoredEvalResults = Schema.Struct({ scored: Schema.Finite, results: Schema.Array(EvalResult) })
  .annotate({ identifier: "ScoredEvalResults" })

/** A result whose fields must fit: one that is left out would count as a case that was not asked. */
const resultOfRun = Schema.optionalKey(Schema.NullOr(EvalResult))

/** Two runs side by side, case by case. */
export interface EvalComparison extends Schema.Schema.Type<typeof EvalComparison> {}
export const EvalComparison = Schema.Struct({
  runA: EvalRun,
  runB: EvalRun,
  results: Schema.Array(Schema.Struct({
    caseId: Schema.String,
    /** Empty where the case is gone. */
    question: Schema.String,
    resultA: resultOfRun,
    resultB: resultOfRun
  }))
}).annotate({ identifier: "EvalComparison" })
