/** Effect's `HttpClient` over `node:http`. */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type { Agent, IncomingMessage, RequestOptions } from "node:http"
import type { AgentOptions } from "node:https"
import type { Socket } from "node:net"
import * as Process from "node:process"
import { type Duplex, pipeline, Readable } from "node:stream"
import * as NodeExchange from "./nodeExchange.ts"

/** An agent as Node documents it, which is more than its types tell. */
interface Opening extends Agent {
  createConnection: (...input: Array<unknown>) => Duplex
}

const opens = (agent: Agent): agent is Opening => "createConnection" in agent

/**
 * What is asked over a protocol, with an agent of its own. An import of `node:http` would also load the WebSocket client of
 * Node, and TLS takes as long to load as the rest of Node's HTTP, so that neither is loaded before it is used.
 */
const protocolOf = (url: URL, options: AgentOptions) => {
  const { Agent, request } = url.protocol === "https:"
    ? Process.getBuiltinModule("node:https")
    : Process.getBuiltinModule("node:http")
  const agent = new Agent(options)
  const opened: Array<Duplex> = []
  if (opens(agent)) {
    const { createConnection } = agent
    agent.createConnection = (...input) => opened[0] = createConnection.apply(agent, input)
  }
  return {
    agent,
    /** Begins a request, and answers it with the connection that is opened for it, if one is. */
    begin: (url: URL, options: RequestOptions) => {
      // An agent with a limit opens connections at other times, too, for requests that have waited.
      opened.length = 0
      // Of a header that is there twice Node would keep the first, and the other clients keep all.
      const sent = request(url, { ...options, agent, joinDuplicateHeaders: true })
      return [sent, ...opened] as const
    }
  }
}

/** Whether there is no connection yet: a proxy opens a tunnel, or there is a TLS handshake. */
const isOpening = (socket: Socket | null): boolean =>
  socket === null || socket.connecting ||
  ("secureConnecting" in socket && socket.secureConnecting === true)

/**
 * A whole turn of the event loop. Servers may have closed a free connection while the program computed, and what is sent over
 * one that is closed is lost.
 */
const takenIn = Effect.andThen(Effect.yieldNow, Effect.yieldNow)

/** The client, with agents of its own. In so many milliseconds a connection is to be made: by default in those of undici. */
export const layerOptions = (options: AgentOptions, openingTime = 10_000): Layer.Layer<HttpClient.HttpClient> =>
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
          const [sent, opened] = protocol.begin(url, { method, headers, timeout: openingTime })
          const fail = (cause: Error) =>
            exchange.fail(isOpening(sent.socket) ? NodeExchange.notConnected(cause) : cause)
          // Which is also of a connection that has been made, and may be silent. The code is undici's: Node has none.
          sent.on("timeout", () => {
            if (isOpening(sent.socket)) sent.destroy(Object.assign(new Error(), { code: "UND_ERR_CONNECT_TIMEOUT" }))
          })
          let answer: IncomingMessage | undefined
          // What comes behind a whole answer is none of it.
          sent.on("error", (cause) => answer?.complete === true ? undefined : fail(cause))
          NodeExchange.onAbort(signal, (reason) => {
            sent.destroy(reason)
            // Before a proxy has opened a tunnel, neither the request nor the agent holds the connection to it.
            if (sent.socket === null) opened?.destroy()
          })
          sent.on("upgrade", (_, socket) => {
            fail(new Error("the server changes the protocol, which was not asked for"))
            socket.destroy()
          })
          sent.on("response", (received) => {
            answer = received
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
        }, takenIn)
    )
  )

/** The proxies that Node's own clients use, if Node is configured to use those of the environment. */
const proxyEnv = (): unknown => {
  const agent: object = Process.getBuiltinModule("node:http").globalAgent
  return Predicate.hasProperty(agent, "options") && Predicate.hasProperty(agent.options, "proxyEnv")
    ? agent.options.proxyEnv
    : undefined
}

/** Adds the proxy, a possible cause, to a failure: its host, and nothing else of its URL. */
const withProxy = (proxies: object) => (error: HttpClientError.HttpClientError) => {
  const { reason } = error
  if (reason._tag !== "TransportError") return error
  const name = reason.request.url.startsWith("https:") ? "https_proxy" : "http_proxy"
  const [, proxy] = Object.entries(proxies).find(([key]) => key.toLowerCase() === name) ?? []
  if (!Predicate.isString(proxy) || !URL.canParse(proxy)) return error
  const description = `unless NO_PROXY names it, it is asked through the proxy ${
    new URL(proxy).host
  } of the environment`
  return new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request: reason.request, cause: reason.cause, description })
  })
}

/** The client that goes where Node's own do, and whose connections are kept as long as servers keep them. */
export const layer = Layer.unwrap(Effect.sync(() => {
  const proxies = proxyEnv()
  const client = layerOptions({
    keepAlive: true,
    // Of more than 256 free connections Node closes the others, which the next turns would open again.
    maxFreeSockets: Infinity,
    timeout: NodeExchange.idleTime,
    ...(proxies === undefined ? {} : { proxyEnv: proxies })
  })
  return Predicate.isObject(proxies)
    ? Layer.effect(
      HttpClient.HttpClient,
      Effect.map(HttpClient.HttpClient, HttpClient.transformResponse(Effect.mapError(withProxy(proxies))))
    ).pipe(Layer.provide(client))
    : client
}))
