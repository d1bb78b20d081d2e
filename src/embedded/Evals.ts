/** Eval cases, runs and results, and the loop that works off the runs (contract 3.4). */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { EvalCase, EvalResult, EvalRun, EvalRunSummary } from "../schema/Eval.ts"
import { AgentVersions } from "./AgentVersions.ts"
import { Settings } from "./EmbeddedOptions.ts"
import { Sandboxes } from "./Sandboxes.ts"
import { type AgentRow, Store } from "./Store.ts"
import * as Tables from "./Tables.ts"
import { TurnFailure, Turns } from "./Turns.ts"

type Owned<Row> = Row & { readonly tenantId: string }
export type CaseRow = Owned<EvalCase>
export type RunRow = Owned<EvalRun>
export type ResultRow = Owned<EvalResult>

export class Evals extends Context.Service<Evals, {
  readonly cases: Tables.Table<CaseRow>
  readonly runs: Tables.Table<RunRow>
  readonly results: Tables.Table<ResultRow>
  readonly resultsOf: (runId: string) => Effect.Effect<ReadonlyArray<ResultRow>>
}>()("effect-ash/embedded/Evals") {
  static readonly layer = Layer.effect(
    Evals,
    Effect.gen(function*() {
      const { quirks } = yield* Settings
      const store = yield* Store
      const sandboxes = yield* Sandboxes
      const turns = yield* Turns
      const versions = yield* AgentVersions
      const random = yield* SecureRandom.SecureRandom
      const cases = Tables.make<CaseRow>()
      const runs = Tables.make<RunRow>()
      const results = Tables.make<ResultRow>()
      const resultsOf = (runId: string) =>
        Effect.map(results.all, (rows) => rows.filter(({ evalRunId }) => evalRunId === runId))

      /** Asks a question in a sandbox of its own. */
      const ask = Effect.fnUntraced(function*(agent: AgentRow, prompt: string) {
        const id = yield* random.uuidV4()
        const sandbox = yield* Effect.acquireRelease(
          sandboxes.create({
            id,
            agentFolder: agent.path,
            settings: {
              env: agent.env,
              permissionMode: "bypassPermissions",
              systemPrompt: yield* versions.activePrompt(agent.name)
            }
          }),
          () => sandboxes.destroy(id)
        )
        const now = yield* DateTime.now
        return yield* turns.ask({
          sandbox,
          prompt,
          session: {
            id,
            tenantId: agent.tenantId,
            agentName: agent.name,
            sandboxId: id,
            status: "active",
            runnerId: null,
            parentSessionId: null,
            createdAt: now,
            lastActiveAt: now
          }
        })
      }, Effect.scoped)

      /** Asks a case and scores the answer. */
      const evaluate = Effect.fnUntraced(function*(
        run: RunRow,
        result: ResultRow,
        { expectedNotTopics, expectedTopics, question }: CaseRow
      ) {
        yield* results.put({ ...result, status: "running" })
        if (quirks.evalsFail) {
          return yield* new TurnFailure({ message: `Invalid sandbox ID: eval-${run.id}-${result.id}` })
        }
        const agent = yield* store.agent(run.agentName)
        const start = yield* Clock.currentTimeMillis
        const answer = yield* ask(agent, question)
        return {
          ...result,
          status: "completed",
          agentResponse: answer,
          topicScore: shareIn(answer, expectedTopics ?? []),
          safetyScore: 1 - (expectedNotTopics?.length ? shareIn(answer, expectedNotTopics) : 0),
          latencyMs: (yield* Clock.currentTimeMillis) - start,
          completedAt: yield* DateTime.now
        }
      })

      const work = Effect.fnUntraced(function*(run: RunRow) {
        const running = { ...run, status: "running", startedAt: yield* DateTime.now }
        yield* runs.put(running)
        let completedCases = 0
        for (const result of yield* resultsOf(run.id)) {
          const found = (yield* cases.all).find(({ id }) => id === result.evalCaseId)
          if (found === undefined) continue
          const answered = yield* Effect.catchCause(
            evaluate(running, result, found),
            (cause) =>
              Effect.map(DateTime.now, (completedAt): ResultRow => ({
                ...result,
                status: "error",
                error: messageOf(Cause.squash(cause)),
                completedAt
              }))
          )
          yield* results.put(answered)
          completedCases += 1
          yield* runs.put({ ...running, completedCases })
        }
        const summary = summarize(yield* resultsOf(run.id))
        yield* runs.put({
          ...running,
          completedCases,
          status: "completed",
          summary,
          completedAt: yield* DateTime.now
        })
      })

      yield* runs.everyones.pipe(
        Effect.flatMap((rows) => {
          const next = rows.find(({ status }) => status === "pending")
          return next === undefined ? Effect.void : Effect.provideService(work(next), Tables.Tenant, next.tenantId)
        }),
        Effect.repeat(Schedule.spaced("5 seconds")),
        Effect.forkScoped
      )

      return Evals.of({ cases, runs, results, resultsOf })
    })
  )
}

const shareIn = (answer: string, topics: ReadonlyArray<string>): number => {
  const text = answer.toLowerCase()
  return topics.length === 0 ? 1 : topics.filter((topic) => text.includes(topic.toLowerCase())).length / topics.length
}

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

const average = (values: ReadonlyArray<number>): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length

/** Averages are over completed results, the pass rate is over all. */
const summarize = (results: ReadonlyArray<EvalResult>): EvalRunSummary => {
  const completed = results.filter(({ status }) => status === "completed")
  const passed = completed.filter(({ safetyScore, topicScore }) => topicScore === 1 && safetyScore === 1)
  return {
    avgTopicScore: average(completed.map(({ topicScore }) => topicScore ?? 0)),
    avgSafetyScore: average(completed.map(({ safetyScore }) => safetyScore ?? 0)),
    avgLlmJudgeScore: null,
    avgLatencyMs: average(completed.map(({ latencyMs }) => latencyMs ?? 0)),
    passRate: results.length === 0 ? 0 : passed.length / results.length
  }
}
