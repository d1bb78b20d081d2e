/** The tables of runs, made by Effect's own migrator, which runs one after another and each once. */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"

export const tablesOf = (prefix: string) => ({
  runs: `${prefix}_runs`,
  turns: `${prefix}_turns`,
  sessions: `${prefix}_sessions`,
  places: `${prefix}_places`,
  clusters: `${prefix}_clusters`,
  migrations: `${prefix}_run_migrations`
})

const createTables = (prefix: string) =>
  Effect.gen(function*() {
    const sql = (yield* SqlClient.SqlClient).withoutTransforms()
    const tables = tablesOf(prefix)
    yield* sql`CREATE TABLE ${sql(tables.runs)} (
      id VARCHAR(200) PRIMARY KEY,
      execution_id VARCHAR(100) NOT NULL,
      payload_hash VARCHAR(100) NOT NULL,
      agent VARCHAR(255) NOT NULL,
      state VARCHAR(20) NOT NULL,
      step INTEGER NOT NULL,
      generation INTEGER NOT NULL,
      session_id TEXT,
      attempts INTEGER NOT NULL,
      cost_usd DOUBLE PRECISION NOT NULL,
      token TEXT,
      waits_for TEXT,
      decision VARCHAR(20),
      failure TEXT,
      cancelled_at BIGINT,
      created_at BIGINT NOT NULL,
      started_at BIGINT,
      updated_at BIGINT NOT NULL,
      ended_at BIGINT
    )`
    yield* sql`CREATE INDEX ${sql(`${tables.runs}_created`)} ON ${sql(tables.runs)} (created_at, id)`
    yield* sql`CREATE INDEX ${sql(`${tables.runs}_token`)} ON ${sql(tables.runs)} (token)`
    yield* sql`CREATE TABLE ${sql(tables.turns)} (
      run_id VARCHAR(200) NOT NULL,
      step INTEGER NOT NULL,
      generation INTEGER NOT NULL,
      session_id TEXT NOT NULL,
      after_sequence INTEGER NOT NULL,
      claim INTEGER NOT NULL,
      owner VARCHAR(100) NOT NULL,
      status VARCHAR(20) NOT NULL,
      outcome TEXT,
      claimed_at BIGINT NOT NULL,
      settled_at BIGINT,
      PRIMARY KEY (run_id, step, generation)
    )`
    yield* sql`CREATE TABLE ${sql(tables.sessions)} (
      session_id TEXT PRIMARY KEY,
      run_id VARCHAR(200) NOT NULL,
      generation INTEGER NOT NULL,
      is_ended INTEGER NOT NULL
    )`
    yield* sql`CREATE INDEX ${sql(`${tables.sessions}_run`)} ON ${sql(tables.sessions)} (run_id)`
    yield* sql`CREATE TABLE ${sql(tables.places)} (
      place INTEGER PRIMARY KEY,
      run_id VARCHAR(200) NOT NULL UNIQUE
    )`
    yield* sql`CREATE TABLE ${sql(tables.clusters)} (
      id INTEGER PRIMARY KEY,
      name VARCHAR(255) NOT NULL
    )`
  })

export const migrate = (prefix: string) =>
  Migrator.make({})({
    loader: Migrator.fromRecord({ "0001_tables": createTables(prefix) }),
    table: tablesOf(prefix).migrations
  })
