/** How a program on Node gets the services: over `node:http`, which keeps a silent stream open for as long as it takes. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as Process from "node:process"
import type { Duplex } from "node:stream"
import * as Zlib from "node:zlib"
import { type ContentDecoder, ContentDecoding, formatOf } from "../internal/request/answer.ts"
import { MayRepeat } from "../internal/request/sendOnce.ts"
import type { AshError } from "../schema/AshError.ts"
import * as Ash from "./Ash.ts"
import * as AshCore from "./AshCore.ts"
import * as NodeHttpClient from "./nodeHttpClient.ts"
import * as UndiciClient from "./undiciClient.ts"

/**
 * Milliseconds that an idle connection is kept. Servers close one after 72 seconds, proxies before them after 60 or more, and
 * a request sent at that moment is lost. Node obeys a server that announces less.
 */
const idleTime = 50_000

/**
 * The proxies that Node's own clients use, if Node is configured to use those of the environment. An import of `node:http`
 * would also load the WebSocket client of Node, which takes longer to start than all that is needed.
 */
const proxyEnv = (): unknown => {
  const agent: object = Process.getBuiltinModule("node:http").globalAgent
  return Predicate.hasProperty(agent, "options") && Predicate.hasProperty(agent.options, "proxyEnv")
    ? agent.options.proxyEnv
    : undefined
}

/** Adds the proxy, a possible cause, to a failure: its host, and nothing else of its URL. */
const withProxy = (proxies: object) => (error: HttpClientError.HttpClientError) => {
  const { reason } = error
  if (reason._tag !== "TransportError") return error
  const name = reason.request.url.startsWith("https:") ? "https_proxy" : "http_proxy"
  const [, proxy] = Object.entries(proxies).find(([key]) => key.toLowerCase() === name) ?? []
  if (!Predicate.isString(proxy) || !URL.canParse(proxy)) return error
  const description = `unless NO_PROXY names it, it is asked through the proxy ${
    new URL(proxy).host
  } of the environment`
  return new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request: reason.request, cause: reason.cause, description })
  })
}

const nodeClient = Layer.unwrap(Effect.sync(() => {
  const proxies = proxyEnv()
  const client = NodeHttpClient.layer({
    keepAlive: true,
    // Of more than 256 free connections Node closes the others, which the next turns would open again.
    maxFreeSockets: Infinity,
    timeout: idleTime,
    ...(proxies === undefined ? {} : { proxyEnv: proxies })
  })
  return Predicate.isObject(proxies)
    ? Layer.effect(
      HttpClient.HttpClient,
      Effect.map(HttpClient.HttpClient, HttpClient.transformResponse(Effect.mapError(withProxy(proxies))))
    ).pipe(Layer.provide(client))
    : client
}))

/** A decoder of Node, with the bytes that it has taken in. */
type Coding = Duplex & Pick<Zlib.Zlib, "bytesWritten">

/** Node's own, which read a `gzip` of several members, as the platform's do not. */
const decoders: ReadonlyMap<string, () => Coding> = new Map<string, () => Coding>([
  ["gzip", () => Zlib.createGunzip()],
  ["deflate", () => Zlib.createInflate()],
  ["deflate-raw", () => Zlib.createInflateRaw()],
  ["brotli", () => Zlib.createBrotliDecompress()],
  ...("createZstdDecompress" in Zlib ? [["zstd", () => Zlib.createZstdDecompress()] as const] : [])
])

const decoder: ContentDecoder = (coding, start) =>
  Option.map(
    Option.fromUndefinedOr(decoders.get(formatOf(coding, start))),
    (make) => (bytes, onError) =>
      Stream.suspend(() => {
        const decoding = make()
        let size = 0
        const counted = Stream.mapArray(bytes, (chunks) => {
          for (const chunk of chunks) size += chunk.length
          return chunks
        })
        // A zstd may have several frames; Node ends before the second one, without a failure.
        const isWhole = () => coding !== "zstd" || decoding.bytesWritten === size
        return Stream.concat(
          NodeStream.pipeThroughDuplex(counted, { evaluate: () => decoding, onError }),
          Stream.suspend(() => isWhole() ? Stream.empty : Stream.fail(onError("a second frame")))
        )
      })
  )

/** Decodes answers as `layer` does, with `br`, `zstd` and a `gzip` of several members where Node can, for clients of your own that leave them coded. */
export const contentDecoding: Layer.Layer<never> = Layer.succeed(ContentDecoding, decoder)

/** It repeats nothing, and decodes what a server codes. */
const over = (client: Layer.Layer<HttpClient.HttpClient>) =>
  Layer.mergeAll(client, contentDecoding, Layer.succeed(MayRepeat, false))

const nodeTransport = over(nodeClient)

const undiciTransport = over(UndiciClient.layer({ keepAliveTimeout: idleTime }))

/**
 * The services over `node:http`. The choice for command lines and most programs on Node, from version 20 on: it loads the
 * least. It goes through the proxies of the environment where Node does: from version 24 on, with `NODE_USE_ENV_PROXY=1`.
 */
export const layer = (options: Ash.AshOptions): Layer.Layer<Ash.AshServices, AshError> =>
  Ash.layerWithClient(options).pipe(Layer.provide(nodeTransport))

/**
 * The services over undici. The choice for servers on Node with many streams at once: a turn and a request take less of the
 * processor than over `node:http`. It loads more when a program starts, goes through no proxy,
 * and needs Node 22 or Deno: undici does not start on Node 20 nor on Bun.
 */
export const layerUndici = (options: Ash.AshOptions): Layer.Layer<Ash.AshServices, AshError> =>
  Ash.layerWithClient(options).pipe(Layer.provide(undiciTransport))

/** What the services stand on, over `node:http`, as `AshCore.layer` over `fetch`. */
export const layerCore = (options: Ash.AshOptions): Layer.Layer<AshCore.AshCoreServices, AshError> =>
  AshCore.layerWithClient(options).pipe(Layer.provide(nodeTransport))

/**
 * As `layer`, from `ASH_SERVER_URL`, by default `http://localhost:4100`, and `ASH_API_KEY`: `AshNode.layerConfig()`, or with
 * further options `AshNode.layerConfig({ maxSessions: 5 })`.
 */
export const layerConfig = (
  options?: Ash.LayerConfigOptions
): Layer.Layer<Ash.AshServices, AshError | Config.ConfigError> => Ash.fromConfig(layer)(options)
