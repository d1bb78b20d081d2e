/** The exchange of a request and its answer, as errors show it. */
import type * as Headers from "effect/http/Headers"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as UrlParams from "effect/http/UrlParams"
import type { HttpExchange } from "../../schema/HttpExchange.ts"
import { printable, printableLines } from "./printable.ts"
import type { Redact } from "./secrets.ts"

/** The most characters of an answer, or of another program's words, in an error. */
export const excerptLimit = 1_000
const requestIdLimit = 200

/** The number in a header. Of one that is there twice some clients show both, with a comma between; the first counts. */
export const digitsOf = (headers: Headers.Headers, name: string): string | undefined =>
  /^\s*(\d+)\s*(?:,|$)/.exec(headers[name] ?? "")?.[1]

/** The path of a request, with what is hidden of its query. */
export const pathOf = (request: HttpClientRequest.HttpClientRequest): string =>
  UrlParams.redactUrl(request.url).replace(/^https?:\/\/[^/]*/, "")

/** Where servers and proxies put the name by which their logs know a request; the nearest to the server first. */
const requestIdHeaders = [
  "x-request-id",
  "request-id",
  "x-requestid",
  "x-correlation-id",
  "x-amzn-requestid",
  "x-amz-request-id",
  "x-amz-cf-id",
  "x-vercel-id",
  "fly-request-id",
  "cf-ray",
  "x-cloud-trace-context",
  "x-trace-id",
  "traceparent"
]

export const requestIdIn = (headers: Headers.Headers): string | undefined =>
  requestIdHeaders.map((name) => headers[name]).find((value) => value !== undefined && value !== "")

/** The name by which the logs of servers and proxies know a request. */
export const requestIdOf = (headers: Headers.Headers, redact: Redact): Pick<HttpExchange, "requestId"> => {
  const id = requestIdIn(headers)
  return id === undefined ? {} : { requestId: printable(redact(id), requestIdLimit) }
}

/** The exchange that a response belongs to, with the start of its body where that may be shown. */
export const exchange = (
  response: HttpClientResponse.HttpClientResponse,
  body: string,
  redact: Redact,
  code?: string
): HttpExchange => ({
  method: response.request.method,
  path: pathOf(response.request),
  status: response.status,
  ...requestIdOf(response.headers, redact),
  ...(code === undefined ? {} : { code: printable(redact(code)) }),
  ...(body === "" ? {} : { body: printableLines(redact(body), excerptLimit) })
})
