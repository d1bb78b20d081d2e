/** The clients that are measured, all in the same words: a turn, one session, a list of sessions. */
import type * as Undici from "@effect/platform-node/Undici"
import { existsSync, readFileSync } from "node:fs"
import { request } from "node:http"
import { createRequire } from "node:module"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { sessionId } from "./frames.ts"
import type { Consumption, Transport } from "./sdk.ts"

/** Sees each piece of text as it arrives; for a client that reads only bytes, an empty one when the first arrive. */
export type OnText = (text: string) => void

/** A client that is connected to a server. */
export interface Client {
  /** Runs a turn to its end. Answers how many events there were; nothing where only bytes are read. */
  readonly turn: (onText: OnText) => Promise<number | undefined>
  /** Fetches one session. Answers its id. */
  readonly session?: () => Promise<string>
  /** Lists sessions. Answers how many. */
  readonly sessions?: () => Promise<number>
}

export interface Peer {
  readonly id: string
  readonly label: string
  readonly connect: (url: string) => Promise<Client>
}

/** A peer that is not on this machine. */
export class NotInstalled extends Error {}

const headers = { "content-type": "application/json", authorization: "Bearer key" }
const body = JSON.stringify({ content: "Go on.", includePartialMessages: true })

const post = (url: string) => fetch(`${url}/api/sessions/${sessionId}/messages`, { method: "POST", headers, body })

const bodyOf = async (url: string) => {
  const response = await post(url)
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

const seeText = (type: string, data: RawEvent["data"], onText: OnText) => {
  if (type === "text_delta" && data.delta !== undefined) onText(data.delta)
}

const parseJson = (text: string): RawEvent["data"] => JSON.parse(text)

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

export const reference = "official-like"

const officialLike: Peer = {
  id: reference,
  label: "official SDK, imitated",
  connect: async (url) => ({
    turn: async (onText) => countEvents(parseSseStream(await bodyOf(url)), onText),
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
}

/** What is used of the official SDK. */
interface OfficialModule {
  readonly AshClient: new(options: { readonly serverUrl: string; readonly apiKey: string }) => {
    readonly sendMessageStream: (id: string, content: string, options: object) => AsyncIterable<RawEvent>
    readonly getSession: (id: string) => Promise<{ readonly id: string }>
    readonly listSessions: () => Promise<ReadonlyArray<unknown>>
  }
}

/** The package in a checkout of the official SDK, or of the repository that it is part of. */
const officialEntry = (checkout: string): string => {
  const folder = [join(checkout, "packages/sdk"), resolve(checkout)].find((path) =>
    existsSync(join(path, "package.json"))
  )
  if (folder === undefined) throw new NotInstalled()
  const { main = "dist/index.js" }: { readonly main?: string } = JSON.parse(
    readFileSync(join(folder, "package.json"), "utf8")
  )
  return pathToFileURL(join(folder, main)).href
}

const official: Peer = {
  id: "official",
  label: "official SDK (ASH_SDK)",
  connect: async (url) => {
    if (process.env.ASH_SDK === undefined) throw new NotInstalled()
    const { AshClient }: OfficialModule = await import(officialEntry(process.env.ASH_SDK))
    const client = new AshClient({ serverUrl: url, apiKey: "key" })
    return {
      turn: (onText) =>
        countEvents(client.sendMessageStream(sessionId, "Go on.", { includePartialMessages: true }), onText),
      session: async () => (await client.getSession(sessionId)).id,
      sessions: async () => (await client.listSessions()).length
    }
  }
}

const fetchBytes: Peer = {
  id: "fetch-bytes",
  label: "fetch, bytes only",
  connect: async (url) => ({
    turn: async (onText) => {
      let isFirst = true
      const reader = (await bodyOf(url)).getReader()
      while (!(await reader.read()).done) {
        if (isFirst) onText("")
        isFirst = false
      }
      return undefined
    }
  })
}

const nodeBytes: Peer = {
  id: "node-bytes",
  label: "node:http, bytes only",
  connect: async (url) => ({
    turn: (onText) =>
      new Promise((resolve, reject) => {
        const options = { method: "POST", headers: { ...headers, "content-length": body.length } }
        const sent = request(`${url}/api/sessions/${sessionId}/messages`, options, (response) => {
          response.once("data", () => onText(""))
          response.on("data", () => {})
          response.on("end", () => resolve(undefined))
        })
        sent.on("error", reject)
        sent.end(body)
      })
  })
}

const undiciBytes: Peer = {
  id: "undici-bytes",
  label: "undici, bytes only",
  connect: async (url) => {
    const undici: typeof Undici = await import("@effect/platform-node/Undici")
    const options = { method: "POST", headers, body } as const
    return {
      turn: async (onText) => {
        const response = await undici.request(`${url}/api/sessions/${sessionId}/messages`, options)
        await new Promise((resolve, reject) => {
          response.body.once("data", () => onText(""))
          response.body.on("data", () => {})
          response.body.on("end", resolve)
          response.body.on("error", reject)
        })
        return undefined
      }
    }
  }
}

const fetchParse: Peer = {
  id: "fetch-parse",
  label: "fetch + JSON.parse of each data line",
  connect: async (url) => ({
    turn: async (onText) => {
      const reader = (await bodyOf(url)).getReader()
      const decoder = new TextDecoder()
      let buffer = ""
      let type = ""
      let count = 0
      while (true) {
        const { done, value } = await reader.read()
        if (done) return count
        buffer += decoder.decode(value, { stream: true })
        const lines = buffer.split("\n")
        buffer = lines.pop() ?? ""
        for (const line of lines) {
          if (line.startsWith("event: ")) type = line.slice(7)
          if (!line.startsWith("data: ")) continue
          count += 1
          seeText(type, parseJson(line.slice(6)), onText)
        }
      }
    }
  })
}

/** Loads a package from the folder where the peers are installed. */
const load = async <Module>(name: string): Promise<Module> => {
  let file: string
  try {
    file = createRequire(join(process.env.BENCH_PEERS ?? ".", "package.json")).resolve(name)
  } catch {
    throw new NotInstalled()
  }
  const module: Module = await import(pathToFileURL(file).href)
  return module
}

interface EventSourceParserModule {
  readonly createParser: (callbacks: {
    readonly onEvent: (event: { readonly event?: string; readonly data: string }) => void
  }) => { readonly feed: (text: string) => void }
}

const eventSourceParser: Peer = {
  id: "eventsource-parser",
  label: "fetch + eventsource-parser + JSON.parse",
  connect: async (url) => {
    const { createParser } = await load<EventSourceParserModule>("eventsource-parser")
    return {
      turn: async (onText) => {
        const decoder = new TextDecoder()
        let count = 0
        const parser = createParser({
          onEvent: ({ data, event = "" }) => {
            count += 1
            seeText(event, parseJson(data), onText)
          }
        })
        const reader = (await bodyOf(url)).getReader()
        while (true) {
          const { done, value } = await reader.read()
          if (done) return count
          parser.feed(decoder.decode(value, { stream: true }))
        }
      }
    }
  }
}

/** What is used of Anthropic's SDK. */
interface AnthropicModule {
  readonly Anthropic: new(options: { readonly apiKey: string; readonly baseURL: string }) => {
    readonly messages: {
      readonly create: (body: object) => Promise<
        AsyncIterable<{ readonly type: string; readonly delta?: { readonly text?: string } }>
      >
    }
  }
}

const anthropic: Peer = {
  id: "anthropic",
  label: "@anthropic-ai/sdk, its own format",
  connect: async (url) => {
    const { Anthropic } = await load<AnthropicModule>("@anthropic-ai/sdk")
    const { messages } = new Anthropic({ apiKey: "key", baseURL: url })
    const body = {
      model: "claude-sonnet-4-6",
      max_tokens: 1024,
      messages: [{ role: "user", content: "Go on." }],
      stream: true
    }
    return {
      turn: async (onText) => {
        let count = 0
        for await (const { delta } of await messages.create(body)) {
          count += 1
          if (delta?.text !== undefined) onText(delta.text)
        }
        return count
      }
    }
  }
}

/** What is used of OpenAI's SDK. */
interface OpenAiModule {
  readonly OpenAI: new(options: { readonly apiKey: string; readonly baseURL: string }) => {
    readonly chat: {
      readonly completions: {
        readonly create: (body: object) => Promise<
          AsyncIterable<{ readonly choices: ReadonlyArray<{ readonly delta: { readonly content?: string } }> }>
        >
      }
    }
  }
}

const openai: Peer = {
  id: "openai",
  label: "openai, its own format",
  connect: async (url) => {
    const { OpenAI } = await load<OpenAiModule>("openai")
    const { completions } = new OpenAI({ apiKey: "key", baseURL: url }).chat
    const body = { model: "gpt-5-mini", messages: [{ role: "user", content: "Go on." }], stream: true }
    return {
      turn: async (onText) => {
        let count = 0
        for await (const { choices } of await completions.create(body)) {
          count += 1
          const content = choices[0]?.delta.content
          if (content !== undefined) onText(content)
        }
        return count
      }
    }
  }
}

const transports: ReadonlyArray<Transport> = ["fetch", "node:http", "undici"]

const consumptions: ReadonlyArray<Consumption> = ["runForEachArray", "runForEach", "async iterable", "Web stream"]

/** The name of this SDK over a transport, consumed in a way. */
export const sdkId = (transport: Transport, consumption: Consumption = "runForEachArray") =>
  `effect-ash, ${transport}, ${consumption}`

const sdk = (transport: Transport, consumption: Consumption): Peer => ({
  id: sdkId(transport, consumption),
  label: sdkId(transport, consumption),
  connect: async (url) => (await import("./sdk.ts")).connect(url, transport, consumption)
})

/** The name of Effect's own client over a transport. */
export const httpClientId = (transport: Transport) => `Effect's HttpClient, ${transport}`

const httpClient = (transport: Transport): Peer => ({
  id: httpClientId(transport),
  label: httpClientId(transport),
  connect: async (url) => (await import("./sdk.ts")).connectHttpClient(url, transport)
})

/** Every peer, in the order of the tables. */
export const peers: ReadonlyArray<Peer> = [
  officialLike,
  official,
  fetchBytes,
  nodeBytes,
  undiciBytes,
  fetchParse,
  eventSourceParser,
  anthropic,
  openai,
  ...transports.map(httpClient),
  ...consumptions.flatMap((consumption) => transports.map((transport) => sdk(transport, consumption)))
]
