/** The clients of HTTP that a program on Node may choose, each as a layer of the services. */
import * as Ash from "../../src/layers/Ash.ts"
import * as AshNode from "../../src/layers/AshNode.ts"

export const clients = {
  fetch: Ash.layer,
  "node:http": AshNode.layer,
  undici: AshNode.layerUndici
} as const

export type ClientName = keyof typeof clients

export const clientNames: ReadonlyArray<ClientName> = ["fetch", "node:http", "undici"]
