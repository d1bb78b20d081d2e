/** Which pages in a browser may read responses of the server, and by which host names it may be reached. */
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"

/** Those of the options, if any. */
type Origins = ReadonlyArray<string> | undefined

type Headers = Readonly<Record<string, string>>

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

const mayRead = (origin: string, origins: Origins): boolean =>
  origins === undefined ? isLoopback(hostOf(origin.replace(/^https?:\/\//i, ""))) : origins.includes(origin)

/**
 * The headers of every response but the stream of a turn, which a real server writes past its framework. They allow a page
 * of another origin to read a response, or forbid it to load one as a script or an image. Credentials of the browser are
 * not needed, as the key is a header. They are allowed for origins of the options, as a real server allows them for all.
 */
export const headers = ({ headers: { origin } }: HttpServerRequest, origins: Origins): Headers => ({
  vary: "Origin",
  ...(origin !== undefined && mayRead(origin, origins) ? { "access-control-allow-origin": origin } : {}),
  ...(origins === undefined
    ? { "cross-origin-resource-policy": "same-origin" }
    : { "access-control-allow-credentials": "true" })
})

/** The response to a preflight request, which a browser sends before a request to another origin. */
export const preflight = (request: HttpServerRequest, origins: Origins) => {
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
 * Whether a request reaches this server by a host name of its own. A site can make its name lead to this machine, and then
 * the browser takes this server for the site's own: such a name is refused. An IP address cannot be misused so.
 */
export const isOwnName = ({ headers }: HttpServerRequest, host: string, names: ReadonlyArray<string>): boolean => {
  const asked = hostOf(headers["host"] ?? "")
  const isAddress = /^(?:\d+(?:\.\d+){3}|\[.*\])$/.test(asked)
  return isLoopback(asked) || (isAddress && !isLoopback(host)) ||
    [host, ...names].some((name) => asked !== "" && name.toLowerCase() === asked)
}
