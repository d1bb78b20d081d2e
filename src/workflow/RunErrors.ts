/** How runs end but by success, and what a caller of runs may get wrong. */
import * as Schema from "effect/Schema"

/** The failure of a run that was cancelled. Its session has ended. */
export class RunCancelled extends Schema.TaggedError<RunCancelled>()("RunCancelled", {
  id: Schema.String
}) {
  override readonly message: string = `the run ${this.id} was cancelled`
}

/** The failure of a run of which an approval was rejected. */
export class RunRejected extends Schema.TaggedError<RunRejected>()("RunRejected", {
  id: Schema.String,
  /** What was to be approved. */
  approval: Schema.String,
  reason: Schema.String
}) {
  override readonly message: string = `the run ${this.id} was rejected at "${this.approval}": ${this.reason}`
}

/**
 * What became of a turn is not known: it may have run, in part or to its end. It was not sent again. The messages of the
 * session behind `afterSequence` are what the server keeps of it.
 */
export class TurnOutcomeUnknown extends Schema.TaggedError<TurnOutcomeUnknown>()("TurnOutcomeUnknown", {
  runId: Schema.String,
  sessionId: Schema.String,
  /** The step of the run, from 0. */
  step: Schema.Int,
  generation: Schema.Int,
  afterSequence: Schema.Finite
}) {
  override readonly message: string =
    `what became of step ${this.step} of the run ${this.runId} is not known; it was not sent again. ` +
    `Look at the messages behind ${this.afterSequence} of the session ${this.sessionId}, or start runs with whenUnknown to have them repeat`
}

/** The run was begun so often without getting a step further that it is not begun again: it may end the process that runs it. */
export class TooManyAttempts extends Schema.TaggedError<TooManyAttempts>()("TooManyAttempts", {
  id: Schema.String,
  attempts: Schema.Int
}) {
  override readonly message: string =
    `the run ${this.id} was begun ${this.attempts} times without getting a step further; see the logs of the runners, and start a ` +
    "run of another id"
}

/** The answer of a turn is larger than a run may keep. The server keeps it, as messages behind `afterSequence`. */
export class ResultTooLarge extends Schema.TaggedError<ResultTooLarge>()("ResultTooLarge", {
  sessionId: Schema.String,
  afterSequence: Schema.Finite,
  /** Bytes. */
  size: Schema.Finite,
  /** Bytes. */
  limit: Schema.Finite
}) {
  override readonly message: string =
    `the structured output of a turn has ${this.size} bytes, more than the ${this.limit} that a run keeps; read it from the ` +
    `messages behind ${this.afterSequence} of the session ${this.sessionId}, have the agent write a file, or raise maxStored`
}

/** A plan could not decide on the next step, or no plan of the run's name is on the runner. */
export class PlanFailed extends Schema.TaggedError<PlanFailed>()("PlanFailed", { message: Schema.String }) {}

/** The run ended by a defect, of this package or of a plan. */
export class RunDied extends Schema.TaggedError<RunDied>()("RunDied", { id: Schema.String, message: Schema.String }) {}

/** No run of this id is there: it was never started, or has been purged. */
export class RunNotFound extends Schema.TaggedError<RunNotFound>()("RunNotFound", { id: Schema.String }) {
  override readonly message: string = `there is no run ${this.id}: it was never started, or has been purged`
}

/** There is a run of this id that was started with something else. */
export class RunConflict extends Schema.TaggedError<RunConflict>()("RunConflict", { id: Schema.String }) {
  override readonly message: string =
    `the run ${this.id} was started before with another payload; nothing was started. Use an id of its own for each task`
}

/** The token is of no approval that waits, or of one on which something else was decided. */
export class ApprovalClosed extends Schema.TaggedError<ApprovalClosed>()("ApprovalClosed", {
  decision: Schema.UndefinedOr(Schema.Literals(["approved", "rejected"]))
}) {
  override readonly message: string = this.decision === undefined
    ? "no run waits for this token: it was decided on before, or the run has ended"
    : `this was ${this.decision} before, which stands`
}

/** Settings of runners that would lose runs or turns. */
export class SettingsRefused extends Schema.TaggedError<SettingsRefused>()("SettingsRefused", {
  setting: Schema.String,
  message: Schema.String
}) {}
