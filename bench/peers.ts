/** The clients that are measured, all in the same words: a turn, one session, a list of sessions. */
import type * as Undici from "@effect/platform-node/Undici"
import { existsSync, readFileSync } from "node:fs"
import { request } from "node:http"
import { createRequire } from "node:module"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import type { Export } from "./exported.ts"
import { lineParser } from "./lineParser.ts"
import { bodyOf, connectImitation, connectOfficial, parseJson, seeText } from "./official.ts"

export type Transport = "fetch" | "node:http" | "undici"

export type Consumption = "runForEachArray" | "runForEach" | "async iterable" | "Web stream"

/** Sees each piece of text as it arrives; for a client that reads only bytes, an empty one when the first arrive. */
export type OnText = (text: string) => void

/** A client that is connected to a server. */
export interface Client {
  /** Runs a turn of a session to its end. Answers how many events there were; nothing where only bytes are read. */
  readonly turn: (onText: OnText, session: string) => Promise<number | undefined>
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

/** The imitation's name. */
export const imitation = "official-like"

/** What ratios are over: the official SDK where it is installed, or else its imitation. */
export const reference = process.env.ASH_SDK === undefined ? imitation : "official"

const officialLike: Peer = { id: imitation, label: "official SDK, imitated", connect: connectImitation }

/** The entry of the official SDK: of its package, of where it is installed, or of a checkout of its repository. */
export const officialEntry = (place: string): string => {
  const folder = ["", "node_modules/@ash-ai/sdk", "packages/sdk"].map((path) => join(resolve(place), path)).findLast((
    path
  ) => existsSync(join(path, "package.json")))
  if (folder === undefined) throw new Error(`ASH_SDK=${place} has no package.json: name the folder of the official SDK`)
  const { main = "dist/index.js" }: { readonly main?: string } = JSON.parse(
    readFileSync(join(folder, "package.json"), "utf8")
  )
  const entry = join(folder, main)
  if (!existsSync(entry)) throw new Error(`the official SDK in ${folder} is not built: it has no ${main}`)
  return entry
}

const official: Peer = {
  id: "official",
  label: "official SDK (ASH_SDK)",
  connect: async (url) => {
    if (process.env.ASH_SDK === undefined) throw new NotInstalled()
    return connectOfficial(await import(pathToFileURL(officialEntry(process.env.ASH_SDK)).href), url)
  }
}

const fetchBytes: Peer = {
  id: "fetch-bytes",
  label: "fetch, bytes only",
  connect: async (url) => ({
    turn: async (onText, session) => {
      let isFirst = true
      const reader = (await bodyOf(url, session)).getReader()
      while (!(await reader.read()).done) {
        if (isFirst) onText("")
        isFirst = false
      }
      return undefined
    }
  })
}

/** Sends a message by node:http. */
const onNode = (url: string, session: string, onChunk: (chunk: Buffer) => void): Promise<void> =>
  new Promise((resolve, reject) => {
    const options = { method: "POST", headers: { ...headers, "content-length": body.length } }
    const sent = request(`${url}/api/sessions/${session}/messages`, options, (response) => {
      response.on("data", onChunk)
      response.on("end", resolve)
    })
    sent.on("error", reject)
    sent.end(body)
  })

const nodeBytes: Peer = {
  id: "node-bytes",
  label: "node:http, bytes only",
  connect: async (url) => ({
    turn: async (onText, session) => {
      let isFirst = true
      await onNode(url, session, () => {
        if (isFirst) onText("")
        isFirst = false
      })
      return undefined
    }
  })
}

export const nodeParseId = "node-parse"

const nodeParse: Peer = {
  id: nodeParseId,
  label: "node:http + JSON.parse of each data line",
  connect: async (url) => ({
    turn: async (onText, session) => {
      const parser = lineParser(onText)
      await onNode(url, session, parser.push)
      return parser.count()
    }
  })
}

const undiciBytes: Peer = {
  id: "undici-bytes",
  label: "undici, bytes only",
  connect: async (url) => {
    const undici: typeof Undici = await import("@effect/platform-node/Undici")
    const options = { method: "POST", headers, body } as const
    return {
      turn: async (onText, session) => {
        const response = await undici.request(`${url}/api/sessions/${session}/messages`, options)
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
    turn: async (onText, session) => {
      const reader = (await bodyOf(url, session)).getReader()
      const parser = lineParser(onText)
      while (true) {
        const { done, value } = await reader.read()
        if (done) return parser.count()
        parser.push(value)
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
      turn: async (onText, session) => {
        const decoder = new TextDecoder()
        let count = 0
        const parser = createParser({
          onEvent: ({ data, event = "" }) => {
            count += 1
            seeText(event, parseJson(data), onText)
          }
        })
        const reader = (await bodyOf(url, session)).getReader()
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

export const transports: ReadonlyArray<Transport> = ["fetch", "node:http", "undici"]

const consumptions: ReadonlyArray<Consumption> = ["runForEachArray", "runForEach", "async iterable", "Web stream"]

/** The name of this SDK over a transport, consumed in a way. */
export const sdkId = (transport: Transport, consumption: Consumption = "runForEachArray") =>
  `effect-ash, ${transport}, ${consumption}`

const sdk = (transport: Transport, consumption: Consumption): Peer => ({
  id: sdkId(transport, consumption),
  label: sdkId(transport, consumption),
  connect: async (url) => {
    const [{ connect }, { layers }] = await Promise.all([import("./sdk.ts"), import("./transports.ts")])
    return connect(url, layers[transport], consumption)
  }
})

/** The name of this SDK in a program that exports, or not. */
export const exportedId = (exported: Export) => `effect-ash, node:http, ${exported}`

const inProgram = (exported: Export): Peer => ({
  id: exportedId(exported),
  label: exportedId(exported),
  connect: async (url) => (await import("./exported.ts")).connect(url, exported)
})

/** The name of Effect's own client over a transport. */
export const httpClientId = (transport: Transport) => `Effect's HttpClient, ${transport}`

/** The name of Effect's own client over a transport, with each line of data parsed. */
export const httpClientParseId = (transport: Transport) => `Effect's HttpClient + JSON.parse, ${transport}`

/** The name of the client that Effect derives from the contract, over a transport. */
export const httpApiClientId = (transport: Transport) => `Effect's HttpApiClient, ${transport}`

type EffectClients = typeof import("./effectClients.ts")

const effectClient = (id: string, transport: Transport, name: keyof EffectClients): Peer => ({
  id,
  label: id,
  connect: async (url) => {
    const [clients, { httpClients }] = await Promise.all([import("./effectClients.ts"), import("./transports.ts")])
    return clients[name](url, httpClients[transport])
  }
})

/** Every peer, in the order of the tables. */
export const peers: ReadonlyArray<Peer> = [
  officialLike,
  official,
  fetchBytes,
  nodeBytes,
  undiciBytes,
  fetchParse,
  nodeParse,
  eventSourceParser,
  anthropic,
  openai,
  ...transports.map((transport) => effectClient(httpClientId(transport), transport, "connectHttpClient")),
  ...transports.map((transport) => effectClient(httpClientParseId(transport), transport, "connectHttpClientParse")),
  ...transports.map((transport) => effectClient(httpApiClientId(transport), transport, "connectHttpApiClient")),
  inProgram("nothing exported"),
  inProgram("traces and metrics exported"),
  ...consumptions.flatMap((consumption) => transports.map((transport) => sdk(transport, consumption)))
]

/** How tables call a peer. */
export const labelOf = (id: string) => peers.find((peer) => peer.id === id)?.label ?? id
