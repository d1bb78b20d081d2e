/** The engine, as those use it that start and watch runs: what it makes defects of is repeated, or becomes an error. */
import * as Cause from "effect/Cause"
import * as EntityAddress from "effect/cluster/EntityAddress"
import * as EntityId from "effect/cluster/EntityId"
import * as EntityType from "effect/cluster/EntityType"
import type { MessageStorage } from "effect/cluster/MessageStorage"
import type { Sharding } from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { isSqlError } from "effect/sql/SqlError"
import * as DurableDeferred from "effect/workflow/DurableDeferred"
import { messageOf } from "../internal/request/operations.ts"
import { AgentRun, type Decision, type RunFailure, type RunResult } from "./AgentRun.ts"
import { untilAnswered } from "./patience.ts"
import { approvalOf, timerOf } from "./RunBody.ts"
import { RunDied } from "./RunErrors.ts"
import type { RunRow } from "./store/RunStore.ts"

/** Fails with the error of the database that the engine makes a defect of. */
const undefect = Effect.catchDefect((defect) =>
  Predicate.hasProperty(defect, "cause") && isSqlError(defect.cause) ? Effect.fail(defect.cause) : Effect.die(defect)
)

/** Repeats a call of the engine until the database answers. */
export const steady = <A, E, R>(call: Effect.Effect<A, E, R>) => untilAnswered(undefect(call))

/** The end of a run, if it has ended. */
export const endOf = ({ executionId, id }: Pick<RunRow, "id" | "executionId">) =>
  steady(AgentRun.poll(executionId)).pipe(
    Effect.map(Option.flatMap((result): Option.Option<Exit.Exit<RunResult, RunFailure | RunDied>> => {
      if (result._tag === "Suspended") return Option.none()
      const { exit } = result
      if (Exit.isSuccess(exit) || Exit.hasFails(exit)) return Option.some(exit)
      return Option.some(
        Exit.fail(new RunDied({ id, message: `the run ${id} ended by a defect: ${messageOf(exit.cause)}` }))
      )
    })),
    // What it answers cannot be read, by this version at least.
    Effect.catchDefect((defect) =>
      Effect.succeedSome(Exit.fail(
        new RunDied({ id, message: `the end of the run ${id} cannot be read: ${messageOf(Cause.die(defect))}` })
      ))
    )
  )

/** Ends what a run waits for. */
export const wake = (run: RunRow, decision: typeof Decision.Type) => {
  if (run.token !== null) {
    const approval = approvalOf(run)
    const token = DurableDeferred.tokenFromExecutionId(approval, { workflow: AgentRun, executionId: run.executionId })
    return steady(DurableDeferred.succeed(approval, { token, value: decision }))
  }
  const timer = DurableDeferred.make(`DurableClock/${timerOf(run)}`)
  const token = DurableDeferred.tokenFromExecutionId(timer, { workflow: AgentRun, executionId: run.executionId })
  return steady(DurableDeferred.succeed(timer, { token, value: undefined }))
}

/** Takes what the engine has of a run out of the database. */
export const forget = Effect.fnUntraced(function*(
  storage: MessageStorage["Service"],
  sharding: Sharding["Service"],
  { executionId }: RunRow
) {
  const entityId = EntityId.make(executionId)
  const shardId = sharding.getShardId(entityId, "default")
  for (const type of [`Workflow/${AgentRun._tag}`, "Workflow/-/DurableClock"]) {
    const address = EntityAddress.make({ entityType: EntityType.make(type), entityId, shardId })
    yield* undefect(Effect.orDie(storage.clearAddress(address)))
  }
})
