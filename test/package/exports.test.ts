import { assert, describe, it } from "@effect/vitest"
import * as root from "effect-ash"
import * as embedded from "effect-ash/embedded"
import * as node from "effect-ash/node"
import * as schema from "effect-ash/schema"

const schemaNames = [
  "Agent",
  "AgentConfig",
  "AgentName",
  "AshApi",
  "AshError",
  "AshErrorReason",
  "AssistantMessage",
  "AtCapacity",
  "ClaudeMessage",
  "ConnectionLost",
  "Content",
  "ContentBlock",
  "CreateAgentRequest",
  "CreateSessionRequest",
  "DocumentContent",
  "DoneEvent",
  "ExecRequest",
  "ExecResult",
  "FileEntry",
  "FilePath",
  "FileUpload",
  "HttpExchange",
  "ImageContent",
  "InvalidRequest",
  "McpServer",
  "MessageBlock",
  "MessageEvent",
  "ModelUsage",
  "NewAgentName",
  "NotFound",
  "NotReached",
  "PartialMessage",
  "PoolStats",
  "RateLimited",
  "ResultMessage",
  "SandboxLogEntry",
  "SandboxLogs",
  "SendMessageOptions",
  "SendMessageRequest",
  "ServerFailure",
  "ServerHealth",
  "Session",
  "SessionEndEvent",
  "SessionEvent",
  "SessionEventData",
  "SessionEventType",
  "SessionId",
  "SessionStartEvent",
  "SessionStatus",
  "StoredContent",
  "StoredMessage",
  "StreamEvent",
  "StreamTruncated",
  "SystemInit",
  "TextBlock",
  "TextContent",
  "TextDeltaEvent",
  "ThinkingBlock",
  "ThinkingDeltaEvent",
  "TimedOut",
  "TokenUsage",
  "ToolResultBlock",
  "ToolResultEvent",
  "ToolUseBlock",
  "ToolUseEvent",
  "TurnCompleteEvent",
  "TurnErrorEvent",
  "TurnFailed",
  "Unauthorized",
  "Undecodable",
  "Unknown",
  "UnknownEvent",
  "UpdateAgentRequest",
  "UpdateSessionConfigRequest",
  "UserMessage",
  "UserPrompt",
  "WrongState"
]

const serviceNames = [
  "Agents",
  "Ash",
  "AshApiClient",
  "AshClient",
  "Health",
  "Messages",
  "RequestOptions",
  "Sessions"
]

describe("exports", () => {
  it("effect-ash", () =>
    assert.deepStrictEqual(Object.keys(root).toSorted(), [...schemaNames, ...serviceNames].toSorted()))

  it("effect-ash/schema", () => assert.deepStrictEqual(Object.keys(schema).toSorted(), schemaNames))

  it("effect-ash/node", () => assert.deepStrictEqual(Object.keys(node).toSorted(), ["AshNode", "deployDirectory"]))

  it("effect-ash/embedded", () =>
    assert.deepStrictEqual(Object.keys(embedded).toSorted(), ["AgentScript", "AshEmbedded"]))
})
