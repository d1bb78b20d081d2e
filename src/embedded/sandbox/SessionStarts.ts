/** How sessions start: by a request, and by the queue (docs/ash.md 3.5 and 3.11). */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import type { CreateSessionRequest, Session, SessionStatus } from "../../schema/Session.ts"
import { withoutUndefined } from "../../schema/Wire.ts"
import { AgentVersions } from "../store/AgentVersions.ts"
import { Credentials } from "../store/Credentials.ts"
import { type AgentRow, type SessionRow, Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { field, present } from "../wire/Json.ts"
import { exists } from "./AgentFolders.ts"
import type { SandboxSettings } from "./Sandbox.ts"
import { Sandboxes } from "./Sandboxes.ts"

/** The settings of a sandbox that is started without a request: for a resume, for a fork, or ahead of its session. */
export const bare: SandboxSettings = { env: {}, permissionMode: "bypassPermissions" }

export class SessionStarts extends Context.Service<SessionStarts, {
  /** The agent for a new sandbox, if its folder is still there. */
  readonly agentOf: (name: string) => Effect.Effect<AgentRow, ErrorResponse>
  /** Starts a session. */
  readonly create: (request: CreateSessionRequest) => Effect.Effect<Session, ErrorResponse>
  /** Adds a session that has its sandbox. */
  readonly add: (session: {
    readonly id: string
    readonly sandboxId: string
    readonly agentName: string
    readonly status: SessionStatus
    readonly parentSessionId: string | null
    readonly settings: SessionRow["settings"]
  }) => Effect.Effect<Session>
  /** Adds an event `lifecycle` to the timeline of a session. */
  readonly addLifecycle: (id: string, action: string, more?: Schema.JsonObject) => Effect.Effect<void>
}>()("effect-ash/embedded/sandbox/SessionStarts") {
  static readonly layer: Layer.Layer<
    SessionStarts,
    never,
    Store | Sandboxes | FileSystem.FileSystem | AgentVersions | Credentials | SecureRandom.SecureRandom
  > = Layer.effect(
    SessionStarts,
    Effect.gen(function*() {
      const store = yield* Store
      const sandboxes = yield* Sandboxes
      const fileSystem = yield* FileSystem.FileSystem
      const versions = yield* AgentVersions
      const credentials = yield* Credentials
      const random = yield* SecureRandom.SecureRandom

      const addLifecycle: SessionStarts["Service"]["addLifecycle"] = (id, action, more = {}) =>
        store.addEvent(id, "lifecycle", { action, ...more })

      const agentOf: SessionStarts["Service"]["agentOf"] = Effect.fnUntraced(function*(name) {
        const agent = yield* Tables.orNotFound(`Agent "${name}" not found`)(store.findAgent(name))
        if (yield* Effect.provideService(exists(agent.path), FileSystem.FileSystem, fileSystem)) return agent
        return yield* Errors.failure(422, `Agent directory not found: ${agent.path}`)
      })

      const add: SessionStarts["Service"]["add"] = Effect.fnUntraced(function*({ settings, ...fields }) {
        const now = yield* DateTime.now
        const tenantId = yield* Tables.Tenant
        const session = { ...fields, tenantId, runnerId: null, createdAt: now, lastActiveAt: now }
        yield* store.addSession({ session, settings })
        return session
      })

      const create: SessionStarts["Service"]["create"] = Effect.fnUntraced(function*(request) {
        const agent = yield* agentOf(request.agent)
        const keys = request.credentialId === undefined ? {} : yield* credentials.environment(request.credentialId)
        const settings = settingsOf(agent, request, keys, yield* versions.activePrompt(agent.name))
        const id = yield* random.uuidV4()
        return yield* sandboxes.create(
          { id, session: id, agent, settings },
          Effect.fnUntraced(function*(sandbox) {
            const session = yield* add({
              id,
              sandboxId: sandbox.id,
              agentName: agent.name,
              status: "active",
              parentSessionId: null,
              settings: Struct.pick(request, settingNames)
            })
            yield* addLifecycle(id, "created", present({ agentName: agent.name, model: request.model }))
            const { mcpServers } = sandbox.settings
            if (mcpServers !== undefined) {
              yield* store.addEvent(id, "mcp_status", { action: "configured", servers: describe(mcpServers) })
            }
            return session
          })
        )
      }, Effect.uninterruptible)

      return SessionStarts.of({ agentOf, create, add, addLifecycle })
    })
  )
}

/** What the sandbox of a requested session is given. */
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
  mcpServers: request.mcpServers === undefined ? undefined : serversOf(request.mcpServers)
})

/** What of a request goes to the agent with every message. */
const settingNames = ["model", "allowedTools", "disallowedTools", "betas", "subagents", "initialAgent"] as const

type McpServers = NonNullable<CreateSessionRequest["mcpServers"]>

const serversOf = (servers: McpServers) =>
  Object.fromEntries(Object.entries(servers).map(([name, server]) => [name, withoutUndefined(server)]))

const describe = (servers: Readonly<Record<string, Schema.Json>>): ReadonlyArray<Schema.Json> =>
  Object.entries(servers).map(([name, server]) => {
    const url = field(server, "url")
    return present({ name, transport: url === undefined ? "stdio" : "sse", url, command: field(server, "command") })
  })
