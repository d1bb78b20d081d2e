/**
 * Lets one turn, or one command, at a time into a session, and keeps the gates of sessions: what uses them, what waits. What
 * may be sent to a session is decided by its {@link Gate}. A server has no lock, and mixes what runs at once
 * (docs/ash.md 5.4).
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import type * as Scope from "effect/Scope"
import type { AshError } from "../../schema/AshError.ts"
import { SessionBusy } from "../../schema/Reasons.ts"
import { failure } from "../request/operations.ts"
import { Gate, type KnownGate } from "./gate.ts"
import { hold } from "./hold.ts"
import { unknownBefore } from "./turnUsage.ts"

/** What to do where a session is in use. */
export interface BusyOptions {
  /** Wait for the turn before, or fail with `SessionBusy` at once. @default "wait" */
  readonly whenBusy?: "wait" | "fail" | undefined
  /** How long to wait before failing with `SessionBusy`. @default "10 minutes" */
  readonly waitAtMost?: Duration.Input | undefined
}

/** A turn or a command in the queue of a session. */
interface Place {
  readonly entry: Entry
  /** Is called when it is the first one, or has left. */
  wake: () => void
}

/** A gate that is in use, or that is kept for its quiet. */
interface Entry {
  readonly id: string
  readonly gate: Gate
  /** The turn or command that is inside, and behind it those that wait. */
  readonly queue: Array<Place>
  /** Handles that keep it, and what is in the queue. */
  users: number
}

export interface TurnGates {
  /** The gate of a session, kept until the scope closes. */
  readonly use: (id: string) => Effect.Effect<Gate, never, Scope.Scope>
  /** Enters a session alone, until the scope closes, and with it whatever holds the gate. */
  readonly enter: (operation: string, id: string, options: BusyOptions) => Effect.Effect<Gate, AshError, Scope.Scope>
  /** What is known of a session, if anything, and how many keep its gate. */
  readonly find: (id: string) => Readonly<KnownGate & Pick<Entry, "users">> | undefined
  /** How many sessions something is known of. */
  readonly size: () => number
}

const busy = (operation: string, sessionId: string, message: string) =>
  failure(operation, SessionBusy, { message, sessionId })

const knownOf = ({ fence, memory: { halted, usageBefore } }: Gate): KnownGate => ({ fence, halted, usageBefore })

const nothingKnown: KnownGate = { fence: undefined, halted: undefined, usageBefore: unknownBefore }

const longestWait = Duration.minutes(10)

/** How many sessions that are not in use, and may be entered, are kept for what their turns have used. */
const mostUsed = 1000

/** The gates that are kept: those in use, and of other sessions what has to be known. */
class Registry {
  readonly #entries = new Map<string, Entry>()
  /** What has to be known of sessions that are not in use. */
  readonly #known = new Map<string, KnownGate>()
  /** Of other sessions that are not in use: those whose turns have figures, the last used at the end. */
  readonly #used = new Map<string, KnownGate>()
  /** Gates that are kept for their quiet alone, the earliest first. */
  readonly #resting: Array<{ readonly entry: Entry; readonly until: bigint }> = []

  get size(): number {
    return this.#entries.size + this.#known.size + this.#used.size
  }

  find(id: string): ReturnType<TurnGates["find"]> {
    const entry = this.#entries.get(id)
    const known = entry === undefined ? this.#known.get(id) ?? this.#used.get(id) : knownOf(entry.gate)
    return known === undefined ? undefined : { ...known, users: entry?.users ?? 0 }
  }

  /** The gate of a session, with one more user. */
  acquire(id: string): Entry {
    const entry = this.#entries.get(id) ?? {
      id,
      gate: new Gate(this.#known.get(id) ?? this.#used.get(id) ?? nothingKnown),
      queue: [],
      users: 0
    }
    entry.users += 1
    this.#known.delete(id)
    this.#used.delete(id)
    this.#entries.set(id, entry)
    return entry
  }

  enter(id: string): Place {
    const place: Place = { entry: this.acquire(id), wake: constVoid }
    place.entry.queue.push(place)
    return place
  }

  /** Leaves the queue, unless it has, and lets in the one behind. */
  leave(place: Place, now: bigint) {
    const { queue } = place.entry
    const index = queue.indexOf(place)
    if (index === -1) return
    queue.splice(index, 1)
    place.wake()
    if (index === 0) queue[0]?.wake()
    this.release(place.entry, now)
  }

  release(entry: Entry, now: bigint) {
    entry.users -= 1
    this.#forget(entry, now)
    for (let rested = this.#resting[0]; rested !== undefined && rested.until <= now; rested = this.#resting[0]) {
      this.#resting.shift()
      this.#forget(rested.entry, now)
    }
  }

  /** Keeps of a session that is not in use no more than what has to be known. */
  #forget(entry: Entry, now: bigint) {
    const { id } = entry
    if (entry.users > 0 || this.#entries.get(id) !== entry) return
    const { quietUntil } = entry.gate.memory
    if (quietUntil > now) {
      this.#resting.push({ entry, until: quietUntil })
      return
    }
    this.#entries.delete(id)
    const known = knownOf(entry.gate)
    if (known.fence !== undefined || known.halted !== undefined) this.#known.set(id, known)
    else if (known.usageBefore.last !== "unknown") this.#use(id, known)
  }

  /** Keeps what turns have used, of the sessions that were used last. */
  #use(id: string, known: KnownGate) {
    this.#used.set(id, known)
    const [oldest] = this.#used.keys()
    if (this.#used.size > mostUsed && oldest !== undefined) this.#used.delete(oldest)
  }
}

/** Waits until a place is the first one, or has left. Those that fail at once when they are let in do so one after another. */
const first = (place: Place) =>
  Effect.callback<void>((resume) => {
    const look = () => resume(Effect.yieldNow)
    if (place.entry.queue.indexOf(place) > 0) place.wake = look
    else look()
  })

const nowIn = (context: Context.Context<never>) => Context.get(context, Clock.Clock).monotonicTimeNanosUnsafe()

const quiet = ({ memory }: Gate) =>
  Effect.flatMap(
    Clock.monotonicTimeNanos,
    (now) => memory.quietUntil > now ? Effect.sleep(Duration.nanos(memory.quietUntil - now)) : Effect.void
  )

export const make = (): TurnGates => {
  const registry = new Registry()
  const leave = (place: Place, context: Context.Context<never>) =>
    Effect.suspend(() => {
      const { gate, queue } = place.entry
      // What waits has nothing inside.
      const broken = gate.holder !== undefined && queue[0] === place ? gate.leave(gate.holder) : undefined
      const left = Effect.sync(() => registry.leave(place, nowIn(context)))
      return broken === undefined ? left : Effect.ensuring(broken, left)
    })

  return {
    use: (id) =>
      Effect.map(
        hold(
          () => registry.acquire(id),
          (entry, context) => Effect.sync(() => registry.release(entry, nowIn(context)))
        ),
        ({ gate }) => gate
      ),
    find: (id) => registry.find(id),
    size: () => registry.size,
    enter: (operation, id, { waitAtMost, whenBusy = "wait" }) =>
      Effect.flatMap(hold(() => registry.enter(id), leave), (place) => {
        const { gate, queue } = place.entry
        const isFirst = queue[0] === place
        // Most sessions are free.
        if (isFirst && gate.memory.quietUntil === 0n) return Effect.succeed(gate)
        const limit = Duration.fromInputUnsafe(waitAtMost ?? longestWait)
        const fail = (how: string) => Effect.fail(busy(operation, id, `the session ${id} ${how}`))
        const wait = isFirst || whenBusy === "wait"
          ? Effect.timeoutOrElse(Effect.andThen(first(place), Effect.suspend(() => quiet(gate))), {
            duration: limit,
            orElse: () => fail(`was still in use after ${Duration.format(limit)}`)
          })
          : fail("is in use: a turn or a command runs in it")
        return Effect.flatMap(
          Effect.onError(wait, () => Effect.contextWith((context: Context.Context<never>) => leave(place, context))),
          // One that has left, as its scope has closed, is not let in.
          () => place.entry.queue[0] === place ? Effect.succeed(gate) : Effect.interrupt
        )
      })
  }
}
