/** Tables of rows, each of which belongs to a tenant. A look-up finds only rows of the current tenant. */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { constTrue } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Errors from "../wire/Errors.ts"

/** The tenant of the key that a server is started with. */
export const defaultTenant = "default"

/** The current tenant: that of a request's key, or that of the row that a loop processes. */
export class Tenant extends Context.Reference<string>("effect-ash/embedded/store/Tables/Tenant", {
  defaultValue: () => defaultTenant
}) {}

export const newId = SecureRandom.SecureRandom.use((random) => random.uuidV4())

/** What a new row of the current tenant begins with. */
export const newRow = Effect.all({ id: newId, tenantId: Tenant, createdAt: DateTime.now })

/** Something with an id that belongs to a tenant. */
export type Row<A> = A & { readonly tenantId: string }

/** Rows by id, in the order in which they were added. */
export type Table<A extends { readonly id: string }> = ReturnType<typeof make<A>>

export const make = <A extends { readonly id: string }>() => {
  const rows = new Map<string, Row<A>>()
  /** The rows of the current tenant that are wanted. */
  const where = (isWanted: (row: Row<A>) => boolean): Effect.Effect<ReadonlyArray<Row<A>>> =>
    Effect.map(
      Tenant,
      (tenantId) => Array.from(rows.values()).filter((row) => row.tenantId === tenantId && isWanted(row))
    )
  return {
    where,
    all: where(constTrue),
    find: (id: string) => Effect.map(where((row) => row.id === id), ([row]) => row),
    /** Adds a row, or replaces the one of its id, and answers it. */
    put: <B extends Row<A>>(row: B) =>
      Effect.sync(() => {
        rows.set(row.id, row)
        return row
      }),
    /** Changes a row, of any tenant, if it is there. */
    change: (id: string, changed: (row: Row<A>) => Row<A>) =>
      Effect.sync(() => {
        const row = rows.get(id)
        if (row !== undefined) rows.set(id, changed(row))
      }),
    /** Removes a row, of any tenant, and answers whether there was one. */
    remove: (id: string) => Effect.sync(() => rows.delete(id)),
    /** The rows of all tenants. */
    everyones: Effect.sync((): ReadonlyArray<Row<A>> => Array.from(rows.values()))
  }
}

export const orNotFound = (message: string) => <A>(found: Effect.Effect<A | undefined>) =>
  Effect.filterOrFail(found, Predicate.isNotUndefined, () => Errors.notFound(message))
