/**
 * The checks before every handler, in the order of the real server: the rate limit (docs/ash.md 2.3), then the body, the
 * path and the query (docs/ash.md 2.2 and 2.5). A request that passes is well-formed.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { AshApi } from "../../schema/AshApi.ts"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import { BodyLimit } from "../../schema/Operation.ts"
import { Settings } from "../EmbeddedOptions.ts"
import { Store } from "../store/Store.ts"
import * as Bodies from "../wire/Bodies.ts"
import * as Errors from "../wire/Errors.ts"
import { field, isObject } from "../wire/Json.ts"
import * as RateLimits from "./RateLimits.ts"
import * as Routes from "./Routes.ts"
import * as Validation from "./Validation.ts"

type Params = Readonly<Record<string, string | undefined>>

type Headers = Readonly<Record<string, string>>

/** The greatest length of a path segment that matches a route. A file path may be of any length. */
const segmentLimit = 100

const bodyLimits = new Map(
  Object.values(AshApi.groups).flatMap((group) => Object.values(group.endpoints)).map((endpoint) => [
    `${endpoint.method} ${endpoint.path}`,
    Context.get(endpoint.annotations, BodyLimit)
  ])
)

export const RequestChecks = HttpRouter.middleware(Effect.gen(function*() {
  const { quirks } = yield* Settings
  const count = yield* RateLimits.make
  const store = yield* Store
  const routes = Routes.make(quirks)

  /** The request as its handler receives it, or the error that refuses it. */
  const admit = Effect.fnUntraced(function*(
    request: HttpServerRequest.HttpServerRequest,
    key: string,
    params: Params,
    query: Readonly<Record<string, string | ReadonlyArray<string>>>
  ) {
    const route = routes.get(key) ?? {}
    const { id, path } = params
    const body = yield* Bodies.read(request, bodyLimits.get(key) ?? BodyLimit.defaultValue())
    if (id !== undefined && route.isPlainId !== true) yield* validate(idRule, id, "params/id")
    const given = route.isBodyOptional === true && !isObject(body) ? {} : body
    const accepted = route.body === undefined ? undefined : yield* validate(route.body, given, "body")
    const asked = route.query === undefined ? {} : yield* validate(route.query, { ...query }, "querystring")
    if (path !== undefined && route.refusesFilePath === true) yield* checkPath(params, path)
    return {
      request: accepted === undefined ? request : withBody(request, accepted),
      query: queryOf(route.query ?? { type: "object" }, asked)
    }
  })

  const checkPath = Effect.fnUntraced(function*({ id, name = "" }: Params, path: string) {
    yield* id === undefined ? store.agent(name) : store.session(id)
    if (path === "") return yield* Errors.badRequest("File path required")
    if (path.includes("..") || path.startsWith("/")) return yield* Errors.badRequest("Invalid file path")
  })

  return (handler) =>
    Effect.gen(function*() {
      const request = yield* HttpServerRequest.HttpServerRequest
      const query = yield* HttpServerRequest.ParsedSearchParams
      const { params, route } = yield* HttpRouter.RouteContext
      const key = `${route.method} ${route.path}`
      const { id = "", name = "", versionNumber = "" } = params
      if ([id, name, versionNumber].some(({ length }) => length > segmentLimit)) {
        return respond(Errors.noRoute(request.method, request.url))
      }
      const { headers, isExceeded, rest } = yield* count(key)
      if (isExceeded) return exceeded(headers, rest)
      const admitted = yield* Effect.result(admit(request, key, params, query))
      const response = Result.isFailure(admitted)
        ? refuse(admitted.failure, routes.get(key))
        : yield* handler.pipe(
          Effect.provideService(HttpServerRequest.HttpServerRequest, admitted.success.request),
          Effect.provideService(HttpServerRequest.ParsedSearchParams, admitted.success.query)
        )
      return withHeaders(response, headers)
    })
}))

const idRule: Validation.Rule = { type: "string", format: "uuid" }

const validate = (rule: Validation.Rule, value: Schema.Json | undefined, path: string) =>
  Effect.mapError(
    Effect.fromResult(Validation.check(rule, value, path)),
    (message) => Errors.framework(400, message, "FST_ERR_VALIDATION")
  )

/** A query as its handler decodes it: coerced values in their plain form, and no empty text, as it filters nothing. */
const queryOf = ({ properties = {} }: Validation.Fields, asked: Schema.Json) =>
  Object.fromEntries(
    Object.entries(properties).flatMap(([name, rule]) => {
      const value = field(asked, name)
      return value === undefined || value === "" ? [] : [[name, spelt(rule, value)]]
    })
  )

const spelt = (rule: Validation.Rule, value: Schema.Json): string => {
  if (typeof value === "number") return String(Math.min(value, Number.MAX_SAFE_INTEGER))
  const text = String(value)
  return rule.type === "string" && rule.format === "date-time" ? Validation.instantOf(text) ?? text : text
}

/** A request with its coerced body. The method plays no part any more, as the route is chosen. */
const withBody = (request: HttpServerRequest.HttpServerRequest, body: Schema.Json) =>
  HttpServerRequest.fromClientRequest(
    HttpClientRequest.post(request.url).pipe(HttpClientRequest.bodyText(JSON.stringify(body), "application/json"))
  ).modify({ url: request.url })

export const respond = ({ body, status }: ErrorResponse) => HttpServerResponse.jsonUnsafe(body, { status })

const refuse = (error: ErrorResponse, { declares = [] }: Routes.Route = {}) => {
  const response = respond(declares.includes(error.status) ? Errors.stripped(error.status) : error)
  return Bodies.readErrors.has(error) ? HttpServerResponse.setHeader(response, "connection", "close") : response
}

/** A response with further headers. A real server writes the stream of a turn past its framework, so without them. */
export const withHeaders = (response: HttpServerResponse.HttpServerResponse, headers: Headers) =>
  response.headers["content-type"] === "text/event-stream"
    ? response
    : HttpServerResponse.setHeaders(response, headers)

const exceeded = (headers: Headers, rest: number) =>
  HttpServerResponse.setHeaders(respond(Errors.framework(429, `Rate limit exceeded, retry in ${inWords(rest)}`)), {
    ...headers,
    "retry-after": String(Math.ceil(rest / 1000))
  })

const inWords = (millis: number) => {
  const minutes = Math.round(millis / 60_000)
  const [count, unit] = minutes >= 1 ? [minutes, "minute"] : [Math.round(millis / 1000), "second"]
  return `${count} ${unit}${count === 1 ? "" : "s"}`
}
