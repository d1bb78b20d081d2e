/** The tables of runs in a database. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Record from "effect/Record"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Fragment } from "effect/sql/Statement"
import * as String from "effect/String"
import { migrate, tablesOf } from "./migrations.ts"
import { runOf, sessionOf, type Stored, turnOf } from "./rows.ts"
import { type RunPatch, type RunRow, RunStore, type SessionRow, type TurnKey, type TurnRow } from "./RunStore.ts"

const columnsOf = (patch: RunPatch): Record<string, unknown> =>
  Object.fromEntries(Object.entries(patch).map(([field, value]) => [String.camelToSnake(field), value]))

const make = Effect.fnUntraced(function*(prefix: string) {
  const sql = (yield* SqlClient.SqlClient).withoutTransforms()
  const now = sql.onDialectOrElse({
    pg: () => sql.literal("(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint"),
    orElse: () => sql.literal("CAST(unixepoch('subsec') * 1000 AS INTEGER)")
  })
  const tables = Record.map(tablesOf(prefix), (name) => sql(name))
  /** Of a run that is not there, or ended a minute ago: its runner has given back by then what it holds. */
  const isLeft = sql`run_id NOT IN (
    SELECT id FROM ${tables.runs} WHERE ended_at IS NULL OR ended_at > ${now} - 60000)`

  const selectRuns = (where: Fragment) =>
    Effect.map(sql<Stored<RunRow>>`SELECT * FROM ${tables.runs} WHERE ${where}`, (rows) => rows.map(runOf))
  const findRun = (id: string) => Effect.map(selectRuns(sql`id = ${id}`), ([run]) => run)
  /** Changes a run, as long as it has not ended; answers it, where it did. */
  const changeRun = (set: Fragment, where: Fragment) =>
    Effect.map(
      sql<Stored<RunRow>>`UPDATE ${tables.runs} SET ${set}, updated_at = ${now}
        WHERE ended_at IS NULL AND ${where} RETURNING *`,
      ([run]) => run && runOf(run)
    )

  const isTurn = ({ generation, runId, step }: TurnKey) =>
    sql`run_id = ${runId} AND step = ${step} AND generation = ${generation}`
  const selectTurns = (where: Fragment) =>
    Effect.map(
      sql<Stored<TurnRow>>`SELECT * FROM ${tables.turns} WHERE ${where} ORDER BY generation, step`,
      (rows) => rows.map(turnOf)
    )
  const isHeld = (key: TurnKey, owner: string) =>
    Effect.map(selectTurns(isTurn(key)), ([row]) => row?.owner === owner && row.status === "intent")

  const selectSessions = (where: Fragment, limit: number) =>
    Effect.map(
      sql<Stored<SessionRow>>`SELECT * FROM ${tables.sessions} WHERE ${where} ORDER BY generation LIMIT ${limit}`,
      (rows) => rows.map(sessionOf)
    )

  const taken = Effect.map(
    sql<{ readonly place: number | string; readonly run_id: string }>`SELECT place, run_id FROM ${tables.places}`,
    (rows) => rows.map(({ place, run_id }) => ({ place: Number(place), runId: run_id }))
  )
  /** Frees what a runner took that was frozen while its run was taken over: behind the end of the run it gives nothing back. */
  const freeLeft = Effect.map(
    sql<{ readonly run_id: string }>`DELETE FROM ${tables.places} WHERE ${isLeft} RETURNING run_id`,
    (rows) => rows.length > 0
  )
  const take = Effect.fnUntraced(function*(runId: string, count: number): Effect.fn.Return<boolean, SqlError> {
    const rows = yield* taken
    if (rows.some((row) => row.runId === runId)) return true
    const used = new Set(rows.map(({ place }) => place))
    const free = Array.from({ length: count }, (_, place) => place).find((place) => !used.has(place))
    if (free === undefined) return (yield* freeLeft) ? yield* take(runId, count) : false
    yield* sql`INSERT INTO ${tables.places} (place, run_id) VALUES (${free}, ${runId}) ON CONFLICT DO NOTHING`
    // Another run may have taken that place meanwhile; there may be others.
    return yield* take(runId, count)
  })

  return RunStore.of({
    findRun,
    waitingRun: (token) => Effect.map(selectRuns(sql`token = ${token} AND ended_at IS NULL`), ([run]) => run),
    listRuns: ({ agent, before, limit, state }) => {
      const wanted = [
        sql`1 = 1`,
        ...(state === undefined ? [] : [sql`state = ${state}`]),
        ...(agent === undefined ? [] : [sql`agent = ${agent}`]),
        ...(before === undefined ? [] : [sql`(created_at, id) < (${before.createdAt}, ${before.id})`])
      ]
      return selectRuns(sql`${sql.and(wanted)} ORDER BY created_at DESC, id DESC LIMIT ${limit}`)
    },
    endedRuns: (age, limit) =>
      selectRuns(
        sql`ended_at IS NOT NULL AND ended_at <= ${now} - ${age}
          AND id NOT IN (SELECT run_id FROM ${tables.sessions} WHERE is_ended = 0)
          ORDER BY ended_at LIMIT ${limit}`
      ),
    cancelled: (ids) =>
      Effect.map(
        sql<{ readonly id: string }>`SELECT id FROM ${tables.runs}
          WHERE cancelled_at IS NOT NULL AND ${sql.in("id", ids)}`,
        (rows) => rows.map(({ id }) => id)
      ),
    // One that is there is locked, so that it is not forgotten before what is done in the same transaction.
    insertRun: ({ agent, executionId, id, payloadHash }) =>
      sql<Stored<RunRow>>`INSERT INTO ${tables.runs}
        (id, execution_id, payload_hash, agent, state, step, generation, attempts, cost_usd, created_at, updated_at)
        VALUES (${id}, ${executionId}, ${payloadHash}, ${agent}, 'queued', 0, 0, 0, 0, ${now}, ${now})
        ON CONFLICT (id) DO UPDATE SET id = excluded.id RETURNING *`.pipe(
        Effect.map(([run]) => run && runOf(run))
      ),
    beginRun: (id) =>
      Effect.map(
        sql<Stored<RunRow>>`UPDATE ${tables.runs}
          SET attempts = attempts + CASE WHEN ended_at IS NULL THEN 1 ELSE 0 END,
            started_at = COALESCE(started_at, ${now}), updated_at = ${now}
          WHERE id = ${id} RETURNING *`,
        ([run]) => run && runOf(run)
      ),
    updateRun: ({ generation, runId, step }, patch) => {
      const isAt = patch.state === "waiting" ? sql`step = ${step} AND state <> 'waiting'` : sql`step = ${step}`
      return changeRun(
        sql`${sql.update(columnsOf(patch))}`,
        sql`id = ${runId} AND (generation < ${generation} OR (generation = ${generation}
          AND ${step === undefined ? sql`session_id IS NULL` : sql`(step < ${step} OR (${isAt}))`}))`
      )
    },
    resetAttempts: (id) => changeRun(sql`attempts = 0`, sql`id = ${id}`),
    endRun: (id, failure, whenCancelled) => {
      const unlessCancelled = (own: string | null, cancelled: string) =>
        sql`CASE WHEN cancelled_at IS NULL THEN ${own} ELSE ${cancelled} END`
      return Effect.andThen(
        changeRun(
          sql`state = ${unlessCancelled(failure === null ? "succeeded" : "failed", "cancelled")},
            failure = ${unlessCancelled(failure, whenCancelled)},
            token = NULL, waits_for = NULL, ended_at = ${now}`,
          sql`id = ${id}`
        ),
        findRun(id)
      )
    },
    cancelRun: (id) =>
      Effect.andThen(changeRun(sql`cancelled_at = ${now}`, sql`id = ${id} AND cancelled_at IS NULL`), findRun(id)),
    decide: (token, decision) => changeRun(sql`decision = COALESCE(decision, ${decision})`, sql`token = ${token}`),
    deleteRun: ({ createdAt, id }, alongside) =>
      Effect.gen(function*() {
        const rows = yield* sql`DELETE FROM ${tables.runs}
          WHERE id = ${id} AND created_at = ${createdAt} AND ended_at IS NOT NULL RETURNING id`
        if (rows.length === 0) return false
        yield* sql`DELETE FROM ${tables.turns} WHERE run_id = ${id}`
        yield* sql`DELETE FROM ${tables.sessions} WHERE run_id = ${id}`
        yield* alongside
        return true
      }).pipe(sql.withTransaction),
    findTurn: (key) => Effect.map(selectTurns(isTurn(key)), ([turn]) => turn),
    turnsOf: (runId) => selectTurns(sql`run_id = ${runId}`),
    claimTurn: (turn) =>
      sql`INSERT INTO ${tables.turns}
        (run_id, step, generation, session_id, after_sequence, claim, owner, status, claimed_at)
        VALUES (${turn.runId}, ${turn.step}, ${turn.generation}, ${turn.sessionId}, ${turn.afterSequence}, 1,
          ${turn.owner}, 'intent', ${now})
        ON CONFLICT (run_id, step, generation) DO NOTHING`.pipe(
        // Repeated after the connection to the database broke, it may find the claim that it has made itself.
        Effect.andThen(isHeld(turn, turn.owner))
      ),
    takeOverTurn: (key, from, owner) =>
      sql`UPDATE ${tables.turns} SET claim = claim + 1, owner = ${owner}, claimed_at = ${now}
        WHERE ${isTurn(key)} AND owner = ${from} AND status = 'intent'`.pipe(
        Effect.andThen(isHeld(key, owner))
      ),
    releaseTurn: (key, owner) =>
      sql`DELETE FROM ${tables.turns} WHERE ${isTurn(key)} AND owner = ${owner} AND status = 'intent'`,
    settleTurn: (key, { outcome, status }) =>
      sql`UPDATE ${tables.turns} SET status = ${status}, outcome = ${outcome}, settled_at = ${now}
        WHERE ${isTurn(key)} AND status = 'intent'`,
    recordSession: ({ generation, runId, sessionId }) =>
      sql`INSERT INTO ${tables.sessions} (session_id, run_id, generation, is_ended)
        VALUES (${sessionId}, ${runId}, ${generation}, 0) ON CONFLICT (session_id) DO NOTHING`,
    endSession: (sessionId) => sql`UPDATE ${tables.sessions} SET is_ended = 1 WHERE session_id = ${sessionId}`,
    sessionsOf: (runId) => selectSessions(sql`run_id = ${runId}`, 1000),
    known: (ids) =>
      Effect.map(
        sql<{ readonly session_id: string }>`SELECT session_id FROM ${tables.sessions}
          WHERE ${sql.in("session_id", ids)}`,
        (rows) => rows.map(({ session_id }) => session_id)
      ),
    leftSessions: (limit) => selectSessions(sql`is_ended = 0 AND ${isLeft}`, limit),
    takePlace: take,
    freePlace: (runId) => sql`DELETE FROM ${tables.places} WHERE run_id = ${runId}`,
    owner: (cluster) =>
      sql`INSERT INTO ${tables.clusters} (id, name) VALUES (1, ${cluster}) ON CONFLICT (id) DO NOTHING`.pipe(
        Effect.andThen(sql<{ readonly name: string }>`SELECT name FROM ${tables.clusters} WHERE id = 1`),
        Effect.map(([row]) => row?.name ?? cluster)
      )
  })
})

/** The tables in the database of the `SqlClient`. Migrations apart, as runners may have no right to make tables. */
export const layerStorage = (prefix: string): Layer.Layer<RunStore, never, SqlClient.SqlClient> =>
  Layer.effect(RunStore, make(prefix))

export const layerMigrations = (prefix: string) => Layer.effectDiscard(Effect.orDie(migrate(prefix)))
