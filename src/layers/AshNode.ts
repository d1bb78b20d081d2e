/** How a program on Node gets the services: over `node:http`, which keeps a silent stream open for as long as it takes. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { AshError } from "../schema/AshError.ts"
import * as Ash from "./Ash.ts"

/** Connections are kept and used again, which the client's own default does not do. */
const nodeClient = NodeHttpClient.layerNodeHttpNoAgent.pipe(
  Layer.provide(NodeHttpClient.layerAgentOptions({ keepAlive: true }))
)

/** The services over `node:http`. The choice for servers and command lines on Node, from version 20 on. */
export const layer = (options: Ash.AshOptions): Layer.Layer<Ash.AshServices, AshError> =>
  Ash.layerWithClient(options).pipe(Layer.provide(nodeClient))

/** As `layer`, from `ASH_SERVER_URL`, by default `http://localhost:4100`, and `ASH_API_KEY`. */
export const layerConfig: Layer.Layer<Ash.AshServices, AshError | Config.ConfigError> = Layer.unwrap(
  Effect.map(Ash.config, layer)
)
