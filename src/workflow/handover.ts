/**
 * Gives up a run whose shard has moved to another runner. The engine waits for what runs of a run before it hands its shard
 * over, and a step that would come next is never answered here, so that both would wait for each other until
 * `terminationTimeout`.
 */
import * as Cause from "effect/Cause"
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as EntityId from "effect/cluster/EntityId"
import type { Sharding } from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"

export type Handover = ReturnType<typeof make>

const interval = "250 millis"

/** The engine takes a run that ends so for one that goes on under another owner, or begins it again where there is none. */
export const abandon = Effect.failCause(Cause.annotate(Cause.interrupt(), ClusterSchema.Abandon.annotation))

/** Of one time that the body of a run is run. */
export const make = (sharding: Sharding["Service"], executionId: string) => {
  const shard = sharding.getShardId(EntityId.make(executionId), "default")
  let doing = 0
  const isOwned = Effect.sync(() => doing > 0 || sharding.hasShardId(shard))
  const watch: Effect.Effect<never> = Effect.flatMap(
    isOwned,
    (isOwned) => isOwned ? Effect.andThen(Effect.sleep(interval), watch) : abandon
  )
  return {
    /** Surrounds what a step of a run does here: those that are being done are counted. */
    during: <A, E, R>(step: Effect.Effect<A, E, R>) =>
      Effect.acquireUseRelease(
        Effect.sync(() => doing += 1),
        () => step,
        () => Effect.sync(() => doing -= 1)
      ),
    /** Runs a run until its shard is another runner's and none of its steps is being done here. */
    whileOwned: <A, E, R>(run: Effect.Effect<A, E, R>) => Effect.raceFirst(run, watch)
  }
}
