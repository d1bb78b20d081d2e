/** The engine, as those use it that start and watch runs: what it makes defects of is repeated, or becomes an error. */
import * as Cause from "effect/Cause"
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine"
import * as EntityAddress from "effect/cluster/EntityAddress"
import * as EntityId from "effect/cluster/EntityId"
import * as EntityType from "effect/cluster/EntityType"
import { MessageStorage } from "effect/cluster/MessageStorage"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import * as DurableDeferred from "effect/workflow/DurableDeferred"
import { messageOf } from "../internal/request/operations.ts"
import { AgentRun, type Decision, type RunFailure, type RunResult } from "./AgentRun.ts"
import { sqlErrorOf, untilAnswered } from "./patience.ts"
import { approvalOf, timerOf } from "./RunBody.ts"
import { RunDied } from "./RunErrors.ts"
import type { RunRow } from "./store/RunStore.ts"

/** Fails with the error of the database that the engine makes a defect of. */
const undefect = Effect.catchDefect((defect) => {
  const error = sqlErrorOf(defect)
  return error === undefined ? Effect.die(defect) : Effect.fail(error)
})

/** Repeats a call of the engine until the database answers. */
const steady = <A, E, R>(call: Effect.Effect<A, E, R>) => untilAnswered(undefect(call))

/** What the tables of runs are told when the engine is. */
class Alongside extends Context.Reference<Effect.Effect<unknown, SqlError> | undefined>(
  "effect-ash/workflow/Alongside",
  { defaultValue: () => undefined }
) {}

/**
 * Changes the tables of runs and tells the engine in one transaction. A run that one of them knows and the other does not
 * would be of no end, or begin anew behind it.
 */
export const together = <A, E, R>(change: Effect.Effect<unknown, SqlError>, call: Effect.Effect<A, E, R>) =>
  steady(Effect.provideService(call, Alongside, change))

const isSuspended = (reply: object) =>
  Predicate.hasProperty(reply, "exit") && Predicate.hasProperty(reply.exit, "value") &&
  Predicate.isTagged(reply.exit.value, "Suspended")

/**
 * The storage of the engine, as runs need it: it waits for its database as they do, where the engine would take a failure for
 * the end of a run, or leave it as it is.
 */
export const layerStorage = Layer.effect(
  MessageStorage,
  Effect.map(MessageStorage, (storage) => {
    const own = MessageStorage.of({
      ...storage,
      // It is committed before a runner is told of it, which reads it by a connection of its own.
      saveRequest: (message) =>
        untilAnswered(Alongside.use((change) =>
          change === undefined
            ? storage.saveRequest(message)
            : storage.withTransaction(Effect.andThen(Effect.orDie(change), storage.saveRequest(message)))
        )),
      saveReply: (reply) => {
        const { id, requestId } = reply.reply
        const waits = isSuspended(reply.reply)
        const saveAgain = Effect.gen(function*() {
          const [there] = yield* storage.repliesForUnfiltered([requestId])
          if (there) {
            // What is there though the answer was lost is read from there. That a run waits is no end.
            if (waits || !isSuspended(there)) return yield* Effect.as(storage.unregisterReplyHandler(requestId), reply)
            yield* storage.clearReplies(requestId)
          }
          return yield* storage.saveReply(reply)
        })
        // It may have been there before, and been woken: it is begun again, as nothing else would wake it.
        const beginAgain = untilAnswered(storage.clearReplies(requestId, { expectedReplyId: id }))
        return Effect.catchTag(
          storage.saveReply(reply),
          "PersistenceError",
          () => waits ? Effect.tap(untilAnswered(saveAgain), beginAgain) : untilAnswered(saveAgain)
        )
      },
      // Where these fail, the engine goes on: what is claimed would be read again in ten minutes.
      resetRequests: (ids) => untilAnswered(storage.resetRequests(ids)),
      resetAddresses: (addresses) => untilAnswered(storage.resetAddresses(addresses)),
      resetShards: (shards) => untilAnswered(storage.resetShards(shards)),
      repliesForUnfiltered: (ids) => untilAnswered(storage.repliesForUnfiltered(ids)),
      requestIdForPrimaryKey: (key) => untilAnswered(storage.requestIdForPrimaryKey(key)),
      unprocessedMessagesById: (ids) => untilAnswered(storage.unprocessedMessagesById.call(own, ids)),
      // What a read has claimed whose answer was lost would be read again in ten minutes.
      unprocessedMessages: (shards, options) => {
        const read = storage.unprocessedMessages.call(own, shards, options)
        return Effect.catch(read, () => untilAnswered(Effect.andThen(storage.resetShards(shards), read)))
      }
    })
    return own
  })
)

/** The engine of a process that has no others beside it. */
export const layerAlone = <A, E, R>(storage: Layer.Layer<A | MessageStorage, E, R>) =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provideMerge(Sharding.layer),
    Layer.provide(Runners.layerNoop),
    Layer.provideMerge(Layer.provide(layerStorage, storage)),
    Layer.provide([RunnerStorage.layerMemory, RunnerHealth.layerNoop])
  )

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

/** Ends what a run waits for, and has the tables of runs say so. */
export const wake = (run: RunRow, decision: Decision, change: Effect.Effect<unknown, SqlError>) => {
  const end = <S extends Schema.Constraint>(deferred: DurableDeferred.DurableDeferred<S>, value: S["Type"]) => {
    const token = DurableDeferred.tokenFromExecutionId(deferred, { workflow: AgentRun, executionId: run.executionId })
    return together(change, DurableDeferred.succeed(deferred, { token, value }))
  }
  return run.token === null
    ? end(DurableDeferred.make(`DurableClock/${timerOf(run)}`), undefined)
    : end(approvalOf(run), decision)
}

/** Where the engine has a run, and its timers. */
const addressesOf = (sharding: Sharding.Sharding["Service"], { executionId }: RunRow) => {
  const entityId = EntityId.make(executionId)
  const shardId = sharding.getShardId(entityId, "default")
  return [`Workflow/${AgentRun._tag}`, "Workflow/-/DurableClock"].map((type) =>
    EntityAddress.make({ entityType: EntityType.make(type), entityId, shardId })
  )
}

/** Has the engine do again what it has lost of a run: it comes to the same end. */
export const remind = (storage: MessageStorage["Service"], sharding: Sharding.Sharding["Service"], run: RunRow) =>
  Effect.andThen(
    steady(Effect.orDie(storage.resetAddresses(addressesOf(sharding, run)))),
    AgentRun.resume(run.executionId)
  )

/** Takes what the engine has of a run out of the database. */
export const forget = (storage: MessageStorage["Service"], sharding: Sharding.Sharding["Service"], run: RunRow) =>
  Effect.forEach(
    addressesOf(sharding, run),
    (address) => undefect(Effect.orDie(storage.clearAddress(address))),
    { discard: true }
  )
