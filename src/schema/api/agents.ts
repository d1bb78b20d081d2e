/** The endpoints for agents: the agents, their files and versions, their evals. */
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Schema from "effect/Schema"
import { Agent, AgentConfig, CreateAgentRequest, UpdateAgentRequest } from "../Agent.ts"
import { AgentVersion, CreateAgentVersionRequest, UpdateAgentVersionRequest } from "../AgentVersion.ts"
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
} from "../Eval.ts"
import { FileEntry, FileUpload } from "../File.ts"
import { AgentName, AgentVersionReference, FilePath, Uuid } from "../Ids.ts"
import { RateLimitBucket, Repeats, StartsSandbox } from "../Operation.ts"
import { JsonObjectInput, omittable } from "../Wire.ts"
import { agent, created, Download, empty, get, patch, post, remove } from "./parts.ts"

const agentFile = { name: AgentName, path: FilePath }
const AgentResponse = Schema.Struct({ agent: Agent })
const ConfigResponse = Schema.Struct({ config: AgentConfig })

export class AgentsGroup extends HttpApiGroup.make("agents")
  .add(
    post("create", "/api/agents", { payload: CreateAgentRequest, success: AgentResponse.pipe(created) })
      .annotate(RateLimitBucket, "agents").annotate(StartsSandbox, true),
    get("list", "/api/agents", { success: Schema.Struct({ agents: Schema.Array(Agent) }) }),
    get("get", "/api/agents/:name", { params: agent, success: AgentResponse }),
    patch("update", "/api/agents/:name", { params: agent, payload: UpdateAgentRequest, success: AgentResponse }),
    remove("delete", "/api/agents/:name", { params: agent, success: Schema.Struct({ ok: Schema.Boolean }) }),
    get("getConfig", "/api/agents/:name/config", { params: agent, success: ConfigResponse }),
    patch("updateConfig", "/api/agents/:name/config", {
      params: agent,
      payload: JsonObjectInput,
      success: ConfigResponse
    }),
    get("listFiles", "/api/agents/:name/files", {
      params: agent,
      success: Schema.Struct({ files: Schema.Array(FileEntry) })
    }),
    get("readFile", "/api/agents/:name/files/:path", {
      params: agentFile,
      query: { format: omittable(Schema.Literals(["json", "raw"])) },
      success: Download
    }),
    post("writeFiles", "/api/agents/:name/files", {
      params: agent,
      payload: Schema.Struct({ files: Schema.Array(FileUpload) }),
      success: Schema.Struct({ written: Schema.Finite })
    }).annotate(Repeats, "harmless"),
    remove("deleteFile", "/api/agents/:name/files/:path", {
      params: agentFile,
      success: Schema.Struct({ deleted: Schema.Boolean })
    })
  )
{}

const version = { name: AgentName, versionNumber: AgentVersionReference }
const VersionResponse = Schema.Struct({ version: AgentVersion })

export class AgentVersionsGroup extends HttpApiGroup.make("agentVersions")
  .add(
    get("list", "/api/agents/:name/versions", {
      params: agent,
      success: Schema.Struct({ versions: Schema.Array(AgentVersion) })
    }),
    post("create", "/api/agents/:name/versions", {
      params: agent,
      payload: CreateAgentVersionRequest,
      success: VersionResponse.pipe(created)
    }),
    get("get", "/api/agents/:name/versions/:versionNumber", { params: version, success: VersionResponse }),
    patch("update", "/api/agents/:name/versions/:versionNumber", {
      params: version,
      payload: UpdateAgentVersionRequest,
      success: VersionResponse
    }),
    remove("delete", "/api/agents/:name/versions/:versionNumber", { params: version, success: empty }),
    post("activate", "/api/agents/:name/versions/:versionNumber/activate", {
      params: version,
      success: Schema.Struct({ activated: Schema.Boolean, versionNumber: Schema.Finite })
    }).annotate(Repeats, "harmless")
  )
{}

const agentItem = { name: AgentName, id: Uuid }
const CaseResponse = Schema.Struct({ case: EvalCase })
const CasesResponse = Schema.Struct({ cases: Schema.Array(EvalCase) })
const RunResponse = Schema.Struct({ run: EvalRun })

export class EvalsGroup extends HttpApiGroup.make("evals")
  .add(
    post("importCases", "/api/agents/:name/eval-cases/import", {
      params: agent,
      payload: Schema.Struct({ cases: Schema.Array(CreateEvalCaseRequest) }),
      success: Schema.Struct({ imported: Schema.Finite })
    }),
    get("exportCases", "/api/agents/:name/eval-cases/export", { params: agent, success: CasesResponse }),
    get("listCases", "/api/agents/:name/eval-cases", {
      params: agent,
      query: { category: omittable(Schema.String), isActive: omittable(Schema.Boolean) },
      success: CasesResponse
    }),
    post("createCase", "/api/agents/:name/eval-cases", {
      params: agent,
      payload: CreateEvalCaseRequest,
      success: CaseResponse.pipe(created)
    }),
    get("getCase", "/api/agents/:name/eval-cases/:id", { params: agentItem, success: CaseResponse }),
    patch("updateCase", "/api/agents/:name/eval-cases/:id", {
      params: agentItem,
      payload: UpdateEvalCaseRequest,
      success: CaseResponse
    }),
    remove("deleteCase", "/api/agents/:name/eval-cases/:id", { params: agentItem, success: empty }),
    get("compareRuns", "/api/agents/:name/eval-runs/compare", {
      params: agent,
      query: { runA: Uuid, runB: Uuid },
      success: Schema.Struct({ comparison: EvalComparison })
    }),
    post("startRun", "/api/agents/:name/eval-runs", {
      params: agent,
      payload: StartEvalRunRequest,
      success: RunResponse.pipe(created)
    }),
    get("listRuns", "/api/agents/:name/eval-runs", {
      params: agent,
      success: Schema.Struct({ runs: Schema.Array(EvalRun) })
    }),
    get("getRun", "/api/agents/:name/eval-runs/:id", { params: agentItem, success: RunResponse }),
    get("listResults", "/api/agents/:name/eval-runs/:id/results", {
      params: agentItem,
      success: Schema.Struct({ results: Schema.Array(EvalResult) })
    }),
    post("scoreRun", "/api/agents/:name/eval-runs/:id/score", {
      params: agentItem,
      payload: ScoreEvalRunRequest,
      success: ScoredEvalResults
    }).annotate(Repeats, "harmless"),
    patch("scoreResult", "/api/agents/:name/eval-results/:id", {
      params: agentItem,
      payload: ScoreEvalResultRequest,
      success: Schema.Struct({ result: EvalResult })
    })
  )
{}
