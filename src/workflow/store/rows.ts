/** From the rows of a database to what they mean: drivers differ in how they answer large numbers. */
import type { RunRow, SessionRow, TurnRow } from "./RunStore.ts"

type Numeric = number | string | bigint

type SnakeCase<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${SnakeCase<Rest>}`
  : Name

type Column<Value> = Value extends number | boolean ? Numeric : Value

/** A row as a driver answers it. */
export type Stored<Row> = { readonly [Name in keyof Row & string as SnakeCase<Name>]: Column<Row[Name]> }

const orNull = (value: Numeric | null) => value === null ? null : Number(value)

export const runOf = (row: Stored<RunRow>): RunRow => ({
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

export const turnOf = (row: Stored<TurnRow>): TurnRow => ({
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

export const sessionOf = (row: Stored<SessionRow>): SessionRow => ({
  sessionId: row.session_id,
  runId: row.run_id,
  generation: Number(row.generation),
  isEnded: Number(row.is_ended) === 1
})
