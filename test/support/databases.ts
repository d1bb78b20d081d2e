/** Databases that processes of a test share, by the clock of the test, and whose sessions can be lost. */
import { PgClient } from "@effect/sql-pg"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import { layer as reactivity } from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { DatabaseSync } from "node:sqlite"
import * as Postgres from "../../examples/durable/postgres.ts"
import * as Sqlite from "./sqlite.ts"

export const lost = new SqlError({ reason: new ConnectionError({ cause: "the connection was lost" }) })

/** What a statement is run in. */
export interface Session {
  readonly isTransaction: () => boolean
  /** Ends it: what is open is rolled back, and the rest of a transaction fails. */
  readonly lose: Effect.Effect<void>
}

/** What surrounds each statement of a process. */
export type Around = <A>(
  statement: Effect.Effect<A, SqlError>,
  text: string,
  session: Session
) => Effect.Effect<A, SqlError>

/** Counts what the clock has to wait for. */
export type Busy = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

export interface Shared {
  /** The client of a process. */
  readonly client: (process: string, around: Around, busy: Busy) => Layer.Layer<SqlClient.SqlClient, SqlError>
  /** Ends all sessions of a process, as servers do with one that is gone, or does not answer. */
  readonly end: (process: string) => Effect.Effect<void>
  /** Waits in the place of a statement, so that others have the database meanwhile. */
  readonly whileOthers: (wait: Effect.Effect<void>) => Effect.Effect<void>
  readonly setTime: (millis: number) => Effect.Effect<void>
  readonly query: (text: string) => Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>>
}

/** Makes a database, which begins at a time. */
export type Make = (time: number) => Effect.Effect<Shared, unknown, Scope.Scope>

const stamp = (millis: number) => new Date(millis).toISOString().slice(0, 19).replace("T", " ")

/** In memory: its processes have one connection by turns. */
export const sqlite: Make = (time) =>
  Effect.sync(() => {
    let now = time
    const alone = Semaphore.makeUnsafe(1)
    const database = new DatabaseSync(":memory:")
    database.function("unixepoch", { varargs: true }, () => now / 1000)
    database.function("current_timestamp", { varargs: true }, () => stamp(now))
    database.function("datetime", { varargs: true }, (base, past) => {
      const [, count, unit] = /^-(\d+) (minute|second)s?$/.exec(String(past)) ?? []
      const from = base === "now" ? now : Date.parse(`${String(base)}Z`)
      return stamp(from - Number(count) * (unit === "minute" ? 60_000 : 1000))
    })
    return {
      client: (_, around) => {
        let isBroken = false
        const session: Session = {
          isTransaction: () => database.isTransaction,
          lose: Effect.sync(() => {
            if (!database.isTransaction) return
            database.exec("ROLLBACK")
            isBroken = true
          })
        }
        return Sqlite.over(database, {
          alone,
          connect: Effect.sync(() => {
            isBroken = false
          }),
          around: (statement, text) => {
            const own = Effect.suspend(() => isBroken ? Effect.fail(lost) : statement)
            return around(own, text, session)
          }
        })
      },
      end: () => Effect.void,
      whileOthers: (wait) =>
        Effect.uninterruptible(Effect.andThen(alone.release(1), Effect.andThen(wait, alone.take(1)))),
      setTime: (millis) =>
        Effect.sync(() => {
          now = millis
        }),
      query: (text) => Effect.sync(() => database.prepare(text).all())
    }
  })

/** The connection of a server, and what surrounds its statements. */
const surrounded = (connection: Connection, around: Around): Connection => {
  let isTransaction = false
  const session: Session = {
    isTransaction: () => isTransaction,
    lose: Effect.ignore(connection.executeUnprepared("SELECT pg_terminate_backend(pg_backend_pid())", [], undefined))
  }
  const own = <A>(text: string, statement: Effect.Effect<A, SqlError>) =>
    around(
      Effect.tap(statement, () =>
        Effect.sync(() => {
          if (/^(?:BEGIN|COMMIT|ROLLBACK)$/.test(text)) isTransaction = text === "BEGIN"
        })),
      text,
      session
    )
  const execute: Connection["execute"] = (text, params, transform) =>
    own(text, connection.execute(text, params, transform))
  return {
    execute,
    executeRaw: (text, params) => own(text, connection.executeRaw(text, params)),
    executeStream: (text, params, transform) => Stream.fromIterableEffect(execute(text, params, transform)),
    executeValues: (text, params) => own(text, connection.executeValues(text, params)),
    executeValuesUnprepared: (text, params) => own(text, connection.executeValuesUnprepared(text, params)),
    executeUnprepared: (text, params, transform) => own(text, connection.executeUnprepared(text, params, transform))
  }
}

/** A transaction that has failed is answered as rolled back. */
const commit = (connection: Connection) =>
  Effect.flatMap(
    connection.executeRaw("COMMIT", []),
    (result) =>
      Predicate.hasProperty(result, "command") && result.command === "ROLLBACK" ? Effect.fail(lost) : Effect.void
  )

let databases = 0

/** A database of its own on a server, whose functions of time are its clock's. */
export const postgres = ({ url }: Postgres.Postgres): Make => (time) =>
  Effect.gen(function*() {
    const database = `strikes_${databases++}`
    const connect = (config: PgClient.PgPoolConfig) => Effect.provide(PgClient.make({ url, ...config }), reactivity)
    const server = yield* connect({})
    yield* server.unsafe(`CREATE DATABASE ${database}`)
    yield* server.unsafe(`ALTER DATABASE ${database} SET search_path = world, pg_catalog`)
    const admin = yield* connect({ database, applicationName: "admin" })
    const run = (text: string) => Effect.orDie(admin.unsafe<Readonly<Record<string, unknown>>>(text).unprepared)
    yield* run("CREATE SCHEMA world")
    yield* run(`CREATE TABLE world.clock AS SELECT ${time}::float8 AS millis`)
    for (const name of ["now", "clock_timestamp"]) {
      yield* run(`CREATE FUNCTION world.${name}() RETURNS timestamptz STABLE LANGUAGE sql
        AS 'SELECT to_timestamp(millis / 1000) FROM world.clock'`)
    }
    return {
      client: (applicationName, around, busy) =>
        Layer.effect(
          SqlClient.SqlClient,
          Effect.gen(function*() {
            const client = yield* busy(PgClient.make({ url, database, applicationName }))
            return yield* SqlClient.make({
              driver: client.driver,
              acquirer: Effect.map(busy(client.reserve), (connection) => surrounded(connection, around)),
              compiler: PgClient.makeCompiler(),
              commit,
              releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
              spanAttributes: []
            })
          })
        ).pipe(Layer.provide(reactivity)),
      end: (name) =>
        Effect.gen(function*() {
          const own = `FROM pg_stat_activity WHERE datname = '${database}' AND application_name = '${name}'`
          while ((yield* run(`SELECT pg_terminate_backend(pid) ${own}`)).length > 0) {
            yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
          }
        }),
      whileOthers: (wait) => wait,
      setTime: (millis) => Effect.asVoid(run(`UPDATE world.clock SET millis = ${millis}`)),
      query: run
    } satisfies Shared
  })
