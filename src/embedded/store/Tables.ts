/** Tables of rows, each of which belongs to a tenant. A look-up finds only rows of the current tenant. */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import { constTrue } from "effect/Function"
import * as Option from "effect/Option"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import * as Errors from "../wire/Errors.ts"

/** The tenant of the key that a server is started with. */
export const defaultTenant = "default"

/** The current tenant: that of a request's key, or that of the row that a loop processes. */
export class Tenant extends Context.Reference<string>("effect-ash/embedded/store/Tables/Tenant", {
  defaultValue: () => defaultTenant
}) {}

export const newId = SecureRandom.SecureRandom.use((random) => random.uuidV4())

export interface Row {
  readonly id: string
  readonly tenantId: string
}

/** Rows by id, in the order in which they were added. */
export type Table<A extends Row> = ReturnType<typeof make<A>>

export const make = <A extends Row>() => {
  const rows = new Map<string, A>()
  /** The rows of the current tenant that are wanted. */
  const where = (isWanted: (row: A) => boolean): Effect.Effect<ReadonlyArray<A>> =>
    Effect.map(
      Tenant,
      (tenantId) => Array.from(rows.values()).filter((row) => row.tenantId === tenantId && isWanted(row))
    )
  return {
    where,
    all: where(constTrue),
    find: (id: string) => Effect.map(where((row) => row.id === id), ([row]) => Option.fromUndefinedOr(row)),
    /** Adds a row, or replaces the one of its id, and answers it. */
    put: <B extends A>(row: B) =>
      Effect.sync(() => {
        rows.set(row.id, row)
        return row
      }),
    /** Removes a row, of any tenant, and answers whether there was one. */
    remove: (id: string) => Effect.sync(() => rows.delete(id)),
    /** The rows of all tenants. */
    everyones: Effect.sync((): ReadonlyArray<A> => Array.from(rows.values()))
  }
}

/** The row that is found, else the error `Not Found`. */
export const orNotFound =
  (message: string) => <A>(found: Effect.Effect<Option.Option<A>>): Effect.Effect<A, ErrorResponse> =>
    Effect.flatMap(
      found,
      Option.match({ onNone: () => Effect.fail(Errors.notFound(message)), onSome: Effect.succeed })
    )
