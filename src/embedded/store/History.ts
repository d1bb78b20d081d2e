/** What happened in sessions: their messages, and the events of their timelines (docs/ash.md 3.6 and 4.6). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { StoredContent, type StoredMessage } from "../../schema/Message.ts"
import { SessionEvent } from "../../schema/SessionEvent.ts"
import * as Tables from "./Tables.ts"

/** A part of a list that is read by `after`, exclusive, and `limit`. */
export interface PageOptions {
  readonly after?: number | undefined
  readonly limit?: number | undefined
}

export const make = () => {
  const messages = new Map<string, Array<StoredMessage>>()
  const events = new Map<string, Array<SessionEvent>>()
  return {
    /** The messages of a session, oldest first. */
    messages: (sessionId: string, page?: PageOptions) => Effect.sync(() => pageOf(messages.get(sessionId) ?? [], page)),
    addMessage: Effect.fnUntraced(function*(sessionId: string, role: "user" | "assistant", content: Schema.Json) {
      const row = yield* Tables.newRow
      const decoded = yield* Effect.orDie(decodeContent(JSON.stringify(content)))
      const rows = rowsOf(messages, sessionId)
      rows.push({ ...row, sessionId, role, content: decoded, sequence: rows.length + 1 })
    }),
    copyMessages: Effect.fnUntraced(function*(from: string, to: string) {
      const rows = rowsOf(messages, to)
      for (const row of messages.get(from) ?? []) rows.push({ ...row, id: yield* Tables.newId, sessionId: to })
    }),
    /** The events of a session's timeline, oldest first, of one type or of all. */
    events: (sessionId: string, { type, ...page }: PageOptions & { readonly type?: string | undefined }) =>
      Effect.sync(() => {
        const rows = events.get(sessionId) ?? []
        return pageOf(type === undefined ? rows : rows.filter((row) => row.type === type), page)
      }),
    addEvent: Effect.fnUntraced(function*(sessionId: string, type: string, data: Schema.JsonObject) {
      const row = yield* Tables.newRow
      const createdAt = DateTime.formatIso(row.createdAt)
      const rows = rowsOf(events, sessionId)
      const event = { ...row, createdAt, sessionId, type, sequence: rows.length + 1, data: JSON.stringify(data) }
      rows.push(yield* Effect.orDie(decodeEvent(event)))
    })
  }
}

const decodeContent = Schema.decodeEffect(StoredContent)
const decodeEvent = Schema.decodeEffect(SessionEvent)

const rowsOf = <Row>(table: Map<string, Array<Row>>, key: string): Array<Row> => {
  const rows = table.get(key) ?? []
  table.set(key, rows)
  return rows
}

const pageOf = <Row extends { readonly sequence: number }>(
  rows: ReadonlyArray<Row>,
  { after = 0, limit = rows.length }: PageOptions = {}
): ReadonlyArray<Row> => rows.filter((row) => row.sequence > after).slice(0, limit)
