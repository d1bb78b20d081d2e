/** The handlers of the group `evals` (docs/ash.md 3.4). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { CreateEvalCaseRequest, EvalCase, ScoreEvalResultRequest, StartEvalRunRequest } from "../../schema/Eval.ts"
import { withoutUndefined } from "../../schema/Wire.ts"
import { agentOf, Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { Evals, type ResultRow } from "../work/Evals.ts"
import { ServerApi } from "./ServerApi.ts"

export const EvalHandlers = HttpApiBuilder.group(ServerApi, "evals", (handlers) =>
  Effect.gen(function*() {
    const { versions } = yield* Store
    const { cases, results, resultsOf, runs } = yield* Evals

    const caseOf = (path: ItemPath) => itemOf(cases, path, "Eval case not found")
    const runOf = (path: ItemPath) => itemOf(runs, path, "Eval run not found")

    const addCase = Effect.fnUntraced(function*(agentName: string, fields: CreateEvalCaseRequest) {
      const row = yield* Tables.newRow
      return yield* cases.put({
        ...row,
        agentName,
        question: fields.question,
        expectedTopics: fields.expectedTopics ?? null,
        expectedNotTopics: fields.expectedNotTopics ?? null,
        referenceAnswer: fields.referenceAnswer ?? null,
        category: fields.category ?? null,
        tags: fields.tags ?? null,
        chatHistory: fields.chatHistory ?? null,
        isActive: fields.isActive ?? true,
        updatedAt: row.createdAt
      })
    })

    const score = (result: ResultRow, fields: ScoreEvalResultRequest) => {
      const { humanNotes = result.humanNotes, humanScore = result.humanScore } = fields
      return results.put({ ...result, humanNotes: humanNotes ?? null, humanScore: humanScore ?? null })
    }

    return handlers.handleAll({
      importCases: Effect.fnUntraced(function*({ params: { name }, payload }) {
        yield* agentOf(name)
        yield* Effect.forEach(payload.cases, (fields) => addCase(name, fields))
        return { imported: payload.cases.length }
      }),
      exportCases: ({ params }) => Effect.bindTo(rowsOf(cases, params.name), "cases"),
      listCases: Effect.fnUntraced(function*({ params, query: { category, isActive } }) {
        const rows = yield* rowsOf(cases, params.name)
        return {
          cases: rows.filter((row) =>
            (category === undefined || row.category === category) &&
            (isActive === undefined || row.isActive === isActive)
          )
        }
      }),
      createCase: ({ params: { name }, payload }) =>
        Effect.andThen(agentOf(name), Effect.bindTo(addCase(name, payload), "case")),
      getCase: ({ params }) => Effect.bindTo(caseOf(params), "case"),
      updateCase: Effect.fnUntraced(function*({ params, payload }) {
        const row = yield* caseOf(params)
        return { case: yield* cases.put({ ...row, ...withoutUndefined(payload), updatedAt: yield* DateTime.now }) }
      }),
      deleteCase: ({ params }) => Effect.flatMap(caseOf(params), ({ id }) => Effect.asVoid(cases.remove(id))),
      compareRuns: Effect.fnUntraced(function*({ params: { name }, query }) {
        const runA = yield* itemOf(runs, { name, id: query.runA }, "Eval run A not found")
        const runB = yield* itemOf(runs, { name, id: query.runB }, "Eval run B not found")
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
      }),
      startRun: Effect.fnUntraced(function*({ params: { name: agentName }, payload }) {
        const { versionNumber } = payload
        const asked = (yield* rowsOf(cases, agentName)).filter(isAsked(payload))
        if (versionNumber !== undefined && (yield* versions.find(agentName, versionNumber)) === undefined) {
          return yield* Errors.notFound(`Agent version ${versionNumber} not found`)
        }
        const row = yield* Tables.newRow
        const run = yield* runs.put({
          ...row,
          agentName,
          versionNumber: versionNumber ?? null,
          status: "pending",
          totalCases: asked.length,
          completedCases: 0,
          summary: null,
          startedAt: null,
          completedAt: null
        })
        for (const { id: evalCaseId } of asked) {
          yield* results.put({
            ...row,
            id: yield* Tables.newId,
            evalRunId: run.id,
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
            completedAt: null
          })
        }
        return { run }
      }),
      listRuns: ({ params }) => Effect.map(rowsOf(runs, params.name), (rows) => ({ runs: rows.toReversed() })),
      getRun: ({ params }) => Effect.bindTo(runOf(params), "run"),
      listResults: ({ params }) => Effect.bindTo(Effect.flatMap(runOf(params), ({ id }) => resultsOf(id)), "results"),
      scoreRun: Effect.fnUntraced(function*({ params, payload: { resultId, ...fields } }) {
        const run = yield* runOf(params)
        yield* checkScore(fields)
        const rows = (yield* resultsOf(run.id)).filter(({ id }) => resultId === undefined || id === resultId)
        if (resultId !== undefined && rows.length === 0) {
          return yield* Errors.notFound("Eval result not found in this run")
        }
        const scored = yield* Effect.forEach(rows, (row) => score(row, fields))
        return { scored: scored.length, results: scored }
      }),
      scoreResult: Effect.fnUntraced(function*({ params: { id, name }, payload }) {
        yield* agentOf(name)
        const row = yield* Tables.orNotFound("Eval result not found")(results.find(id))
        yield* checkScore(payload)
        return { result: yield* score(row, payload) }
      })
    })
  }))

/** Whether a run asks a case: an active one, of the categories and tags that the request names. */
const isAsked = ({ categories = [], tags = [] }: StartEvalRunRequest) => (row: EvalCase): boolean =>
  row.isActive &&
  (categories.length === 0 || (typeof row.category === "string" && categories.includes(row.category))) &&
  (tags.length === 0 || tags.some((tag) => row.tags?.includes(tag) === true))

const checkScore = ({ humanNotes, humanScore }: ScoreEvalResultRequest) =>
  humanScore === undefined && humanNotes === undefined
    ? Effect.fail(Errors.badRequest("Provide humanScore and/or humanNotes"))
    : Effect.void

interface ItemPath {
  readonly name: string
  readonly id: string
}

interface OfAgent {
  readonly id: string
  readonly agentName: string
}

/** The rows of an agent that is there, oldest first. */
const rowsOf = <Item extends OfAgent>(table: Tables.Table<Item>, name: string) =>
  Effect.andThen(agentOf(name), table.where(({ agentName }) => agentName === name))

const itemOf = <Item extends OfAgent>(table: Tables.Table<Item>, { id, name }: ItemPath, missing: string) =>
  Effect.andThen(
    agentOf(name),
    Tables.orNotFound(missing)(Effect.map(table.find(id), (row) => row?.agentName === name ? row : undefined))
  )
