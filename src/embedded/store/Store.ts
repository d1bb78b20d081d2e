/** What the embedded server remembers. */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Agent, AgentConfig } from "../../schema/Agent.ts"
import type { Session, UpdateSessionConfigRequest } from "../../schema/Session.ts"
import * as AgentVersions from "./AgentVersions.ts"
import * as ApiKeys from "./ApiKeys.ts"
import * as Credentials from "./Credentials.ts"
import * as History from "./History.ts"
import * as Tables from "./Tables.ts"
import * as Usage from "./Usage.ts"

export interface AgentRow extends Tables.Row<Omit<Agent, "env">> {
  readonly env: Readonly<Record<string, string>>
  readonly config: AgentConfig
}

export class Store extends Context.Service<Store>()("effect-ash/embedded/store/Store", {
  make: Effect.gen(function*() {
    const agents = Tables.make<AgentRow>()
    const sessions = Tables.make<Session>()
    const settings = new Map<string, UpdateSessionConfigRequest>()

    const findAgent = (name: string) => Effect.map(agents.where((row) => row.name === name), ([row]) => row)

    return {
      ...History.make(),
      versions: AgentVersions.make(),
      credentials: Credentials.make(),
      keys: yield* ApiKeys.make,
      usage: Usage.make(),
      /** By name. */
      agents: Effect.map(agents.all, (rows) => rows.toSorted((a, b) => a.name < b.name ? -1 : 1)),
      findAgent,
      agent: (name: string) => Tables.orNotFound("Agent not found")(findAgent(name)),
      putAgent: agents.put,
      /** Removes an agent, and all its sessions with it. */
      removeAgent: Effect.fnUntraced(function*(agent: AgentRow) {
        yield* agents.remove(agent.id)
        for (const { id } of yield* sessions.where(({ agentName }) => agentName === agent.name)) {
          yield* sessions.remove(id)
          settings.delete(id)
        }
      }),
      /** Newest first. */
      sessions: Effect.map(sessions.all, (rows) => rows.toReversed()),
      session: (id: string) => Tables.orNotFound("Session not found")(sessions.find(id)),
      addSession: sessions.put,
      /** Changes a session, and with it the time of its last activity. A session that is gone stays gone. */
      updateSession: (id: string, change: Partial<Pick<Session, "status" | "sandboxId">>) =>
        Effect.flatMap(
          DateTime.now,
          (lastActiveAt) => sessions.change(id, (row) => ({ ...row, ...change, lastActiveAt }))
        ),
      /** Sent to the agent with every message. No answer has them. */
      settings: (id: string) => Effect.sync(() => settings.get(id) ?? {}),
      addSettings: (id: string, added: UpdateSessionConfigRequest) =>
        Effect.sync(() => {
          settings.set(id, { ...settings.get(id), ...added })
        })
    }
  })
}) {
  static readonly layer = Layer.effect(Store, Store.make)
}

export const agentOf = (name: string) => Store.use((store) => store.agent(name))

export const sessionOf = (id: string) => Store.use((store) => store.session(id))
