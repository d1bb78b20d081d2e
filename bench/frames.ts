/** The bodies that the replay server sends: event streams as real turns have them, and sessions. */

const sessionPrefix = "2d269773-2623-4d90-a809-"

/** The id of a session of the server, of which there are as many as are asked for. */
export const sessionIdAt = (index: number) => `${sessionPrefix}${index.toString(16).padStart(12, "0")}`

export const sessionId = sessionIdAt(0)

/** The session of the server that a path is of, if it is of one. */
export const sessionIn = (path: string): string | undefined =>
  new RegExp(`${sessionPrefix}[0-9a-f]{12}`).exec(path)?.[0]

const conversation = "eb53a214-81bb-4cec-ad41-3d81ca2c1b3c"
const model = "claude-sonnet-4-6"

const usage = {
  input_tokens: 121,
  cache_creation_input_tokens: 20,
  cache_read_input_tokens: 300,
  output_tokens: 8,
  service_tier: "standard"
}

const words = [
  ..."The answer depends on how much of the stream is read before it is shown, and by whom ; so that ".split(" "),
  ..."`const` parse = (line) => {\n  return JSON.parse(line) \"quoted\" Zürich naïve — 日本語 👍 ".split(" ")
]

const wordAt = (index: number) => ` ${words[(index * 7) % words.length]}`

const uuidAt = (index: number) => `5b130eb1-9888-4d09-92dc-${index.toString(16).padStart(12, "0")}`

/** An event: its name and its data. */
type Event = readonly [name: string, data: unknown]

const frame = ([name, data]: Event) => Buffer.from(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)

const sessionStart: Event = ["session_start", { sessionId, version: "0.2.0" }]

const done: Event = ["done", { sessionId }]

const assistant = (index: number, block: unknown): Event => ["message", {
  type: "assistant",
  message: {
    id: "msg_01Fake0000000000000026",
    type: "message",
    role: "assistant",
    model,
    content: [block],
    stop_reason: null,
    stop_sequence: null,
    usage,
    context_management: null
  },
  parent_tool_use_id: null,
  session_id: conversation,
  uuid: uuidAt(index)
}]

const init: Event = ["message", {
  type: "system",
  subtype: "init",
  cwd: "/srv/ash/data/sandboxes/0bb22c82-7e56-4605-b116-8d9f55fe9b53/workspace",
  session_id: conversation,
  tools: ["Task", "Bash", "Glob", "Grep", "Read", "Edit", "Write", "WebFetch", "TodoWrite"],
  mcp_servers: [],
  model,
  permissionMode: "bypassPermissions",
  slash_commands: ["compact", "context", "cost", "init", "review"],
  apiKeySource: "ANTHROPIC_API_KEY",
  output_style: "default",
  uuid: uuidAt(1)
}]

const result: Event = ["message", {
  type: "result",
  subtype: "success",
  is_error: false,
  duration_ms: 163,
  duration_api_ms: 39,
  num_turns: 1,
  result: "The answer is 42.",
  stop_reason: "end_turn",
  session_id: conversation,
  total_cost_usd: 0.00108,
  usage,
  permission_denials: [],
  uuid: uuidAt(2)
}]

/** A delta, and its raw twin. */
const delta = (index: number, block: number, name: string, data: unknown, raw: unknown): ReadonlyArray<Event> => [
  [name, data],
  streamEvent(index, { type: "content_block_delta", index: block, delta: raw })
]

const streamEvent = (index: number, event: unknown): Event => ["message", {
  type: "stream_event",
  event,
  session_id: conversation,
  parent_tool_use_id: null,
  uuid: uuidAt(index)
}]

const textDelta = (index: number, text: string) =>
  delta(index, 1, "text_delta", { delta: text }, { type: "text_delta", text })

/** The events of model calls that think, write and use a tool, without end. */
function* modelCalls(): Generator<Event> {
  let index = 0
  const next = () => index++
  while (true) {
    yield streamEvent(next(), {
      type: "message_start",
      message: { id: "msg_01Fake0000000000000026", type: "message", role: "assistant", model, content: [], usage }
    })
    yield streamEvent(next(), {
      type: "content_block_start",
      index: 0,
      content_block: { type: "thinking", thinking: "", signature: "" }
    })
    let thinking = ""
    for (let count = 0; count < 12; count++) {
      const piece = wordAt(next())
      thinking += piece
      yield* delta(index, 0, "thinking_delta", { delta: piece }, { type: "thinking_delta", thinking: piece })
    }
    const signature = { type: "signature_delta", signature: "ZmFrZS1zaWduYXR1cmU=" }
    yield* delta(next(), 0, "signature_delta", signature, signature)
    yield ["thinking_delta", { delta: thinking }]
    yield assistant(next(), { type: "thinking", thinking, signature: signature.signature })
    yield streamEvent(next(), { type: "content_block_stop", index: 0 })

    yield streamEvent(next(), { type: "content_block_start", index: 1, content_block: { type: "text", text: "" } })
    let text = ""
    for (let count = 0; count < 120; count++) {
      const piece = wordAt(next())
      text += piece
      yield* textDelta(index, piece)
    }
    yield assistant(next(), { type: "text", text })
    yield streamEvent(next(), { type: "content_block_stop", index: 1 })

    const tool = { type: "tool_use", id: "toolu_01Fake0000000000000010", name: "Bash" }
    const input = { command: "echo one", description: "one" }
    yield streamEvent(next(), { type: "content_block_start", index: 2, content_block: { ...tool, input: {} } })
    for (const piece of JSON.stringify(input).match(/.{1,12}/g) ?? []) {
      const json = { type: "input_json_delta", partial_json: piece }
      yield* delta(next(), 2, "input_json_delta", json, json)
    }
    yield ["tool_use", { id: tool.id, name: tool.name, input }]
    yield assistant(next(), { ...tool, input })
    yield streamEvent(next(), { type: "content_block_stop", index: 2 })
    yield streamEvent(next(), { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage })
    yield streamEvent(next(), { type: "message_stop" })
    yield ["tool_result", { content: "one" }]
    yield ["message", {
      type: "user",
      message: {
        role: "user",
        content: [{ tool_use_id: tool.id, type: "tool_result", content: "one", is_error: false }]
      },
      parent_tool_use_id: null,
      session_id: conversation,
      uuid: uuidAt(next()),
      tool_use_result: { stdout: "one", stderr: "", interrupted: false, isImage: false }
    }]
  }
}

const take = (events: Generator<Event>, count: number): ReadonlyArray<Event> =>
  Array.from({ length: count }, () => events.next().value)

/** A turn of exactly so many events. */
export const turn = (events: number): ReadonlyArray<Buffer> => [
  frame(sessionStart),
  frame(init),
  ...take(modelCalls(), events - 5).map(frame),
  frame(["turn_complete", { numTurns: 1, result: "The answer is 42." }]),
  frame(result),
  frame(done)
]

/** A turn of three events, the second of them of so many MiB. */
export const largeTurn = (mebibytes: number): ReadonlyArray<Buffer> => {
  const empty = JSON.stringify(assistant(0, { type: "text", text: "" })[1]).length
  const text = "All of the file, in one line, as tools do. ".repeat(mebibytes * 25_000)
  return [
    frame(sessionStart),
    frame(assistant(0, { type: "text", text: text.slice(0, mebibytes * 2 ** 20 - empty) })),
    frame(done)
  ]
}

/** A turn of six events, of which the second is the first text. */
export const shortTurn: ReadonlyArray<Buffer> = [
  frame(sessionStart),
  ...textDelta(0, "The answer is 42.").map(frame),
  frame(["turn_complete", { numTurns: 1, result: "The answer is 42." }]),
  frame(result),
  frame(done)
]

/** The first events of a turn that does not end. */
export const turnStart: ReadonlyArray<Buffer> = [frame(sessionStart), ...textDelta(0, "The").map(frame)]

/** A delta and its twin, of this text, to be written at once. */
export const liveDelta = (text: string) => Buffer.concat(textDelta(0, text).map(frame))

export const turnEnd = frame(done)

/** An answer of exactly so many events, as Anthropic's Messages API streams it. */
export const anthropicTurn = (events: number): ReadonlyArray<Buffer> => {
  const event = (type: string, data: object) => frame([type, { type, ...data }])
  const message = { id: "msg_01Fake", type: "message", role: "assistant", model, content: [], usage }
  return [
    event("message_start", { message }),
    event("content_block_start", { index: 0, content_block: { type: "text", text: "" } }),
    ...Array.from(
      { length: events - 5 },
      (_, index) => event("content_block_delta", { index: 0, delta: { type: "text_delta", text: wordAt(index) } })
    ),
    event("content_block_stop", { index: 0 }),
    event("message_delta", { delta: { stop_reason: "end_turn", stop_sequence: null }, usage }),
    event("message_stop", {})
  ]
}

/** An answer of exactly so many chunks, as OpenAI's chat completions stream it. */
export const openaiTurn = (chunks: number): ReadonlyArray<Buffer> => [
  ...Array.from({ length: chunks }, (_, index) =>
    Buffer.from(`data: ${
      JSON.stringify({
        id: "chatcmpl-CFake0000000000000000000000",
        object: "chat.completion.chunk",
        created: 1_795_344_000,
        model: "gpt-5-mini",
        service_tier: "default",
        system_fingerprint: "fp_fake000000",
        choices: [{
          index: 0,
          delta: index < chunks - 1 ? { content: wordAt(index) } : {},
          logprobs: null,
          finish_reason: index < chunks - 1 ? null : "stop"
        }],
        usage: null,
        obfuscation: "aB3dE6gH9"
      })
    }\n\n`)),
  Buffer.from("data: [DONE]\n\n")
]

const session = (index: number) => ({
  id: index === 0 ? sessionId : uuidAt(index),
  tenantId: "default",
  agentName: "assistant",
  sandboxId: index === 0 ? sessionId : uuidAt(index),
  status: index % 3 === 0 ? "active" : "paused",
  runnerId: null,
  parentSessionId: null,
  createdAt: new Date(1_795_344_000_000 + index * 1000).toISOString(),
  lastActiveAt: new Date(1_795_344_500_000 + index * 1000).toISOString()
})

export const oneSession = Buffer.from(JSON.stringify({ session: session(0) }))

export const thousandSessions = () =>
  Buffer.from(JSON.stringify({ sessions: Array.from({ length: 1000 }, (_, index) => session(index)) }))
