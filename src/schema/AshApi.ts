/**
 * The HTTP API of an Ash server, declared once. The low-level client, the embedded server and the OpenAPI document are
 * derived from it.
 */
import * as Context from "effect/Context"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { Agent, AgentConfig, CreateAgentRequest, UpdateAgentRequest } from "./Agent.ts"
import { ErrorResponses } from "./ErrorResponse.ts"
import { FileEntry, FileUpload } from "./File.ts"
import { ServerHealth } from "./Health.ts"
import { AgentName, FilePath, SessionId } from "./Ids.ts"
import { SendMessageRequest, StoredMessage } from "./Message.ts"
import {
  CreateSessionRequest,
  ExecRequest,
  ExecResult,
  SandboxLogs,
  Session,
  UpdateSessionConfigRequest
} from "./Session.ts"
import { SessionEvent, SessionEventType } from "./SessionEvent.ts"
import { omittable } from "./Wire.ts"

/** The number of bytes that the body of a request may have: an annotation of endpoints, 1 MiB where absent. */
export const BodyLimit = Context.Reference<number>("effect-ash/schema/AshApi/BodyLimit", {
  defaultValue: () => 1_048_576
})

const error = ErrorResponses
const created = HttpApiSchema.status(201)

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }, { expected: "1 to 1,000" }))
const after = (minimum: number) =>
  omittable(
    Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum, { expected: `a whole number of at least ${minimum}` }))
  )

const agent = { name: AgentName }
const agentFile = { name: AgentName, path: FilePath }
const session = { id: SessionId }

const AgentResponse = Schema.Struct({ agent: Agent })
const ConfigResponse = Schema.Struct({ config: AgentConfig })
const SessionResponse = Schema.Struct({ session: Session })

/** The headers of a download. */
const DownloadHeaders = Schema.Struct({
  "content-type": Schema.optionalKey(Schema.String),
  "content-length": Schema.optionalKey(Schema.String),
  "content-disposition": Schema.optionalKey(Schema.String)
})

class HealthGroup extends HttpApiGroup.make("health")
  .add(HttpApiEndpoint.get("get", "/health", { success: ServerHealth, error }))
{}

class AgentsGroup extends HttpApiGroup.make("agents")
  .add(
    HttpApiEndpoint.post("create", "/api/agents", {
      payload: CreateAgentRequest,
      success: AgentResponse.pipe(created),
      error
    }),
    HttpApiEndpoint.get("list", "/api/agents", { success: Schema.Struct({ agents: Schema.Array(Agent) }), error }),
    HttpApiEndpoint.get("get", "/api/agents/:name", { params: agent, success: AgentResponse, error }),
    HttpApiEndpoint.patch("update", "/api/agents/:name", {
      params: agent,
      payload: UpdateAgentRequest,
      success: AgentResponse,
      error
    }),
    HttpApiEndpoint.delete("delete", "/api/agents/:name", {
      params: agent,
      success: Schema.Struct({ ok: Schema.Boolean }),
      error
    }),
    HttpApiEndpoint.get("getConfig", "/api/agents/:name/config", { params: agent, success: ConfigResponse, error }),
    HttpApiEndpoint.patch("updateConfig", "/api/agents/:name/config", {
      params: agent,
      payload: AgentConfig,
      success: ConfigResponse,
      error
    }),
    HttpApiEndpoint.get("listFiles", "/api/agents/:name/files", {
      params: agent,
      success: Schema.Struct({ files: Schema.Array(FileEntry) }),
      error
    }),
    HttpApiEndpoint.get("readFile", "/api/agents/:name/files/:path", {
      params: agentFile,
      query: { format: omittable(Schema.Literals(["json", "raw"])) },
      success: HttpApiSchema.WithHeaders(HttpApiSchema.StreamUint8Array(), DownloadHeaders),
      error
    }),
    HttpApiEndpoint.post("writeFiles", "/api/agents/:name/files", {
      params: agent,
      payload: Schema.Struct({ files: Schema.Array(FileUpload) }),
      success: Schema.Struct({ written: Schema.Finite }),
      error
    }),
    HttpApiEndpoint.delete("deleteFile", "/api/agents/:name/files/:path", {
      params: agentFile,
      success: Schema.Struct({ deleted: Schema.Boolean }),
      error
    })
  )
{}

class SessionsGroup extends HttpApiGroup.make("sessions")
  .add(
    HttpApiEndpoint.post("create", "/api/sessions", {
      payload: CreateSessionRequest,
      success: SessionResponse.pipe(created),
      error
    }),
    HttpApiEndpoint.get("list", "/api/sessions", {
      query: { agent: omittable(Schema.String) },
      success: Schema.Struct({ sessions: Schema.Array(Session) }),
      error
    }),
    HttpApiEndpoint.get("get", "/api/sessions/:id", { params: session, success: SessionResponse, error }),
    HttpApiEndpoint.patch("updateConfig", "/api/sessions/:id/config", {
      params: session,
      payload: UpdateSessionConfigRequest,
      success: SessionResponse,
      error
    }),
    HttpApiEndpoint.post("pause", "/api/sessions/:id/pause", { params: session, success: SessionResponse, error }),
    HttpApiEndpoint.post("resume", "/api/sessions/:id/resume", { params: session, success: SessionResponse, error }),
    HttpApiEndpoint.post("stop", "/api/sessions/:id/stop", { params: session, success: SessionResponse, error }),
    HttpApiEndpoint.post("fork", "/api/sessions/:id/fork", {
      params: session,
      success: SessionResponse.pipe(created),
      error
    }),
    HttpApiEndpoint.delete("end", "/api/sessions/:id", { params: session, success: SessionResponse, error }),
    HttpApiEndpoint.post("exec", "/api/sessions/:id/exec", {
      params: session,
      payload: ExecRequest,
      success: ExecResult,
      error
    }),
    HttpApiEndpoint.get("listEvents", "/api/sessions/:id/events", {
      params: session,
      query: { limit: omittable(Limit), after: after(0), type: omittable(SessionEventType) },
      success: Schema.Struct({ events: Schema.Array(SessionEvent) }),
      error
    }),
    HttpApiEndpoint.get("logs", "/api/sessions/:id/logs", {
      params: session,
      query: { after: after(-1) },
      success: SandboxLogs,
      error
    })
  )
{}

class MessagesGroup extends HttpApiGroup.make("messages")
  .add(
    HttpApiEndpoint.post("send", "/api/sessions/:id/messages", {
      params: session,
      payload: SendMessageRequest,
      success: HttpApiSchema.WithHeaders(
        HttpApiSchema.StreamUint8Array({ contentType: "text/event-stream" }),
        Schema.Struct({ "content-type": Schema.optionalKey(Schema.String) })
      ),
      error
    }).annotate(BodyLimit, 52_428_800),
    HttpApiEndpoint.get("list", "/api/sessions/:id/messages", {
      params: session,
      query: { limit: omittable(Limit), after: after(0) },
      success: Schema.Struct({ messages: Schema.Array(StoredMessage) }),
      error
    })
  )
{}

/** The HTTP API of an Ash server. */
export class AshApi extends HttpApi.make("ash")
  .add(HealthGroup, AgentsGroup, SessionsGroup, MessagesGroup)
  .annotateMerge(OpenApi.annotations({ title: "Ash", version: "0.2.0" }))
{}
