/**
 * The HTTP API of an Ash server, declared once. The low-level client, the embedded server and the OpenAPI document are
 * derived from it.
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as OpenApi from "effect/http-api/OpenApi"
import { AgentsGroup, AgentVersionsGroup, EvalsGroup } from "./api/agents.ts"
import {
  AnalyticsGroup,
  ApiKeysGroup,
  CredentialsGroup,
  HealthGroup,
  MetaGroup,
  QueueGroup,
  UsageGroup
} from "./api/server.ts"
import { AttachmentsGroup, MessagesGroup, SessionFilesGroup, SessionsGroup, WorkspacesGroup } from "./api/sessions.ts"

/** The HTTP API of an Ash server. */
export class AshApi extends HttpApi.make("ash")
  .add(
    HealthGroup,
    AgentsGroup,
    AgentVersionsGroup,
    EvalsGroup,
    SessionsGroup,
    MessagesGroup,
    SessionFilesGroup,
    WorkspacesGroup,
    AttachmentsGroup,
    CredentialsGroup,
    QueueGroup,
    UsageGroup,
    AnalyticsGroup,
    ApiKeysGroup,
    MetaGroup
  )
  .annotate(OpenApi.Title, "Ash")
  .annotate(OpenApi.Version, "0.2.0")
{}
