/**
 * What a run does, step by step, as the body of its workflow. The body runs again from its start whenever a run goes on, here
 * or on another runner; what its activities answered is answered again. Their names hold the step and the generation.
 */
import * as Cause from "effect/Cause"
import type { Sharding } from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import * as Activity from "effect/workflow/Activity"
import * as DurableClock from "effect/workflow/DurableClock"
import * as DurableDeferred from "effect/workflow/DurableDeferred"
import * as Workflow from "effect/workflow/Workflow"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { messageOf } from "../internal/request/operations.ts"
import { TokenUsage } from "../schema/ClaudeMessage.ts"
import { omittable } from "../schema/Wire.ts"
import {
  type AgentRun,
  type AgentRunPayload,
  type Approval,
  CollectedFile,
  Decision,
  RunFailure,
  type RunResult,
  RunTurn,
  type Sleep,
  type Step,
  StoredStep
} from "./AgentRun.ts"
import * as Handover from "./handover.ts"
import { longestFailure, StoredPayload } from "./payloadHash.ts"
import { planOf, type Plans, stepOf } from "./Plan.ts"
import { RunCancelled, RunRejected } from "./RunErrors.ts"
import type { RunSteps } from "./RunSteps.ts"
import type { RunRow, TurnKey } from "./store/RunStore.ts"

export interface RunParts {
  readonly steps: RunSteps
  readonly plans: Plans
  readonly maxGenerations: number
  readonly sharding: Sharding["Service"]
}

const nameOf = ({ generation, step }: Pick<TurnKey, "generation" | "step">) => `${generation}/${step}`

/**
 * What a step waits for. The engine remembers for a time what was decided, also when the run was purged: a run of the same id
 * that is started then must not take it for its own.
 */
type Wait = Pick<RunRow, "createdAt" | "generation" | "step">

export const approvalOf = (wait: Wait) =>
  DurableDeferred.make(`approval/${nameOf(wait)}/${wait.createdAt}`, { success: Decision })

export const timerOf = (wait: Wait) => `sleep/${nameOf(wait)}/${wait.createdAt}`

/** An activity whose body is not run again where it is interrupted from inside: that would send its message again. */
const activityOf = ({ during }: Handover.Handover) =>
<S extends Schema.Constraint, R>(
  name: string,
  success: S,
  execute: Effect.Effect<S["Type"], RunFailure, R>
) => {
  const activity = Activity.make({
    name,
    success,
    error: RunFailure,
    // Too large a failure could not be read back: it would stop the run, and those that are read beside it. A defect may
    // hold anything beside its message.
    execute: Effect.catchCause(during(execute), (cause) => {
      const message = messageOf(cause)
      return Cause.hasDies(cause) || message.length > longestFailure
        ? Effect.die(message.slice(0, longestFailure))
        : Effect.failCause(cause)
    }),
    interruptRetryPolicy: Schedule.recurs(0)
  })
  // One whose answer could not be written down is answered as suspended: nothing would wake a run that waits for it.
  return Effect.withSpan(
    Effect.flatMap(
      WorkflowEngine.WorkflowEngine.use((engine) => engine.activityExecute(activity, 1)),
      (result) => result._tag === "Suspended" ? Handover.abandon : result.exit
    ),
    name
  )
}

/** What turns used, added up. */
type Spent = Pick<RunResult, "usage" | "costUsd">

const spend = (spent: Spent, turn: RunTurn): Spent => ({
  usage: Object.fromEntries(
    Struct.keys(TokenUsage.fields).flatMap((name) => {
      const [before, more] = [spent.usage[name], turn.usage?.[name]]
      return Predicate.isNullish(before ?? more) ? [] : [[name, (before ?? 0) + (more ?? 0)]]
    })
  ),
  costUsd: Number((spent.costUsd + (turn.costUsd ?? 0)).toFixed(12))
})

interface Position {
  readonly generation: number
  readonly step: number
  readonly sessionId: string
  readonly turns: ReadonlyArray<RunTurn>
  readonly spent: Spent
}

const Planned = Schema.Struct({ step: omittable(StoredStep) })

/** Does all steps of a run. */
const runAll = Effect.fnUntraced(function*(
  { maxGenerations, plans, steps }: RunParts,
  payload: AgentRunPayload,
  createdAt: number,
  handover: Handover.Handover
) {
  const { agent, collect = [], id, input, whenUnknown = "fail" } = payload
  const activity = activityOf(handover)
  const plan = planOf(plans, payload)

  /** The step that is next; what a plan decides is written down. */
  const nextStep = Effect.fnUntraced(function*(position: Position) {
    const { step, turns } = position
    if (plan === undefined) return stepOf(payload, step)
    const decide = Effect.suspend(() => plan({ id, agent, input, step, last: turns.at(-1) }))
    const planned = steps.decide(id, Effect.map(decide, (step) => ({ step })))
    return (yield* activity(`plan/${nameOf(position)}`, Planned, planned)).step
  })

  const open = Effect.fnUntraced(function*(generation: number) {
    const sessionId = yield* activity(`open/${generation}`, Schema.String, steps.open(payload, generation))
    if (payload.files !== undefined) {
      yield* activity(`bring/${generation}`, Schema.Void, steps.bring(id, sessionId, payload.files))
    }
    return sessionId
  })

  const wait = Effect.fnUntraced(function*(key: TurnKey, step: Approval | Sleep) {
    const isApproval = step._tag === "Approval"
    const what = isApproval ? step.message : "a time"
    const isOn = yield* activity(`wait/${nameOf(key)}`, Schema.Boolean, steps.wait(key, what, isApproval))
    if (!isOn) return yield* new RunCancelled({ id })
    const decision = isApproval
      ? yield* DurableDeferred.await(approvalOf({ ...key, createdAt }))
      : yield* DurableClock.sleep({
        name: timerOf({ ...key, createdAt }),
        duration: step.duration,
        inMemoryThreshold: 0
      })
    yield* activity(`goOn/${nameOf(key)}`, Schema.Void, steps.goOn(key))
    if (decision?._tag === "Rejected") return yield* new RunRejected({ id, approval: what, reason: decision.reason })
    if (decision?._tag === "Cancelled") return yield* new RunCancelled({ id })
  })

  /** Where a run goes on behind a turn of which it is not known what became. */
  const repeat = Effect.fnUntraced(function*(position: Position) {
    const generation = position.generation + 1
    const sessionId = yield* open(generation)
    return whenUnknown === "repeatRun"
      ? { ...position, generation, sessionId, step: 0, turns: [] }
      : { ...position, generation, sessionId }
  })

  /** Does a step, and answers where the run is then. */
  const advance = Effect.fnUntraced(function*(position: Position, next: Step) {
    const { generation, sessionId, spent, step, turns } = position
    const key = { runId: id, step, generation }
    if (next._tag !== "Ask") {
      yield* wait(key, next)
      return { ...position, step: step + 1 }
    }
    const last = turns.findLast((turn) => turn.sessionId === sessionId)
    const known = last === undefined ? 0 : last.lastSequence
    const mayRepeat = whenUnknown !== "fail" && generation + 1 < maxGenerations
    const asked = steps.turn(key, sessionId, known, next, spent.costUsd)
    return yield* activity(`turn/${nameOf(key)}`, RunTurn, asked).pipe(
      Effect.map((turn): Position => ({
        ...position,
        step: step + 1,
        turns: [...turns, turn],
        spent: spend(spent, turn)
      })),
      Effect.catchTag("TurnOutcomeUnknown", (error) => mayRepeat ? repeat(position) : Effect.fail(error))
    )
  })

  yield* activity("place", Schema.Void, steps.takePlace(id))
  let position: Position = {
    generation: 0,
    step: 0,
    sessionId: yield* open(0),
    turns: [],
    spent: { usage: {}, costUsd: 0 }
  }
  let next = yield* nextStep(position)
  while (next !== undefined) {
    const { step }: Position = position
    position = yield* advance(position, next)
    // A turn that is repeated is asked the same: no plan decides on it again.
    if (position.step !== step) next = yield* nextStep(position)
  }
  const { generation, sessionId } = position
  const collected = collect.length === 0
    ? []
    : yield* activity(`collect/${generation}`, Schema.Array(CollectedFile), steps.collect(id, sessionId, collect))
  return resultOf(id, position, collected)
})

const resultOf = (
  id: string,
  { generation, sessionId, spent, turns }: Position,
  files: ReadonlyArray<CollectedFile>
): RunResult => {
  const last = turns.at(-1)
  return {
    id,
    text: last?.text ?? "",
    isPartial: last?.isPartial ?? false,
    structuredOutput: last?.structuredOutput,
    ...spent,
    sessionId,
    generations: generation + 1,
    turns: turns.map(({ isPartial: _isPartial, structuredOutput: _output, text: _text, ...summary }) => summary),
    files
  }
}

const readPayload = Schema.decodeUnknownEffect(Schema.toCodecJson(StoredPayload))

export const make = (parts: RunParts) =>
  Effect.fnUntraced(function*(stored: typeof AgentRun.payloadSchema.Type, executionId: string) {
    const { id } = stored
    const { sharding, steps } = parts
    const handover = Handover.make(sharding, executionId)
    yield* Workflow.addFinalizer(() => steps.release(id))
    return yield* Effect.gen(function*() {
      const createdAt = yield* steps.begin(id)
      const payload = yield* Effect.catch(
        readPayload(stored),
        ({ message }) => Effect.die(`payload cannot be read: ${message}`)
      )
      return yield* runAll(parts, payload, createdAt, handover)
    }).pipe(
      Effect.tap(() => steps.end(id, null)),
      handover.whileOwned,
      Effect.tapCause((cause) => Cause.hasInterrupts(cause) ? Effect.void : steps.end(id, messageOf(cause))),
      // An interruption is no end: the run waits, or goes on elsewhere.
      Effect.onExit((exit) => Exit.hasInterrupts(exit) ? steps.pause(id) : Effect.void)
    )
  })
