/**
 * Lets one turn, or one command, at a time into a session, and remembers which sessions are not to be used as they are.
 * A server has no lock, and mixes what runs at once (docs/ash.md 5.4).
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { AshError, SessionBusy } from "../../schema/AshError.ts"
import type { Session } from "../../schema/Session.ts"
import { readDuration } from "../request/durations.ts"
import { unknownBefore, type UsageBefore } from "./turnUsage.ts"

/** What to do where a session is in use. */
export interface BusyOptions {
  /** Wait for the turn before, or fail with `SessionBusy` at once. @default "wait" */
  readonly whenBusy?: "wait" | "fail" | undefined
  /** How long to wait before failing with `SessionBusy`. @default "10 minutes" */
  readonly waitAtMost?: Duration.Input | undefined
}

/** What a restart may take from a session. */
export type Losable = "memory" | "workspace"

/** The session was resumed, where it had to be behind a stop. */
export interface SessionRestarted {
  readonly _tag: "SessionRestarted"
  /** Why that was needed. */
  readonly reason: string
  readonly session: Session
  /** What is known to be gone: the agent's memory of the conversation, the files of the workspace. */
  readonly lost: ReadonlyArray<Losable>
  /** What may be gone, as far as the server tells. */
  readonly mayBeLost: ReadonlyArray<Losable>
  /** Why the workspace could not be saved before, where `keepWorkspace` was to. */
  readonly notSaved?: string | undefined
}

/** A turn or a command that is let in. */
export interface Guest {
  readonly what: "turn" | "command"
  /** Fails it from outside. */
  readonly cancelled: Deferred.Deferred<never, AshError>
  /** `Waiting`: nothing of it runs, also between two attempts. `Over`: the server is certainly done with it. */
  phase: "Waiting" | "Running" | "Over"
}

/**
 * Why a session is not to be used as it is.
 *
 * - `Broken`: a turn or a command was not heard to its end, and may still run. Only a stop ends it.
 * - `Gone`: its sandbox is gone, though the session is active. Only a stop and a resume make another.
 * - `Inactive`: it is paused, stopped or failed, and not by this program. A resume may be all that it needs.
 * - `Stopped`: a handle stopped it, and whoever uses it next resumes it, as that handle would.
 */
export type Fence =
  | { readonly _tag: "Broken" | "Gone" | "Inactive"; readonly why: string }
  | {
    readonly _tag: "Stopped"
    readonly why: string
    readonly restart: (gate: Gate) => Effect.Effect<SessionRestarted, AshError>
  }

/** What is known of a session, whoever uses it. */
interface Known {
  fence: Fence | undefined
  /** What the program itself did to the session: nobody makes it active again behind its back. */
  halted: "paused" | "stopped" | undefined
}

/** The gate of one session. */
export interface Gate extends Known {
  readonly lock: Semaphore.Semaphore
  /** One restart at a time, so that those who wait behind it find the session as it left it. */
  readonly restarting: Semaphore.Semaphore
  /** Handles that keep it, those inside and those who wait. */
  users: number
  /** Those inside and those who wait. */
  queued: number
  /** The turn or the command that is inside. */
  guest: Guest | undefined
  /** When the next turn or command may begin, by the clock's nanoseconds. */
  quietUntil: bigint
  /** The sequence number of the last message that the server has stored, where it is known. */
  lastSequence: number | undefined
  /** What turns of the session are known to have used. */
  usageBefore: UsageBefore
  /** How often the session was restarted, and the last time. */
  restarts: number
  lastRestart: SessionRestarted | undefined
}

export interface TurnGates {
  /** The gate of a session, kept until the scope closes. */
  readonly use: (id: string) => Effect.Effect<Gate, never, Scope.Scope>
  /** Enters a session alone, until the scope closes. */
  readonly enter: (operation: string, id: string, options: BusyOptions) => Effect.Effect<Gate, AshError, Scope.Scope>
  /** What is known of a session, if anything, and how many keep its gate. */
  readonly find: (id: string) => Readonly<Known & Pick<Gate, "users">> | undefined
  /** Changes what is known of a session. */
  readonly update: (id: string, change: (gate: Gate) => void) => Effect.Effect<void>
  /** How many sessions something is known of. */
  readonly size: () => number
}

const busy = (operation: string, sessionId: string, message: string) =>
  new AshError({ operation, reason: new SessionBusy({ message, sessionId }) })

const makeGate = ({ fence, halted }: Known): Gate => ({
  lock: Semaphore.makeUnsafe(1),
  restarting: Semaphore.makeUnsafe(1),
  users: 0,
  queued: 0,
  fence,
  halted,
  guest: undefined,
  quietUntil: 0n,
  lastSequence: undefined,
  usageBefore: unknownBefore,
  restarts: 0,
  lastRestart: undefined
})

export const make = (): TurnGates => {
  const gates = new Map<string, Gate>()
  /** What has to be known of sessions that nobody uses. */
  const known = new Map<string, Known>()
  /** Gates that nobody uses and that are kept for their quiet alone, the earliest first. */
  const resting: Array<{ readonly id: string; readonly gate: Gate; readonly until: bigint }> = []

  /** Keeps of a session that nobody uses no more than what has to be known. */
  const forget = (id: string, gate: Gate, now: bigint) => {
    if (gate.users > 0 || gates.get(id) !== gate) return
    if (gate.quietUntil > now) {
      resting.push({ id, gate, until: gate.quietUntil })
      return
    }
    gates.delete(id)
    const { fence, halted } = gate
    if (fence !== undefined || halted !== undefined) known.set(id, { fence, halted })
  }

  const forgetRested = (now: bigint) => {
    const next = resting.findIndex(({ until }) => until > now)
    for (const { gate, id } of resting.splice(0, next === -1 ? resting.length : next)) forget(id, gate, now)
  }

  const gateOf = (id: string): Gate => {
    const used = gates.get(id)
    if (used !== undefined) return used
    const gate = makeGate(known.get(id) ?? { fence: undefined, halted: undefined })
    known.delete(id)
    gates.set(id, gate)
    return gate
  }

  const release = (id: string, gate: Gate) =>
    Effect.map(Clock.currentTimeNanos, (now) => {
      gate.users -= 1
      forget(id, gate, now)
      forgetRested(now)
    })

  const use = (id: string) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const gate = gateOf(id)
        gate.users += 1
        return gate
      }),
      (gate) => release(id, gate)
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
    find: (id) => {
      const rest = known.get(id)
      return gates.get(id) ?? (rest === undefined ? undefined : { ...rest, users: 0 })
    },
    size: () => gates.size + known.size,
    update: (id, change) => Effect.scoped(Effect.map(use(id), change)),
    enter: Effect.fnUntraced(function*(operation, id, { waitAtMost = "10 minutes", whenBusy = "wait" }) {
      const limit = yield* readDuration(operation, "waitAtMost", waitAtMost)
      const gate = yield* use(id)
      if (whenBusy === "fail" && gate.queued > 0) {
        return yield* busy(operation, id, `the session ${id} is in use: a turn or a command runs in it`)
      }
      yield* queue(gate)
      yield* Effect.timeoutOrElse(Effect.andThen(gate.lock.takeScoped(1), settle(gate)), {
        duration: limit,
        orElse: () =>
          Effect.fail(busy(operation, id, `the session ${id} was still in use after ${Duration.format(limit)}`))
      })
      return gate
    })
  }
}
