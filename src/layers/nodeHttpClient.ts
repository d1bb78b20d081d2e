/** Effect's `HttpClient` over `node:http`. */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type { AgentOptions } from "node:https"
import * as Process from "node:process"
import { pipeline, Readable } from "node:stream"
import * as NodeExchange from "./nodeExchange.ts"

/**
 * What is asked over a protocol, with an agent of its own. An import of `node:http` would also load the WebSocket client of
 * Node, and TLS takes as long to load as the rest of Node's HTTP, so that neither is loaded before it is used.
 */
const protocolOf = (url: URL, options: AgentOptions) => {
  const { Agent, request } = url.protocol === "https:"
    ? Process.getBuiltinModule("node:https")
    : Process.getBuiltinModule("node:http")
  return { request, agent: new Agent(options) }
}

/** The client, with agents of its own. */
export const layer = (options: AgentOptions): Layer.Layer<HttpClient.HttpClient> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => new Map<string, ReturnType<typeof protocolOf>>()),
        (protocols) => Effect.sync(() => protocols.forEach(({ agent }) => agent.destroy()))
      ),
      (protocols) =>
        NodeExchange.make(({ headers, method }, url, body, signal, exchange) => {
          const protocol = protocols.get(url.protocol) ?? protocolOf(url, options)
          protocols.set(url.protocol, protocol)
          const sent = protocol.request(url, { agent: protocol.agent, method, headers })
          const fail = (cause: Error) => exchange.fail(cause)
          let isComplete = () => false
          // What comes behind a whole answer is none of it.
          sent.on("error", (cause) => isComplete() ? undefined : fail(cause))
          NodeExchange.onAbort(signal, (reason) => sent.destroy(reason))
          sent.on("upgrade", (_, socket) => {
            fail(new Error("the server changes the protocol, which was not asked for"))
            socket.destroy()
          })
          sent.on("response", (received) => {
            isComplete = () => received.complete
            exchange.begin(
              {
                pause: () => received.pause(),
                resume: () => received.resume(),
                abort: (reason) => received.destroy(reason)
              },
              received.statusCode ?? 0,
              received.headers
            )
            received.on("data", (chunk) => exchange.add(chunk))
            received.on("end", () => exchange.end())
            received.on("error", fail)
            // Also where the server has answered before it has read the whole body.
            if (body instanceof Readable) received.on("close", () => body.destroy())
          })
          if (body instanceof Readable) pipeline(body, sent, constVoid)
          else sent.end(body)
        })
    )
  )
