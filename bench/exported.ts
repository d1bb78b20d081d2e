/** This SDK in a program that exports traces and metrics, and in one that does not. */
import { AshClient } from "effect-ash"
import { AshNode } from "effect-ash/node"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { Otlp } from "effect/observability"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { sessionId } from "./frames.ts"
import type { Client } from "./peers.ts"

export type Export = "nothing exported" | "traces and metrics exported"

const exporterOf = (url: string) =>
  Otlp.layerJson({ baseUrl: url, resource: { serviceName: "bench" }, tracerExportInterval: "1 second" }).pipe(
    Layer.provide(FetchHttpClient.layer)
  )

export const connect = async (url: string, exported: Export): Promise<Client> => {
  const services = AshNode.layer({ url, apiKey: Redacted.make("key") })
  const runtime = ManagedRuntime.make(
    exported === "nothing exported" ? services : Layer.merge(services, exporterOf(url))
  )
  const { messages } = await runtime.runPromise(AshClient)
  return {
    turn: async (onText) => {
      let count = 0
      await runtime.runPromise(
        Stream.runForEachArray(
          messages.send(sessionId, "Go on.", { includePartialMessages: true }),
          (events) =>
            Effect.sync(() => {
              count += events.length
              for (const event of events) if (event._tag === "TextDelta") onText(event.delta)
            })
        )
      )
      return count
    }
  }
}
