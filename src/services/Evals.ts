/** Evals: keeps questions to an agent, runs them, and scores what it answers. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { AshApiClient } from "../client/AshApiClient.ts"
import { RequestPolicy } from "../client/RequestPolicy.ts"
import type { AshError } from "../schema/AshError.ts"
import type {
  CreateEvalCaseRequest,
  EvalCase,
  EvalComparison,
  EvalResult,
  EvalRun,
  ScoreEvalResultRequest,
  ScoreEvalRunRequest,
  StartEvalRunRequest,
  UpdateEvalCaseRequest
} from "../schema/Eval.ts"

/** Which cases to list. */
export interface ListEvalCasesOptions {
  readonly category?: string | undefined
  readonly isActive?: boolean | undefined
}

/** How a run is followed. */
export interface WatchEvalRunOptions {
  /** The time between two looks. @default "2 seconds" */
  readonly every?: Duration.Input | undefined
}

/** A run that ended, with its results. */
export interface FinishedEvalRun {
  /** Its status is `completed` or `failed`. */
  readonly run: EvalRun
  /** In the order in which the cases were asked. */
  readonly results: ReadonlyArray<EvalResult>
}

/** Manages eval cases and runs. */
export class Evals extends Context.Service<Evals, {
  /** Creates a case. */
  readonly createCase: (agent: string, evalCase: CreateEvalCaseRequest) => Effect.Effect<EvalCase, AshError>
  /** Lists an agent's cases, oldest first. */
  readonly listCases: (
    agent: string,
    options?: ListEvalCasesOptions
  ) => Effect.Effect<ReadonlyArray<EvalCase>, AshError>
  /** Fetches one case. */
  readonly getCase: (agent: string, id: string) => Effect.Effect<EvalCase, AshError>
  /** Replaces fields of a case; null empties one. */
  readonly updateCase: (
    agent: string,
    id: string,
    changes: UpdateEvalCaseRequest
  ) => Effect.Effect<EvalCase, AshError>
  /** Deletes a case. */
  readonly deleteCase: (agent: string, id: string) => Effect.Effect<void, AshError>
  /** Creates many cases and answers their number. Not all or nothing, and nothing is compared with what is there. */
  readonly importCases: (
    agent: string,
    cases: ReadonlyArray<CreateEvalCaseRequest>
  ) => Effect.Effect<number, AshError>
  /** Lists all cases of an agent, active or not. */
  readonly exportCases: (agent: string) => Effect.Effect<ReadonlyArray<EvalCase>, AshError>
  /** Starts a run, which the server works off in the background, one run at a time. It cannot be cancelled. */
  readonly startRun: (agent: string, options?: StartEvalRunRequest) => Effect.Effect<EvalRun, AshError>
  /** Lists an agent's runs, the newest first. */
  readonly listRuns: (agent: string) => Effect.Effect<ReadonlyArray<EvalRun>, AshError>
  /** Fetches one run. */
  readonly getRun: (agent: string, id: string) => Effect.Effect<EvalRun, AshError>
  /**
   * Follows a run by polling: an element for each change, the last when it is `completed` or `failed`. A run that a
   * server left behind when it died stays `running` for ever: bound the stream in time.
   */
  readonly watchRun: (agent: string, id: string, options?: WatchEvalRunOptions) => Stream.Stream<EvalRun, AshError>
  /** Starts a run, follows it to its end and lists its results. */
  readonly runToCompletion: (
    agent: string,
    options?: StartEvalRunRequest & WatchEvalRunOptions
  ) => Effect.Effect<FinishedEvalRun, AshError>
  /** Lists the results of a run, oldest first. */
  readonly listResults: (agent: string, runId: string) => Effect.Effect<ReadonlyArray<EvalResult>, AshError>
  /** Sets two runs side by side. */
  readonly compareRuns: (agent: string, runA: string, runB: string) => Effect.Effect<EvalComparison, AshError>
  /** Gives a person's score to one result of a run, or to all of them, and answers what was scored. */
  readonly scoreRun: (
    agent: string,
    runId: string,
    score: ScoreEvalRunRequest
  ) => Effect.Effect<ReadonlyArray<EvalResult>, AshError>
  /** Gives a person's score to a result. */
  readonly scoreResult: (
    agent: string,
    resultId: string,
    score: ScoreEvalResultRequest
  ) => Effect.Effect<EvalResult, AshError>
}>()("effect-ash/services/Evals") {
  static readonly layer: Layer.Layer<Evals, never, AshApiClient | RequestPolicy> = Layer.effect(
    Evals,
    Effect.gen(function*() {
      const { evals: api } = yield* AshApiClient
      const call = yield* RequestPolicy
      const unwrapCase = (response: { readonly case: EvalCase }) => response.case
      const unwrapRun = ({ run }: { readonly run: EvalRun }) => run
      const unwrapResults = ({ results }: { readonly results: ReadonlyArray<EvalResult> }) => results

      const startRun = (name: string, { categories, tags, versionNumber }: StartEvalRunRequest = {}) =>
        Effect.map(
          call.once("Evals.startRun", api.startRun({ params: { name }, payload: { categories, tags, versionNumber } })),
          unwrapRun
        )
      const getRun = (name: string, id: string) =>
        Effect.map(call.repeatable("Evals.getRun", api.getRun({ params: { name, id } })), unwrapRun)
      const listResults = (name: string, id: string) =>
        Effect.map(call.repeatable("Evals.listResults", api.listResults({ params: { name, id } })), unwrapResults)
      const watchRun = (name: string, id: string, { every = "2 seconds" }: WatchEvalRunOptions = {}) =>
        Stream.fromEffectSchedule(getRun(name, id), Schedule.spaced(every)).pipe(
          Stream.takeUntil(isFinished),
          Stream.changesWith((a, b) => a.status === b.status && a.completedCases === b.completedCases)
        )

      return Evals.of({
        createCase: (name, payload) =>
          Effect.map(call.once("Evals.createCase", api.createCase({ params: { name }, payload })), unwrapCase),
        listCases: (name, query = {}) =>
          Effect.map(
            call.repeatable("Evals.listCases", api.listCases({ params: { name }, query })),
            ({ cases }) => cases
          ),
        getCase: (name, id) =>
          Effect.map(call.repeatable("Evals.getCase", api.getCase({ params: { name, id } })), unwrapCase),
        updateCase: (name, id, payload) =>
          Effect.map(
            call.repeatable("Evals.updateCase", api.updateCase({ params: { name, id }, payload })),
            unwrapCase
          ),
        deleteCase: (name, id) => call.deletion("Evals.deleteCase", api.deleteCase({ params: { name, id } })),
        importCases: (name, cases) =>
          Effect.map(
            call.once("Evals.importCases", api.importCases({ params: { name }, payload: { cases } })),
            ({ imported }) => imported
          ),
        exportCases: (name) =>
          Effect.map(call.repeatable("Evals.exportCases", api.exportCases({ params: { name } })), ({ cases }) => cases),
        startRun,
        listRuns: (name) =>
          Effect.map(call.repeatable("Evals.listRuns", api.listRuns({ params: { name } })), ({ runs }) => runs),
        getRun,
        watchRun,
        runToCompletion: (name, options = {}) =>
          Effect.gen(function*() {
            const started = yield* startRun(name, options)
            const run = yield* Stream.runFold(watchRun(name, started.id, options), () => started, (_, next) => next)
            return { run, results: yield* listResults(name, run.id) }
          }),
        listResults,
        compareRuns: (name, runA, runB) =>
          Effect.map(
            call.repeatable("Evals.compareRuns", api.compareRuns({ params: { name }, query: { runA, runB } })),
            ({ comparison }) => comparison
          ),
        scoreRun: (name, id, payload) =>
          Effect.map(call.repeatable("Evals.scoreRun", api.scoreRun({ params: { name, id }, payload })), unwrapResults),
        scoreResult: (name, id, payload) =>
          Effect.map(
            call.repeatable("Evals.scoreResult", api.scoreResult({ params: { name, id }, payload })),
            ({ result }) => result
          )
      })
    })
  )
}

const isFinished = ({ status }: EvalRun) => status === "completed" || status === "failed"
