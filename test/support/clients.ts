/** The clients of HTTP that a program on Node may choose, each as a layer of the services. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Layer from "effect/Layer"
import * as Ash from "../../src/layers/Ash.ts"
import * as AshNode from "../../src/layers/AshNode.ts"

export const clients = {
  fetch: Ash.layer,
  "node:http": AshNode.layer,
  undici: (options: Ash.AshOptions) => Ash.layerWithClient(options).pipe(Layer.provide(NodeHttpClient.layerUndici))
} as const

export type ClientName = keyof typeof clients

export const clientNames: ReadonlyArray<ClientName> = ["fetch", "node:http", "undici"]
