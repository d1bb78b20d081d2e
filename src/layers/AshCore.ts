/** What every service stands on, for programs that are to hold only the services that they use. */
import type * as Config from "effect/Config"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import { AshApiClient } from "../client/AshApiClient.ts"
import { RequestOptions } from "../client/RequestOptions.ts"
import { RequestPolicy } from "../client/RequestPolicy.ts"
import { MayRepeat } from "../internal/request/sendOnce.ts"
import type { AshError } from "../schema/AshError.ts"
import { SessionGates } from "../services/SessionGates.ts"
import { type AshOptions, fromConfig, type LayerConfigOptions } from "./AshOptions.ts"

export type { AshOptions, LayerConfigOptions }

/**
 * What every service stands on: the client, the policy and the gates of sessions, which services that work with one server
 * share. `Sessions.layer`, for example, needs only these.
 */
export type AshCoreServices = AshApiClient | RequestPolicy | SessionGates

/** What the services stand on, over the `HttpClient` in context. */
export const layerWithClient = (
  options: AshOptions
): Layer.Layer<AshCoreServices, AshError, HttpClient.HttpClient> =>
  Layer.mergeAll(
    AshApiClient.layer(options),
    RequestPolicy.layer(options).pipe(Layer.provide(Layer.succeed(RequestOptions, options))),
    SessionGates.layerInherited
  )

/** It repeats nothing. */
export const fetchClient = Layer.merge(FetchHttpClient.layer, Layer.succeed(MayRepeat, false))

/**
 * What the services stand on, over `fetch`: for a program that is to be small, with the layers of the services that it
 * uses. `Ash.layer` has all of them.
 *
 * A program that uses several servers makes each of its layers with `Layer.fresh`: the layers of the services are
 * constants, and shared they would be those of one server.
 *
 * **Example** (A program that needs only sessions)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { AshCore, Sessions } from "effect-ash"
 *
 * const layer = Sessions.layer.pipe(Layer.provide(AshCore.layer({ url: "https://ash.example.com", apiKey: "a key" })))
 *
 * const program = Effect.flatMap(Sessions, (sessions) => sessions.list()).pipe(Effect.provide(layer))
 * ```
 */
export const layer = (options: AshOptions): Layer.Layer<AshCoreServices, AshError> =>
  layerWithClient(options).pipe(Layer.provide(fetchClient))

/** As `layer`, from `Ash.config`: `AshCore.layerConfig()`, or with further options `AshCore.layerConfig({ maxStreams: 5 })`. */
export const layerConfig = (
  options?: LayerConfigOptions
): Layer.Layer<AshCoreServices, AshError | Config.ConfigError> => fromConfig(layer)(options)
