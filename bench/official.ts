/** The official SDK: as it is imitated, and itself where `ASH_SDK` has it. What a turn costs here is what ratios are over. */
import { sessionId } from "./frames.ts"
import type { Client, OnText } from "./peers.ts"

const headers = { "content-type": "application/json", authorization: "Bearer key" }
const body = JSON.stringify({ content: "Go on.", includePartialMessages: true })

const post = (url: string, session: string) =>
  fetch(`${url}/api/sessions/${session}/messages`, { method: "POST", headers, body })

/** Sends a message by the platform's fetch. Answers the bytes of its turn. */
export const bodyOf = async (url: string, session: string) => {
  const response = await post(url, session)
  if (response.status !== 200 || response.body === null) throw new Error(`status ${response.status}`)
  return response.body
}

const getJson = async <Body>(url: string): Promise<Body> => {
  const response = await fetch(url, { headers })
  const parsed: Body = await response.json()
  return parsed
}

/** An event as the official SDK has it: a name and whatever JSON came with it. */
interface RawEvent {
  readonly type: string
  readonly data: { readonly delta?: string }
}

export const seeText = (type: string, data: RawEvent["data"], onText: OnText) => {
  if (type === "text_delta" && data.delta !== undefined) onText(data.delta)
}

export const parseJson = (text: string): RawEvent["data"] => JSON.parse(text)

/** Reads an event stream as the official SDK is known to. */
async function* parseSseStream(stream: ReadableStream<Uint8Array>): AsyncGenerator<RawEvent> {
  const reader = stream.getReader()
  const decoder = new TextDecoder()
  let buffer = ""
  let type = ""
  try {
    while (true) {
      const { done, value } = await reader.read()
      if (done) return
      buffer += decoder.decode(value, { stream: true })
      const lines = buffer.split("\n")
      buffer = lines.pop() ?? ""
      for (const line of lines) {
        if (line.startsWith("event: ")) {
          type = line.slice(7).trim()
        } else if (line.startsWith("data: ")) {
          let data: RawEvent["data"]
          try {
            data = parseJson(line.slice(6))
          } catch {
            continue
          }
          yield { type, data }
        }
      }
    }
  } finally {
    reader.releaseLock()
  }
}

const countEvents = async (events: AsyncIterable<RawEvent>, onText: OnText) => {
  let count = 0
  for await (const { data, type } of events) {
    count += 1
    seeText(type, data, onText)
  }
  return count
}

/** The imitation. */
export const connectImitation = async (url: string): Promise<Client> => ({
  turn: async (onText, session) => countEvents(parseSseStream(await bodyOf(url, session)), onText),
  session: async () => {
    const { session } = await getJson<{ readonly session: { readonly id: string } }>(
      `${url}/api/sessions/${sessionId}`
    )
    return session.id
  },
  sessions: async () => {
    const { sessions } = await getJson<{ readonly sessions: ReadonlyArray<unknown> }>(`${url}/api/sessions`)
    return sessions.length
  }
})

/** What is used of the official SDK. */
export interface OfficialModule {
  readonly AshClient: new(options: { readonly serverUrl: string; readonly apiKey: string }) => {
    readonly sendMessageStream: (id: string, content: string, options: object) => AsyncIterable<RawEvent>
    readonly getSession: (id: string) => Promise<{ readonly id: string }>
    readonly listSessions: () => Promise<ReadonlyArray<unknown>>
  }
}

/** The real one, as it was imported. */
export const connectOfficial = async ({ AshClient }: OfficialModule, url: string): Promise<Client> => {
  const client = new AshClient({ serverUrl: url, apiKey: "key" })
  return {
    turn: (onText, session) =>
      countEvents(client.sendMessageStream(session, "Go on.", { includePartialMessages: true }), onText),
    session: async () => (await client.getSession(sessionId)).id,
    sessions: async () => (await client.listSessions()).length
  }
}
