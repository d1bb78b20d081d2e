/** Which pages in a browser may read what the server answers, and by which names it may be asked. */
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"

/** Whether a host, as a URL spells it, means the machine of the client itself. */
export const isLoopback = (host: string): boolean =>
  /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?|\[?::ffff:(?:127(?:\.\d{1,3}){3}|7f[\da-f]{2}:[\da-f]{1,4})\]?)$/i.test(
    host
  )

/** The host of an authority, without its port; empty where it is none. */
const hostOf = (authority: string): string => {
  const url = `http://${authority}`
  return /^[\w.:[\]-]+$/.test(authority) && URL.canParse(url) ? new URL(url).hostname : ""
}

/** Whether a page of an origin may read answers. */
const mayRead = (origin: string, origins: ReadonlyArray<string> | undefined): boolean =>
  origins === undefined ? isLoopback(hostOf(origin.replace(/^https?:\/\//i, ""))) : origins.includes(origin)

/**
 * The headers that let a page of another origin read an answer, or keep it from loading one as a script or a picture. A key
 * goes in a header of its own, which needs none of a browser's credentials; origins that were named get them as a real
 * server gives them to all.
 */
const allow = (
  { headers }: HttpServerRequest.HttpServerRequest,
  origins: ReadonlyArray<string> | undefined
): Readonly<Record<string, string>> => {
  const origin = headers["origin"]
  return {
    ...(origin !== undefined && mayRead(origin, origins) ? { "access-control-allow-origin": origin } : {}),
    ...(origins === undefined
      ? { "cross-origin-resource-policy": "same-origin" }
      : { "access-control-allow-credentials": "true" })
  }
}

/** What every response has, except the stream of a turn, which real servers write past their framework. */
export const headers = (
  request: HttpServerRequest.HttpServerRequest,
  origins: ReadonlyArray<string> | undefined
): Readonly<Record<string, string>> => ({ vary: "Origin", ...allow(request, origins) })

/** The answer to what a browser asks before it sends a request to another origin. */
export const preflight = (
  request: HttpServerRequest.HttpServerRequest,
  origins: ReadonlyArray<string> | undefined
): HttpServerResponse.HttpServerResponse => {
  const allowed = headers(request, origins)
  if (!request.headers["origin"] || !request.headers["access-control-request-method"]) {
    return HttpServerResponse.text("Invalid Preflight Request", {
      status: 400,
      contentType: "text/plain",
      headers: allowed
    })
  }
  const asked = request.headers["access-control-request-headers"]
  return HttpServerResponse.empty({
    status: 204,
    headers: {
      ...allowed,
      vary: "Origin, Access-Control-Request-Headers",
      "access-control-allow-methods": "GET, HEAD, PUT, PATCH, POST, DELETE",
      ...(asked === undefined ? {} : { "access-control-allow-headers": asked })
    }
  })
}

/**
 * Whether a request asks for this server by a name of its own. A page whose name was made to lead to this machine has the
 * browser ask by that name, as if the server were its own. An IP address is no such name.
 */
export const isOwnName = (
  { headers }: HttpServerRequest.HttpServerRequest,
  host: string,
  names: ReadonlyArray<string>
): boolean => {
  const asked = hostOf(headers["host"] ?? "")
  const isAddress = /^(?:\d+(?:\.\d+){3}|\[.*\])$/.test(asked)
  return isLoopback(asked) || (isAddress && !isLoopback(host)) ||
    [host, ...names].some((name) => asked !== "" && name.toLowerCase() === asked)
}
