/**
 * Every name that traces and metrics of turns have. Those of `gen_ai`, their units and their buckets are from the GenAI
 * conventions of OpenTelemetry, which are in development: semantic-conventions-genai at commit 004902b8cb70, before its
 * first release. `server` and `error` are from the stable conventions, and `ash` is this package's own.
 */

export const attribute = {
  agentName: "gen_ai.agent.name",
  conversationId: "gen_ai.conversation.id",
  errorType: "error.type",
  finishReasons: "gen_ai.response.finish_reasons",
  inputMessages: "gen_ai.input.messages",
  operationName: "gen_ai.operation.name",
  outputMessages: "gen_ai.output.messages",
  outputType: "gen_ai.output.type",
  providerName: "gen_ai.provider.name",
  requestModel: "gen_ai.request.model",
  responseModel: "gen_ai.response.model",
  serverAddress: "server.address",
  serverPort: "server.port",
  timeToFirstChunk: "gen_ai.response.time_to_first_chunk",
  tokenType: "gen_ai.token.type",
  toolArguments: "gen_ai.tool.call.arguments",
  toolCallId: "gen_ai.tool.call.id",
  toolName: "gen_ai.tool.name",
  toolResult: "gen_ai.tool.call.result",
  toolType: "gen_ai.tool.type",
  /** As the server tags its own spans, which are of another trace. */
  ashSessionId: "ash.session.id",
  ashTurnCost: "ash.turn.cost_usd",
  ashTurnOutcome: "ash.turn.outcome"
} as const

/** Names of the attributes of tokens, by what is counted. Input tokens include those of caches. */
export const usageAttribute = {
  input: "gen_ai.usage.input_tokens",
  output: "gen_ai.usage.output_tokens",
  cacheRead: "gen_ai.usage.cache_read.input_tokens",
  cacheCreation: "gen_ai.usage.cache_creation.input_tokens"
} as const

/** Operations, each the start of its span's name. */
export const operation = { invokeAgent: "invoke_agent", executeTool: "execute_tool" } as const

/** What all spans and metrics of this package have as the provider. */
export const provider = "ash"

/** Tools run beside the agent, not in this program. */
export const toolType = "extension"

/** The `error.type` of a tool that failed, and of one whose result was not received. */
export const toolError = { failed: "ToolFailed", noResult: "NoResult" } as const

const seconds = {
  unit: "s",
  boundaries: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
}

const tokens = { unit: "{token}", boundaries: Array.from({ length: 14 }, (_, power) => 4 ** power) }

export const histogram = {
  duration: { name: "gen_ai.client.operation.duration", description: "GenAI operation duration.", ...seconds },
  timeToFirstChunk: {
    name: "gen_ai.client.operation.time_to_first_chunk",
    description: "Time from the call until the first chunk is received.",
    ...seconds
  },
  timePerOutputChunk: {
    name: "gen_ai.client.operation.time_per_output_chunk",
    description: "Time between two chunks.",
    ...seconds
  },
  tokenUsage: {
    name: "gen_ai.client.token.usage",
    description: "Number of input and output tokens used.",
    ...tokens
  }
} as const
