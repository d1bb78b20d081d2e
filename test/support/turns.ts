/** Turns as a scripted server streams them, and a server of one session. */
import { session, sessionId } from "./fixtures.ts"
import * as Server from "./ScriptedServer.ts"

type Frame = readonly [event: string, data: unknown]

/** What was sent and answered: spans hold nothing of it unless that is switched on. */
export const content = "the content of the conversation"

export const start: Frame = ["session_start", { sessionId }]
export const init: Frame = ["message", { type: "system", subtype: "init", model: "opus" }]
export const done: Frame = ["done", { sessionId }]

const assistant = (parent: string | null, block: ReadonlyArray<object>, model: string): Frame => [
  "message",
  { type: "assistant", parent_tool_use_id: parent, message: { model, content: block } }
]

export const says = assistant(null, [{ type: "text", text: content }], "opus")

/** Uses of tools, of the agent or of a subagent that a tool has started. */
export const uses = (parent: string | null, ...calls: ReadonlyArray<readonly [id: string, name: string]>): Frame =>
  assistant(
    parent,
    calls.map(([id, name]) => ({ type: "tool_use", id, name, input: { text: content } })),
    parent === null ? "opus" : "haiku"
  )

export const answers = (
  parent: string | null,
  ...results: ReadonlyArray<readonly [id: string, isError: boolean]>
): Frame => ["message", {
  type: "user",
  parent_tool_use_id: parent,
  message: {
    content: results.map(([tool_use_id, is_error]) => ({ type: "tool_result", tool_use_id, content, is_error }))
  }
}]

/** The end of the agent's work: 130 tokens in and 5 out of its own, 7 and 3 of a subagent. */
export const result = (fields: object = {}): Frame => ["message", {
  type: "result",
  subtype: "success",
  is_error: false,
  result: content,
  stop_reason: "end_turn",
  total_cost_usd: 0.25,
  session_id: "sdk-1",
  usage: { input_tokens: 10, output_tokens: 5, cache_read_input_tokens: 100, cache_creation_input_tokens: 20 },
  modelUsage: {
    opus: { inputTokens: 10, outputTokens: 5, cacheReadInputTokens: 100, cacheCreationInputTokens: 20 },
    haiku: { inputTokens: 7, outputTokens: 3, cacheReadInputTokens: 0, cacheCreationInputTokens: 0 }
  },
  ...fields
}]

export const turnOf = (...frames: ReadonlyArray<Frame>): Server.Script => Server.sse(Server.frames(...frames))

/** A turn in which the agent says a text. */
export const saying = (text: string, id = sessionId) =>
  Server.sse(Server.frames(
    ["session_start", { sessionId: id }],
    ["message", { type: "assistant", message: { content: [{ type: "text", text }] } }],
    ["message", { type: "result", subtype: "success", is_error: false, result: text }],
    ["done", { sessionId: id }]
  ))

export const whole = turnOf(start, init, says, result(), done)

/** A server whose messages are answered so; the question for the form of content is refused, as by a real one. */
export const serving = (script: Server.Script, options: Parameters<typeof Server.make>[1] = {}) =>
  Server.forTurns(
    (request) => {
      if (request.path.endsWith("/messages")) return script(request)
      return Server.json({ session }, request.path === "/api/sessions" ? 201 : 200)()
    },
    options
  )
