/** How a program gets the services without a server and without a key: an Ash server inside the process. */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { randomKey } from "../embedded/ApiKeys.ts"
import { defaultHost, type EmbeddedHttpOptions, type EmbeddedOptions, keyOf } from "../embedded/EmbeddedOptions.ts"
import { layerHttpClient, layerHttpServer } from "../embedded/EmbeddedServer.ts"
import * as Origins from "../embedded/Origins.ts"
import { MayRepeat } from "../internal/sendOnce.ts"
import { AshError, InvalidRequest } from "../schema/AshError.ts"
import type { RequestOptionsInput } from "../services/RequestOptions.ts"
import type { SharedLimits } from "../services/RequestPolicy.ts"
import * as Ash from "./Ash.ts"
import * as AshNode from "./AshNode.ts"

/** How the embedded server behaves, and how requests to it are made. */
export interface AshEmbeddedOptions extends EmbeddedOptions, RequestOptionsInput, SharedLimits {}

/** As {@link AshEmbeddedOptions}, and where the server listens. */
export interface AshEmbeddedHttpOptions extends EmbeddedHttpOptions, RequestOptionsInput, SharedLimits {}

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

/** The key of a server on a port. Whoever has it runs commands, so that it is never one that others know. */
const portKeyOf = (
  { apiKey, host = defaultHost }: AshEmbeddedHttpOptions
): Effect.Effect<Redacted.Redacted<string>, AshError> =>
  apiKey !== undefined
    ? Effect.succeed(keyOf({ apiKey }))
    : Origins.isLoopback(host)
    ? Effect.map(randomKey, Redacted.make).pipe(Effect.provide(SecureRandom.layerWebCrypto))
    : Effect.fail(
      new AshError({
        operation: "AshEmbedded.layerHttp",
        reason: new InvalidRequest({
          message:
            `host ${host} is open to other machines, and the server runs commands for who has its key: set an apiKey`,
          field: "apiKey"
        })
      })
    )

const address = (apiKey: Redacted.Redacted<string>) =>
  Layer.effect(
    EmbeddedAddress,
    Effect.map(HttpServer.HttpServer, ({ address }) => ({
      url: HttpServer.formatAddress(address).replace("0.0.0.0", "127.0.0.1"),
      apiKey
    }))
  )

/**
 * The services over `node:http`, talking to an embedded server on a port of this machine: by default a free one of
 * 127.0.0.1. For what needs a socket: other clients, other processes, tests of a network's faults.
 *
 * Who has the key runs commands with the rights of the user. It is random at each start unless `apiKey` sets it, and an
 * interface that is not loopback needs one: else `InvalidRequest`. `EmbeddedAddress` tells it.
 */
export const layerHttp = (
  options: AshEmbeddedHttpOptions = {}
): Layer.Layer<Ash.AshServices | EmbeddedAddress, AshError> =>
  Layer.unwrap(
    Effect.map(portKeyOf(options), (apiKey) =>
      Layer.unwrap(Effect.map(EmbeddedAddress, ({ url }) =>
        AshNode.layer({ ...options, url, apiKey }))).pipe(
          Layer.provideMerge(address(apiKey)),
          Layer.provide(layerHttpServer({ ...options, apiKey }))
        ))
  )
