/** The embedded server as a function, from a request to its response. What carries the two is up to others. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Cause from "effect/Cause"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import { AshApi } from "../schema/AshApi.ts"
import type { ErrorResponse } from "../schema/ErrorResponse.ts"
import { AgentFolders } from "./AgentFolders.ts"
import { AgentHandlers } from "./AgentHandlers.ts"
import { DataFolder } from "./DataFolder.ts"
import { type EmbeddedOptions, Settings } from "./EmbeddedOptions.ts"
import * as Errors from "./Errors.ts"
import { Gate, respond } from "./Gate.ts"
import { HealthHandlers } from "./HealthHandlers.ts"
import { MessageHandlers } from "./MessageHandlers.ts"
import { RateLimits } from "./RateLimits.ts"
import { Resumptions } from "./Resumptions.ts"
import { Sandboxes } from "./Sandboxes.ts"
import { SessionHandlers } from "./SessionHandlers.ts"
import { Store } from "./Store.ts"
import { Turns } from "./Turns.ts"

const routes = HttpApiBuilder.layer(AshApi).pipe(
  Layer.provide([HealthHandlers, AgentHandlers, SessionHandlers, MessageHandlers]),
  Layer.provide(Gate.layer),
  Layer.provide(Turns.layer),
  Layer.provide([Sandboxes.layer, AgentFolders.layer, RateLimits.layer, Resumptions.layer]),
  Layer.provide([Store.layer, DataFolder.layer]),
  Layer.provide([SecureRandom.layerWebCrypto, NodeHttpServer.layerHttpServices])
)

/** Builds the server. What it made is gone with the scope: sandboxes, processes, files. */
export const make = Effect.fnUntraced(function*(options: EmbeddedOptions) {
  const settings = Settings.layer(options)
  const { apiKey } = yield* Effect.provide(Settings, settings)
  const router = yield* HttpRouter.toHttpEffect(Layer.provide(routes, settings)).pipe(
    Effect.provideService(HttpRouter.RouterConfig, {
      // Slashes count. The gate refuses parameters that are too long, all but file paths.
      ignoreDuplicateSlashes: false,
      ignoreTrailingSlash: false,
      maxParamLength: Number.MAX_SAFE_INTEGER
    }),
    Effect.orDie
  )
  return Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
    const refusal = refuse(request, apiKey)
    const response = refusal === undefined ? yield* answer(router, request) : respond(refusal)
    return withCommonHeaders(response, request)
  })
})

/** Who may ask (contract 2.2): the health alone is open, and at exactly its own address. */
const refuse = (request: HttpServerRequest.HttpServerRequest, apiKey: string): ErrorResponse | undefined => {
  if (request.url === "/health") return undefined
  const header = request.headers["authorization"]
  if (header === undefined) return Errors.failure(401, "Missing Authorization header")
  const [scheme, key, ...rest] = header.split(" ")
  if (scheme !== "Bearer" || key === undefined || key === "" || rest.length > 0) {
    return Errors.failure(401, "Invalid Authorization header format")
  }
  return key === apiKey ? undefined : Errors.failure(401, "Invalid API key")
}

const answer = <E, R>(
  router: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  request: HttpServerRequest.HttpServerRequest
) =>
  router.pipe(
    Effect.provideService(HttpServerRequest.HttpServerRequest, request.modify({ url: joinFilePath(request.url) })),
    Effect.catchCause((cause) => {
      const error = Cause.squash(cause)
      if (HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound") {
        return Effect.succeed(respond(Errors.noRoute(request.method, request.url)))
      }
      // An interrupted request has nobody to answer to.
      return Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.succeed(respond(Errors.framework(500, error instanceof Error ? error.message : String(error))))
    })
  )

/** A file path is one parameter of its route: its slashes are escaped, as the router knows no parameter with slashes. */
const joinFilePath = (url: string) =>
  url.replace(filePath, (_, start: string, path: string) => start + path.replaceAll("/", "%2F"))

const filePath = /^(\/api\/agents\/[^/?]+\/files\/)([^?]+)/

/** What every response has (contract 2.4), except the stream of a turn, which is written past the framework. */
const withCommonHeaders = (
  response: HttpServerResponse.HttpServerResponse,
  request: HttpServerRequest.HttpServerRequest
) => {
  if (response.headers["content-type"] === "text/event-stream") return response
  const origin = request.headers["origin"]
  return HttpServerResponse.setHeaders(response, {
    vary: "Origin",
    "access-control-allow-credentials": "true",
    ...(origin === undefined ? {} : { "access-control-allow-origin": origin }),
    ...(response.headers["content-type"] === "application/json"
      ? { "content-type": "application/json; charset=utf-8" }
      : {})
  })
}
