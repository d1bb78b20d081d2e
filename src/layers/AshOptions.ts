/** What a layer is made with: options that are given, or that the environment gives. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type { ConnectionOptions } from "../client/AshApiClient.ts"
import { areOptions } from "../client/over.ts"
import type { RequestOptionsInput } from "../client/RequestOptions.ts"
import type { SharedLimits } from "../client/RequestPolicy.ts"

/** Where the server is, the key to it, and how requests are made. */
export interface AshOptions extends ConnectionOptions, RequestOptionsInput, SharedLimits {}

/**
 * The options that the environment gives: `ASH_SERVER_URL`, by default `http://localhost:4100`, and `ASH_API_KEY`. An empty
 * variable counts as none.
 */
export const config: Config.Config<AshOptions & { readonly apiKey: Redacted.Redacted<string> | undefined }> = Config
  .all({
    url: Config.String("ASH_SERVER_URL").pipe(
      Config.withDefault(""),
      Config.map((url) => url === "" ? "http://localhost:4100" : url)
    ),
    apiKey: Config.Redacted("ASH_API_KEY").pipe(
      Config.withDefault(Redacted.make("")),
      Config.map((key) => Redacted.value(key) === "" ? undefined : key)
    )
  })

/** The options that the environment does not set. */
export interface LayerConfigOptions extends RequestOptionsInput, SharedLimits {}

/** The layer that `make` makes, with {@link config} laid under further options: `fromConfig(AshNode.layerCore)()`. */
export const fromConfig =
  <A, E>(make: (options: AshOptions) => Layer.Layer<A, E>) =>
  (options: LayerConfigOptions = {}): Layer.Layer<A, E | Config.ConfigError> =>
    // What is no object is refused by the layer.
    Layer.unwrap(
      Effect.map(config, (connection) => make(areOptions(options) ? { ...options, ...connection } : options))
    )
