/** This SDK as a peer: over each client, and consumed in each way. */
import { type Ash, AshClient, type StreamEvent } from "effect-ash"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { sessionId } from "./frames.ts"
import type { Client, Consumption } from "./peers.ts"

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

export const connect = async (
  url: string,
  layer: typeof Ash.layer,
  consumption: Consumption = "runForEachArray"
): Promise<Client> => {
  const runtime = ManagedRuntime.make(layer({ url, apiKey: Redacted.make("key") }))
  const { messages, sessions } = await runtime.runPromise(AshClient)
  return {
    turn: async (onText, session) => {
      let count = 0
      await consume(messages.send(session, "Go on.", { includePartialMessages: true }), consumption, (event) => {
        count += 1
        if (event._tag === "TextDelta") onText(event.delta)
      })
      return count
    },
    session: async () => (await Effect.runPromise(sessions.get(sessionId))).id,
    sessions: async () => (await Effect.runPromise(sessions.list())).length
  }
}
