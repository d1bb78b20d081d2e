/**
 * What is remembered of runs beside what the engine remembers: their states, their sessions, and the ledger of their turns.
 * Whatever decides over the sending of a turn is one statement here, and by no clock; times are the database's.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"

/** What a run is at. `queued` until there is room for it, `waiting` for an approval or a time. */
export type RunState = "queued" | "running" | "waiting" | "succeeded" | "failed" | "cancelled"

/** Names a turn: a step of a run, in a session. */
export interface TurnKey {
  readonly runId: string
  readonly step: number
  readonly generation: number
}

/** A run, as it is stored. Times are milliseconds of the database's clock. */
export interface RunRow {
  readonly id: string
  readonly executionId: string
  readonly payloadHash: string
  readonly agent: string
  readonly state: RunState
  readonly step: number
  readonly generation: number
  readonly sessionId: string | null
  /** How often it was begun since it last got a step further. */
  readonly attempts: number
  readonly costUsd: number
  /** The token of what it waits for, and what that is. */
  readonly token: string | null
  readonly waitsFor: string | null
  readonly decision: "approved" | "rejected" | null
  readonly failure: string | null
  readonly cancelledAt: number | null
  readonly createdAt: number
  readonly startedAt: number | null
  readonly updatedAt: number
  readonly endedAt: number | null
}

export type RunPatch = Partial<
  Pick<
    RunRow,
    "state" | "step" | "generation" | "sessionId" | "attempts" | "costUsd" | "token" | "waitsFor" | "decision"
  >
>

/** Where a run is: at a step, or before the first one of a generation. */
export interface RunPosition extends Omit<TurnKey, "step"> {
  readonly step?: number
}

/** Which runs to list, the newest first. */
export interface RunFilter {
  readonly state?: RunState | undefined
  readonly agent?: string | undefined
  /** Only runs that were started before this one. */
  readonly before?: Pick<RunRow, "createdAt" | "id"> | undefined
  readonly limit: number
}

/**
 * A turn, as the ledger has it: `intent` from the time when it may have been sent, `done` when its end is known, `unknown`
 * when that is given up.
 */
export interface TurnRow extends TurnKey {
  readonly sessionId: string
  /** The last sequence number of the session before the turn. */
  readonly afterSequence: number
  /** Counts those that were to send it. */
  readonly claim: number
  /** Who is to send it, or did. */
  readonly owner: string
  readonly status: "intent" | "done" | "unknown"
  /** The turn, or its failure, as JSON. */
  readonly outcome: string | null
}

/** What becomes of a turn. The first outcome stands. */
export interface Settlement {
  readonly status: "done" | "unknown"
  readonly outcome: string | null
}

export interface SessionRow {
  readonly sessionId: string
  readonly runId: string
  readonly generation: number
  readonly isEnded: boolean
}

type Stored<A> = Effect.Effect<A, SqlError>

export class RunStore extends Context.Service<RunStore, {
  /** Remembers a new run, if there is none of that id; answers that of the id. */
  readonly insertRun: (run: Pick<RunRow, "id" | "executionId" | "payloadHash" | "agent">) => Stored<RunRow | undefined>
  readonly findRun: (id: string) => Stored<RunRow | undefined>
  readonly listRuns: (filter: RunFilter) => Stored<ReadonlyArray<RunRow>>
  /** Counts that a run is begun that has not ended, and answers it as it is then. */
  readonly beginRun: (id: string) => Stored<RunRow | undefined>
  /**
   * Changes a run that has not ended, and has got no further than the step: a runner that was out of touch changes nothing of
   * what others have done meanwhile. Without a step, before the first one, it changes a run that has no session yet. A run
   * that waits at the step is not made to wait there again: others may have its token, and may have decided.
   */
  readonly updateRun: (at: RunPosition, patch: RunPatch) => Stored<unknown>
  /** Forgets how often a run that has not ended was begun. */
  readonly resetAttempts: (id: string) => Stored<unknown>
  /** Ends a run that has not ended, by its failure if it has one, or by the other where it was cancelled; answers it as it is then. */
  readonly endRun: (id: string, failure: string | null, whenCancelled: string) => Stored<RunRow | undefined>
  /** Asks a run that has not ended to end; answers it as it is then. */
  readonly cancelRun: (id: string) => Stored<RunRow | undefined>
  /** Which of these runs were asked to end. */
  readonly cancelled: (ids: ReadonlyArray<string>) => Stored<ReadonlyArray<string>>
  /** The run that waits for the approval of a token. */
  readonly waitingRun: (token: string) => Stored<RunRow | undefined>
  /** Decides on what a run waits for; the first decision stands. Answers the run as it is then, if one waits. */
  readonly decide: (token: string, decision: "approved" | "rejected") => Stored<RunRow | undefined>
  /** Runs that have ended so many milliseconds ago, and their sessions too. */
  readonly endedRuns: (age: number, limit: number) => Stored<ReadonlyArray<RunRow>>
  /**
   * Forgets a run that has ended, its turns and its sessions, and does in the same transaction what else forgets it; false
   * where it is gone, or another of its id there.
   */
  readonly deleteRun: (run: Pick<RunRow, "createdAt" | "id">, alongside: Stored<void>) => Stored<boolean>

  readonly findTurn: (key: TurnKey) => Stored<TurnRow | undefined>
  readonly turnsOf: (runId: string) => Stored<ReadonlyArray<TurnRow>>
  /** Claims a turn that nothing has claimed; only the one for which this is true may send it. */
  readonly claimTurn: (turn: Pick<TurnRow, keyof TurnKey | "sessionId" | "afterSequence" | "owner">) => Stored<boolean>
  /** Claims a turn that has an owner and no outcome, if that is still its owner. */
  readonly takeOverTurn: (key: TurnKey, from: string, owner: string) => Stored<boolean>
  /** Gives back a claim by which nothing was sent. */
  readonly releaseTurn: (key: TurnKey, owner: string) => Stored<unknown>
  readonly settleTurn: (key: TurnKey, settlement: Settlement) => Stored<unknown>

  readonly recordSession: (session: Pick<SessionRow, "sessionId" | "runId" | "generation">) => Stored<unknown>
  readonly endSession: (sessionId: string) => Stored<unknown>
  readonly sessionsOf: (runId: string) => Stored<ReadonlyArray<SessionRow>>
  /** Which of these sessions are known. */
  readonly known: (sessionIds: ReadonlyArray<string>) => Stored<ReadonlyArray<string>>
  /** Sessions that have not ended, of runs that have, or are not there. */
  readonly leftSessions: (limit: number) => Stored<ReadonlyArray<SessionRow>>

  /** Takes a place for a run, of so many; true where it has one. */
  readonly takePlace: (runId: string, places: number) => Stored<boolean>
  readonly freePlace: (runId: string) => Stored<unknown>
  /** Remembers whose database it is, the first time, and answers that. */
  readonly owner: (cluster: string) => Stored<string>
}>()("effect-ash/workflow/store/RunStore") {}
