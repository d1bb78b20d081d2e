/** The handlers of the group `evals` (docs/ash.md 3.4). */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Option from "effect/Option"
import type { CreateEvalCaseRequest, ScoreEvalResultRequest } from "../../schema/Eval.ts"
import { withoutUndefined } from "../../schema/Wire.ts"
import { AgentVersions } from "../store/AgentVersions.ts"
import { Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { type CaseRow, Evals, type ResultRow, type RunRow } from "../work/Evals.ts"
import { ServerApi } from "./ServerApi.ts"

const checkScore = ({ humanNotes, humanScore }: ScoreEvalResultRequest) =>
  humanScore === undefined && humanNotes === undefined
    ? Effect.fail(Errors.badRequest("Provide humanScore and/or humanNotes"))
    : Effect.void

interface Item {
  readonly name: string
  readonly id: string
}

export const EvalHandlers = HttpApiBuilder.group(
  ServerApi,
  "evals",
  Effect.fnUntraced(function*(handlers) {
    const store = yield* Store
    const versions = yield* AgentVersions
    const { cases, results, resultsOf, runs } = yield* Evals
    const random = yield* SecureRandom.SecureRandom

    /** The rows of an agent's table, oldest first. */
    const rowsOf = <Row extends { readonly id: string; readonly tenantId: string; readonly agentName: string }>(
      table: Tables.Table<Row>,
      name: string
    ) => Effect.map(table.all, (rows) => rows.filter(({ agentName }) => agentName === name))

    const itemOf = <Row extends { readonly id: string; readonly tenantId: string; readonly agentName: string }>(
      table: Tables.Table<Row>,
      { id, name }: Item,
      missing: string
    ) =>
      Effect.andThen(
        store.agent(name),
        Tables.orNotFound(missing)(Effect.map(table.find(id), Option.filter((row) => row.agentName === name)))
      )

    const runOf = (item: Item) => itemOf(runs, item, "Eval run not found")
    const caseOf = (item: Item) => itemOf(cases, item, "Eval case not found")

    const addCase = Effect.fnUntraced(function*(agentName: string, fields: CreateEvalCaseRequest) {
      const now = yield* DateTime.now
      const row: CaseRow = {
        id: yield* random.uuidV4(),
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
      }
      yield* cases.put(row)
      return row
    })

    const score = Effect.fnUntraced(function*(result: ResultRow, fields: ScoreEvalResultRequest) {
      const { humanNotes = result.humanNotes, humanScore = result.humanScore } = fields
      const scored: ResultRow = { ...result, humanNotes: humanNotes ?? null, humanScore: humanScore ?? null }
      yield* results.put(scored)
      return scored
    })

    return handlers
      .handle(
        "importCases",
        Effect.fnUntraced(function*({ params, payload }) {
          yield* store.agent(params.name)
          yield* Effect.forEach(payload.cases, (fields) => addCase(params.name, fields))
          return { imported: payload.cases.length }
        })
      )
      .handle(
        "exportCases",
        ({ params }) =>
          Effect.andThen(store.agent(params.name), Effect.map(rowsOf(cases, params.name), (cases) => ({ cases })))
      )
      .handle(
        "listCases",
        Effect.fnUntraced(function*({ params, query: { category, isActive } }) {
          yield* store.agent(params.name)
          const rows = yield* rowsOf(cases, params.name)
          return {
            cases: rows.filter((row) =>
              (category === undefined || row.category === category) &&
              (isActive === undefined || row.isActive === isActive)
            )
          }
        })
      )
      .handle(
        "createCase",
        Effect.fnUntraced(function*({ params, payload }) {
          yield* store.agent(params.name)
          return { case: yield* addCase(params.name, payload) }
        })
      )
      .handle("getCase", ({ params }) => Effect.map(caseOf(params), (row) => ({ case: row })))
      .handle(
        "updateCase",
        Effect.fnUntraced(function*({ params, payload }) {
          const row = { ...yield* caseOf(params), ...withoutUndefined(payload), updatedAt: yield* DateTime.now }
          yield* cases.put(row)
          return { case: row }
        })
      )
      .handle("deleteCase", ({ params }) => Effect.flatMap(caseOf(params), ({ id }) => cases.remove(id)))
      .handle(
        "compareRuns",
        Effect.fnUntraced(function*({ params: { name }, query }) {
          const runA = yield* itemOf(runs, { name, id: query.runA }, "Eval run A not found")
          const runB = yield* itemOf(runs, { name, id: query.runB }, "Eval run B not found")
          const [a, b] = yield* Effect.all([resultsOf(runA.id), resultsOf(runB.id)])
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
      )
      .handle(
        "startRun",
        Effect.fnUntraced(function*({ params: { name }, payload: { categories = [], tags = [], versionNumber } }) {
          yield* store.agent(name)
          if (versionNumber !== undefined && Option.isNone(yield* versions.find(name, versionNumber))) {
            return yield* Errors.notFound(`Agent version ${versionNumber} not found`)
          }
          const asked = (yield* rowsOf(cases, name)).filter((row) =>
            row.isActive &&
            (categories.length === 0 || (typeof row.category === "string" && categories.includes(row.category))) &&
            (tags.length === 0 || tags.some((tag) => row.tags?.includes(tag) === true))
          )
          const tenantId = yield* Tables.Tenant
          const createdAt = yield* DateTime.now
          const run: RunRow = {
            id: yield* random.uuidV4(),
            tenantId,
            agentName: name,
            versionNumber: versionNumber ?? null,
            status: "pending",
            totalCases: asked.length,
            completedCases: 0,
            summary: null,
            createdAt,
            startedAt: null,
            completedAt: null
          }
          yield* Effect.forEach(asked, ({ id: evalCaseId }) =>
            Effect.flatMap(random.uuidV4(), (id) =>
              results.put({
                id,
                tenantId,
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
                createdAt,
                completedAt: null
              })))
          yield* runs.put(run)
          return { run }
        })
      )
      .handle("listRuns", ({ params }) =>
        Effect.andThen(
          store.agent(params.name),
          Effect.map(rowsOf(runs, params.name), (rows) => ({ runs: rows.toReversed() }))
        ))
      .handle("getRun", ({ params }) => Effect.map(runOf(params), (run) => ({ run })))
      .handle(
        "listResults",
        ({ params }) => Effect.flatMap(runOf(params), ({ id }) => Effect.map(resultsOf(id), (results) => ({ results })))
      )
      .handle(
        "scoreRun",
        Effect.fnUntraced(function*({ params, payload: { resultId, ...fields } }) {
          const run = yield* runOf(params)
          yield* checkScore(fields)
          const rows = (yield* resultsOf(run.id)).filter(({ id }) => resultId === undefined || id === resultId)
          if (resultId !== undefined && rows.length === 0) {
            return yield* Errors.notFound("Eval result not found in this run")
          }
          const scored = yield* Effect.forEach(rows, (row) => score(row, fields))
          return { scored: scored.length, results: scored }
        })
      )
      .handle(
        "scoreResult",
        Effect.fnUntraced(function*({ params, payload }) {
          yield* store.agent(params.name)
          const row = yield* Tables.orNotFound("Eval result not found")(results.find(params.id))
          yield* checkScore(payload)
          return { result: yield* score(row, payload) }
        })
      )
  })
)
