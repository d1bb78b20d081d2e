/** What Effect's own clients make of requests, with nothing of this SDK but the contract that one of them is derived from. */
import { AshApi } from "effect-ash/schema"
import * as Effect from "effect/Effect"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import { sessionId } from "./frames.ts"
import { lineParser } from "./lineParser.ts"
import type { Client, OnText } from "./peers.ts"

type HttpClientLayer = Layer.Layer<HttpClient.HttpClient>

/** Reads the chunks of one turn. */
type Reader = (onText: OnText) => {
  readonly push: (chunk: Uint8Array) => void
  /** How many events there were. Nothing where only bytes are read. */
  readonly count: () => number | undefined
}

const byteReader: Reader = (onText) => {
  let isFirst = true
  return {
    push: () => {
      if (isFirst) onText("")
      isFirst = false
    },
    count: () => undefined
  }
}

const connect = async (url: string, layer: HttpClientLayer, makeReader: Reader): Promise<Client> => {
  const client = await ManagedRuntime.make(layer).runPromise(HttpClient.HttpClient)
  const get = async <Body>(path: string) => {
    const body: Body = JSON.parse(
      await Effect.runPromise(Effect.flatMap(client.get(`${url}${path}`), ({ text }) => text))
    )
    return body
  }
  return {
    turn: async (onText, session) => {
      const bytes = Stream.unwrap(Effect.map(
        client.post(`${url}/api/sessions/${session}/messages`, {
          body: HttpBody.jsonUnsafe({ content: "Go on.", includePartialMessages: true })
        }),
        ({ stream }) => stream
      ))
      const reader = makeReader(onText)
      await Effect.runPromise(Stream.runForEachArray(bytes, (chunks) => Effect.sync(() => chunks.forEach(reader.push))))
      return reader.count()
    },
    session: async () =>
      (await get<{ readonly session: { readonly id: string } }>(`/api/sessions/${sessionId}`)).session.id,
    sessions: async () => (await get<{ readonly sessions: ReadonlyArray<unknown> }>("/api/sessions")).sessions.length
  }
}

/** Effect's client over a transport: bytes, and JSON as it comes. */
export const connectHttpClient = (url: string, layer: HttpClientLayer) => connect(url, layer, byteReader)

/** The same, with each line of data of a turn parsed: what a program of Effect does at least, without an SDK. */
export const connectHttpClientParse = (url: string, layer: HttpClientLayer) => connect(url, layer, lineParser)

/** The client that Effect derives from the same contract: answers are decoded. */
export const connectHttpApiClient = async (url: string, layer: HttpClientLayer): Promise<Client> => {
  const client = await ManagedRuntime.make(layer).runPromise(HttpApiClient.make(AshApi, { baseUrl: url }))
  return {
    turn: () => Promise.reject(new Error("it streams no events")),
    session: async () => (await Effect.runPromise(client.sessions.get({ params: { id: sessionId } }))).session.id,
    sessions: async () => (await Effect.runPromise(client.sessions.list({ query: {} }))).sessions.length
  }
}
