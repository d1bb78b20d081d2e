/** This SDK as a peer: over each client, and consumed in each way; and what Effect's own clients make of requests. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Ash, AshClient, type StreamEvent } from "effect-ash"
import { AshNode } from "effect-ash/node"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { sessionId } from "./frames.ts"
import type { Client, OnText } from "./peers.ts"

export type Transport = "fetch" | "node:http" | "undici"

export type Consumption = "runForEachArray" | "runForEach" | "async iterable" | "Web stream"

const httpClients = {
  "fetch": FetchHttpClient.layer,
  "node:http": NodeHttpClient.layerNodeHttpNoAgent.pipe(
    Layer.provide(NodeHttpClient.layerAgentOptions({ keepAlive: true }))
  ),
  "undici": NodeHttpClient.layerUndici
}

const layerOf = (transport: Transport, options: Ash.AshOptions) => {
  if (transport === "fetch") return Ash.layer(options)
  if (transport === "node:http") return AshNode.layer(options)
  return AshNode.layerUndici(options)
}

type Turn<E> = Stream.Stream<StreamEvent, E>

const consume = async <E>(turn: Turn<E>, consumption: Consumption, onEvent: (event: StreamEvent) => void) => {
  switch (consumption) {
    case "runForEachArray":
      return Effect.runPromise(Stream.runForEachArray(turn, (events) =>
        Effect.sync(() => {
          for (const event of events) onEvent(event)
        })))
    case "runForEach":
      return Effect.runPromise(Stream.runForEach(turn, (event) => Effect.sync(() => onEvent(event))))
    case "async iterable": {
      for await (const event of Stream.toAsyncIterable(turn)) onEvent(event)
      return
    }
    case "Web stream": {
      const reader = Stream.toReadableStream(turn).getReader()
      while (true) {
        const { done, value } = await reader.read()
        if (done) return
        onEvent(value)
      }
    }
  }
}

export const connect = async (url: string, transport: Transport, consumption: Consumption): Promise<Client> => {
  const runtime = ManagedRuntime.make(layerOf(transport, { url, apiKey: Redacted.make("key") }))
  const { messages, sessions } = await runtime.runPromise(AshClient)
  return {
    turn: async (onText: OnText) => {
      let count = 0
      await consume(messages.send(sessionId, "Go on.", { includePartialMessages: true }), consumption, (event) => {
        count += 1
        if (event._tag === "TextDelta") onText(event.delta)
      })
      return count
    },
    session: async () => (await Effect.runPromise(sessions.get(sessionId))).id,
    sessions: async () => (await Effect.runPromise(sessions.list())).length
  }
}

/** Effect's client over a transport, with nothing of this SDK: bytes, and JSON as it comes. */
export const connectHttpClient = async (url: string, transport: Transport): Promise<Client> => {
  const client = await ManagedRuntime.make(httpClients[transport]).runPromise(HttpClient.HttpClient)
  const get = async <Body>(path: string) => {
    const body: Body = JSON.parse(
      await Effect.runPromise(Effect.flatMap(client.get(`${url}${path}`), ({ text }) => text))
    )
    return body
  }
  return {
    turn: async (onText) => {
      const bytes = Stream.unwrap(Effect.map(
        client.post(`${url}/api/sessions/${sessionId}/messages`, {
          body: HttpBody.jsonUnsafe({ content: "Go on.", includePartialMessages: true })
        }),
        ({ stream }) => stream
      ))
      let isFirst = true
      await Effect.runPromise(Stream.runForEachArray(bytes, () =>
        Effect.sync(() => {
          if (isFirst) onText("")
          isFirst = false
        })))
      return undefined
    },
    session: async () =>
      (await get<{ readonly session: { readonly id: string } }>(`/api/sessions/${sessionId}`)).session.id,
    sessions: async () => (await get<{ readonly sessions: ReadonlyArray<unknown> }>("/api/sessions")).sessions.length
  }
}
