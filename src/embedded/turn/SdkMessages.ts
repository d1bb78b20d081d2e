/** The messages of the Claude Agent SDK, as an agent sends them: the shapes are those of recordings of real agents. */
import type * as Schema from "effect/Schema"
import type { TokenUsage } from "../../schema/ClaudeMessage.ts"
import type { TurnResult } from "../AgentScript.ts"
import { present } from "../wire/Json.ts"

export interface AgentIdentity {
  /** The id of the agent's conversation. It is the agent's own, not the session's. */
  readonly conversation: string
  readonly model: string
}

const noTokens = {
  input_tokens: 0,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  output_tokens: 0
}

const zeroUsage = { ...noTokens, service_tier: "standard" }

/** What the result of a turn reports of its usage beside the tokens. */
const noUsage = {
  ...noTokens,
  server_tool_use: { web_search_requests: 0, web_fetch_requests: 0 },
  service_tier: "standard",
  cache_creation: { ephemeral_1h_input_tokens: 0, ephemeral_5m_input_tokens: 0 },
  inference_geo: "",
  iterations: [],
  speed: "standard"
}

export const init = (identity: AgentIdentity, options: {
  readonly cwd: string
  readonly permissionMode: string
  readonly mcpServers: ReadonlyArray<string>
}): Schema.JsonObject => ({
  type: "system",
  subtype: "init",
  cwd: options.cwd,
  session_id: identity.conversation,
  tools: ["Bash", "Read", "Write"],
  mcp_servers: options.mcpServers.map((name) => ({ name, status: "connected" })),
  model: identity.model,
  permissionMode: options.permissionMode,
  slash_commands: [],
  apiKeySource: "none",
  claude_code_version: "embedded",
  output_style: "default",
  agents: [],
  skills: [],
  plugins: [],
  fast_mode_state: "off"
})

/** An event of the Claude Messages API. */
export const partial = (identity: AgentIdentity, event: Schema.JsonObject): Schema.JsonObject => ({
  type: "stream_event",
  event,
  session_id: identity.conversation,
  parent_tool_use_id: null
})

const modelMessage = (identity: AgentIdentity, id: string, content: ReadonlyArray<Schema.Json>) => ({
  id,
  type: "message",
  role: "assistant",
  model: identity.model,
  content,
  stop_reason: null,
  stop_sequence: null,
  usage: zeroUsage
})

export const messageStart = (identity: AgentIdentity, id: string): Schema.JsonObject => ({
  type: "message_start",
  message: modelMessage(identity, id, [])
})

export const messageDelta = (stopReason: string): Schema.JsonObject => ({
  type: "message_delta",
  delta: { stop_reason: stopReason, stop_sequence: null },
  usage: zeroUsage
})

/** One block of what the agent writes. The blocks of one model call share their id. */
export const assistant = (identity: AgentIdentity, id: string, block: Schema.JsonObject): Schema.JsonObject => ({
  type: "assistant",
  message: { ...modelMessage(identity, id, [block]), context_management: null },
  parent_tool_use_id: null,
  session_id: identity.conversation
})

export const toolResult = (identity: AgentIdentity, options: {
  readonly id: string
  readonly content: string
  readonly isError: boolean
  readonly raw: Schema.Json
}): Schema.JsonObject => ({
  type: "user",
  message: {
    role: "user",
    content: [{ tool_use_id: options.id, type: "tool_result", content: options.content, is_error: options.isError }]
  },
  parent_tool_use_id: null,
  session_id: identity.conversation,
  tool_use_result: options.raw
})

export const result = (identity: AgentIdentity, options: {
  readonly turn: TurnResult
  readonly answer: string
  readonly usage: TokenUsage
  readonly turns: number
  readonly duration: number
}): Schema.JsonObject => {
  const { subtype = "success" } = options.turn
  const cost = options.turn.cost ?? 0
  return present({
    type: "result",
    subtype,
    is_error: options.turn.isError ?? false,
    duration_ms: options.duration,
    duration_api_ms: options.duration,
    num_turns: options.turns,
    result: options.turn.result ?? (subtype === "success" ? options.answer : undefined),
    stop_reason: subtype === "success" ? "end_turn" : "tool_use",
    session_id: identity.conversation,
    total_cost_usd: cost,
    usage: { ...noUsage, ...present({ ...options.usage }) },
    modelUsage: {
      [identity.model]: {
        inputTokens: options.usage.input_tokens ?? 0,
        outputTokens: options.usage.output_tokens ?? 0,
        cacheReadInputTokens: options.usage.cache_read_input_tokens ?? 0,
        cacheCreationInputTokens: options.usage.cache_creation_input_tokens ?? 0,
        webSearchRequests: 0,
        costUSD: cost,
        contextWindow: 200_000,
        maxOutputTokens: 32_000
      }
    },
    permission_denials: [],
    structured_output: options.turn.structuredOutput,
    errors: options.turn.errors,
    fast_mode_state: "off"
  })
}
