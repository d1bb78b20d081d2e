/** Tables of rows, each of which belongs to a tenant. A look-up finds only rows of the current tenant. */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import * as Errors from "../wire/Errors.ts"

/** The tenant of the key that a server is started with. */
export const defaultTenant = "default"

/** The current tenant: that of a request's key, or that of the row that a loop processes. */
export class Tenant extends Context.Reference<string>("effect-ash/embedded/store/Tables/Tenant", {
  defaultValue: () => defaultTenant
}) {}

/** An id for a new row. */
export const newId = SecureRandom.SecureRandom.use((random) => random.uuidV4())

interface Row {
  readonly id: string
  readonly tenantId: string
}

/** Rows by id, in the order in which they were added. */
export interface Table<A extends Row> {
  /** The rows of the current tenant. */
  readonly all: Effect.Effect<ReadonlyArray<A>>
  /** A row of the current tenant. */
  readonly find: (id: string) => Effect.Effect<Option.Option<A>>
  /** Adds a row, or replaces the one of its id. */
  readonly put: (row: A) => Effect.Effect<void>
  /** Removes a row, of any tenant. */
  readonly remove: (id: string) => Effect.Effect<void>
  /** The rows of all tenants. */
  readonly everyones: Effect.Effect<ReadonlyArray<A>>
}

/** Makes an empty table. */
export const make = <A extends Row>(): Table<A> => {
  const rows = new Map<string, A>()
  return {
    all: Effect.map(Tenant, (tenantId) => Array.from(rows.values()).filter((row) => row.tenantId === tenantId)),
    find: (id) =>
      Effect.map(
        Tenant,
        (tenantId) => Option.filter(Option.fromUndefinedOr(rows.get(id)), (row) => row.tenantId === tenantId)
      ),
    put: (row) => Effect.sync(() => rows.set(row.id, row)),
    remove: (id) => Effect.sync(() => rows.delete(id)),
    everyones: Effect.sync(() => Array.from(rows.values()))
  }
}

/** The row that is found, else the error `Not Found`. */
export const orNotFound =
  (message: string) => <A>(found: Effect.Effect<Option.Option<A>>): Effect.Effect<A, ErrorResponse> =>
    Effect.flatMap(
      found,
      Option.match({ onNone: () => Effect.fail(Errors.notFound(message)), onSome: Effect.succeed })
    )
