/** The handlers of the group `queue` (docs/ash.md 3.11). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Struct from "effect/Struct"
import type { QueueItem } from "../../schema/QueueItem.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { Queue, type QueueRow } from "../work/Queue.ts"
import { ServerApi } from "./ServerApi.ts"

const defaultLimit = 50

const shown = (row: QueueRow): QueueItem => Struct.omit(row, ["retryAfter"])

export const QueueHandlers = HttpApiBuilder.group(
  ServerApi,
  "queue",
  Effect.fnUntraced(function*(handlers) {
    const { add, table } = yield* Queue
    const itemOf = (id: string) => Tables.orNotFound("Queue item not found")(table.find(id))
    return handlers
      .handle("create", ({ payload }) => Effect.map(add(payload), (row) => ({ item: shown(row) })))
      .handle("list", ({ query: { limit = defaultLimit, status } }) =>
        Effect.map(table.all, (rows) => ({
          items: rows.toReversed().filter((row) => status === undefined || row.status === status).slice(0, limit)
            .map(shown)
        })))
      .handle("stats", () =>
        Effect.map(table.all, (rows) => {
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
        }))
      .handle("get", ({ params }) => Effect.map(itemOf(params.id), (row) => ({ item: shown(row) })))
      .handle(
        "cancel",
        Effect.fnUntraced(function*({ params }) {
          const row = yield* itemOf(params.id)
          if (row.status !== "pending") {
            return yield* Errors.badRequest(`Cannot cancel item with status "${row.status}"`)
          }
          const cancelled: QueueRow = { ...row, status: "cancelled" }
          yield* table.put(cancelled)
          return { item: shown(cancelled) }
        })
      )
  })
)
