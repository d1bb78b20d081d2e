/** The handlers of the group `evals` (docs/ash.md 3.4). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Option from "effect/Option"
import type {
  CreateEvalCaseRequest,
  ScoreEvalResultRequest,
  ScoreEvalRunRequest,
  StartEvalRunRequest,
  UpdateEvalCaseRequest
} from "../../schema/Eval.ts"
import { withoutUndefined } from "../../schema/Wire.ts"
import { AgentVersions } from "../store/AgentVersions.ts"
import { agentOf } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { type CaseRow, Evals, type ResultRow, type RunRow } from "../work/Evals.ts"
import { ServerApi } from "./ServerApi.ts"

export const EvalHandlers = HttpApiBuilder.group(ServerApi, "evals", (handlers) =>
  handlers
    .handle("importCases", ({ params, payload }) => importCases(params.name, payload.cases))
    .handle("exportCases", ({ params }) => listCases(params.name, {}))
    .handle("listCases", ({ params, query }) => listCases(params.name, query))
    .handle("createCase", ({ params, payload }) => createCase(params.name, payload))
    .handle("getCase", ({ params }) => Effect.bindTo(caseOf(params), "case"))
    .handle("updateCase", ({ params, payload }) => updateCase(params, payload))
    .handle("deleteCase", ({ params }) => deleteCase(params))
    .handle("compareRuns", ({ params, query }) => compareRuns(params.name, query))
    .handle("startRun", ({ params, payload }) => startRun(params.name, payload))
    .handle("listRuns", ({ params }) => listRuns(params.name))
    .handle("getRun", ({ params }) => Effect.bindTo(runOf(params), "run"))
    .handle("listResults", ({ params }) => listResults(params))
    .handle("scoreRun", ({ params, payload }) => scoreRun(params, payload))
    .handle("scoreResult", ({ params, payload }) => scoreResult(params, payload)))

/** The path of a case, a run or a result. */
interface ItemPath {
  readonly name: string
  readonly id: string
}

const importCases = Effect.fnUntraced(function*(agentName: string, cases: ReadonlyArray<CreateEvalCaseRequest>) {
  yield* agentOf(agentName)
  yield* Effect.forEach(cases, (fields) => addCase(agentName, fields))
  return { imported: cases.length }
})

const listCases = Effect.fnUntraced(function*(agentName: string, { category, isActive }: {
  readonly category?: string | undefined
  readonly isActive?: boolean | undefined
}) {
  const { cases } = yield* Evals
  const rows = yield* rowsOf(cases, agentName)
  return {
    cases: rows.filter((row) =>
      (category === undefined || row.category === category) &&
      (isActive === undefined || row.isActive === isActive)
    )
  }
})

const createCase = Effect.fnUntraced(function*(agentName: string, fields: CreateEvalCaseRequest) {
  yield* agentOf(agentName)
  return { case: yield* addCase(agentName, fields) }
})

const addCase = Effect.fnUntraced(function*(agentName: string, fields: CreateEvalCaseRequest) {
  const { cases } = yield* Evals
  const now = yield* DateTime.now
  return yield* cases.put({
    id: yield* Tables.newId,
    tenantId: yield* Tables.Tenant,
    agentName,
    question: fields.question,
    expectedTopics: fields.expectedTopics ?? null,
    expectedNotTopics: fields.expectedNotTopics ?? null,
    referenceAnswer: fields.referenceAnswer ?? null,
    category: fields.category ?? null,
    tags: fields.tags ?? null,
    chatHistory: fields.chatHistory ?? null,
    isActive: fields.isActive ?? true,
    createdAt: now,
    updatedAt: now
  })
})

const updateCase = Effect.fnUntraced(function*(path: ItemPath, fields: UpdateEvalCaseRequest) {
  const { cases } = yield* Evals
  const row = yield* caseOf(path)
  return { case: yield* cases.put({ ...row, ...withoutUndefined(fields), updatedAt: yield* DateTime.now }) }
})

const deleteCase = Effect.fnUntraced(function*(path: ItemPath) {
  const { cases } = yield* Evals
  const { id } = yield* caseOf(path)
  yield* cases.remove(id)
})

const compareRuns = Effect.fnUntraced(function*(name: string, ids: { readonly runA: string; readonly runB: string }) {
  const { cases, resultsOf, runs } = yield* Evals
  const runA = yield* itemOf(runs, { name, id: ids.runA }, "Eval run A not found")
  const runB = yield* itemOf(runs, { name, id: ids.runB }, "Eval run B not found")
  const [a, b] = [yield* resultsOf(runA.id), yield* resultsOf(runB.id)]
  const asked = yield* rowsOf(cases, name)
  const caseIds = new Set([...a, ...b].map(({ evalCaseId }) => evalCaseId))
  return {
    comparison: {
      runA,
      runB,
      results: Array.from(caseIds, (caseId) => ({
        caseId,
        question: asked.find(({ id }) => id === caseId)?.question ?? "",
        resultA: a.find(({ evalCaseId }) => evalCaseId === caseId) ?? null,
        resultB: b.find(({ evalCaseId }) => evalCaseId === caseId) ?? null
      }))
    }
  }
})

const startRun = Effect.fnUntraced(function*(agentName: string, request: StartEvalRunRequest) {
  const versions = yield* AgentVersions
  const { cases, runs } = yield* Evals
  const { versionNumber } = request
  const asked = (yield* rowsOf(cases, agentName)).filter(isAsked(request))
  if (versionNumber !== undefined && Option.isNone(yield* versions.find(agentName, versionNumber))) {
    return yield* Errors.notFound(`Agent version ${versionNumber} not found`)
  }
  const run = yield* runs.put({
    id: yield* Tables.newId,
    tenantId: yield* Tables.Tenant,
    agentName,
    versionNumber: versionNumber ?? null,
    status: "pending",
    totalCases: asked.length,
    completedCases: 0,
    summary: null,
    createdAt: yield* DateTime.now,
    startedAt: null,
    completedAt: null
  })
  yield* Effect.forEach(asked, ({ id }) => addResult(run, id))
  return { run }
})

/** Whether a run asks a case: an active one, of the categories and tags that the request names. */
const isAsked = ({ categories = [], tags = [] }: StartEvalRunRequest) => (row: CaseRow): boolean =>
  row.isActive &&
  (categories.length === 0 || (typeof row.category === "string" && categories.includes(row.category))) &&
  (tags.length === 0 || tags.some((tag) => row.tags?.includes(tag) === true))

/** Adds the result of a case that is still to be asked. */
const addResult = Effect.fnUntraced(function*({ createdAt, id: evalRunId, tenantId }: RunRow, evalCaseId: string) {
  const { results } = yield* Evals
  yield* results.put({
    id: yield* Tables.newId,
    tenantId,
    evalRunId,
    evalCaseId,
    agentResponse: null,
    topicScore: null,
    safetyScore: null,
    llmJudgeScore: null,
    humanScore: null,
    humanNotes: null,
    latencyMs: null,
    status: "pending",
    error: null,
    createdAt,
    completedAt: null
  })
})

const listRuns = Effect.fnUntraced(function*(agentName: string) {
  const { runs } = yield* Evals
  return { runs: (yield* rowsOf(runs, agentName)).toReversed() }
})

const listResults = Effect.fnUntraced(function*(path: ItemPath) {
  const { resultsOf } = yield* Evals
  const { id } = yield* runOf(path)
  return { results: yield* resultsOf(id) }
})

const scoreRun = Effect.fnUntraced(function*(path: ItemPath, { resultId, ...fields }: ScoreEvalRunRequest) {
  const { resultsOf } = yield* Evals
  const run = yield* runOf(path)
  yield* checkScore(fields)
  const rows = (yield* resultsOf(run.id)).filter(({ id }) => resultId === undefined || id === resultId)
  if (resultId !== undefined && rows.length === 0) return yield* Errors.notFound("Eval result not found in this run")
  const scored = yield* Effect.forEach(rows, (row) => score(row, fields))
  return { scored: scored.length, results: scored }
})

const scoreResult = Effect.fnUntraced(function*({ id, name }: ItemPath, fields: ScoreEvalResultRequest) {
  const { results } = yield* Evals
  yield* agentOf(name)
  const row = yield* Tables.orNotFound("Eval result not found")(results.find(id))
  yield* checkScore(fields)
  return { result: yield* score(row, fields) }
})

const checkScore = ({ humanNotes, humanScore }: ScoreEvalResultRequest) =>
  humanScore === undefined && humanNotes === undefined
    ? Effect.fail(Errors.badRequest("Provide humanScore and/or humanNotes"))
    : Effect.void

const score = Effect.fnUntraced(function*(result: ResultRow, fields: ScoreEvalResultRequest) {
  const { results } = yield* Evals
  const { humanNotes = result.humanNotes, humanScore = result.humanScore } = fields
  return yield* results.put({ ...result, humanNotes: humanNotes ?? null, humanScore: humanScore ?? null })
})

interface AgentRow extends Tables.Row {
  readonly agentName: string
}

/** The rows of an agent that is there, oldest first. */
const rowsOf = Effect.fnUntraced(function*<Row extends AgentRow>(table: Tables.Table<Row>, name: string) {
  yield* agentOf(name)
  return yield* table.where(({ agentName }) => agentName === name)
})

const itemOf = Effect.fnUntraced(function*<Row extends AgentRow>(
  table: Tables.Table<Row>,
  { id, name }: ItemPath,
  missing: string
) {
  yield* agentOf(name)
  return yield* Tables.orNotFound(missing)(
    Effect.map(table.find(id), Option.filter((row) => row.agentName === name))
  )
})

const caseOf = (path: ItemPath) => Evals.use(({ cases }) => itemOf(cases, path, "Eval case not found"))
const runOf = (path: ItemPath) => Evals.use(({ runs }) => itemOf(runs, path, "Eval run not found"))
