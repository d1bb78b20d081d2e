/** How a program gets the services without a server and without a key: an Ash server inside the process. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { defaultApiKey, type EmbeddedHttpOptions, type EmbeddedOptions } from "../embedded/EmbeddedOptions.ts"
import { layerHttpClient, layerHttpServer } from "../embedded/EmbeddedServer.ts"
import { MayRepeat } from "../internal/sendOnce.ts"
import type { AshError } from "../schema/AshError.ts"
import type { RequestOptionsInput } from "../services/RequestOptions.ts"
import type { SharedLimits } from "../services/RequestPolicy.ts"
import * as Ash from "./Ash.ts"
import * as AshNode from "./AshNode.ts"

/** How the embedded server behaves, and how requests to it are made. */
export interface AshEmbeddedOptions extends EmbeddedOptions, RequestOptionsInput, SharedLimits {}

/** As {@link AshEmbeddedOptions}, and where the server listens. */
export interface AshEmbeddedHttpOptions extends EmbeddedHttpOptions, RequestOptionsInput, SharedLimits {}

const keyOf = ({ apiKey = defaultApiKey }: EmbeddedOptions) => Redacted.make(apiKey)

/**
 * The services, talking to an embedded server without a socket. For tests, first tries and demonstrations; whatever the
 * server made, the workspaces of its sessions too, is gone with the scope.
 */
export const layer = (options: AshEmbeddedOptions = {}): Layer.Layer<Ash.AshServices, AshError> =>
  Ash.layerWithClient({ ...options, url: "http://ash.embedded", apiKey: keyOf(options), allowPlainHttp: true }).pipe(
    Layer.provide([layerHttpClient(options), Layer.succeed(MayRepeat, false)])
  )

/** Where an embedded server listens, and the key that it takes: for clients other than these services. */
export class EmbeddedAddress extends Context.Service<EmbeddedAddress, {
  readonly url: string
  readonly apiKey: Redacted.Redacted<string>
}>()("effect-ash/layers/AshEmbedded/EmbeddedAddress") {}

const address = (options: AshEmbeddedHttpOptions) =>
  Layer.effect(
    EmbeddedAddress,
    Effect.map(HttpServer.HttpServer, ({ address }) => ({
      url: HttpServer.formatAddress(address).replace("0.0.0.0", "127.0.0.1"),
      apiKey: keyOf(options)
    }))
  )

/**
 * The services over `node:http`, talking to an embedded server on a port of this machine: by default a free one of
 * 127.0.0.1. For what needs a socket: other clients, other processes, tests of a network's faults.
 */
export const layerHttp = (
  options: AshEmbeddedHttpOptions = {}
): Layer.Layer<Ash.AshServices | EmbeddedAddress, AshError> =>
  Layer.unwrap(Effect.map(EmbeddedAddress, ({ apiKey, url }) => AshNode.layer({ ...options, url, apiKey }))).pipe(
    Layer.provideMerge(address(options)),
    Layer.provide(layerHttpServer(options))
  )
