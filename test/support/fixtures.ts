/** Rows as a server sends them. */
import type * as Schema from "effect/Schema"

export const sessionId = "13032c5f-726b-40bd-999f-91e59ae9e948"
export const otherId = "b5b5259b-2333-4217-8263-d2ccc443f4e8"
export const noSession = "00000000-0000-0000-0000-000000000000"

const time = "2026-11-22T10:40:59.772Z"

export const agent = {
  id: "6488f8ae-8d82-4b19-b5a5-336e76b9c131",
  name: "demo",
  tenantId: "default",
  version: 3,
  path: "/srv/ash/agents/demo",
  env: { TOKEN: "***" },
  createdAt: time,
  updatedAt: time
}

export const session = {
  id: sessionId,
  agentName: "demo",
  sandboxId: otherId,
  status: "active",
  createdAt: time,
  lastActiveAt: time,
  tenantId: "default",
  runnerId: null,
  parentSessionId: null
}

export const health = {
  status: "ok",
  version: "0.2.0",
  coordinatorId: "host-1",
  activeSessions: 1,
  activeSandboxes: 2,
  remoteRunners: 0,
  uptime: 17,
  pool: {
    total: 2,
    cold: 0,
    warming: 0,
    warm: 1,
    waiting: 1,
    running: 0,
    maxCapacity: 1000,
    resumeWarmHits: 0,
    resumeColdHits: 0,
    preWarmHits: 1
  }
}

/** A row of a conversation; `content` is the text that the server keeps. */
export const storedMessage = (sequence: number, role: string, content: string) => ({
  id: otherId,
  sessionId,
  tenantId: "default",
  role,
  content,
  sequence,
  createdAt: time
})

export const sessionEvent = (sequence: number, type: string, data: string | null) => ({
  id: otherId,
  sessionId,
  tenantId: "default",
  type,
  data,
  sequence,
  createdAt: time
})

/** A message of the Claude Agent SDK in which the agent writes blocks. */
export const assistant = (content: Schema.Json, more: Readonly<Record<string, Schema.Json>> = {}) => ({
  type: "assistant",
  message: { id: "msg_1", role: "assistant", model: "claude", content, stop_reason: null },
  parent_tool_use_id: null,
  ...more
})

export const user = (content: Schema.Json, more: Readonly<Record<string, Schema.Json>> = {}) => ({
  type: "user",
  message: { role: "user", content },
  parent_tool_use_id: null,
  ...more
})

export const result = {
  type: "result",
  subtype: "success",
  is_error: false,
  result: "Hi.",
  num_turns: 2,
  stop_reason: "end_turn",
  total_cost_usd: 0.00083,
  usage: { input_tokens: 100, output_tokens: 12 },
  modelUsage: { claude: { inputTokens: 100, outputTokens: 12, costUSD: 0.00083 } }
}
