/** How a program gets the services of an Ash server. */
import type * as Config from "effect/Config"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import { AshApiClient } from "../client/AshApiClient.ts"
import type { AshError } from "../schema/AshError.ts"
import { AshClient, type Services, services } from "../services/AshClient.ts"
import * as AshCore from "./AshCore.ts"
import { type AshOptions, fromConfig, type LayerConfigOptions } from "./AshOptions.ts"

export { type AshOptions, config, fromConfig, type LayerConfigOptions } from "./AshOptions.ts"

/** Every service of the package. */
export type AshServices = AshApiClient | AshClient | Services[keyof Services]["Identifier"]

/**
 * Builds a layer once, with its own instances of the layers in it. The layers of the services are constants. If they were
 * shared, as layers are by default, all would talk to the first server of a program.
 */
const isolated = <A, E, R>(layer: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
  Layer.fromBuildMemo((memoMap, scope) => Layer.buildWithMemoMap(Layer.fresh(layer), memoMap, scope))

/**
 * The services over the `HttpClient` in context. For a client of your own: another transport, a proxy, a recorder. It
 * must follow no redirect, as that would carry the key and the body elsewhere: clients over `fetch` get that option with each
 * request, and Effect's other ones follow none unless `HttpClient.followRedirects` makes them.
 *
 * It should not retry either, as `HttpClient.retryTransient` does: a message that is sent twice is two turns. A request that
 * is not safe to repeat fails with `ConnectionLost` instead of being sent again. That is not possible for a client that is
 * not one of Effect's, such as a `fetch` that retries by itself, changes the body and the address, or sets its own tracing.
 *
 * Fails with `InvalidRequest` for a URL or a key that cannot be used; nothing is sent before a service is.
 */
export const layerWithClient = (options: AshOptions): Layer.Layer<AshServices, AshError, HttpClient.HttpClient> =>
  AshClient.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(
      // Of the core, only the client is in the output: a program provides gates itself if it needs them.
      Layer.effect(AshApiClient, AshApiClient),
      ...Object.values(services).map(({ layer }) => layer)
    )),
    Layer.provide(AshCore.layerWithClient(options)),
    isolated
  )

/**
 * The services over `fetch`. For browsers, workers, Bun and Deno. On Node prefer `AshNode.layer`: Node's `fetch` ends
 * every stream that is silent for 300 seconds, which a turn may well be.
 *
 * A page can read a turn only of a server of its own origin, as servers share none with others: put a proxy before the
 * server that serves both, and adds the key, which is public once it is in a page.
 */
export const layer = (options: AshOptions): Layer.Layer<AshServices, AshError> =>
  layerWithClient(options).pipe(Layer.provide(AshCore.fetchClient))

/** As `layer`, from {@link config}: `Ash.layerConfig()`, or with further options `Ash.layerConfig({ maxStreams: 5 })`. */
export const layerConfig = (
  options?: LayerConfigOptions
): Layer.Layer<AshServices, AshError | Config.ConfigError> => fromConfig(layer)(options)
