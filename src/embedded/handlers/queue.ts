/** The handlers of the group `queue` (docs/ash.md 3.11). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Record from "effect/Record"
import * as Struct from "effect/Struct"
import { type QueueItem, QueueStats } from "../../schema/QueueItem.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { Queue, type QueueRow } from "../work/Queue.ts"
import { ServerApi } from "./ServerApi.ts"

const defaultLimit = 50

export const QueueHandlers = HttpApiBuilder.group(ServerApi, "queue", (handlers) =>
  Effect.gen(function*() {
    const { add, table } = yield* Queue
    const itemOf = (id: string) => Tables.orNotFound("Queue item not found")(table.find(id))
    return handlers.handleAll({
      create: ({ payload }) => answer(add(payload)),
      list: Effect.fnUntraced(function*({ query: { limit = defaultLimit, status } }) {
        const rows = yield* table.where((row) => status === undefined || row.status === status)
        return { items: rows.toReversed().slice(0, limit).map(shown) }
      }),
      stats: Effect.fnUntraced(function*() {
        const rows = yield* table.all
        const count = (status: string) => rows.filter((row) => row.status === status).length
        return { stats: Record.map(QueueStats.fields, (_, status) => count(status)) }
      }),
      get: ({ params }) => answer(itemOf(params.id)),
      cancel: Effect.fnUntraced(function*({ params }) {
        const row = yield* itemOf(params.id)
        if (row.status !== "pending") return yield* Errors.badRequest(`Cannot cancel item with status "${row.status}"`)
        return yield* answer(table.put({ ...row, status: "cancelled" }))
      })
    })
  }))

const shown = (row: QueueRow): QueueItem => Struct.omit(row, ["retryAfter"])

const answer = <E, R>(row: Effect.Effect<QueueRow, E, R>) => Effect.map(row, (row) => ({ item: shown(row) }))
