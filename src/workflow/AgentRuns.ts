/** Starts, watches and ends runs of agents, from any process that has the database. */
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as Context from "effect/Context"
import * as Digest from "effect/crypto/Digest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type * as Stream from "effect/Stream"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { checkInput, refusedBy } from "../internal/request/failures.ts"
import { checked, count, duration, optionsOf, refusal, required } from "../internal/request/options.ts"
import { pollRules } from "../internal/request/paging.ts"
import { Limit } from "../schema/api/parts.ts"
import type { AshError } from "../schema/AshError.ts"
import { omittable } from "../schema/Wire.ts"
import type { Messages } from "../services/Messages.ts"
import { AgentRun, AgentRunPayload, Approval, type Decision, type RunFailure, type RunResult } from "./AgentRun.ts"
import { endOf, forget, remind, together, wake } from "./engine.ts"
import { untilAnswered } from "./patience.ts"
import { encodePayload, isId, sizeLimit } from "./payloadHash.ts"
import { timerOf } from "./RunBody.ts"
import { ApprovalClosed, RunConflict, type RunDied, RunNotFound } from "./RunErrors.ts"
import { type LedgerTurn, ledgerTurnOf, RunStatus, statusOf } from "./RunStatus.ts"
import { type RunRow, type RunState, RunStore } from "./store/RunStore.ts"
import { type RunEvent, watchRun } from "./watch.ts"

/** Which runs to list. */
export interface ListRunsOptions {
  readonly state?: RunState | undefined
  readonly agent?: string | undefined
  /** Only runs that were started before the one of this id, which must be there yet. */
  readonly before?: string | undefined
  /** At most so many, 1 to 1,000. @default 100 */
  readonly limit?: number | undefined
}

/** How the end of a run is waited for, or its events are watched. */
export interface PollOptions {
  /** The time between two looks at the database. @default "500 millis" */
  readonly every?: Duration.Input | undefined
}

/** Which ended runs to forget. */
export interface PurgeOptions {
  /** How long ago they ended, by the database's clock. */
  readonly olderThan: Duration.Input
  /** At most so many, 1 or more. @default 1,000 */
  readonly limit?: number | undefined
}

/** Starts, watches and ends runs. */
export class AgentRuns extends Context.Service<AgentRuns, {
  /**
   * Starts a run, and answers when it is written down; it is run whatever becomes of this process. Started again with the
   * same payload it is the same run, also where it has failed: a new try is a new id.
   */
  readonly start: (run: AgentRunPayload) => Effect.Effect<RunStatus, AshError | RunConflict | SqlError>
  /** Waits for the end of a run. */
  readonly result: (
    id: string,
    options?: PollOptions
  ) => Effect.Effect<RunResult, RunFailure | RunDied | RunNotFound | SqlError>
  /** What a run is at. */
  readonly status: (id: string) => Effect.Effect<RunStatus, RunNotFound | SqlError>
  /** Lists runs, the newest first. Fails with `RunNotFound` where the one of `before` has been purged. */
  readonly list: (
    options?: ListRunsOptions
  ) => Effect.Effect<ReadonlyArray<RunStatus>, AshError | RunNotFound | SqlError>
  /** The turns of a run, as the ledger has them. */
  readonly turns: (id: string) => Effect.Effect<ReadonlyArray<LedgerTurn>, SqlError>
  /**
   * Ends a run: a turn that is under way within seconds, and its session with it. Answers what the run is at: one that has
   * ended before stays as it is, and any other comes to the end `RunCancelled`.
   */
  readonly cancel: (id: string) => Effect.Effect<RunStatus, RunNotFound | SqlError>
  /**
   * Lets the run go on that waits for the approval of this token. Again, it changes nothing, and fails with `ApprovalClosed`
   * once the run has gone on. A note has at most 100,000 characters.
   */
  readonly approve: (token: string, note?: string) => Effect.Effect<RunStatus, AshError | ApprovalClosed | SqlError>
  /** Ends the run that waits for the approval of this token, with `RunRejected`. A reason has at most 100,000 characters. */
  readonly reject: (token: string, reason: string) => Effect.Effect<RunStatus, AshError | ApprovalClosed | SqlError>
  /**
   * Streams what becomes of a run, until it has ended: its status as it changes, and the messages of its sessions as the
   * server stores them. By polling, from any process: pieces of text, results of tools, and what the server stores of no
   * turn before its end are not in it.
   */
  readonly watch: (
    id: string,
    options?: PollOptions
  ) => Stream.Stream<RunEvent, RunNotFound | SqlError | AshError, Messages>
  /**
   * Forgets runs that have ended: their rows here, in the ledger and in the engine. Answers how many. A run that is started
   * with such an id again is a new one. One whose session could not be ended yet is kept until the runners' sweep has. Fails
   * with `InvalidRequest` for what is no duration of 0 or more.
   */
  readonly purge: (options: PurgeOptions) => Effect.Effect<number, AshError | SqlError>
}>()("effect-ash/workflow/AgentRuns") {
  static readonly layer: Layer.Layer<
    AgentRuns,
    never,
    RunStore | WorkflowEngine.WorkflowEngine | MessageStorage.MessageStorage | Sharding.Sharding
  > = Layer.effect(AgentRuns, Effect.suspend(() => make)).pipe(Layer.provide(Digest.layerWebCrypto))
}

/** The tables, which are not asked about what is no id or token: a database may refuse it. */
const ofRuns = (store: RunStore["Service"]): RunStore["Service"] => ({
  ...store,
  findRun: (id) => isId(id) ? store.findRun(id) : Effect.undefined,
  turnsOf: (id) => isId(id) ? store.turnsOf(id) : Effect.succeed([]),
  waitingRun: (token) => isId(token) ? store.waitingRun(token) : Effect.undefined
})

const checkList = checkInput(
  Schema.Struct({
    state: omittable(RunStatus.fields.state),
    agent: omittable(AgentRunPayload.fields.agent),
    before: omittable(AgentRunPayload.fields.id),
    limit: omittable(Limit)
  })
)

const startName = "AgentRuns.start"

const invalid = (message: string, field = "") => refusal(startName, field, message)

const checkPayload = checkInput(AgentRunPayload)

/** The payload, as far as it can be run. */
const readPayload = Effect.fnUntraced(function*(run: AgentRunPayload) {
  const payload = yield* checkPayload(startName, run)
  const { plan, steps } = payload
  if ((plan === undefined) === (steps === undefined)) return yield* invalid("a run has either steps or a plan", "steps")
  if (steps?.length === 0) return yield* invalid("steps must have at least one step", "steps")
  const { encoded, hash, size } = yield* Effect.mapError(encodePayload(payload), refusedBy(startName))
  if (size > sizeLimit) {
    return yield* invalid(
      `the payload has ${size} bytes, more than ${sizeLimit}: have the agent fetch files`
    )
  }
  return { payload: encoded, agent: payload.agent, hash }
}, Effect.catchDefect(() => invalid("the payload may have too many levels")))

const poll = (operation: string, options: PollOptions | undefined) =>
  Effect.map(checked(operation, pollRules, options), ({ every = "500 millis" }) => every)

const checkDecision = checkInput(
  Schema.Union([
    Schema.TaggedStruct("Approved", { note: omittable(Approval.fields.message) }),
    Schema.TaggedStruct("Rejected", { reason: Approval.fields.message })
  ])
)

const purgeRules = required(optionsOf<PurgeOptions>({ olderThan: required(duration()), limit: count(1) }))

const make = Effect.gen(function*() {
  const store = ofRuns(yield* RunStore)
  const storage = yield* MessageStorage.MessageStorage
  const sharding = yield* Sharding.Sharding
  const context = yield* Effect.context<WorkflowEngine.WorkflowEngine | Digest.Digest>()

  const find = (id: string): Effect.Effect<RunRow, RunNotFound | SqlError> =>
    Effect.filterOrFail(store.findRun(id), Predicate.isNotUndefined, () => new RunNotFound({ id: String(id) }))

  const start = Effect.fnUntraced(function*(run: AgentRunPayload) {
    const { agent, hash, payload } = yield* readPayload(run)
    const { id } = payload
    let row = yield* store.findRun(id)
    if (row === undefined) {
      const executionId = yield* AgentRun.executionId(payload)
      const insert = Effect.map(store.insertRun({ id, executionId, payloadHash: hash, agent }), (run) => row = run)
      yield* together(insert, AgentRun.execute(payload, { discard: true }))
    }
    if (row?.payloadHash !== hash) return yield* new RunConflict({ id })
    return statusOf(row)
  }, Effect.provideContext(context))

  const result = Effect.fnUntraced(function*(id: string, options?: PollOptions) {
    const every = yield* poll("AgentRuns.result", options)
    let run = yield* find(id)
    for (let looks = 1;; looks += run.endedAt === null ? 0 : 1) {
      const end = yield* endOf(run)
      if (Option.isSome(end)) return yield* end.value
      // The row is the truth: the engine ends soon what has ended there, unless it has lost it.
      if (looks % 20 === 0) yield* remind(storage, sharding, run)
      yield* Effect.sleep(every)
      run = yield* untilAnswered(find(id))
    }
  }, Effect.provideContext(context))

  const list = Effect.fnUntraced(function*(options?: ListRunsOptions) {
    const { before, limit = 100, ...filter } = yield* checkList("AgentRuns.list", options === undefined ? {} : options)
    const last = before === undefined ? undefined : yield* find(before)
    const runs = yield* store.listRuns({ ...filter, before: last, limit })
    return runs.map(statusOf)
  })

  const cancel: AgentRuns["Service"]["cancel"] = Effect.fnUntraced(function*(id: string) {
    const before = yield* find(id)
    const change = store.cancelRun(id)
    const waits = before.state === "waiting"
    yield* waits ? wake(before, { _tag: "Cancelled" }, change) : change
    const run = yield* find(id)
    // It has come to wait meanwhile, or for something else.
    if (run.state === "waiting" && !(waits && timerOf(run) === timerOf(before))) return yield* cancel(id)
    return statusOf(run)
  }, Effect.provideContext(context))

  const decide = Effect.fnUntraced(function*(token: string, decision: "approved" | "rejected", value: Decision) {
    yield* checkDecision(`AgentRuns.${value._tag === "Approved" ? "approve" : "reject"}`, value)
    let run = yield* store.waitingRun(token)
    if (run?.decision === null) {
      yield* wake(run, value, Effect.map(store.decide(token, decision), (decided) => run = decided))
    }
    if (run?.decision !== decision) return yield* new ApprovalClosed({ decision: run?.decision ?? undefined })
    return statusOf(run)
  }, Effect.provideContext(context))

  const purge = Effect.fnUntraced(function*(options: PurgeOptions) {
    yield* checked("AgentRuns.purge", purgeRules, options)
    const { limit = 1000, olderThan } = options
    let purged = 0
    for (const run of yield* store.endedRuns(Duration.toMillis(olderThan), limit)) {
      // What the engine has not ended yet is about to, unless it has lost it.
      if (Option.isNone(yield* endOf(run))) yield* remind(storage, sharding, run)
      else if (yield* store.deleteRun(run, forget(storage, sharding, run))) purged += 1
    }
    return purged
  }, Effect.provideContext(context))

  return AgentRuns.of({
    start,
    result,
    status: (id) => Effect.map(find(id), statusOf),
    list,
    turns: (id) => Effect.map(store.turnsOf(id), (turns) => turns.map(ledgerTurnOf)),
    cancel,
    approve: (token, note) => decide(token, "approved", { _tag: "Approved", note }),
    reject: (token, reason) => decide(token, "rejected", { _tag: "Rejected", reason }),
    watch: (id, options) => watchRun(store, id, poll("AgentRuns.watch", options)),
    purge
  })
})
