/** Eval cases, runs and results, and the loop that performs the runs (docs/ash.md 3.4). */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { EvalCase, EvalResult, EvalRun, EvalRunSummary } from "../../schema/Eval.ts"
import { Settings } from "../EmbeddedOptions.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import * as SessionStarts from "../sandbox/SessionStarts.ts"
import { agentOf, type AgentRow, Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Turns from "../turn/Turns.ts"

type RunRow = Tables.Row<EvalRun>
export type ResultRow = Tables.Row<EvalResult>

export class Evals extends Context.Service<Evals>()("effect-ash/embedded/work/Evals", {
  make: Effect.gen(function*() {
    const cases = Tables.make<EvalCase>()
    const runs = Tables.make<EvalRun>()
    const results = Tables.make<EvalResult>()
    /** The results of a run, in the order of its cases. */
    const resultsOf = (runId: string) => results.where(({ evalRunId }) => evalRunId === runId)

    /** The outcome of one case: its scores, or the error. */
    const settle = Effect.fnUntraced(function*(run: RunRow, agent: AgentRow, result: ResultRow) {
      const found = yield* cases.find(result.evalCaseId)
      if (found === undefined) return { status: "error", error: `Eval case ${result.evalCaseId} not found` }
      yield* results.put({ ...result, status: "running" })
      const start = yield* Clock.currentTimeMillis
      const outcome = yield* Effect.catchCause(
        evaluate(run, agent, result, found),
        (cause) => Effect.succeed({ status: "error", error: Turns.messageOf(Cause.squash(cause)) })
      )
      return { ...outcome, latencyMs: (yield* Clock.currentTimeMillis) - start }
    })

    const perform = Effect.fnUntraced(function*(run: RunRow) {
      const running = { ...run, status: "running", startedAt: yield* DateTime.now }
      yield* runs.put(running)
      const agent = yield* Effect.option(agentOf(run.agentName))
      if (Option.isNone(agent)) {
        yield* runs.put({ ...running, status: "failed", completedAt: yield* DateTime.now })
        return
      }
      let completedCases = 0
      for (const result of yield* resultsOf(run.id)) {
        const outcome = yield* settle(running, agent.value, result)
        yield* results.put({ ...result, ...outcome, completedAt: yield* DateTime.now })
        completedCases += 1
        yield* runs.put({ ...running, completedCases })
      }
      const summary = summarize(yield* resultsOf(run.id))
      yield* runs.put({ ...running, completedCases, status: "completed", summary, completedAt: yield* DateTime.now })
    }, (performing, { tenantId }) => Effect.provideService(performing, Tables.Tenant, tenantId))

    yield* runs.everyones.pipe(
      Effect.map((rows) => rows.filter(({ status }) => status === "pending")),
      Effect.flatMap(Effect.forEach(perform, { discard: true })),
      Effect.repeat(Schedule.spaced("5 seconds")),
      Effect.forkScoped
    )
    return { cases, runs, results, resultsOf }
  })
}) {
  static readonly layer = Layer.effect(Evals, Evals.make)
}

const evaluate = Effect.fnUntraced(function*(run: RunRow, agent: AgentRow, result: ResultRow, found: EvalCase) {
  const { quirks } = yield* Settings
  if (quirks.evalsFail) {
    return yield* new Turns.TurnFailure({ message: `Invalid sandbox ID: eval-${run.id}-${result.id}` })
  }
  const answer = yield* ask(run, agent, found.question)
  return {
    status: "completed",
    agentResponse: answer,
    topicScore: share(found.expectedTopics, (topic) => isIn(answer, topic)),
    safetyScore: share(found.expectedNotTopics, (topic) => !isIn(answer, topic))
  }
})

const ask = Effect.fnUntraced(function*(run: RunRow, agent: AgentRow, prompt: string) {
  const sandboxes = yield* Sandboxes
  const { versions } = yield* Store
  const id = yield* Tables.newId
  const settings = {
    ...SessionStarts.bare,
    env: agent.env,
    // A run that names a version gets the prompt of the active one, whichever it names.
    systemPrompt: run.versionNumber === null ? undefined : yield* versions.activePrompt(agent.name)
  }
  return yield* sandboxes.create({ id, session: id, agent, settings }, (sandbox) =>
    Effect.gen(function*() {
      const fields = { id, sandboxId: sandbox.id, agentName: agent.name, status: "active", parentSessionId: null }
      return yield* Turns.ask(sandbox, yield* SessionStarts.begin(fields), prompt)
    }).pipe(Effect.ensuring(sandboxes.destroy(sandbox.id))))
})

const isIn = (answer: string, topic: string) => answer.toLowerCase().includes(topic.toLowerCase())

/** The share of topics that are right; 1 where there are none. */
const share = (topics: EvalCase["expectedTopics"], isRight: (topic: string) => boolean): number =>
  topics?.length ? topics.filter(isRight).length / topics.length : 1

const passing = 0.5

const average = (values: ReadonlyArray<number>): number =>
  values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length

/** Averages are over completed results, the pass rate is over all. */
const summarize = (results: ReadonlyArray<EvalResult>): EvalRunSummary => {
  const completed = results.filter(({ status }) => status === "completed")
  const passed = completed.filter(({ safetyScore, topicScore }) =>
    Number(topicScore) >= passing && Number(safetyScore) >= passing
  )
  return {
    avgTopicScore: average(completed.map(({ topicScore }) => topicScore ?? 0)),
    avgSafetyScore: average(completed.map(({ safetyScore }) => safetyScore ?? 0)),
    avgLlmJudgeScore: null,
    avgLatencyMs: average(completed.map(({ latencyMs }) => latencyMs ?? 0)),
    passRate: results.length === 0 ? 0 : passed.length / results.length
  }
}
