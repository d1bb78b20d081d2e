/** Effect's `HttpClient` over undici's `dispatch`. */
import type { Agent } from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as NodeExchange from "./nodeExchange.ts"

/** Loaded when it is used, as it takes longer than all else. */
const loadUndici = Effect.promise(() => import("@effect/platform-node/Undici"))

const agentOf = (options: Agent.Options) =>
  Effect.acquireRelease(
    Effect.map(loadUndici, ({ Agent }) => new Agent(options)),
    (agent) => Effect.promise(() => agent.destroy())
  )

/** The client, with an agent of its own. */
export const layerOptions = (options: Agent.Options): Layer.Layer<HttpClient.HttpClient> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(agentOf(options), (agent) =>
      NodeExchange.make(({ headers, method }, { origin, pathname, search }, body, signal, exchange) => {
        // How long an answer may take is a matter of the policy.
        const timeouts = { headersTimeout: 0, bodyTimeout: 0 }
        agent.dispatch({ ...timeouts, origin, path: pathname + search, method, headers, body }, {
          onRequestStart: (controller) =>
            NodeExchange.onAbort(signal, (reason) => controller.abort(reason)),
          onResponseStart: (controller, status, headers) => {
            // One below is interim, such as early hints.
            if (status >= 200) exchange.begin(controller, status, headers)
          },
          onResponseData: (_, chunk) => exchange.add(chunk),
          onResponseEnd: () => exchange.end(),
          // A request has no controller before it is started, which is on a connection.
          onResponseError: (controller: object | null | undefined, cause) =>
            exchange.fail(controller ? cause : NodeExchange.notConnected(cause))
        })
      }))
  )

/** The client whose connections are kept as long as servers keep them. */
export const layer = layerOptions({ keepAliveTimeout: NodeExchange.idleTime })
