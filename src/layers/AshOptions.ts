/** What a layer is made with: options that are given, or that the environment gives. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type { ConnectionOptions } from "../client/AshApiClient.ts"
import type { RequestOptionsInput } from "../client/RequestOptions.ts"
import type { SharedLimits } from "../client/RequestPolicy.ts"

/** Where the server is, the key to it, and how requests are made. */
export interface AshOptions extends ConnectionOptions, RequestOptionsInput, SharedLimits {}

/** The options that the environment gives: `ASH_SERVER_URL`, by default `http://localhost:4100`, and `ASH_API_KEY`. */
export const config: Config.Config<AshOptions & { readonly apiKey: Redacted.Redacted<string> | undefined }> = Config
  .all({
    url: Config.String("ASH_SERVER_URL").pipe(Config.withDefault("http://localhost:4100")),
    apiKey: Config.Redacted("ASH_API_KEY").pipe(Config.option, Config.map(Option.getOrUndefined))
  })

/** The options that the environment does not set. */
export interface LayerConfigOptions extends RequestOptionsInput, SharedLimits {}

/** The layer that `make` makes, with {@link config} laid under further options: `fromConfig(AshNode.layerCore)()`. */
export const fromConfig =
  <A, E>(make: (options: AshOptions) => Layer.Layer<A, E>) =>
  (options: LayerConfigOptions = {}): Layer.Layer<A, E | Config.ConfigError> =>
    Layer.unwrap(Effect.map(config, (connection) => make({ ...options, ...connection })))
