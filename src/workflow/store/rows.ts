/** From the rows of a database to what they mean: drivers differ in how they answer large numbers. */
import type { RunRow, RunState, SessionRow, TurnRow } from "./RunStore.ts"

type Numeric = number | string | bigint

/** A row of the runs. */
export interface StoredRun {
  readonly id: string
  readonly execution_id: string
  readonly payload_hash: string
  readonly agent: string
  readonly state: RunState
  readonly step: Numeric
  readonly generation: Numeric
  readonly session_id: string | null
  readonly attempts: Numeric
  readonly cost_usd: Numeric
  readonly token: string | null
  readonly waits_for: string | null
  readonly decision: "approved" | "rejected" | null
  readonly failure: string | null
  readonly cancelled_at: Numeric | null
  readonly created_at: Numeric
  readonly started_at: Numeric | null
  readonly updated_at: Numeric
  readonly ended_at: Numeric | null
}

/** A row of the turns. */
export interface StoredTurn {
  readonly run_id: string
  readonly step: Numeric
  readonly generation: Numeric
  readonly session_id: string
  readonly after_sequence: Numeric
  readonly claim: Numeric
  readonly owner: string
  readonly status: TurnRow["status"]
  readonly outcome: string | null
}

/** A row of the sessions. */
export interface StoredSession {
  readonly session_id: string
  readonly run_id: string
  readonly generation: Numeric
  readonly is_ended: Numeric
}

const orNull = (value: Numeric | null) => value === null ? null : Number(value)

export const runOf = (row: StoredRun): RunRow => ({
  id: row.id,
  executionId: row.execution_id,
  payloadHash: row.payload_hash,
  agent: row.agent,
  state: row.state,
  step: Number(row.step),
  generation: Number(row.generation),
  sessionId: row.session_id,
  attempts: Number(row.attempts),
  costUsd: Number(row.cost_usd),
  token: row.token,
  waitsFor: row.waits_for,
  decision: row.decision,
  failure: row.failure,
  cancelledAt: orNull(row.cancelled_at),
  createdAt: Number(row.created_at),
  startedAt: orNull(row.started_at),
  updatedAt: Number(row.updated_at),
  endedAt: orNull(row.ended_at)
})

export const turnOf = (row: StoredTurn): TurnRow => ({
  runId: row.run_id,
  step: Number(row.step),
  generation: Number(row.generation),
  sessionId: row.session_id,
  afterSequence: Number(row.after_sequence),
  claim: Number(row.claim),
  owner: row.owner,
  status: row.status,
  outcome: row.outcome
})

export const sessionOf = (row: StoredSession): SessionRow => ({
  sessionId: row.session_id,
  runId: row.run_id,
  generation: Number(row.generation),
  isEnded: Number(row.is_ended) === 1
})
