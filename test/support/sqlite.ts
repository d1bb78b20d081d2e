/** SQLite over Node's own module, as a `SqlClient`: for tests of what works with any. */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import { layer as reactivity } from "effect/reactivity/Reactivity"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { classifySqliteError, SqlError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { DatabaseSync, type SQLInputValue } from "node:sqlite"

/** What surrounds each statement. */
export type Around = <A>(statement: Effect.Effect<A, SqlError>, text: string) => Effect.Effect<A, SqlError>

const connectionOf = (database: DatabaseSync, around: Around): Connection => {
  const attempt = <A>(run: () => A) =>
    Effect.try({
      try: run,
      catch: (cause) => new SqlError({ reason: classifySqliteError(cause, { message: String(cause) }) })
    })
  const prepare = (sql: string) =>
    Effect.flatMap(SqlClient.SafeIntegers, (isSafe) =>
      attempt(() => {
        const statement = database.prepare(sql)
        statement.setReadBigInts(isSafe)
        return statement
      }))
  const all = (sql: string, params: ReadonlyArray<unknown>) =>
    around(
      Effect.flatMap(
        prepare(sql),
        (statement) =>
          attempt(() =>
            statement.all(
              ...params.map((param) => (typeof param === "boolean" ? Number(param) : param) as SQLInputValue)
            )
          )
      ),
      sql
    )
  const execute: Connection["execute"] = (sql, params, transform) =>
    Effect.map(all(sql, params), (rows) => transform === undefined ? rows : transform(rows))
  const values = (sql: string, params: ReadonlyArray<unknown>) =>
    Effect.map(all(sql, params), (rows) => rows.map((row) => Object.values(row)))
  return {
    execute,
    executeRaw: all,
    executeStream: (sql, params, transform) => Stream.fromIterableEffect(execute(sql, params, transform)),
    executeValues: values,
    executeValuesUnprepared: values,
    executeUnprepared: execute
  }
}

/** A client of a database that may have others in this process: they have the connection by turns. */
export const over = (
  database: DatabaseSync,
  { alone = Semaphore.makeUnsafe(1), around = identity, connect = Effect.void }: {
    readonly alone?: Semaphore.Semaphore
    readonly around?: Around
    /** Is run whenever the connection is taken: once for a transaction. */
    readonly connect?: Effect.Effect<void>
  } = {}
): Layer.Layer<SqlClient.SqlClient> =>
  Layer.effect(
    SqlClient.SqlClient,
    SqlClient.make({
      driver: "node:sqlite",
      ...SqlClient.makeSqliteAcquirers({
        connection: Effect.as(connect, connectionOf(database, around)),
        semaphore: alone,
        isTransaction: () => database.isTransaction
      }),
      compiler: Statement.makeCompilerSqlite(),
      spanAttributes: []
    })
  ).pipe(Layer.provide(reactivity))

/** A database in a file, or in memory. */
export const layer = (path = ":memory:"): Layer.Layer<SqlClient.SqlClient> =>
  Layer.unwrap(
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => new DatabaseSync(path)),
        (database) => Effect.sync(() => database.close())
      ),
      (database) => over(database)
    )
  )
