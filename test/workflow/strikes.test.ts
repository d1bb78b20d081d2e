import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Postgres from "../../examples/durable/postgres.ts"
import * as Databases from "../support/databases.ts"
import { inMemory, scenarios, strikes } from "../support/strikes.ts"

/** As `npm run test:strikes` sets it: it takes too long for each change. */
const onPostgres = process.env["STRIKES"] === "postgres"

const database = onPostgres ? Effect.map(Postgres.start, Databases.postgres) : Effect.succeed(Databases.sqlite)

describe(`${onPostgres ? "PostgreSQL" : "SQLite"} that fails, or whose runner dies or freezes, at any statement`, () => {
  it.live.each(scenarios)("$name", (scenario) =>
    Effect.gen(function*() {
      const { count, faults } = yield* strikes(
        onPostgres ? { ...scenario, isCluster: true, kinds: [...scenario.kinds, "is ended"] } : scenario,
        yield* database
      )
      assert.deepStrictEqual(faults, [])
      assert.isAbove(count, 5)
    }).pipe(Effect.scoped), onPostgres ? 3_600_000 : undefined)
})

describe("runs in memory", () => {
  it.live("that are decided on at random come to the end that was decided", () =>
    Effect.gen(function*() {
      const faults = yield* Effect.forEach(["1", "2", "3", "4", "5"], inMemory)
      assert.deepStrictEqual(faults.flat(), [])
    }))
})
