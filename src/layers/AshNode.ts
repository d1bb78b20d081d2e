/** How a program on Node gets the services: over `node:http`, which keeps a silent stream open for as long as it takes. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import type * as Config from "effect/Config"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Duplex } from "node:stream"
import * as Zlib from "node:zlib"
import { type ContentDecoder, ContentDecoding, formatOf } from "../internal/request/answer.ts"
import { MayRepeat } from "../internal/request/sendOnce.ts"
import type { AshError } from "../schema/AshError.ts"
import * as Ash from "./Ash.ts"
import * as AshCore from "./AshCore.ts"
import * as NodeHttpClient from "./nodeHttpClient.ts"
import * as UndiciClient from "./undiciClient.ts"

/** A decoder of Node, with the bytes that it has taken in. */
type Coding = Duplex & Pick<Zlib.Zlib, "bytesWritten">

/** Node's own, which read a `gzip` of several members, as the platform's do not. */
const decoders: ReadonlyMap<string, () => Coding> = new Map<string, () => Coding>([
  ["gzip", Zlib.createGunzip],
  ["deflate", Zlib.createInflate],
  ["deflate-raw", Zlib.createInflateRaw],
  ["brotli", Zlib.createBrotliDecompress],
  ...("createZstdDecompress" in Zlib ? [["zstd", Zlib.createZstdDecompress] as const] : [])
])

const decoder: ContentDecoder = (coding, start) =>
  Option.map(
    Option.fromUndefinedOr(decoders.get(formatOf(coding, start))),
    (make) => (bytes, onError) =>
      Stream.suspend(() => {
        const decoding = make()
        let size = 0
        let failure: ReturnType<typeof onError> | undefined
        const counted = Stream.mapArray(bytes, (chunks) => {
          for (const chunk of chunks) size += chunk.length
          return chunks
        })
        // Where they break off, what came before is decoded: the end of a turn may be in it.
        const ended = Stream.catch(counted, (error) => {
          failure = error
          return Stream.empty
        })
        // A zstd may have several frames; Node ends before the second one, without a failure.
        const isWhole = () => coding !== "zstd" || decoding.bytesWritten === size
        return NodeStream.pipeThroughDuplex(ended, { evaluate: () => decoding, onError }).pipe(
          Stream.mapError((error) => failure ?? error),
          Stream.concat(
            Stream.suspend(() =>
              failure === undefined && isWhole() ? Stream.empty : Stream.fail(failure ?? onError("a second frame"))
            )
          )
        )
      })
  )

/** Decodes answers as `layer` does, with `br`, `zstd` and a `gzip` of several members where Node can, for clients of your own that leave them coded. */
export const contentDecoding: Layer.Layer<never> = Layer.succeed(ContentDecoding, decoder)

/** It repeats nothing, and decodes what a server codes. */
const over = (client: Layer.Layer<HttpClient.HttpClient>) =>
  Layer.mergeAll(client, contentDecoding, Layer.succeed(MayRepeat, false))

const nodeTransport = over(NodeHttpClient.layer)

/**
 * The services over `node:http`. The choice for command lines and most programs on Node, from version 20 on: it loads the
 * least. It goes through the proxies of the environment where Node does: with `NODE_USE_ENV_PROXY=1`, from Node 22.21 and 24.5
 * on.
 */
export const layer = (options: Ash.AshOptions): Layer.Layer<Ash.AshServices, AshError> =>
  Ash.layerWithClient(options).pipe(Layer.provide(nodeTransport))

/**
 * The services over undici. The choice for servers on Node with many streams at once: a turn and a request take less of the
 * processor than over `node:http`. It loads more when a program starts, goes through no proxy,
 * and needs Node 22 or Deno: undici does not start on Node 20 nor on Bun.
 */
export const layerUndici = (options: Ash.AshOptions): Layer.Layer<Ash.AshServices, AshError> =>
  Ash.layerWithClient(options).pipe(Layer.provide(over(UndiciClient.layer)))

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
