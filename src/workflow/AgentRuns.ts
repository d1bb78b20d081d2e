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
import { checked, count, duration, finite, optionsOf, refusal, required } from "../internal/request/options.ts"
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
   * Lets the run go on that waits for the approval of this token. Again, it changes nothing. A note has at most 100,000
   * characters.
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
  > = Layer.effect(
    AgentRuns,
    Effect.gen(function*() {
      const store = ofRuns(yield* RunStore)
      const parts: Parts = {
        store,
        storage: yield* MessageStorage.MessageStorage,
        sharding: yield* Sharding.Sharding,
        context: yield* Effect.context<WorkflowEngine.WorkflowEngine | Digest.Digest>()
      }
      const found = findOf(parts)
      return AgentRuns.of({
        start: startOf(parts),
        result: (id, options) => resultOf(parts, id, options),
        status: (id) => Effect.map(found(id), statusOf),
        list: listOf(parts),
        turns: (id) => Effect.map(store.turnsOf(id), (turns) => turns.map(ledgerTurnOf)),
        cancel: cancelOf(parts),
        approve: (token, note) => decideOf(parts, token, "approved", { _tag: "Approved", note }),
        reject: (token, reason) => decideOf(parts, token, "rejected", { _tag: "Rejected", reason }),
        watch: (id, options) => watchRun(store, id, poll("AgentRuns.watch", options)),
        purge: purgeOf(parts)
      })
    })
  ).pipe(Layer.provide(Digest.layerWebCrypto))
}

interface Parts {
  readonly store: RunStore["Service"]
  readonly storage: MessageStorage.MessageStorage["Service"]
  readonly sharding: Sharding.Sharding["Service"]
  readonly context: Context.Context<WorkflowEngine.WorkflowEngine | Digest.Digest>
}

/** The tables, which are not asked about what is no id or token: a database may refuse it. */
const ofRuns = (store: RunStore["Service"]): RunStore["Service"] => ({
  ...store,
  findRun: (id) => isId(id) ? store.findRun(id) : Effect.undefined,
  turnsOf: (id) => isId(id) ? store.turnsOf(id) : Effect.succeed([]),
  waitingRun: (token) => isId(token) ? store.waitingRun(token) : Effect.undefined
})

const findOf = ({ store }: Parts) => (id: string): Effect.Effect<RunRow, RunNotFound | SqlError> =>
  Effect.filterOrFail(store.findRun(id), Predicate.isNotUndefined, () => new RunNotFound({ id: String(id) }))

const checkList = checkInput(
  Schema.Struct({
    state: omittable(RunStatus.fields.state),
    agent: omittable(AgentRunPayload.fields.agent),
    before: omittable(AgentRunPayload.fields.id),
    limit: omittable(Limit)
  })
)

const listOf = (parts: Parts) =>
  Effect.fnUntraced(function*(options: ListRunsOptions | undefined) {
    const { before, limit = 100, ...filter } = yield* checkList("AgentRuns.list", options === undefined ? {} : options)
    const last = before === undefined ? undefined : yield* findOf(parts)(before)
    const runs = yield* parts.store.listRuns({ ...filter, before: last, limit })
    return runs.map(statusOf)
  })

const start = "AgentRuns.start"

const invalid = (message: string, field = "") => refusal(start, field, message)

const checkPayload = checkInput(AgentRunPayload)

/** The payload, as far as it can be run. */
const readPayload = Effect.fnUntraced(function*(run: AgentRunPayload) {
  const payload = yield* checkPayload(start, run)
  const { plan, steps } = payload
  if ((plan === undefined) === (steps === undefined)) return yield* invalid("a run has either steps or a plan", "steps")
  if (steps?.length === 0) return yield* invalid("steps must have at least one step", "steps")
  const { encoded, hash, size } = yield* Effect.mapError(encodePayload(payload), refusedBy(start))
  if (size > sizeLimit) {
    return yield* invalid(
      `the payload has ${size} bytes, more than ${sizeLimit}: have the agent fetch files`
    )
  }
  return { payload: encoded, agent: payload.agent, hash }
}, Effect.catchDefect(() => invalid("the payload may have too many levels")))

const startOf = (parts: Parts): AgentRuns["Service"]["start"] => (run) =>
  Effect.gen(function*() {
    const { store } = parts
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
  }).pipe(Effect.provideContext(parts.context))

const pollRules = optionsOf<PollOptions>({ every: finite })

const poll = (operation: string, options: PollOptions | undefined) =>
  Effect.map(checked(operation, pollRules, options), ({ every = "500 millis" }) => every)

const resultOf = Effect.fnUntraced(function*(parts: Parts, id: string, options: PollOptions | undefined) {
  const every = yield* poll("AgentRuns.result", options)
  const find = findOf(parts)(id)
  let run = yield* find
  for (let looks = 1;; looks += run.endedAt === null ? 0 : 1) {
    const end = yield* endOf(run)
    if (Option.isSome(end)) return yield* end.value
    // The row is the truth: the engine ends soon what has ended there, unless it has lost it.
    if (looks % 20 === 0) yield* remind(parts.storage, parts.sharding, run)
    yield* Effect.sleep(every)
    run = yield* untilAnswered(find)
  }
}, (effect, parts) => Effect.provideContext(effect, parts.context))

const cancelOf = (parts: Parts) => {
  const cancel: AgentRuns["Service"]["cancel"] = (id) =>
    Effect.gen(function*() {
      const find = findOf(parts)(id)
      const before = yield* find
      const change = parts.store.cancelRun(id)
      const waits = before.state === "waiting"
      yield* waits ? wake(before, { _tag: "Cancelled" }, change) : change
      const run = yield* find
      // It has come to wait meanwhile, or for something else.
      if (run.state === "waiting" && !(waits && timerOf(run) === timerOf(before))) return yield* cancel(id)
      return statusOf(run)
    }).pipe(Effect.provideContext(parts.context))
  return cancel
}

const checkDecision = checkInput(
  Schema.Union([
    Schema.TaggedStruct("Approved", { note: omittable(Approval.fields.message) }),
    Schema.TaggedStruct("Rejected", { reason: Approval.fields.message })
  ])
)

const decideOf = Effect.fnUntraced(
  function*(parts: Parts, token: string, decision: "approved" | "rejected", value: Decision) {
    yield* checkDecision(`AgentRuns.${value._tag === "Approved" ? "approve" : "reject"}`, value)
    let run = yield* parts.store.waitingRun(token)
    if (run?.decision === null) {
      const decide = Effect.map(parts.store.decide(token, decision), (decided) => run = decided)
      yield* Effect.provideContext(wake(run, value, decide), parts.context)
    }
    if (run?.decision !== decision) return yield* new ApprovalClosed({ decision: run?.decision ?? undefined })
    return statusOf(run)
  }
)

const purgeRules = required(optionsOf<PurgeOptions>({ olderThan: required(duration()), limit: count(1) }))

const purgeOf = ({ context, sharding, storage, store }: Parts) => (options: PurgeOptions) =>
  Effect.gen(function*() {
    yield* checked("AgentRuns.purge", purgeRules, options)
    const { limit = 1000, olderThan } = options
    let purged = 0
    for (const run of yield* store.endedRuns(Duration.toMillis(olderThan), limit)) {
      // What the engine has not ended yet is about to, unless it has lost it.
      if (Option.isNone(yield* endOf(run))) yield* remind(storage, sharding, run)
      else if (yield* store.deleteRun(run, forget(storage, sharding, run))) purged += 1
    }
    return purged
  }).pipe(Effect.provideContext(context))
