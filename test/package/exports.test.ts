import { assert, describe, it } from "@effect/vitest"
import * as core from "effect-ash"
import * as embedded from "effect-ash/embedded"
import * as node from "effect-ash/node"
import * as schema from "effect-ash/schema"
import * as workflow from "effect-ash/workflow"
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import manifest from "../../package.json" with { type: "json" }

const root = join(import.meta.dirname, "../..")

const schemaNames = [
  "Agent",
  "AgentConfig",
  "AgentName",
  "AgentVersion",
  "AgentVersionReference",
  "AnalyticsSummary",
  "AnswerIssue",
  "ApiKey",
  "AshApi",
  "AshError",
  "AshErrorReason",
  "AssistantMessage",
  "Attachment",
  "ChatMessage",
  "ClaudeMessage",
  "ClaudeMessageEvent",
  "ContentBlock",
  "CreateAgentRequest",
  "CreateAgentVersionRequest",
  "CreateAttachmentRequest",
  "CreateCredentialRequest",
  "CreateEvalCaseRequest",
  "CreateProjectFileRequest",
  "CreateQueueItemRequest",
  "CreateSessionRequest",
  "DocumentContent",
  "DoneEvent",
  "ErrorBody",
  "ErrorResponse",
  "ErrorResponses",
  "EvalCase",
  "EvalComparison",
  "EvalResult",
  "EvalRun",
  "EvalRunStatus",
  "EvalRunSummary",
  "ExecRequest",
  "ExecResult",
  "FileEntry",
  "FilePath",
  "FileUpload",
  "HostedApi",
  "HttpExchange",
  "ImageContent",
  "McpServer",
  "MessageBlock",
  "MessageContent",
  "ModelUsage",
  "NewAgentName",
  "NewApiKey",
  "PartialEvent",
  "PartialMessage",
  "PoolStats",
  "ProjectFile",
  "QueueItem",
  "QueueItemStatus",
  "QueueStats",
  "Reasons",
  "ResourceId",
  "ResultMessage",
  "SandboxLogEntry",
  "SandboxLogs",
  "ScoreEvalResultRequest",
  "ScoreEvalRunRequest",
  "ScoredEvalResults",
  "SendMessageOptions",
  "SendMessageRequest",
  "ServerHealth",
  "Session",
  "SessionEndEvent",
  "SessionEvent",
  "SessionEventData",
  "SessionEventType",
  "SessionFileList",
  "SessionId",
  "SessionStartEvent",
  "SessionStatus",
  "StartEvalRunRequest",
  "StoredContent",
  "StoredCredential",
  "StoredMessage",
  "StreamEvent",
  "SystemInit",
  "TextBlock",
  "TextContent",
  "TextDeltaEvent",
  "TextReplacedEvent",
  "ThinkingBlock",
  "ThinkingDeltaEvent",
  "ThinkingReplacedEvent",
  "TokenUsage",
  "ToolCall",
  "ToolResultBlock",
  "ToolResultEvent",
  "ToolUseBlock",
  "ToolUseEvent",
  "Turn",
  "TurnCompleteEvent",
  "TurnErrorEvent",
  "TurnOutcome",
  "UnknownEvent",
  "UnknownJson",
  "UpdateAgentRequest",
  "UpdateAgentVersionRequest",
  "UpdateEvalCaseRequest",
  "UpdateSessionConfigRequest",
  "UsageEvent",
  "UsageFilter",
  "UsageScope",
  "UsageStats",
  "UserMessage",
  "UserPrompt",
  "Uuid",
  "WriteFileResult"
]

const reasonNames = [
  "AnswerInvalid",
  "AtCapacity",
  "BudgetExhausted",
  "BufferFull",
  "ConnectionLost",
  "FilesRefused",
  "InvalidRequest",
  "NotFound",
  "NotReached",
  "NotSupported",
  "RateLimited",
  "ServerFailure",
  "SessionBusy",
  "SessionFenced",
  "SettingsIgnored",
  "StreamTruncated",
  "TimedOut",
  "TurnCancelled",
  "TurnFailed",
  "TurnMixed",
  "TurnUnsuccessful",
  "Unauthorized",
  "Undecodable",
  "WrongState"
]

const serviceNames = [
  "AgentVersions",
  "Agents",
  "Analytics",
  "ApiKeys",
  "Ash",
  "AshApiClient",
  "AshClient",
  "AshCore",
  "Attachments",
  "Budget",
  "Bundle",
  "Credentials",
  "Evals",
  "Health",
  "MessageReader",
  "Messages",
  "ProjectFiles",
  "QueueItems",
  "RequestOptions",
  "SessionFiles",
  "SessionGates",
  "Sessions",
  "Transcript",
  "TurnStream",
  "Usage",
  "Workspaces",
  "noProgress"
]

describe("exports", () => {
  it("effect-ash", () =>
    assert.deepStrictEqual(Object.keys(core).toSorted(), [...schemaNames, ...serviceNames].toSorted()))

  it("no name of the root is a global of the platform", () =>
    assert.deepStrictEqual(Object.keys(core).filter((name) => name in globalThis), []))

  it("effect-ash/schema", () => assert.deepStrictEqual(Object.keys(schema).toSorted(), schemaNames))

  it("Reasons", () => assert.deepStrictEqual(Object.keys(schema.Reasons).toSorted(), reasonNames))

  it("effect-ash/node", () =>
    assert.deepStrictEqual(Object.keys(node).toSorted(), [
      "AshNode",
      "deployDirectory",
      "downloadWorkspace",
      "uploadWorkspace"
    ]))

  it("effect-ash/embedded", () =>
    assert.deepStrictEqual(Object.keys(embedded).toSorted(), ["AgentScript", "AshEmbedded", "FaultProxy"]))

  it("effect-ash/workflow", () =>
    assert.deepStrictEqual(Object.keys(workflow).toSorted(), [
      "AgentRun",
      "AgentRunPayload",
      "AgentRuns",
      "Approval",
      "ApprovalClosed",
      "AshWorkflow",
      "Ask",
      "BroughtFile",
      "CollectedFile",
      "Decision",
      "LedgerTurn",
      "PlanFailed",
      "ResultTooLarge",
      "RunCancelled",
      "RunConflict",
      "RunDied",
      "RunFailure",
      "RunNotFound",
      "RunRejected",
      "RunResult",
      "RunStatus",
      "RunTurn",
      "RunTurnSummary",
      "SettingsRefused",
      "Sleep",
      "Step",
      "StoredStep",
      "TooManyAttempts",
      "TurnOutcomeUnknown",
      "approval",
      "ask",
      "sleep"
    ]))

  const modules = Object.entries(manifest.exports).flatMap(([entry, target]) =>
    typeof target === "object" && target !== null ? [[entry, target["effect-ash-source"]] as const] : []
  )

  it("a namespace of an entry is a path below it: so only can compilers name its types where nothing of it is imported", () => {
    const namespaces = modules.flatMap(([entry, file]) =>
      [...readFileSync(join(root, file), "utf8").matchAll(/^export \* as (\w+) from "(.+)\.ts"$/gm)].map(
        ([, name, module = ""]) => [`${entry}/${name}`, `./${join(dirname(file), module).replace("src", "dist")}.js`]
      )
    )
    const paths = Object.entries(manifest.exports).filter(([path, target]) =>
      typeof target === "string" && path !== "./package.json"
    )
    assert.deepStrictEqual(Object.fromEntries(paths), Object.fromEntries(namespaces))
  })

  const readme = readFileSync(join(root, "README.md"), "utf8")

  it.each([
    ...modules.map(([entry]) => entry.replace(/^\./, "effect-ash")),
    ...Object.keys(manifest.bin).map((command) => `${command} serve`)
  ])("%s is in the README", (name) => assert.include(readme, `\`${name}\``))

  it("the README is under 250 lines", () => assert.isBelow(readme.split("\n").length - 1, 250))
})
