/** Runs the runs of agents: the workflow's body over the services of a server. */
import * as Sharding from "effect/cluster/Sharding"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { aFunction, rule } from "../internal/request/options.ts"
import { Messages } from "../services/Messages.ts"
import { SessionFiles } from "../services/SessionFiles.ts"
import { Sessions } from "../services/Sessions.ts"
import { AgentRun } from "./AgentRun.ts"
import * as Cancellations from "./Cancellations.ts"
import type { Plans } from "./Plan.ts"
import * as RunBody from "./RunBody.ts"
import { readRunSettings, runRules, type RunSettings } from "./RunnerSettings.ts"
import * as RunSteps from "./RunSteps.ts"
import { RunStore } from "./store/RunStore.ts"

/** What a worker runs runs with. */
export interface WorkerOptions<R = never> extends RunSettings {
  /** What decides on the steps of runs that have a plan, by name: the same on each runner. @default none */
  readonly plans?: Plans<R> | undefined
  /** What a session is given that must not lie in the database, such as keys in its environment. @default nothing */
  readonly secrets?: RunSteps.Secrets<R> | undefined
}

/** The services of a server that runs need. */
export type WorkerServices = Sessions | Messages | SessionFiles

export const workerRules = {
  ...runRules,
  plans: rule(
    "functions by their names",
    (plans) => Predicate.isObject(plans) && Object.values(plans).every(Predicate.isFunction)
  ),
  secrets: aFunction
}

const nothing = () => Effect.succeed({})

export const layer = <R = never>(
  { plans = {}, secrets = nothing, ...options }: WorkerOptions<R>
): Layer.Layer<
  never,
  never,
  WorkflowEngine.WorkflowEngine | Sharding.Sharding | RunStore | WorkerServices | R
> =>
  Layer.unwrap(Effect.gen(function*() {
    const settings = readRunSettings(options)
    const own = yield* Effect.context<R>()
    const store = yield* RunStore
    const steps = RunSteps.make({
      store,
      settings,
      sessions: yield* Sessions,
      messages: yield* Messages,
      files: yield* SessionFiles,
      random: yield* SecureRandom.SecureRandom,
      orCancelled: yield* Cancellations.make(store, settings.cancelInterval),
      secrets: (payload) => Effect.provideContext(secrets(payload), own)
    })
    const ownPlans = Object.fromEntries(
      Object.entries(plans).map(([name, plan]) =>
        [name, (progress: Parameters<typeof plan>[0]) => Effect.provideContext(plan(progress), own)] as const
      )
    )
    const { maxGenerations } = settings
    return AgentRun.toLayer(
      RunBody.make({ steps, plans: ownPlans, maxGenerations, sharding: yield* Sharding.Sharding })
    )
  })).pipe(Layer.provide(SecureRandom.layerWebCrypto))
