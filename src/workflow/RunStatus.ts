/** What a run is at, as those see it that start and watch runs. */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { orUndefined } from "../schema/Wire.ts"
import type { RunRow, TurnRow } from "./store/RunStore.ts"

/** A run, by the tables of runs. */
export interface RunStatus extends Schema.Schema.Type<typeof RunStatus> {}
export const RunStatus = Schema.Struct({
  id: Schema.String,
  agent: Schema.String,
  /** `queued` until there is room for it, `waiting` for an approval or a time. */
  state: Schema.Literals(["queued", "running", "waiting", "succeeded", "failed", "cancelled"]),
  /** The step that it is at, from 0: behind a wait it is at the next one, also where there is none. */
  step: Schema.Int,
  /** How many sessions it needed before the present one. */
  generation: Schema.Int,
  sessionId: orUndefined(Schema.String),
  /** How often it was begun since it last got a step further. */
  attempts: Schema.Int,
  /** US dollars so far: an estimate. */
  costUsd: Schema.Finite,
  /** Approves or rejects what it waits for. Who has it, may. */
  token: orUndefined(Schema.String),
  waitsFor: orUndefined(Schema.String),
  /** Why it failed. */
  failure: orUndefined(Schema.String),
  /** When it was asked to end. */
  cancelledAt: orUndefined(Schema.DateTimeUtcFromString),
  createdAt: Schema.DateTimeUtcFromString,
  startedAt: orUndefined(Schema.DateTimeUtcFromString),
  updatedAt: Schema.DateTimeUtcFromString,
  endedAt: orUndefined(Schema.DateTimeUtcFromString)
}).annotate({ identifier: "RunStatus" })

/** A turn of a run, by the ledger. */
export interface LedgerTurn extends Schema.Schema.Type<typeof LedgerTurn> {}
export const LedgerTurn = Schema.Struct({
  step: Schema.Int,
  generation: Schema.Int,
  sessionId: Schema.String,
  /** Its messages are those of the session behind this sequence number. */
  afterSequence: Schema.Finite,
  /** `intent` from the time when it may have been sent, `done` when its end is known, `unknown` when that is given up. */
  status: Schema.Literals(["intent", "done", "unknown"]),
  /** How often a right to send it was given: more than once where it was not sent by the first. */
  claims: Schema.Int
}).annotate({ identifier: "LedgerTurn" })

const timeOf = (millis: number | null) => millis === null ? undefined : DateTime.makeUnsafe(millis)

export const statusOf = (row: RunRow): RunStatus => ({
  ...Struct.pick(row, ["id", "agent", "state", "step", "generation", "attempts", "costUsd"]),
  sessionId: row.sessionId ?? undefined,
  token: row.token ?? undefined,
  waitsFor: row.waitsFor ?? undefined,
  failure: row.failure ?? undefined,
  cancelledAt: timeOf(row.cancelledAt),
  createdAt: DateTime.makeUnsafe(row.createdAt),
  startedAt: timeOf(row.startedAt),
  updatedAt: DateTime.makeUnsafe(row.updatedAt),
  endedAt: timeOf(row.endedAt)
})

export const ledgerTurnOf = (row: TurnRow): LedgerTurn => ({
  ...Struct.pick(row, ["step", "generation", "sessionId", "afterSequence", "status"]),
  claims: row.claim
})
