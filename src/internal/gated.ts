/** Turns and commands that go through the gate of their session: alone, and fencing it if they are not heard to their end. */
import type * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { AshError, ServerFailure, SessionFenced, TurnCancelled, TurnFailed, WrongState } from "../schema/AshError.ts"
import type { StreamEvent } from "../schema/StreamEvent.ts"
import { startedNothing, withKnown } from "./brokenTurn.ts"
import { renamed } from "./operations.ts"
import { TurnControl } from "./turnControl.ts"
import * as TurnFold from "./turnFold.ts"
import type { Fence, Gate, GatedTurn, TurnGates } from "./turnGates.ts"
import { begun, usageOf } from "./turnUsage.ts"

/** What is sent to a session that is fenced. */
export const fenced = (operation: string, sessionId: string, { why }: Fence) =>
  new AshError({
    operation,
    reason: new SessionFenced({
      message:
        `the session ${sessionId} is fenced: ${why}. What is sent now would mix with what may still run there. ` +
        "Recover the session by stop and resume (recover, or the option recovery), or use another one",
      sessionId
    })
  })

/** The failure of a turn that this program ends. */
export const cancelled = (operation: string, sessionId: string, how: string) =>
  new AshError({ operation, reason: new TurnCancelled({ message: `the turn was ended: ${how}`, sessionId }) })

/** Ends the turn that runs in a session, for who hears it. */
export const cancelTurn = (turn: GatedTurn, error: AshError) => {
  Deferred.doneUnsafe(turn.cancelled, Effect.fail(error))
}

/** Ends the turn of a session that was stopped or ended, as the server has done with it. */
export const endTurnOf = ({ turn }: Gate, error: AshError) => {
  if (turn === undefined) return
  turn.phase = "Over"
  cancelTurn(turn, error)
}

/** What a server says when the sandbox of an active session is gone, before anything of a turn has run. */
const sandboxGone = /^(?:Not connected|Sandbox\b.* not found)\b/i

const wayOut = {
  paused: "resume it, or recover it (recover, or the option recovery), or use another one",
  stopped: "resume it, or recover it (recover, or the option recovery); its agent's memory is gone",
  error: "recover it (recover, or the option recovery), or use another one",
  starting: "wait until it has started",
  ended: "use another one"
}

const sandboxIsGone = "the session's sandbox is gone: recover it (recover, or the option recovery)"

const wayOutOf = new Map(Object.entries(wayOut))

/** The failure of a turn or a command that did not begin, with what to do about it. */
export const advised = (error: AshError, { halted }: Gate): AshError => {
  const { during, operation, reason } = error
  switch (reason._tag) {
    case "WrongState": {
      const way = halted === undefined
        ? wayOutOf.get(reason.status ?? "")
        : `this program has ${halted} it, so resume it first`
      return way === undefined
        ? error
        : new AshError({
          operation,
          during,
          reason: new WrongState({ ...reason, message: `${reason.message}; ${way}` })
        })
    }
    case "TurnFailed":
      return new AshError({
        operation,
        during,
        reason: new TurnFailed({ ...reason, message: `${reason.message}; ${sandboxIsGone}` })
      })
    case "ServerFailure":
      return new AshError({
        operation,
        during,
        reason: new ServerFailure({ ...reason, message: `${reason.message}; ${sandboxIsGone}` })
      })
    default:
      return error
  }
}

/** What the failure of something that has said nothing tells of its session: nothing of it has run. */
const unusable = ({ reason }: AshError): Fence | undefined => {
  switch (reason._tag) {
    case "WrongState":
      return reason.status === "paused" || reason.status === "stopped" || reason.status === "error"
        ? { _tag: "Inactive", why: `the session was ${reason.status === "error" ? "in error" : reason.status}` }
        : undefined
    case "TurnFailed":
      return sandboxGone.test(reason.error)
        ? { _tag: "Gone", why: `its sandbox is gone (${reason.error})` }
        : undefined
    case "ServerFailure":
      return sandboxGone.test(reason.message) ? { _tag: "Gone", why: "its sandbox is gone" } : undefined
    default:
      return undefined
  }
}

/** Enters a session alone, unless it is fenced, until the scope closes. A restart that runs is waited for. */
export const enterUnfenced = Effect.fnUntraced(function*(gates: TurnGates, operation: string, id: string) {
  const gate = yield* gates.enter(operation, id, {})
  const fence = yield* gate.restarting.withPermits(1)(Effect.sync(() => isShut(gate) ? gate.fence : undefined))
  return fence === undefined ? gate : yield* fenced(operation, id, fence)
})

export interface GatedTurnOptions {
  readonly operation: string
  readonly sessionId: string
  readonly gate: Gate
  /** Why nothing may be sent any more, if so. */
  readonly refusal?: () => AshError | undefined
  /** Is run when the message goes out. */
  readonly onSend?: Effect.Effect<void>
  /** Is run where the turn is left while it may run on, behind the fence that then stands; told whether it has failed. */
  readonly onBroken?: (hasFailed: boolean) => Effect.Effect<void>
}

/** Servers store the answers of an agent and the result, each as a message (contract 3.6). */
const isStored = (event: StreamEvent) =>
  event._tag === "Message" && (event.message._tag === "Assistant" || event.message._tag === "Result")

/** Whether a fence keeps everything out. Where the session was seen unusable, the server may know better by now. */
export const isShut = ({ fence }: Gate): boolean => fence?._tag === "Broken"

/** Streams a turn in a session that was entered alone. What it leaves behind stands in the gate before the next one enters. */
export const gatedTurn = (
  { gate, onBroken = () => Effect.void, onSend = Effect.void, operation, refusal, sessionId }: GatedTurnOptions,
  send: Stream.Stream<StreamEvent, AshError>
): Stream.Stream<StreamEvent, AshError> =>
  Stream.unwrap(Effect.gen(function*() {
    const turn: GatedTurn = { cancelled: Deferred.makeUnsafe(), phase: "Waiting" }
    gate.turn = turn
    // Before the gate opens again, as scopes close from the last to the first.
    yield* Scope.addFinalizer(
      yield* Scope.Scope,
      Effect.suspend(() => {
        gate.turn = undefined
        if (turn.phase !== "Running") return Effect.void
        const hasFailed = isShut(gate)
        if (!hasFailed) gate.fence = { _tag: "Broken", why: "its last turn was not heard to its end" }
        return onBroken(hasFailed)
      })
    )
    const { usageBefore } = gate
    const folding = yield* TurnFold.Folding
    const begin = gate.lastSequence
    let stored = 1
    let hasSpoken = false

    /** Until the message goes out it is nobody's; from then on it may run, unless it is certain that it does not. */
    const attempt = <A, R>(sending: Effect.Effect<A, AshError, R>): Effect.Effect<A, AshError, R> =>
      Effect.flatMap(Deferred.isDone(turn.cancelled), (isCancelled) => {
        if (isCancelled) return Deferred.await(turn.cancelled)
        const refused = refusal?.() ?? (gate.fence !== undefined && isShut(gate)
          ? fenced(operation, sessionId, gate.fence)
          : undefined)
        if (refused !== undefined) return Effect.fail(refused)
        turn.phase = "Running"
        gate.fence = undefined
        gate.usageBefore = begun(usageBefore)
        return Effect.andThen(
          onSend,
          Effect.tapError(sending, (error) =>
            Effect.sync(() => {
              if (!startedNothing(error)) return
              turn.phase = "Waiting"
              gate.usageBefore = usageBefore
            }))
        )
      })
    const heard = (batch: Arr.NonEmptyReadonlyArray<StreamEvent>) => {
      for (const event of batch) {
        if (isStored(event)) stored += 1
        if (event._tag === "Message" && event.message._tag === "Result") {
          gate.usageBefore = usageOf(event.message, usageBefore).after
        }
        if (event._tag === "Done" || event._tag === "TurnError") {
          turn.phase = "Over"
          gate.lastSequence = begin === undefined || event._tag === "TurnError" ? undefined : begin + stored
        } else if (event._tag === "SessionStart") {
          // Whoever made it active again.
          gate.halted = undefined
        } else {
          hasSpoken = true
        }
      }
      return batch
    }
    const failed = (error: AshError) => {
      const known = withKnown(renamed(operation)(error), { lastSequence: begin })
      const fence = hasSpoken ? undefined : unusable(error)
      if (fence !== undefined || error.reason._tag === "TurnFailed" || startedNothing(error)) {
        turn.phase = "Over"
        if (error.reason._tag === "TurnFailed") gate.lastSequence = undefined
        if (fence !== undefined && gate.halted === undefined) gate.fence ??= fence
      } else if (turn.phase === "Running") {
        gate.fence ??= { _tag: "Broken", why: error.reason.message }
      }
      return fence === undefined && error.reason._tag !== "WrongState" ? known : advised(known, gate)
    }
    return send.pipe(
      Stream.provideService(
        TurnFold.Folding,
        (options: TurnFold.StateOptions) => folding({ ...options, before: usageBefore })
      ),
      Stream.provideService(TurnControl, { attempt, abort: Deferred.await(turn.cancelled) }),
      Stream.mapArray(heard),
      Stream.mapError(failed)
    )
  }))

/**
 * The time after a command in which nothing else begins. Its end is told to whoever listens then: a turn would be ended
 * by it, and a command would be answered with its result. Servers were seen to need 50 ms to 80 ms.
 */
const quiet = 200_000_000n

/** Runs a command in a session that was entered alone. One that is not answered fences the session. */
export const gatedCommand = <A>(gate: Gate, command: Effect.Effect<A, AshError>): Effect.Effect<A, AshError> =>
  Effect.suspend(() => {
    const { restarts } = gate
    // A restart has ended the command, too.
    const fence = (why: string) =>
      Effect.sync(() => {
        if (gate.restarts === restarts) gate.fence = { _tag: "Broken", why }
      })
    const rest = Effect.map(Clock.currentTimeNanos, (now) => {
      gate.quietUntil = now + quiet
    })
    return command.pipe(
      Effect.tapError((error) => {
        const found = unusable(error)
        if (found !== undefined && gate.halted === undefined) gate.fence ??= found
        return error.nothingHappened || found !== undefined
          ? Effect.void
          : Effect.andThen(fence(`a command was not answered (${error.reason.message}), and may still run`), rest)
      }),
      Effect.onInterrupt(() => Effect.andThen(fence("a command was interrupted, and may still run"), rest)),
      Effect.tap(() => rest)
    )
  })
