/**
 * The gate of a session: a state machine that decides what may be sent to the session. Its states change by
 * the methods of {@link Gate} alone; other files call these and read.
 *
 * | State      | Carries                               | What may be sent                                         |
 * | ---------- | ------------------------------------- | -------------------------------------------------------- |
 * | Idle       |                                       | anything                                                 |
 * | Running    | the holder whose request is out        | nothing more: the holder is alone in the session          |
 * | Fenced     | the fence, and a holder that still runs | nothing behind a `Broken` one; another falls by a request |
 *
 * | Transition    | From          | To                                | Called                                           |
 * | ------------- | ------------- | --------------------------------- | ------------------------------------------------ |
 * | `sent`        | Idle, Fenced  | Running; behind `Broken` Fenced   | by a turn or a command, when its request goes out |
 * | `refused`     | Running       | Idle                              | when the server certainly did nothing            |
 * | `over`        | Running       | Idle                              | when the server is done with it                  |
 * | `unusable`    | Running       | Fenced (`Gone`, `Inactive`)       | when nothing could begin in the session          |
 * | `broke`       | Running       | Fenced (`Broken`)                 | when its end was not received                    |
 * | `leave`       | Running       | Fenced (`Broken`)                 | when its scope closes while it runs              |
 * | `stopped`     | Fenced (`Broken`) | Fenced (`Stopped`)            | by a handle that has stopped an interrupted turn |
 * | `cancel`      | any           | Fenced (`Broken`)                 | by `SessionHandle.cancel`, before its restart; when the scope of the session closes; when a stop or an end is not answered |
 * | `restarted`   | Fenced        | Idle                              | when the session is usable again                 |
 * | `resumed`     | Fenced (`Inactive`) | Idle                        | by `Sessions.resume`                             |
 * | `halted`      | any           | Idle                              | by `Sessions.stop` and `Sessions.end`, and when the scope of the session closes |
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Semaphore from "effect/Semaphore"
import type { AshError } from "../../schema/AshError.ts"
import type { Session } from "../../schema/Session.ts"
import { unknownBefore, type UsageBefore } from "./turnUsage.ts"

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
  /** What may be gone: the server does not report it. */
  readonly mayBeLost: ReadonlyArray<Losable>
  /** Why the workspace could not be saved before, where `keepWorkspace` was to. */
  readonly notSaved?: string | undefined
}

/** A turn or a command that holds the gate. */
export interface Holder {
  readonly what: "turn" | "command"
  /** Why it was failed from outside, if it was. */
  error: AshError | undefined
  /** Is called when it is failed from outside. */
  onCancelled: (error: AshError) => void
  /** Is run where it has left the session while it ran, or was cut off by its failure. */
  readonly onBroken: ((gate: Gate, hasFailed: boolean) => Effect.Effect<void>) | undefined
}

/**
 * Why a session is not to be used as it is.
 *
 * - `Broken`: the end of a turn or a command was not received, and it may still run. Only a stop ends it.
 * - `Gone`: its sandbox is gone, though the session is active. Only a stop and a resume make another.
 * - `Inactive`: it is paused, stopped or failed, and not by this program. A resume may be all that it needs.
 * - `Stopped`: a handle stopped it. The next use resumes it, as that handle would.
 */
export type Fence =
  | { readonly _tag: "Broken" | "Gone" | "Inactive"; readonly why: string }
  | {
    readonly _tag: "Stopped"
    readonly why: string
    readonly restart: (gate: Gate) => Effect.Effect<SessionRestarted, AshError>
  }

/** What is remembered of a session, and keeps nothing out. */
export interface SessionMemory {
  /**
   * What the program itself did to the session: it is not made active again behind the program's back. `ended` where its scope has
   * closed, until the server has answered its end.
   */
  readonly halted: "paused" | "stopped" | "ended" | undefined
  /** When the next turn or command may begin, in nanoseconds of the monotonic clock. */
  readonly quietUntil: bigint
  /** The sequence number of the last message that the server has stored, where it is known. */
  readonly lastSequence: number | undefined
  readonly usageBefore: UsageBefore
  readonly restarts: number
  readonly lastRestart: SessionRestarted | undefined
}

/** What stays known of a session that is not in use. */
export interface KnownGate extends Pick<SessionMemory, "halted" | "usageBefore"> {
  readonly fence: Fence | undefined
}

export const cancelHolder = (holder: Holder, error: AshError) => {
  if (holder.error !== undefined) return
  holder.error = error
  holder.onCancelled(error)
}

/** Calls when a holder is failed from outside; at once where it was before. One call alone stands. */
export const onCancelled = (holder: Holder, call: (error: AshError) => void) => {
  holder.onCancelled = call
  if (holder.error !== undefined) call(holder.error)
}

export const awaitCancelled = (holder: Holder): Effect.Effect<never, AshError> =>
  Effect.callback((resume) => onCancelled(holder, (error) => resume(Effect.fail(error))))

const leftRunning = {
  turn: "its last turn was not read completely",
  command: "a command was interrupted, and may still run"
}

/** What stops, resumes or ends a session. */
class Changes {
  /** Held while the session is stopped or resumed, so that what waits finds it as it was left. */
  readonly restarting = Semaphore.makeUnsafe(1)
  /** Held by the one of those that is not waiting, and by a stop or a pause: those that wait are behind it. */
  readonly changing = Semaphore.makeUnsafe(1)
  /** How many of those have not come to their end, with what their callers have given up. */
  pending = 0
  /** Ends the session again behind them, where it ended meanwhile. */
  endAgain: Effect.Effect<void> = Effect.void
  /** How many hold `restarting`, or wait for it. */
  restarts = 0
  /** What stops or ends the session at the moment: what is done when that is answered, and the error of what it ends. */
  readonly halts = new Map<Deferred.Deferred<void>, AshError>()

  get areDone(): boolean {
    return this.restarts === 0 && this.halts.size === 0
  }
}

/** The gate of one session. A class, so that its state has no other writer. */
export class Gate {
  #fence: Fence | undefined
  #running: Holder | undefined
  readonly #memory: SessionMemory
  #holder: Holder | undefined
  /** Whether nothing more of the holder is to be sent. */
  #isOver = false
  /** Most sessions have none. */
  #madeChanges: Changes | undefined

  constructor({ fence, halted, usageBefore }: KnownGate) {
    this.#fence = fence
    this.#memory = {
      halted,
      quietUntil: 0n,
      lastSequence: undefined,
      usageBefore,
      restarts: 0,
      lastRestart: undefined
    }
  }

  get memory(): SessionMemory {
    return this.#memory
  }

  get holder(): Holder | undefined {
    return this.#holder
  }

  get fence(): Fence | undefined {
    return this.#fence
  }

  /** The holder whose request is out. It may still run behind a fence that another call has put up. */
  get running(): Holder | undefined {
    return this.#running
  }

  /** Whether the fence keeps everything out. Where the session was seen unusable, the server may know better by now. */
  get isShut(): boolean {
    return this.#fence?._tag === "Broken"
  }

  /** Whether nothing keeps anything out, and nothing stops or resumes the session. */
  get isUsable(): boolean {
    return this.#fence === undefined && this.#madeChanges?.areDone !== false
  }

  /** Whether the holder has still to be sent, for the first time or again. */
  get isWaiting(): boolean {
    return this.#holder !== undefined && !this.#isOver && !this.runs(this.#holder)
  }

  /** Whether the request of a holder is out, and it is not known that the server is done with it. */
  runs(holder: Holder): boolean {
    return this.#running === holder
  }

  remember(memory: Partial<SessionMemory>) {
    Object.assign(this.#memory, memory)
  }

  /** Lets a turn or a command in. Nothing of it runs before it is sent. */
  enter(what: Holder["what"], onBroken?: Holder["onBroken"]): Holder {
    this.#holder = { what, error: undefined, onCancelled: constVoid, onBroken }
    this.#isOver = false
    return this.#holder
  }

  /**
   * The scope of a holder closes, before the gate opens again. The session is fenced where something was left to run; then, or
   * where it was cut off by its failure, answers what is to be done about that.
   */
  leave(holder: Holder): Effect.Effect<void> | undefined {
    this.#holder = undefined
    const wasRunning = this.runs(holder)
    if (wasRunning) this.#running = undefined
    else if (holder.error === undefined) return undefined
    const isFenced = wasRunning && !this.isShut
    if (isFenced) this.#fence = { _tag: "Broken", why: leftRunning[holder.what] }
    return holder.onBroken?.(this, !isFenced)
  }

  /** Its request goes out. A fence that went up while the request was waiting for its key stays. */
  sent(holder: Holder) {
    if (!this.isShut) this.#fence = undefined
    this.#running = holder
  }

  /** Nothing runs of what was sent, and it may be sent again, unless the session is stopped or ended meanwhile. */
  refused(holder: Holder) {
    if (this.runs(holder)) this.#running = undefined
    if (this.#holder === holder) this.#isOver = false
    for (const error of this.#madeChanges?.halts.values() ?? []) cancelHolder(holder, error)
  }

  over(holder: Holder) {
    if (this.runs(holder)) this.#running = undefined
    if (this.#holder === holder) this.#isOver = true
  }

  /** The session cannot be used, and nothing of the holder has run. What this program did to the session is no fence. */
  unusable(holder: Holder, fence: Fence) {
    this.over(holder)
    if (this.#memory.halted === undefined) this.#fence ??= fence
  }

  broke(holder: Holder, why: string) {
    if (this.runs(holder)) this.#fence ??= { _tag: "Broken", why }
  }

  /** A handle has stopped the session for an interrupted turn. Where another call has ended that turn, that is what holds. */
  stopped(fence: Fence) {
    if (this.isShut) this.#fence = fence
  }

  cancel(holder: Holder | undefined, fence: Fence, error: AshError) {
    this.#fence = fence
    if (holder !== undefined) cancelHolder(holder, error)
  }

  get #changes(): Changes {
    return this.#madeChanges ??= new Changes()
  }

  /** Runs what may stop or resume the session, or has to find it as it was left, one at a time and behind all halts. */
  restarting<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        this.#changes.restarts += 1
      }),
      () => this.#changes.restarting.withPermits(1)(Effect.andThen(this.#awaitHalts(), this.changing(effect))),
      () =>
        Effect.sync(() => {
          this.#changes.restarts -= 1
        })
    )
  }

  /** Runs what may stop, pause or resume the session when nothing else does, so that the last call counts. */
  changing<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.#changes.changing.withPermits(1)(this.pending(effect))
  }

  /** Runs what would undo an end that does not wait for it: the session is ended again behind that. */
  pending<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        this.#changes.pending += 1
      }),
      () => effect,
      () =>
        Effect.suspend(() => {
          const changes = this.#changes
          changes.pending -= 1
          return changes.pending > 0 ? Effect.void : Effect.map(changes.endAgain, () => {
            if (changes.pending === 0) changes.endAgain = Effect.void
          })
        })
    )
  }

  /** Runs an end, as `changing` does, but waits for 5 seconds at most. */
  ending<A, E>(end: Effect.Effect<A, E>, again: Effect.Effect<void>): Effect.Effect<A, E> {
    let isOut = false
    const once = Effect.suspend(() => {
      if (isOut) return Effect.never
      isOut = true
      if (this.#changes.pending > 0) this.#changes.endAgain = again
      return end
    })
    return Effect.raceFirst(this.#changes.changing.withPermits(1)(once), Effect.delay(once, "5 seconds"))
  }

  #awaitHalts(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const [halt] = this.#changes.halts.keys()
      return halt === undefined ? Effect.void : Effect.andThen(Deferred.await(halt), this.#awaitHalts())
    })
  }

  /** Runs what stops or ends the session. What waits to be sent is not sent, and what enters meanwhile waits. */
  halting<A, E, R>(effect: Effect.Effect<A, E, R>, error: AshError): Effect.Effect<A, E, R> {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        const halt = Deferred.makeUnsafe<void>()
        this.#changes.halts.set(halt, error)
        if (this.#holder !== undefined && this.isWaiting) cancelHolder(this.#holder, error)
        return halt
      }),
      () => effect,
      (halt) =>
        Effect.sync(() => {
          this.#changes.halts.delete(halt)
          Deferred.doneUnsafe(halt, Effect.void)
        })
    )
  }

  restarted(restarted: SessionRestarted) {
    const { restarts, usageBefore } = this.#memory
    this.#fence = undefined
    this.remember({
      halted: undefined,
      lastSequence: undefined,
      usageBefore: restarted.lost.length > 0 ? { ...usageBefore, last: "none" } : usageBefore,
      restarts: restarts + 1,
      lastRestart: restarted
    })
  }

  resumed() {
    this.remember({ halted: undefined })
    if (this.#fence?._tag === "Inactive") this.#fence = undefined
  }

  /** The program has stopped or ended the session. Nothing runs there, as nothing was sent meanwhile. */
  halted(how: "stopped" | "ended", error: AshError) {
    const running = this.#running
    // An agent whose sandbox was stopped counts anew.
    const usageBefore: UsageBefore = { ...this.#memory.usageBefore, last: "none" }
    this.remember(how === "ended" ? { halted: undefined, usageBefore: unknownBefore } : { halted: how, usageBefore })
    this.#fence = undefined
    if (running === undefined) return
    this.over(running)
    cancelHolder(running, error)
  }
}
