/** Evals: keeps questions to an agent, runs them, and scores what it answers. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { within } from "../internal/request/operations.ts"
import { checked } from "../internal/request/options.ts"
import { poll, pollRules } from "../internal/request/paging.ts"
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
import { layerOf } from "./layerOf.ts"

/** Which cases to list. */
export interface ListEvalCasesOptions {
  readonly category?: string | undefined
  readonly isActive?: boolean | undefined
}

/** How a run is followed. */
export interface WatchEvalRunOptions {
  /**
   * The time between two polls; longer where they would use more than a third of what the server's limit leaves.
   *
   * @default "2 seconds"
   */
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
  /** Replaces fields of a case; null clears one. */
  readonly updateCase: (
    agent: string,
    id: string,
    changes: UpdateEvalCaseRequest
  ) => Effect.Effect<EvalCase, AshError>
  /** Deletes a case. */
  readonly deleteCase: (agent: string, id: string) => Effect.Effect<void, AshError>
  /** Creates many cases and returns their number. It is not atomic, and creates cases that exist already again. */
  readonly importCases: (
    agent: string,
    cases: ReadonlyArray<CreateEvalCaseRequest>
  ) => Effect.Effect<number, AshError>
  /** Lists all cases of an agent, active or not. */
  readonly exportCases: (agent: string) => Effect.Effect<ReadonlyArray<EvalCase>, AshError>
  /** Starts a run. The server processes it in the background, one run at a time, and cannot cancel it. */
  readonly startRun: (agent: string, options?: StartEvalRunRequest) => Effect.Effect<EvalRun, AshError>
  /** Lists an agent's runs, the newest first. */
  readonly listRuns: (agent: string) => Effect.Effect<ReadonlyArray<EvalRun>, AshError>
  /** Fetches one run. */
  readonly getRun: (agent: string, id: string) => Effect.Effect<EvalRun, AshError>
  /**
   * Polls a run and emits each change, the last when it is `completed` or `failed`. A run stays `running` for ever if its
   * server crashed: limit the stream in time.
   */
  readonly watchRun: (agent: string, id: string, options?: WatchEvalRunOptions) => Stream.Stream<EvalRun, AshError>
  /** Starts a run, follows it until it ends and lists its results. */
  readonly runToCompletion: (
    agent: string,
    options?: StartEvalRunRequest & WatchEvalRunOptions
  ) => Effect.Effect<FinishedEvalRun, AshError>
  /** Lists the results of a run, oldest first. */
  readonly listResults: (agent: string, runId: string) => Effect.Effect<ReadonlyArray<EvalResult>, AshError>
  /** Compares two runs. */
  readonly compareRuns: (agent: string, runA: string, runB: string) => Effect.Effect<EvalComparison, AshError>
  /** Sets a person's score of one result of a run, or of all, and returns what was scored. */
  readonly scoreRun: (
    agent: string,
    runId: string,
    score: ScoreEvalRunRequest
  ) => Effect.Effect<ReadonlyArray<EvalResult>, AshError>
  /** Sets a person's score of a result. */
  readonly scoreResult: (
    agent: string,
    resultId: string,
    score: ScoreEvalResultRequest
  ) => Effect.Effect<EvalResult, AshError>
}>()("effect-ash/services/Evals") {
  static readonly layer = layerOf(Evals, ({ evals: api }, { exchange, field, remove }) => {
    const startRun = (name: string, payload: StartEvalRunRequest = {}) =>
      field(api.startRun, { params: { name }, payload }, "run")
    const listResults = (name: string, id: string) => field(api.listResults, { params: { name, id } }, "results")
    const watchRun = (operation: string) => (name: string, id: string, options?: WatchEvalRunOptions) =>
      poll(operation, exchange(api.getRun, { params: { name, id } }), options, "2 seconds").pipe(
        Stream.map(({ run }) => run),
        Stream.takeUntil(isFinished),
        Stream.changesWith((a, b) => a.status === b.status && a.completedCases === b.completedCases),
        Stream.mapError(within(operation))
      )
    return {
      createCase: (name, payload) => field(api.createCase, { params: { name }, payload }, "case"),
      listCases: (name, query = {}) => field(api.listCases, { params: { name }, query }, "cases"),
      getCase: (name, id) => field(api.getCase, { params: { name, id } }, "case"),
      updateCase: (name, id, payload) => field(api.updateCase, { params: { name, id }, payload }, "case"),
      deleteCase: (name, id) => remove(api.deleteCase, { params: { name, id } }),
      importCases: (name, cases) => field(api.importCases, { params: { name }, payload: { cases } }, "imported"),
      exportCases: (name) => field(api.exportCases, { params: { name } }, "cases"),
      startRun,
      listRuns: (name) => field(api.listRuns, { params: { name } }, "runs"),
      getRun: (name, id) => field(api.getRun, { params: { name, id } }, "run"),
      watchRun: watchRun("Evals.watchRun"),
      runToCompletion: Effect.fnUntraced(function*(name, options) {
        const operation = "Evals.runToCompletion"
        // A run is started only where it can be followed.
        yield* checked(operation, pollRules, options)
        const started = yield* startRun(name, options)
        const followed = watchRun(operation)(name, started.id, options)
        const run = yield* Stream.runFold(followed, () => started, (_, next) => next)
        return { run, results: yield* listResults(name, run.id) }
      }, Effect.mapError(within("Evals.runToCompletion"))),
      listResults,
      compareRuns: (name, runA, runB) =>
        field(api.compareRuns, { params: { name }, query: { runA, runB } }, "comparison"),
      scoreRun: (name, id, payload) => field(api.scoreRun, { params: { name, id }, payload }, "results"),
      scoreResult: (name, id, payload) => field(api.scoreResult, { params: { name, id }, payload }, "result")
    }
  })
}

const isFinished = ({ status }: EvalRun) => status === "completed" || status === "failed"
