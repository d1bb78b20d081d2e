/** What the embedded server remembers of agents and sessions. */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { AgentConfig } from "../../schema/Agent.ts"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import type { Session, SessionStatus, UpdateSessionConfigRequest } from "../../schema/Session.ts"
import * as History from "./History.ts"
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
  /** Sent to the agent with every message. No answer has them. */
  readonly settings: UpdateSessionConfigRequest
}

export class Store extends Context.Service<
  Store,
  History.History & {
    /** By name. */
    readonly agents: Effect.Effect<ReadonlyArray<AgentRow>>
    /** An agent, if there is one of this name. */
    readonly findAgent: (name: string) => Effect.Effect<Option.Option<AgentRow>>
    /** An agent, else the error 404. */
    readonly agent: (name: string) => Effect.Effect<AgentRow, ErrorResponse>
    /** Adds an agent, or replaces the one of its id. */
    readonly putAgent: (row: AgentRow) => Effect.Effect<void>
    /** Removes an agent, and all its sessions with it. */
    readonly removeAgent: (name: string) => Effect.Effect<void>
    /** Newest first. */
    readonly sessions: Effect.Effect<ReadonlyArray<SessionRow>>
    /** A session, else the error 404. */
    readonly session: (id: string) => Effect.Effect<SessionRow, ErrorResponse>
    /** Adds a session, or replaces the one of its id. */
    readonly addSession: (row: SessionRow) => Effect.Effect<void>
    /** Changes a session, and with it the time of its last activity. A session that is gone stays gone. */
    readonly updateSession: (id: string, change: {
      readonly status?: SessionStatus
      readonly sandboxId?: string
      readonly settings?: UpdateSessionConfigRequest
    }) => Effect.Effect<void>
  }
>()("effect-ash/embedded/store/Store") {
  static readonly layer: Layer.Layer<Store, never, SecureRandom.SecureRandom> = Layer.effect(
    Store,
    Effect.gen(function*() {
      const random = yield* SecureRandom.SecureRandom
      const agents = Tables.make<AgentRow>()
      const sessions = new Map<string, SessionRow>()

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
        ...History.make(random)
      })
    })
  )
}

/** An agent, else the error 404. */
export const agentOf = (name: string) => Store.use((store) => store.agent(name))

/** A session, else the error 404. */
export const sessionOf = (id: string) => Store.use((store) => store.session(id))
