/**
 * Lets one turn, or one command, at a time into a session, and remembers which sessions are not to be used as they are.
 * A server has no lock, and mixes what runs at once (contract 1.1, items 6 and 7).
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { AshError, SessionBusy } from "../schema/AshError.ts"
import type { Session } from "../schema/Session.ts"

/** What to do where a session is in use. */
export interface BusyOptions {
  /** Wait for the turn before, or fail with `SessionBusy` at once. @default "wait" */
  readonly whenBusy?: "wait" | "fail" | undefined
  /** How long to wait before failing with `SessionBusy`. @default "10 minutes" */
  readonly waitAtMost?: Duration.Input | undefined
}

/** The session was stopped and resumed. */
export interface SessionRestarted {
  readonly _tag: "SessionRestarted"
  /** Why that was needed. */
  readonly reason: string
  readonly session: Session
  /** What is gone: the agent's memory of the conversation always, the workspace unless it was kept. */
  readonly lost: ReadonlyArray<"memory" | "workspace">
}

/** A turn that runs. */
interface RunningTurn {
  /** Fails the stream of the turn. */
  readonly cancelled: Deferred.Deferred<never, AshError>
  /** Whether the server is certainly done with it. */
  isOver: boolean
}

/** The gate of one session. */
export interface Gate {
  readonly lock: Semaphore.Semaphore
  /** One restart at a time, so that those who wait behind it find the session as it left it. */
  readonly restarting: Semaphore.Semaphore
  /** Handles that keep it, those inside and those who wait. */
  users: number
  /** Those inside and those who wait. */
  queued: number
  /** Why the next turn must not begin. */
  fence: string | undefined
  /** The turn that runs in this program. */
  turn: RunningTurn | undefined
  /** When the next turn or command may begin, by the clock's nanoseconds. */
  quietUntil: bigint
  /** The sequence number of the last message that the server has stored, where it is known. */
  lastSequence: number | undefined
  /** The workspace, saved before a restart and not yet brought back. */
  workspace: Uint8Array | undefined
  /** How often the session was restarted, and the last time. */
  restarts: number
  lastRestart: SessionRestarted | undefined
}

export interface TurnGates {
  /** The gate of a session, kept until the scope closes. */
  readonly use: (id: string) => Effect.Effect<Gate, never, Scope.Scope>
  /** Enters a session alone, until the scope closes. */
  readonly enter: (operation: string, id: string, options: BusyOptions) => Effect.Effect<Gate, AshError, Scope.Scope>
  /** Whether a handle keeps the gate of a session. */
  readonly isUsed: (id: string) => boolean
  /** Why the next turn of a session must not begin, if it must not. */
  readonly fenceOf: (id: string) => string | undefined
}

const busy = (operation: string, sessionId: string, message: string) =>
  new AshError({ operation, reason: new SessionBusy({ message, sessionId }) })

const makeGate = (): Gate => ({
  lock: Semaphore.makeUnsafe(1),
  restarting: Semaphore.makeUnsafe(1),
  users: 0,
  queued: 0,
  fence: undefined,
  turn: undefined,
  quietUntil: 0n,
  lastSequence: undefined,
  workspace: undefined,
  restarts: 0,
  lastRestart: undefined
})

export const make = (): TurnGates => {
  const gates = new Map<string, Gate>()

  const isForgotten = ({ fence, quietUntil, users, workspace }: Gate, now: bigint) =>
    users === 0 && fence === undefined && workspace === undefined && quietUntil <= now

  const gateOf = (id: string, now: bigint): Gate => {
    const known = gates.get(id)
    if (known !== undefined) return known
    for (const [other, gate] of gates) if (isForgotten(gate, now)) gates.delete(other)
    const gate = makeGate()
    gates.set(id, gate)
    return gate
  }

  const use = (id: string) =>
    Effect.acquireRelease(
      Effect.map(Clock.currentTimeNanos, (now) => {
        const gate = gateOf(id, now)
        gate.users += 1
        return gate
      }),
      (gate) =>
        Effect.sync(() => {
          gate.users -= 1
        })
    )

  const queue = (gate: Gate) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        gate.queued += 1
      }),
      () =>
        Effect.sync(() => {
          gate.queued -= 1
        })
    )

  const settle = (gate: Gate) =>
    Effect.flatMap(
      Clock.currentTimeNanos,
      (now) => gate.quietUntil > now ? Effect.sleep(Duration.nanos(gate.quietUntil - now)) : Effect.void
    )

  return {
    use,
    isUsed: (id) => (gates.get(id)?.users ?? 0) > 0,
    fenceOf: (id) => gates.get(id)?.fence,
    enter: Effect.fnUntraced(function*(operation, id, { waitAtMost = "10 minutes", whenBusy = "wait" }) {
      const gate = yield* use(id)
      if (whenBusy === "fail" && gate.queued > 0) {
        return yield* busy(operation, id, `the session ${id} is in use: a turn or a command runs in it`)
      }
      yield* queue(gate)
      const limit = Duration.fromInputUnsafe(waitAtMost)
      yield* Effect.timeoutOrElse(Effect.andThen(gate.lock.takeScoped(1), settle(gate)), {
        duration: limit,
        orElse: () =>
          Effect.fail(busy(operation, id, `the session ${id} was still in use after ${Duration.format(limit)}`))
      })
      return gate
    })
  }
}
