/**
 * Gives up a run whose shard has moved to another runner. The engine waits for what runs of a run before it hands its shard
 * over, and a step that would come next is never answered here, so that both would wait for each other until
 * `terminationTimeout`. A step that only waits is given up, too, and begun again under the next owner.
 */
import * as Cause from "effect/Cause"
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as EntityId from "effect/cluster/EntityId"
import type { Sharding } from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"
import * as Workflow from "effect/workflow/Workflow"
import { WorkflowInstance } from "effect/workflow/WorkflowEngine"
import { type Surround, Waits } from "./patience.ts"

export type Handover = ReturnType<typeof make>

const interval = "250 millis"

/** The engine takes a run that ends so for one that goes on under another owner, or begins it again where there is none. */
export const abandon = Effect.failCause(Cause.annotate(Cause.interrupt(), ClusterSchema.Abandon.annotation))

/** Of one time that the body of a run is run. */
export const make = (sharding: Sharding["Service"], executionId: string) => {
  const shard = sharding.getShardId(EntityId.make(executionId), "default")
  let doing = 0
  const counted = (count: number): Surround => (effect) =>
    Effect.acquireUseRelease(
      Effect.sync(() => doing += count),
      () => effect,
      () => Effect.sync(() => doing -= count)
    )
  /** Ends so when the shard is another runner's and no more is being done here. */
  const watch = (end: Effect.Effect<never>): Effect.Effect<never> =>
    Effect.suspend(() => doing > 0 || sharding.hasShardId(shard) ? Effect.delay(watch(end), interval) : end)
  return {
    /** Surrounds what a step of a run does here: those that are being done are counted, as long as they do not wait. */
    during: <A, E, R>(step: Effect.Effect<A, E, R>) =>
      WorkflowInstance.use((instance) =>
        counted(1)(Effect.provideService(
          step,
          Waits,
          (wait) => counted(-1)(Effect.raceFirst(wait, watch(Workflow.suspend(instance))))
        ))
      ),
    /** Runs a run until its shard is another runner's and none of its steps is being done here. */
    whileOwned: <A, E, R>(run: Effect.Effect<A, E, R>) => Effect.raceFirst(run, watch(abandon))
  }
}
