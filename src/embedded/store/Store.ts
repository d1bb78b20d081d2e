/** What the embedded server remembers of agents and sessions. */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { AgentConfig } from "../../schema/Agent.ts"
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

interface SessionChange {
  readonly status?: SessionStatus
  readonly sandboxId?: string
  readonly settings?: UpdateSessionConfigRequest
}

export class Store extends Context.Service<Store>()("effect-ash/embedded/store/Store", {
  make: Effect.gen(function*() {
    const agents = Tables.make<AgentRow>()
    const sessions = new Map<string, SessionRow>()

    const findAgent = (name: string) =>
      Effect.map(agents.where((row) => row.name === name), ([row]) => Option.fromUndefinedOr(row))
    const ownSessions = Effect.map(
      Tables.Tenant,
      (tenantId) => Array.from(sessions.values()).filter(({ session }) => session.tenantId === tenantId)
    )

    return {
      ...History.make(yield* SecureRandom.SecureRandom),
      /** By name. */
      agents: Effect.map(agents.all, (rows) => rows.toSorted((a, b) => a.name < b.name ? -1 : 1)),
      findAgent,
      /** An agent, else the error 404. */
      agent: (name: string) => Tables.orNotFound("Agent not found")(findAgent(name)),
      putAgent: agents.put,
      /** Removes an agent, and all its sessions with it. */
      removeAgent: Effect.fnUntraced(function*(name: string) {
        const agent = yield* findAgent(name)
        if (Option.isSome(agent)) yield* agents.remove(agent.value.id)
        for (const { session } of yield* ownSessions) {
          if (session.agentName === name) sessions.delete(session.id)
        }
      }),
      /** Newest first. */
      sessions: Effect.map(ownSessions, (rows) => rows.toReversed()),
      /** A session, else the error 404. */
      session: (id: string) =>
        Tables.orNotFound("Session not found")(
          Effect.map(ownSessions, (rows) => Option.fromUndefinedOr(rows.find(({ session }) => session.id === id)))
        ),
      addSession: (row: SessionRow) =>
        Effect.sync(() => {
          sessions.set(row.session.id, row)
        }),
      /** Changes a session, and with it the time of its last activity. A session that is gone stays gone. */
      updateSession: (id: string, { settings, ...change }: SessionChange) =>
        Effect.map(DateTime.now, (lastActiveAt) => {
          const row = sessions.get(id)
          if (row === undefined) return
          sessions.set(id, {
            session: { ...row.session, ...change, lastActiveAt },
            settings: { ...row.settings, ...settings }
          })
        })
    }
  })
}) {
  static readonly layer = Layer.effect(Store, Store.make)
}

/** An agent, else the error 404. */
export const agentOf = (name: string) => Store.use((store) => store.agent(name))

/** A session, else the error 404. */
export const sessionOf = (id: string) => Store.use((store) => store.session(id))
