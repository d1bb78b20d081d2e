/**
 * The HTTP API of an Ash server, declared once. The low-level client, the embedded server and the OpenAPI document are
 * derived from it.
 */
import * as Duration from "effect/Duration"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Schema from "effect/Schema"
import { Agent, AgentConfig, CreateAgentRequest, UpdateAgentRequest } from "./Agent.ts"
import { AgentVersion, CreateAgentVersionRequest, UpdateAgentVersionRequest } from "./AgentVersion.ts"
import { AnalyticsSummary } from "./Analytics.ts"
import { ApiKey, NewApiKey } from "./ApiKey.ts"
import { Attachment, CreateAttachmentRequest } from "./Attachment.ts"
import { compileAnswers } from "./compiled.ts"
import { CreateCredentialRequest, StoredCredential } from "./Credential.ts"
import { ErrorResponses } from "./ErrorResponse.ts"
import {
  CreateEvalCaseRequest,
  EvalCase,
  EvalComparison,
  EvalResult,
  EvalRun,
  ScoredEvalResults,
  ScoreEvalResultRequest,
  ScoreEvalRunRequest,
  StartEvalRunRequest,
  UpdateEvalCaseRequest
} from "./Eval.ts"
import { bytesUpTo, FileEntry, FileUpload, SessionFileList, WriteFileResult } from "./File.ts"
import { ServerHealth } from "./Health.ts"
import { AgentName, AgentVersionReference, FilePath, ResourceId, SessionId, Uuid } from "./Ids.ts"
import { SendMessageRequest, StoredMessage } from "./Message.ts"
import {
  AnswerInErrors,
  BodyLimit,
  FilePathParameter,
  MethodName,
  RateLimitBucket,
  Repeats,
  ServiceName,
  StartsTurn,
  TimeLimit
} from "./Operation.ts"
import { CreateQueueItemRequest, QueueItem, QueueItemStatus, QueueStats } from "./QueueItem.ts"
import {
  CreateSessionRequest,
  ExecRequest,
  ExecResult,
  SandboxLogs,
  Session,
  UpdateSessionConfigRequest
} from "./Session.ts"
import { SessionEvent, SessionEventType } from "./SessionEvent.ts"
import { timeSpan, UsageEvent, UsageFilter, UsageStats } from "./Usage.ts"
import { harmless, JsonObject, JsonObjectInput, omittable, WellFormed } from "./Wire.ts"

const error = ErrorResponses
const created = HttpApiSchema.status(201)
const empty = HttpApiSchema.NoContent

/** The install and start scripts of an agent may run for two minutes each before the server answers. */
const startsSandbox = Duration.minutes(5)
/** So many bytes take their time. */
const carriesWorkspace = Duration.minutes(5)

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }, { expected: "1 to 1,000" }))
const after = (minimum: number) =>
  omittable(
    Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum, { expected: `a whole number of at least ${minimum}` }))
  )

const agent = { name: AgentName }
const agentFile = { name: AgentName, path: FilePath }
const version = { name: AgentName, versionNumber: AgentVersionReference }
const agentItem = { name: AgentName, id: Uuid }
const session = { id: SessionId }
const sessionFile = { id: SessionId, path: FilePath }
const item = { id: Uuid }
const key = { id: ResourceId }

const AgentResponse = Schema.Struct({ agent: Agent })
const ConfigResponse = Schema.Struct({ config: AgentConfig })
const SessionResponse = Schema.Struct({ session: Session })

const VersionResponse = Schema.Struct({ version: AgentVersion })
const CaseResponse = Schema.Struct({ case: EvalCase })
const CasesResponse = Schema.Struct({ cases: Schema.Array(EvalCase) })
const RunResponse = Schema.Struct({ run: EvalRun })
const ItemResponse = Schema.Struct({ item: QueueItem })

/** Bytes, and the headers that describe them. */
const Download = HttpApiSchema.WithHeaders(
  HttpApiSchema.StreamUint8Array(),
  Schema.Struct({
    "content-type": Schema.optionalKey(Schema.String),
    "content-length": Schema.optionalKey(Schema.String),
    "content-disposition": Schema.optionalKey(Schema.String),
    "x-ash-source": Schema.optionalKey(Schema.String)
  })
)

class HealthGroup extends HttpApiGroup.make("health")
  .add(
    HttpApiEndpoint.get("get", "/health", { success: ServerHealth, error }),
    HttpApiEndpoint.get("metrics", "/metrics", { success: Schema.String.pipe(HttpApiSchema.asText()), error })
  )
  .annotate(AnswerInErrors, true)
{}

class MetaGroup extends HttpApiGroup.make("meta")
  .add(
    HttpApiEndpoint.get("openApi", "/docs/json", { success: JsonObject, error }).annotate(MethodName, "Health.openApi"),
    HttpApiEndpoint.get("dashboardConfig", "/dashboard/config.js", {
      success: Schema.RedactedFromValue(Schema.String).pipe(
        HttpApiSchema.asText({ contentType: "application/javascript" })
      ),
      error
    })
  )
{}

class AgentsGroup extends HttpApiGroup.make("agents")
  .add(
    HttpApiEndpoint.post("create", "/api/agents", {
      payload: CreateAgentRequest,
      success: AgentResponse.pipe(created),
      error
    }).annotate(RateLimitBucket, "agents").annotate(TimeLimit, startsSandbox),
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
      payload: JsonObjectInput,
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
      success: Download,
      error
    }).annotate(FilePathParameter, "path"),
    HttpApiEndpoint.post("writeFiles", "/api/agents/:name/files", {
      params: agent,
      payload: Schema.Struct({ files: Schema.Array(FileUpload) }),
      success: Schema.Struct({ written: Schema.Finite }),
      error
    }).annotate(Repeats, "harmless"),
    HttpApiEndpoint.delete("deleteFile", "/api/agents/:name/files/:path", {
      params: agentFile,
      success: Schema.Struct({ deleted: Schema.Boolean }),
      error
    }).annotate(FilePathParameter, "path")
  )
{}

class AgentVersionsGroup extends HttpApiGroup.make("agentVersions")
  .add(
    HttpApiEndpoint.get("list", "/api/agents/:name/versions", {
      params: agent,
      success: Schema.Struct({ versions: Schema.Array(AgentVersion) }),
      error
    }),
    HttpApiEndpoint.post("create", "/api/agents/:name/versions", {
      params: agent,
      payload: CreateAgentVersionRequest,
      success: VersionResponse.pipe(created),
      error
    }),
    HttpApiEndpoint.get("get", "/api/agents/:name/versions/:versionNumber", {
      params: version,
      success: VersionResponse,
      error
    }),
    HttpApiEndpoint.patch("update", "/api/agents/:name/versions/:versionNumber", {
      params: version,
      payload: UpdateAgentVersionRequest,
      success: VersionResponse,
      error
    }),
    HttpApiEndpoint.delete("delete", "/api/agents/:name/versions/:versionNumber", {
      params: version,
      success: empty,
      error
    }),
    HttpApiEndpoint.post("activate", "/api/agents/:name/versions/:versionNumber/activate", {
      params: version,
      success: Schema.Struct({ activated: Schema.Boolean, versionNumber: Schema.Finite }),
      error
    }).annotate(Repeats, "harmless")
  )
{}

class EvalsGroup extends HttpApiGroup.make("evals")
  .add(
    HttpApiEndpoint.post("importCases", "/api/agents/:name/eval-cases/import", {
      params: agent,
      payload: Schema.Struct({ cases: Schema.Array(CreateEvalCaseRequest) }),
      success: Schema.Struct({ imported: Schema.Finite }),
      error
    }),
    HttpApiEndpoint.get("exportCases", "/api/agents/:name/eval-cases/export", {
      params: agent,
      success: CasesResponse,
      error
    }),
    HttpApiEndpoint.get("listCases", "/api/agents/:name/eval-cases", {
      params: agent,
      query: { category: omittable(Schema.String), isActive: omittable(Schema.Boolean) },
      success: CasesResponse,
      error
    }),
    HttpApiEndpoint.post("createCase", "/api/agents/:name/eval-cases", {
      params: agent,
      payload: CreateEvalCaseRequest,
      success: CaseResponse.pipe(created),
      error
    }),
    HttpApiEndpoint.get("getCase", "/api/agents/:name/eval-cases/:id", {
      params: agentItem,
      success: CaseResponse,
      error
    }),
    HttpApiEndpoint.patch("updateCase", "/api/agents/:name/eval-cases/:id", {
      params: agentItem,
      payload: UpdateEvalCaseRequest,
      success: CaseResponse,
      error
    }),
    HttpApiEndpoint.delete("deleteCase", "/api/agents/:name/eval-cases/:id", {
      params: agentItem,
      success: empty,
      error
    }),
    HttpApiEndpoint.get("compareRuns", "/api/agents/:name/eval-runs/compare", {
      params: agent,
      query: { runA: Uuid, runB: Uuid },
      success: Schema.Struct({ comparison: EvalComparison }),
      error
    }),
    HttpApiEndpoint.post("startRun", "/api/agents/:name/eval-runs", {
      params: agent,
      payload: StartEvalRunRequest,
      success: RunResponse.pipe(created),
      error
    }),
    HttpApiEndpoint.get("listRuns", "/api/agents/:name/eval-runs", {
      params: agent,
      success: Schema.Struct({ runs: Schema.Array(EvalRun) }),
      error
    }),
    HttpApiEndpoint.get("getRun", "/api/agents/:name/eval-runs/:id", {
      params: agentItem,
      success: RunResponse,
      error
    }),
    HttpApiEndpoint.get("listResults", "/api/agents/:name/eval-runs/:id/results", {
      params: agentItem,
      success: Schema.Struct({ results: Schema.Array(EvalResult) }),
      error
    }),
    HttpApiEndpoint.post("scoreRun", "/api/agents/:name/eval-runs/:id/score", {
      params: agentItem,
      payload: ScoreEvalRunRequest,
      success: ScoredEvalResults,
      error
    }).annotate(Repeats, "harmless"),
    HttpApiEndpoint.patch("scoreResult", "/api/agents/:name/eval-results/:id", {
      params: agentItem,
      payload: ScoreEvalResultRequest,
      success: Schema.Struct({ result: EvalResult }),
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
    }).annotate(RateLimitBucket, "sessions").annotate(TimeLimit, startsSandbox),
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
    HttpApiEndpoint.post("resume", "/api/sessions/:id/resume", { params: session, success: SessionResponse, error })
      .annotate(Repeats, "harmless").annotate(TimeLimit, startsSandbox),
    HttpApiEndpoint.post("stop", "/api/sessions/:id/stop", { params: session, success: SessionResponse, error }),
    HttpApiEndpoint.post("fork", "/api/sessions/:id/fork", {
      params: session,
      success: SessionResponse.pipe(created),
      error
    }).annotate(TimeLimit, startsSandbox),
    HttpApiEndpoint.delete("end", "/api/sessions/:id", { params: session, success: SessionResponse, error }).annotate(
      Repeats,
      "harmless"
    ),
    HttpApiEndpoint.post("exec", "/api/sessions/:id/exec", {
      params: session,
      payload: ExecRequest,
      success: ExecResult,
      error
    }).annotate(AnswerInErrors, false),
    HttpApiEndpoint.get("listEvents", "/api/sessions/:id/events", {
      params: session,
      query: { limit: omittable(Limit), after: after(0), type: omittable(SessionEventType) },
      success: Schema.Struct({ events: Schema.Array(SessionEvent) }),
      error
    }).annotate(AnswerInErrors, false),
    HttpApiEndpoint.get("logs", "/api/sessions/:id/logs", {
      params: session,
      query: { after: after(-1) },
      success: SandboxLogs,
      error
    }).annotate(AnswerInErrors, false)
  )
  .annotate(AnswerInErrors, true)
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
    }).annotate(StartsTurn, true).annotate(BodyLimit, 52_428_800),
    HttpApiEndpoint.get("list", "/api/sessions/:id/messages", {
      params: session,
      query: { limit: omittable(Limit), after: after(0) },
      success: Schema.Struct({ messages: Schema.Array(StoredMessage) }),
      error
    })
  )
{}

class SessionFilesGroup extends HttpApiGroup.make("sessionFiles")
  .add(
    HttpApiEndpoint.get("list", "/api/sessions/:id/files", {
      params: session,
      query: { includeHidden: omittable(Schema.Boolean) },
      success: SessionFileList,
      error
    }),
    HttpApiEndpoint.get("read", "/api/sessions/:id/files/:path", {
      params: sessionFile,
      query: { format: omittable(Schema.Literals(["json", "raw"])) },
      success: Download,
      error
    }).annotate(FilePathParameter, "path"),
    HttpApiEndpoint.post("write", "/api/sessions/:id/files", {
      params: session,
      payload: Schema.Struct({
        files: Schema.Array(FileUpload).check(
          Schema.isBetweenLength(1, 500, { expected: "1 to 500 files" }),
          Schema.makeFilter(
            (files: ReadonlyArray<FileUpload>) =>
              files.reduce((size, file) => size + file.content.byteLength, 0) <= 104_857_600,
            { expected: "files of 104857600 bytes together" }
          )
        ),
        targetPath: omittable(WellFormed.annotate(harmless))
      }),
      success: Schema.Struct({ files: Schema.Array(WriteFileResult) }),
      error
    }).annotate(Repeats, "harmless").annotate(TimeLimit, carriesWorkspace).annotate(
      BodyLimit,
      209_715_200
    ),
    HttpApiEndpoint.delete("delete", "/api/sessions/:id/files/:path", {
      params: sessionFile,
      success: Schema.Struct({ path: Schema.String, deleted: Schema.Boolean }),
      error
    }).annotate(FilePathParameter, "path")
  )
{}

class WorkspacesGroup extends HttpApiGroup.make("workspaces")
  .add(
    HttpApiEndpoint.get("download", "/api/sessions/:id/workspace", { params: session, success: Download, error })
      .annotate(TimeLimit, carriesWorkspace),
    HttpApiEndpoint.post("upload", "/api/sessions/:id/workspace", {
      params: session,
      payload: Schema.Struct({ bundle: bytesUpTo(104_857_600) }),
      success: Schema.Struct({ message: Schema.String }),
      error
    }).annotate(Repeats, "harmless").annotate(TimeLimit, carriesWorkspace).annotate(
      BodyLimit,
      140_509_184
    )
  )
{}

class AttachmentsGroup extends HttpApiGroup.make("attachments")
  .add(
    HttpApiEndpoint.post("upload", "/api/sessions/:id/attachments", {
      params: session,
      payload: CreateAttachmentRequest,
      success: Schema.Struct({ attachment: Attachment }).pipe(created),
      error
    }),
    HttpApiEndpoint.get("list", "/api/sessions/:id/attachments", {
      params: session,
      success: Schema.Struct({ attachments: Schema.Array(Attachment) }),
      error
    }),
    HttpApiEndpoint.get("download", "/api/attachments/:id", { params: item, success: Download, error }),
    HttpApiEndpoint.delete("delete", "/api/attachments/:id", { params: item, success: empty, error })
  )
{}

class CredentialsGroup extends HttpApiGroup.make("credentials")
  .add(
    HttpApiEndpoint.post("create", "/api/credentials", {
      payload: CreateCredentialRequest,
      success: Schema.Struct({ credential: StoredCredential }).pipe(created),
      error
    }),
    HttpApiEndpoint.get("list", "/api/credentials", {
      success: Schema.Struct({ credentials: Schema.Array(StoredCredential) }),
      error
    }),
    HttpApiEndpoint.delete("delete", "/api/credentials/:id", { params: key, success: empty, error })
  )
{}

class QueueGroup extends HttpApiGroup.make("queue")
  .add(
    HttpApiEndpoint.post("create", "/api/queue", {
      payload: CreateQueueItemRequest,
      success: ItemResponse.pipe(created),
      error
    }).annotate(MethodName, "enqueue"),
    HttpApiEndpoint.get("list", "/api/queue", {
      query: {
        status: omittable(QueueItemStatus),
        limit: omittable(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 500 }, { expected: "1 to 500" })))
      },
      success: Schema.Struct({ items: Schema.Array(QueueItem) }),
      error
    }),
    HttpApiEndpoint.get("stats", "/api/queue/stats", { success: Schema.Struct({ stats: QueueStats }), error }),
    HttpApiEndpoint.get("get", "/api/queue/:id", { params: item, success: ItemResponse, error }),
    HttpApiEndpoint.delete("cancel", "/api/queue/:id", { params: item, success: ItemResponse, error }).annotate(
      Repeats,
      "repeats"
    )
  )
  .annotate(ServiceName, "QueueItems")
{}

class UsageGroup extends HttpApiGroup.make("usage")
  .add(
    HttpApiEndpoint.get("listEvents", "/api/usage", {
      query: { ...UsageFilter.fields, limit: omittable(Limit) },
      success: Schema.Struct({ events: Schema.Array(UsageEvent) }),
      error
    }),
    HttpApiEndpoint.get("stats", "/api/usage/stats", {
      query: UsageFilter.fields,
      success: Schema.Struct({ stats: UsageStats }),
      error
    })
  )
  .annotate(AnswerInErrors, true)
{}

class AnalyticsGroup extends HttpApiGroup.make("analytics")
  .add(HttpApiEndpoint.get("get", "/api/analytics", { query: timeSpan, success: AnalyticsSummary, error }))
  .annotate(AnswerInErrors, true)
{}

class ApiKeysGroup extends HttpApiGroup.make("apiKeys")
  .add(
    HttpApiEndpoint.get("list", "/api/api-keys", { success: Schema.Struct({ keys: Schema.Array(ApiKey) }), error }),
    HttpApiEndpoint.post("create", "/api/api-keys", {
      payload: Schema.Struct({ label: omittable(WellFormed) }),
      success: NewApiKey.pipe(created),
      error
    }),
    HttpApiEndpoint.delete("delete", "/api/api-keys/:id", { params: key, success: empty, error })
  )
{}

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
  .annotateMerge(OpenApi.annotations({ title: "Ash", version: "0.2.0" }))
{}

compileAnswers(AshApi.groups)
