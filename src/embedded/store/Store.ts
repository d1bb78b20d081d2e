/** What the embedded server remembers: agents, sessions, messages and events. */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { AgentConfig } from "../../schema/Agent.ts"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import { StoredContent, type StoredMessage } from "../../schema/Message.ts"
import type { Session, SessionStatus, UpdateSessionConfigRequest } from "../../schema/Session.ts"
import { SessionEvent } from "../../schema/SessionEvent.ts"
import * as Tables from "./Tables.ts"

export interface AgentRow {
  readonly id: string
  readonly tenantId: string
  readonly name: string
  readonly version: number
  readonly path: string
  readonly env: Readonly<Record<string, string>>
  readonly config: AgentConfig
  readonly createdAt: DateTime.Utc
  readonly updatedAt: DateTime.Utc
}

export interface SessionRow {
  readonly session: Session & { readonly tenantId: string }
  /** What goes to the agent with every message. Never shown. */
  readonly settings: UpdateSessionConfigRequest
}

/** A part of a list that is read by `after`, exclusive, and `limit`. */
export interface PageOptions {
  readonly after?: number | undefined
  readonly limit?: number | undefined
}

export class Store extends Context.Service<Store, {
  /** By name. */
  readonly agents: Effect.Effect<ReadonlyArray<AgentRow>>
  readonly findAgent: (name: string) => Effect.Effect<Option.Option<AgentRow>>
  readonly agent: (name: string) => Effect.Effect<AgentRow, ErrorResponse>
  readonly putAgent: (row: AgentRow) => Effect.Effect<void>
  /** Removes an agent, and all its sessions with it. */
  readonly removeAgent: (name: string) => Effect.Effect<void>
  /** Newest first. */
  readonly sessions: Effect.Effect<ReadonlyArray<SessionRow>>
  readonly session: (id: string) => Effect.Effect<SessionRow, ErrorResponse>
  /** Adds a session; its creation becomes the first event of its timeline. */
  readonly addSession: (row: SessionRow) => Effect.Effect<void>
  /** Changes a session, and with it the time of its last activity. A session that is gone stays gone. */
  readonly updateSession: (id: string, change: {
    readonly status?: SessionStatus
    readonly sandboxId?: string
    readonly settings?: UpdateSessionConfigRequest
  }) => Effect.Effect<void>
  readonly messages: (sessionId: string, page?: PageOptions) => Effect.Effect<ReadonlyArray<StoredMessage>>
  readonly addMessage: (sessionId: string, role: "user" | "assistant", content: Schema.Json) => Effect.Effect<void>
  readonly copyMessages: (from: string, to: string) => Effect.Effect<void>
  readonly events: (
    sessionId: string,
    page: PageOptions & { readonly type?: string | undefined }
  ) => Effect.Effect<ReadonlyArray<SessionEvent>>
  readonly addEvent: (sessionId: string, type: string, data: Schema.JsonObject) => Effect.Effect<void>
}>()("effect-ash/embedded/store/Store") {
  static readonly layer: Layer.Layer<Store, never, SecureRandom.SecureRandom> = Layer.effect(
    Store,
    Effect.gen(function*() {
      const random = yield* SecureRandom.SecureRandom
      const agents = Tables.make<AgentRow>()
      const sessions = new Map<string, SessionRow>()
      const messages = new Map<string, Array<StoredMessage>>()
      const events = new Map<string, Array<SessionEvent>>()

      const findAgent = (name: string) =>
        Effect.map(agents.all, (rows) => Option.fromUndefinedOr(rows.find((row) => row.name === name)))
      const ownSessions = Effect.map(
        Tables.Tenant,
        (tenantId) => Array.from(sessions.values()).filter(({ session }) => session.tenantId === tenantId)
      )

      return Store.of({
        agents: Effect.map(agents.all, (rows) => rows.toSorted((a, b) => a.name < b.name ? -1 : 1)),
        findAgent,
        agent: (name) => Tables.orNotFound("Agent not found")(findAgent(name)),
        putAgent: agents.put,
        removeAgent: Effect.fnUntraced(function*(name) {
          const agent = yield* findAgent(name)
          if (Option.isSome(agent)) yield* agents.remove(agent.value.id)
          for (const { session } of yield* ownSessions) {
            if (session.agentName === name) sessions.delete(session.id)
          }
        }),
        sessions: Effect.map(ownSessions, (rows) => rows.toReversed()),
        session: (id) =>
          Tables.orNotFound("Session not found")(
            Effect.map(ownSessions, (rows) => Option.fromUndefinedOr(rows.find(({ session }) => session.id === id)))
          ),
        addSession: (row) =>
          Effect.sync(() => {
            sessions.set(row.session.id, row)
          }),
        updateSession: (id, { settings, ...change }) =>
          Effect.map(DateTime.now, (lastActiveAt) => {
            const row = sessions.get(id)
            if (row === undefined) return
            sessions.set(id, {
              session: { ...row.session, ...change, lastActiveAt },
              settings: { ...row.settings, ...settings }
            })
          }),
        messages: (sessionId, page) => Effect.sync(() => pageOf(messages.get(sessionId) ?? [], page)),
        addMessage: Effect.fnUntraced(function*(sessionId, role, content) {
          const id = yield* random.uuidV4()
          const tenantId = yield* Tables.Tenant
          const createdAt = yield* DateTime.now
          const decoded = yield* Effect.orDie(decodeContent(JSON.stringify(content)))
          const rows = rowsOf(messages, sessionId)
          rows.push({ id, sessionId, tenantId, role, content: decoded, sequence: rows.length + 1, createdAt })
        }),
        copyMessages: Effect.fnUntraced(function*(from, to) {
          const rows = rowsOf(messages, to)
          for (const row of messages.get(from) ?? []) rows.push({ ...row, id: yield* random.uuidV4(), sessionId: to })
        }),
        events: (sessionId, { type, ...page }) =>
          Effect.sync(() => {
            const rows = events.get(sessionId) ?? []
            return pageOf(type === undefined ? rows : rows.filter((row) => row.type === type), page)
          }),
        addEvent: Effect.fnUntraced(function*(sessionId, type, data) {
          const id = yield* random.uuidV4()
          const tenantId = yield* Tables.Tenant
          const createdAt = DateTime.formatIso(yield* DateTime.now)
          const rows = rowsOf(events, sessionId)
          const sequence = rows.length + 1
          rows.push(
            yield* Effect.orDie(
              decodeEvent({ id, sessionId, tenantId, type, sequence, createdAt, data: JSON.stringify(data) })
            )
          )
        })
      })
    })
  )
}

const decodeContent = Schema.decodeEffect(StoredContent)
const decodeEvent = Schema.decodeEffect(SessionEvent)

const rowsOf = <Row>(table: Map<string, Array<Row>>, key: string): Array<Row> => {
  const existing = table.get(key)
  if (existing !== undefined) return existing
  const rows: Array<Row> = []
  table.set(key, rows)
  return rows
}

const pageOf = <Row extends { readonly sequence: number }>(
  rows: ReadonlyArray<Row>,
  { after = 0, limit = rows.length }: PageOptions = {}
): ReadonlyArray<Row> => rows.filter((row) => row.sequence > after).slice(0, limit)
