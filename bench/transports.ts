/** The clients that this SDK is measured over, and Effect's own beside them. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Ash } from "effect-ash"
import { AshNode } from "effect-ash/node"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import type { Transport } from "./peers.ts"

export const layers = {
  "fetch": Ash.layer,
  "node:http": AshNode.layer,
  "undici": AshNode.layerUndici
} satisfies Record<Transport, typeof Ash.layer>

export const httpClients = {
  "fetch": FetchHttpClient.layer,
  "node:http": NodeHttpClient.layerNodeHttpNoAgent.pipe(
    Layer.provide(NodeHttpClient.layerAgentOptions({ keepAlive: true }))
  ),
  "undici": NodeHttpClient.layerUndici
}
