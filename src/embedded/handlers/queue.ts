/** The handlers of the group `queue` (docs/ash.md 3.11). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Struct from "effect/Struct"
import type { QueueItem, QueueItemStatus } from "../../schema/QueueItem.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { Queue, type QueueRow } from "../work/Queue.ts"
import { ServerApi } from "./ServerApi.ts"

export const QueueHandlers = HttpApiBuilder.group(ServerApi, "queue", (handlers) =>
  handlers
    .handle("create", ({ payload }) => answer(Queue.use(({ add }) => add(payload))))
    .handle("list", ({ query }) => list(query))
    .handle("stats", () => stats)
    .handle("get", ({ params }) => answer(itemOf(params.id)))
    .handle("cancel", ({ params }) => answer(cancel(params.id))))

const shown = (row: QueueRow): QueueItem => Struct.omit(row, ["retryAfter"])

const answer = <E, R>(row: Effect.Effect<QueueRow, E, R>) => Effect.map(row, (row) => ({ item: shown(row) }))

const defaultLimit = 50

const list = Effect.fnUntraced(function*({ limit = defaultLimit, status }: {
  readonly limit?: number | undefined
  readonly status?: QueueItemStatus | undefined
}) {
  const { table } = yield* Queue
  const rows = yield* table.where((row) => status === undefined || row.status === status)
  return { items: rows.toReversed().slice(0, limit).map(shown) }
})

const stats = Effect.gen(function*() {
  const { table } = yield* Queue
  const rows = yield* table.all
  const count = (status: string) => rows.filter((row) => row.status === status).length
  return {
    stats: {
      pending: count("pending"),
      processing: count("processing"),
      completed: count("completed"),
      failed: count("failed"),
      cancelled: count("cancelled")
    }
  }
})

const cancel = Effect.fnUntraced(function*(id: string) {
  const { table } = yield* Queue
  const row = yield* itemOf(id)
  if (row.status !== "pending") return yield* Errors.badRequest(`Cannot cancel item with status "${row.status}"`)
  return yield* table.put({ ...row, status: "cancelled" })
})

const itemOf = (id: string) => Queue.use(({ table }) => Tables.orNotFound("Queue item not found")(table.find(id)))
