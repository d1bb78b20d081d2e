/** How sessions start: by a request, and by the queue (docs/ash.md 3.5 and 3.11). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import type * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { CreateSessionRequest, Session, UpdateSessionConfigRequest } from "../../schema/Session.ts"
import { withoutUndefined } from "../../schema/Wire.ts"
import { type AgentRow, Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { field, present } from "../wire/Json.ts"
import { exists } from "./AgentFolders.ts"
import type { SandboxSettings } from "./Sandbox.ts"
import { Sandboxes } from "./Sandboxes.ts"

/** The settings of a sandbox that is started without a request: for a resume, for a fork, or ahead of its session. */
export const bare: SandboxSettings = { env: {}, permissionMode: "bypassPermissions" }

/** The agent for a new sandbox, if its folder is still there. */
export const agentOf = Effect.fnUntraced(function*(name: string) {
  const store = yield* Store
  const agent = yield* Tables.orNotFound(`Agent "${name}" not found`)(store.findAgent(name))
  if (yield* exists(agent.path)) return agent
  return yield* Errors.failure(422, `Agent directory not found: ${agent.path}`)
})

export const addLifecycle = (id: string, action: string, more: Schema.JsonObject = {}) =>
  Store.use((store) => store.addEvent(id, "lifecycle", { action, ...more }))

type NewSession = Pick<Session, "id" | "sandboxId" | "agentName" | "status" | "parentSessionId">

/** A session that begins now. Nothing is kept of it. */
export const begin = Effect.fnUntraced(function*(fields: NewSession) {
  const now = yield* DateTime.now
  return { ...fields, tenantId: yield* Tables.Tenant, runnerId: null, createdAt: now, lastActiveAt: now }
})

export const add = Effect.fnUntraced(function*(fields: NewSession, settings: UpdateSessionConfigRequest) {
  const store = yield* Store
  yield* store.addSettings(fields.id, settings)
  return yield* store.addSession(yield* begin(fields))
})

export const create = Effect.fnUntraced(function*(request: CreateSessionRequest) {
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const agent = yield* agentOf(request.agent)
  // An empty id counts as none.
  const keys = request.credentialId ? yield* store.credentials.environment(request.credentialId) : {}
  const settings = settingsOf(agent, request, keys, yield* store.versions.activePrompt(agent.name))
  const id = yield* Tables.newId
  return yield* sandboxes.create({ id, session: id, agent, settings }, (sandbox) =>
    Effect.gen(function*() {
      const session = yield* add(
        { id, sandboxId: sandbox.id, agentName: agent.name, status: "active", parentSessionId: null },
        Struct.pick(request, settingNames)
      )
      yield* addLifecycle(id, "created", present({ agentName: agent.name, model: request.model }))
      const { mcpServers } = sandbox.settings
      if (mcpServers !== undefined) {
        yield* store.addEvent(id, "mcp_status", { action: "configured", servers: describe(mcpServers) })
      }
      return session
    }))
}, Effect.uninterruptible)

const settingsOf = (
  agent: AgentRow,
  request: CreateSessionRequest,
  keys: Readonly<Record<string, string>>,
  activePrompt: string | undefined
): SandboxSettings => ({
  env: {
    ...agent.env,
    ...keys,
    ...request.extraEnv,
    ...(request.permissionMode === undefined ? {} : { ASH_PERMISSION_MODE: request.permissionMode })
  },
  permissionMode: request.permissionMode ?? bare.permissionMode,
  // An empty prompt counts as none.
  systemPrompt: request.systemPrompt || activePrompt,
  mcpServers: request.mcpServers && Record.map(request.mcpServers, (server) => withoutUndefined(server))
})

/** What of a request goes to the agent with every message. */
const settingNames = ["model", "allowedTools", "disallowedTools", "betas", "subagents", "initialAgent"] as const

const describe = (servers: Readonly<Record<string, Schema.Json>>): ReadonlyArray<Schema.Json> =>
  Object.entries(servers).map(([name, server]) => {
    const url = field(server, "url")
    return present({ name, transport: url === undefined ? "stdio" : "sse", url, command: field(server, "command") })
  })
