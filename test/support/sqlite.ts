/** SQLite over Node's own module, as a `SqlClient`: for tests of what works with any. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { layer as reactivity } from "effect/reactivity/Reactivity"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { classifySqliteError, SqlError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { DatabaseSync, type SQLInputValue } from "node:sqlite"

const connectionOf = (database: DatabaseSync): Connection => {
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
    Effect.flatMap(
      prepare(sql),
      (statement) =>
        attempt(() =>
          statement.all(...params.map((param) => (typeof param === "boolean" ? Number(param) : param) as SQLInputValue))
        )
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

/** A database in a file, or in memory. */
export const layer = (path = ":memory:"): Layer.Layer<SqlClient.SqlClient> =>
  Layer.effect(
    SqlClient.SqlClient,
    Effect.gen(function*() {
      const database = yield* Effect.acquireRelease(
        Effect.sync(() => new DatabaseSync(path)),
        (database) => Effect.sync(() => database.close())
      )
      const connection = connectionOf(database)
      const alone = Semaphore.makeUnsafe(1)
      return yield* SqlClient.make({
        driver: "node:sqlite",
        acquirer: alone.withPermits(1)(Effect.succeed(connection)),
        transactionAcquirer: Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            yield* restore(alone.take(1))
            yield* Scope.addFinalizer(yield* Effect.service(Scope.Scope), alone.release(1))
            return connection
          })
        ),
        compiler: Statement.makeCompilerSqlite(),
        spanAttributes: []
      })
    })
  ).pipe(Layer.provide(reactivity))
