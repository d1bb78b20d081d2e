/** All services as one value, for programs that use many of them. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Agents } from "./Agents.ts"
import { AgentVersions } from "./AgentVersions.ts"
import { Analytics } from "./Analytics.ts"
import { ApiKeys } from "./ApiKeys.ts"
import { Attachments } from "./Attachments.ts"
import { Credentials } from "./Credentials.ts"
import { Evals } from "./Evals.ts"
import { Health } from "./Health.ts"
import { Messages } from "./Messages.ts"
import { ProjectFiles } from "./ProjectFiles.ts"
import { QueueItems } from "./QueueItems.ts"
import { SessionFiles } from "./SessionFiles.ts"
import { Sessions } from "./Sessions.ts"
import { Usage } from "./Usage.ts"
import { Workspaces } from "./Workspaces.ts"

/** The services, by their names. */
export const services = {
  agents: Agents,
  agentVersions: AgentVersions,
  analytics: Analytics,
  apiKeys: ApiKeys,
  attachments: Attachments,
  credentials: Credentials,
  evals: Evals,
  health: Health,
  messages: Messages,
  projectFiles: ProjectFiles,
  queueItems: QueueItems,
  sessionFiles: SessionFiles,
  sessions: Sessions,
  usage: Usage,
  workspaces: Workspaces
}

export type Services = typeof services

/** Holds every service: `const ash = yield* AshClient`, then `ash.sessions.create(...)`. */
export class AshClient extends Context.Service<
  AshClient,
  {
    readonly [Name in keyof Services]: Services[Name]["Service"]
  }
>()("effect-ash/services/AshClient") {
  static readonly layer: Layer.Layer<AshClient, never, Services[keyof Services]["Identifier"]> = Layer.effect(
    AshClient,
    Effect.all(services)
  )
}
