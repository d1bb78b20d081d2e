/** Turns and commands that go through the gate of their session: alone, and fencing it unless they are read completely. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { AshError } from "../../schema/AshError.ts"
import { SessionFenced, TurnCancelled, WrongState } from "../../schema/Reasons.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import { failure, renamed, within } from "../request/operations.ts"
import type { Surround } from "../request/sending.ts"
import { changed, whileOut, withKnown } from "./brokenTurn.ts"
import {
  awaitCancelled,
  type Fence,
  type Gate,
  type Holder,
  onCancelled,
  type SessionMemory,
  type SessionRestarted
} from "./gate.ts"
import { hold } from "./hold.ts"
import type { TurnControl } from "./turnControl.ts"
import type * as TurnFold from "./turnFold.ts"
import type { TurnGates } from "./turnGates.ts"
import { begun, usageOf } from "./turnUsage.ts"

export const fenced = (operation: string, sessionId: string, { why }: Fence) =>
  failure(operation, SessionFenced, {
    message: `the session ${sessionId} is fenced: ${why}. What is sent now would mix with what may still run there. ` +
      "Recover the session by stop and resume (recover, or the option recovery), or use another one",
    sessionId
  })

export const cancelled = (operation: string, sessionId: string, how: string, wasSent: boolean) =>
  // It is made before the id is checked, which of a program without types may be no text.
  failure(operation, TurnCancelled, { message: `it was ended: ${how}`, sessionId: String(sessionId), wasSent })

/** The error of a server when the sandbox of an active session is gone, or its runner, before anything of a turn has run. */
const sandboxGone = /^(?:(?:Exec failed: )?Not connected|Runner not available|Sandbox not found)$/

const wayOutOf = new Map([
  ["paused", "resume it, or recover it (recover, or the option recovery), or use another one"],
  ["stopped", "resume it, or recover it (recover, or the option recovery); its agent's memory is gone"],
  ["error", "recover it (recover, or the option recovery), or use another one"],
  ["starting", "wait until it has started"],
  ["ended", "use another one"]
])

export const inactive = (status: string): Fence => ({
  _tag: "Inactive",
  why: `the session was ${status === "error" ? "in error" : status}`
})

const goneBy = (words: string): Fence | undefined =>
  sandboxGone.test(words) ? { _tag: "Gone", why: `its sandbox is gone (${words})` } : undefined

/** The fence that the failure of a turn or a command shows, which has answered nothing: nothing of it has run. */
const unusable = ({ reason }: AshError): Fence | undefined => {
  switch (reason._tag) {
    case "WrongState":
      return reason.status === undefined || reason.status === "active" || reason.status === "ended"
        ? undefined
        : inactive(reason.status)
    case "TurnFailed":
      return goneBy(reason.error)
    case "ServerFailure":
      return goneBy(reason.message.replace(/ \(\d+\)$/, ""))
    default:
      return undefined
  }
}

/** Whether it is certain that nothing has run of a turn which failed so before it answered anything. */
export const ranNothing = (error: AshError): boolean => unusable(error) !== undefined

/** The failure of a turn or a command that did not begin, with what to do about it. */
const advised = (error: AshError, { halted }: SessionMemory): AshError => {
  const { during, operation, reason } = error
  const advice = reason._tag === "WrongState"
    ? halted === undefined ? wayOutOf.get(reason.status ?? "") : `this program has ${halted} it, so resume it first`
    : unusable(error)?._tag === "Gone"
    ? "the session's sandbox is gone: recover it (recover, or the option recovery)"
    : undefined
  if (advice === undefined) return error
  return new AshError({ operation, during, reason: changed(reason, { message: `${reason.message}; ${advice}` }) })
}

/** Holds a gate that was entered, until the scope closes, for one of several turns. */
export const holdGate = (
  gate: Gate,
  what: Holder["what"],
  onBroken?: Holder["onBroken"]
): Effect.Effect<Holder, never, Scope.Scope> =>
  hold(
    () => gate.enter(what, onBroken),
    (holder) => Effect.suspend(() => gate.leave(holder) ?? Effect.void)
  )

/**
 * Makes a session usable that is not, and may be: one that a handle has stopped as that handle would, unless this program has
 * paused or stopped it, too; another one by what the caller has for that, if anything. A restart that runs is waited for.
 */
export const ensureUsable = (
  gate: Gate,
  operation: string,
  id: string,
  restart?: (fence: Fence) => Effect.Effect<SessionRestarted, AshError> | undefined
): Effect.Effect<Option.Option<SessionRestarted>, AshError> =>
  Effect.suspend(() =>
    gate.isUsable ? Effect.succeedNone : gate.restarting(Effect.suspend(() => {
      const { fence, memory: { halted } } = gate
      if (fence === undefined) return Effect.succeedNone
      if (fence._tag === "Stopped" && halted !== undefined && halted !== "ended") {
        const message = `Session is stopped; this program has ${halted} it, so resume it first`
        return failure(operation, WrongState, { message, status: "stopped" })
      }
      const restarted = fence._tag === "Stopped" ? fence.restart(gate) : restart?.(fence)
      if (restarted !== undefined) return Effect.asSome(restarted)
      return gate.isShut ? Effect.fail(fenced(operation, id, fence)) : Effect.succeedNone
    })).pipe(Effect.mapError(within(operation)))
  )

/** Enters a session alone, unless it is fenced, until the scope closes. */
export const enterUnfenced = (gates: TurnGates, operation: string, id: string, what: Holder["what"]) =>
  Effect.flatMap(
    gates.enter(operation, id, {}),
    (gate) => Effect.as(ensureUsable(gate, operation, id), { gate, holder: gate.enter(what) })
  )

export interface HolderOptions {
  readonly operation: string
  readonly sessionId: string
  readonly gate: Gate
  readonly holder: Holder
  readonly refusal?: () => AshError | undefined
  readonly onSend?: () => void
}

/**
 * Until its request goes out a holder does not run; from then on it may, unless it is certain that it does not. Calls back when
 * that changes.
 */
const sendingBy = (
  { gate, holder, operation, refusal, sessionId }: HolderOptions,
  callBack: (mayRun: boolean) => void
): Surround => {
  const whileOurs = whileOut((isOut) => {
    if (isOut) gate.sent(holder)
    else if (gate.runs(holder)) gate.refused(holder)
    else return
    callBack(isOut)
  })
  return (attempt) => (sending) => {
    const refused = holder.error ?? refusal?.() ?? (gate.fence !== undefined && gate.isShut
      ? fenced(operation, sessionId, gate.fence)
      : undefined)
    return refused === undefined ? whileOurs(attempt)(sending) : Effect.fail(refused)
  }
}

/** What a failure leaves behind in the gate. */
const leave = ({ gate, holder }: HolderOptions, error: AshError, hasAnswered: boolean, why: string) => {
  const fence = hasAnswered ? undefined : unusable(error)
  if (fence !== undefined) gate.unusable(holder, fence)
  else if (error.nothingHappened) gate.over(holder)
  else gate.broke(holder, why)
  return hasAnswered ? error : advised(error, gate.memory)
}

/** Controls a turn in a session that was entered alone. What it leaves behind stands in the gate before the next one enters. */
export const gatedTurn = (options: HolderOptions, makeFold: TurnFold.Make): TurnControl => {
  const { gate, holder } = options
  const { lastSequence: begin, usageBefore } = gate.memory
  let stored = 1
  let hasAnswered = false

  const see = (event: StreamEvent) => {
    if (event._tag === "Message") {
      const { message } = event
      // Servers store the answers of an agent and the result, each as a message (docs/ash.md 3.6).
      if (message._tag === "Assistant" || message._tag === "Result") stored += 1
      if (message._tag === "Result") gate.remember({ usageBefore: usageOf(message, usageBefore).after })
    }
    if (event._tag === "Done" || event._tag === "TurnError") {
      gate.over(holder)
      gate.remember({
        lastSequence: begin === undefined || event._tag === "TurnError" ? undefined : begin + stored
      })
    } else if (event._tag === "SessionStart") {
      // The session is active again, also where another program made it so.
      gate.remember({ halted: undefined })
    } else {
      hasAnswered = true
    }
  }
  return {
    attempt: sendingBy(options, (mayRun) => {
      gate.remember({ usageBefore: mayRun ? begun(usageBefore) : usageBefore })
      if (mayRun) options.onSend?.()
    }),
    onAbort: (abort) => onCancelled(holder, abort),
    makeFold: (options) => makeFold({ ...options, before: usageBefore }),
    receive: (events) => events.forEach(see),
    fail: (error) => {
      if (error.reason._tag === "TurnFailed") {
        gate.over(holder)
        gate.remember({ lastSequence: undefined })
      }
      return leave(options, withKnown(error, { lastSequence: begin }), hasAnswered, error.reason.message)
    }
  }
}

/**
 * The time after a command in which nothing else begins. Servers send its end to what runs then: it would end a turn, and
 * answer a command with its result. Servers were seen to need 50 ms to 80 ms.
 */
const quiet = 200_000_000n

/** Runs a command in a session that was entered alone. One that is not answered fences the session. */
export const gatedCommand = <A>(
  options: HolderOptions,
  command: (surround: Surround) => Effect.Effect<A, AshError>
): Effect.Effect<A, AshError> => {
  const { gate, holder, operation } = options
  let hasRun = false
  const surround = sendingBy(options, (mayRun) => {
    hasRun = mayRun
  })
  return Effect.raceFirst(command(surround), awaitCancelled(holder)).pipe(
    Effect.tap(() =>
      Effect.sync(() => {
        gate.over(holder)
        gate.remember({ halted: undefined })
      })
    ),
    Effect.mapError((error) => {
      const why = `a command was not answered (${error.reason.message}), and may still run`
      const failure = leave(options, renamed(operation)(error), false, why)
      hasRun = gate.runs(holder)
      return failure
    }),
    Effect.ensuring(Effect.map(Clock.monotonicTimeNanos, (now) => {
      if (hasRun) gate.remember({ quietUntil: now + quiet })
    }))
  )
}
