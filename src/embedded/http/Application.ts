/** The embedded server as a function from a request to its response, without a transport. */
import * as NodeChildProcessSpawner from "@effect/platform-node/NodeChildProcessSpawner"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodeHttpPlatform from "@effect/platform-node/NodeHttpPlatform"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpApiError from "effect/http-api/HttpApiError"
import * as Etag from "effect/http/Etag"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { type ErrorResponse, ErrorResponses } from "../../schema/ErrorResponse.ts"
import { type EmbeddedOptions, Settings } from "../EmbeddedOptions.ts"
import { AgentHandlers } from "../handlers/agents.ts"
import { AgentVersionHandlers } from "../handlers/agentVersions.ts"
import { AnalyticsHandlers } from "../handlers/analytics.ts"
import { ApiKeyHandlers } from "../handlers/apiKeys.ts"
import { AttachmentHandlers } from "../handlers/attachments.ts"
import { CredentialHandlers } from "../handlers/credentials.ts"
import { EvalHandlers } from "../handlers/evals.ts"
import { HealthHandlers } from "../handlers/health.ts"
import { MessageHandlers } from "../handlers/messages.ts"
import { MetaHandlers } from "../handlers/meta.ts"
import { QueueHandlers } from "../handlers/queue.ts"
import { ServerApi } from "../handlers/ServerApi.ts"
import { SessionFileHandlers } from "../handlers/sessionFiles.ts"
import { SessionHandlers } from "../handlers/sessions.ts"
import { UsageHandlers } from "../handlers/usage.ts"
import { WorkspaceHandlers } from "../handlers/workspaces.ts"
import { Attachments } from "../sandbox/Attachments.ts"
import { DataFolder } from "../sandbox/DataFolder.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import { Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { Evals } from "../work/Evals.ts"
import { Queue } from "../work/Queue.ts"
import * as Origins from "./Origins.ts"
import { RequestChecks, respond, withHeaders } from "./RequestChecks.ts"

const routes = HttpApiBuilder.layer(ServerApi).pipe(
  Layer.provide([
    HealthHandlers,
    AgentHandlers,
    AgentVersionHandlers,
    EvalHandlers,
    SessionHandlers,
    MessageHandlers,
    SessionFileHandlers,
    WorkspaceHandlers,
    AttachmentHandlers,
    CredentialHandlers,
    QueueHandlers,
    UsageHandlers,
    AnalyticsHandlers,
    ApiKeyHandlers,
    MetaHandlers
  ]),
  Layer.provide([RequestChecks.layer, ErrorResponses.layer])
)

/** What Node offers. `layerHttpServices` also has a terminal, by which each server would listen to the input of the process. */
const platform = Layer.provideMerge(
  Layer.mergeAll(NodeChildProcessSpawner.layer, NodeHttpPlatform.layer, Etag.layerWeak),
  [NodeFileSystem.layer, NodePath.layer]
)

/** What the handlers work with, each row on those below it. */
const services = (options: EmbeddedOptions) =>
  Layer.mergeAll(Evals.layer, Queue.layer, Attachments.layer).pipe(
    Layer.provideMerge(Sandboxes.layer),
    Layer.provideMerge([Store.layer, DataFolder.layer]),
    Layer.provideMerge([Settings.layer(options), SecureRandom.layerWebCrypto, platform])
  )

/** Builds the server. The scope ends its sandboxes and processes, and removes its files. */
export const make = Effect.fnUntraced(function*(options: EmbeddedOptions) {
  const context = yield* Layer.build(services(options))
  const { keys } = Context.get(context, Store)
  const { origins } = Context.get(context, Settings)
  const router = yield* HttpRouter.toHttpEffect(Layer.provide(routes, Layer.succeedContext(context))).pipe(
    Effect.provideService(HttpRouter.RouterConfig, {
      // Slashes and letter case count. The gate refuses long parameters, except file paths.
      caseSensitive: true,
      ignoreDuplicateSlashes: false,
      ignoreTrailingSlash: false,
      maxParamLength: Number.MAX_SAFE_INTEGER
    })
  )
  return Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
    if (!isDecodable(request.url)) return respond(Errors.badUrl(request.url))
    if (request.method === "OPTIONS") return Origins.preflight(request, origins)
    const admitted = yield* Effect.result(admit(request, keys))
    const response = Result.isFailure(admitted)
      ? respond(admitted.failure)
      : yield* answer(router, request).pipe(
        Effect.provideContext(context),
        Effect.provideService(Tables.Tenant, admitted.success)
      )
    return withHeaders(response, { ...Origins.headers(request, origins), ...typeOf(response) })
  })
})

/**
 * The tenant of a request's key (docs/ash.md 2.1). Open without a key: exactly `/health`, and the pages for browsers.
 */
const admit = Effect.fnUntraced(function*(
  { headers, url }: HttpServerRequest.HttpServerRequest,
  keys: Store["Service"]["keys"]
): Effect.fn.Return<string, ErrorResponse> {
  if (url === "/health" || url === "/favicon.ico" || /^\/(?:docs|dashboard)/.test(url)) return Tables.defaultTenant
  const header = headers["authorization"]
  if (!header) return yield* Errors.failure(401, "Missing Authorization header")
  const [scheme, key, ...rest] = header.split(" ")
  if (scheme !== "Bearer" || key === undefined || key === "" || rest.length > 0) {
    return yield* Errors.failure(401, "Invalid Authorization header format")
  }
  return (yield* keys.tenantOf(key)) ?? (yield* Errors.failure(401, "Invalid API key"))
})

const answer = <E, R>(
  router: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  request: HttpServerRequest.HttpServerRequest
) =>
  router.pipe(
    Effect.provideService(HttpServerRequest.HttpServerRequest, request.modify({ url: forRouter(request.url) })),
    Effect.catchCause((cause) => {
      const error = Cause.squash(cause)
      if (HttpServerError.isHttpServerError(error) && error.reason._tag === "RouteNotFound") {
        return Effect.succeed(respond(Errors.noRoute(request.method, request.url)))
      }
      // The client of an interrupted request is gone.
      if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
      // A request that passes the gate may still fail the schema of clients. That is no failure of the server.
      return HttpApiError.HttpApiSchemaError.is(error) && requestParts.includes(error.kind)
        ? Effect.succeed(respond(Errors.framework(400, `${error.kind} cannot be handled`, "FST_ERR_VALIDATION")))
        : Effect.succeed(respond(Errors.framework(500, Errors.messageOf(error))))
    })
  )

const requestParts: ReadonlyArray<string> = ["Params", "Headers", "Query", "Payload"]

/** Whether the escapes of a path decode to a text. The router refuses others before any other check. */
const isDecodable = (url: string) => Result.isSuccess(Result.try(() => decodeURI(url.replace(/[?#].*$/s, ""))))

/**
 * A URL as the router reads it rightly: it ends a path at a semicolon, and its parameters have no slashes, of which a file
 * path, one parameter of its route, may have some.
 */
const forRouter = (url: string) =>
  url.replace(/^[^?#]+/, (path) => path.replaceAll(";", "%3B")).replace(
    filePath,
    (_, start: string, path: string) => start + path.replaceAll("/", "%2F")
  )

const filePath = /^(\/api\/(?:agents|sessions)\/[^/?]*\/files\/)([^?]+)/

/** The type of JSON, as the framework has it. A file keeps its own. */
const typeOf = ({ headers }: HttpServerResponse.HttpServerResponse) =>
  headers["content-type"] === "application/json" && headers["content-disposition"] === undefined
    ? { "content-type": "application/json; charset=utf-8" }
    : {}
