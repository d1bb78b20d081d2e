/** From what broke a request, or the body of its answer, to an {@link AshErrorReason}. */
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as UrlParams from "effect/http/UrlParams"
import * as Predicate from "effect/Predicate"
import type { AshErrorReason } from "../../schema/AshError.ts"
import { ConnectionLost, InvalidRequest, NotReached, Undecodable } from "../../schema/Reasons.ts"
import { excerptLimit, pathOf, requestIdOf } from "./exchange.ts"
import { asInstance, errorChainOf, type ErrorLink, safelyIs } from "./inspectUnknown.ts"
import { printable } from "./printable.ts"
import { type Redact, redactOf } from "./secrets.ts"

const schemes = "http:// is for servers without TLS, https:// for those with it"

const notConnected = new Map([
  ["ECONNREFUSED", "connection refused"],
  ["ConnectionRefused", "connection refused"],
  ["ENOTFOUND", "no such host"],
  ["EAI_AGAIN", "the host's name could not be looked up"],
  ["FailedToOpenSocket", "no such host"],
  ["EHOSTUNREACH", "host unreachable"],
  ["ENETUNREACH", "network unreachable"],
  ["EADDRNOTAVAIL", "address not available"],
  ["UND_ERR_CONNECT_TIMEOUT", "no connection in time"],
  ["ERR_PROXY_TUNNEL", "the proxy made no connection to it"],
  ["CERT_HAS_EXPIRED", "the server's certificate has expired"],
  ["CERT_NOT_YET_VALID", "the server's certificate is not yet valid"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "the server's certificate is for another name"]
])

/** What else Node finds wrong with a certificate, by the names of OpenSSL. It looks before it sends anything. */
const wrongCertificate = /^(?:(?:CERT|CRL|UNABLE_TO)_[A-Z_]+|INVALID_(?:CA|PURPOSE)|PATH_LENGTH_EXCEEDED)$/

/** What a connection is made by. Any other call of the system that fails may be of one which something was sent over. */
const connecting = /^(?:connect|getaddrinfo|query\w+)$/

/** How Node reports a connection that is closed in the handshake, by the code of one that is reset at any time. */
const closedInHandshake = "Client network socket disconnected before secure TLS connection was established"

/** How Deno's fetch reports that no connection was made. */
const deno = /^error sending .+ client error \(Connect\): /

/** Why there was no connection, if it is certain that there was none. */
const whyNotReached = ({ code, message, syscall }: ErrorLink): string | undefined => {
  if (message === closedInHandshake) return "closed in the TLS handshake"
  // Of Node's fetch, as the Web has it.
  if (message === "bad port") return "refused by fetch"
  const ofDeno = message?.split(deno)[1]
  if (code === undefined) return ofDeno && printable(ofDeno)
  const isConnecting = connecting.test(syscall ?? "")
  if (syscall !== undefined && !isConnecting) return undefined
  const why = notConnected.get(code)
  if (why !== undefined) return why
  if (code.includes("SELF_SIGNED")) return "the server's certificate is self-signed; set NODE_EXTRA_CA_CERTS"
  if (wrongCertificate.test(code)) return `the server's certificate is refused: ${code}`
  if (isConnecting && (code === "EPROTO" || code.startsWith("ERR_SSL_"))) return `the TLS handshake failed; ${schemes}`
  return isConnecting ? `no connection: ${printable(code)}` : undefined
}

/** What the words of a client do not tell. */
const explanations = new Map([
  ["ERR_SSL_WRONG_VERSION_NUMBER", `what answered did not speak TLS; ${schemes}`],
  ["EPROTO", `TLS failed; ${schemes}`],
  ["UND_ERR_BODY_TIMEOUT", "Node's fetch ends a response that is silent for 300 seconds; AshNode.layer does not"],
  [
    "UND_ERR_HEADERS_TIMEOUT",
    "Node's fetch waits 300 seconds for an answer; AshNode.layer waits as long as the timeouts allow"
  ]
])

/** The innermost words on what broke a connection, with what explains them, by default so. */
const describeCause = (cause: unknown, redact: Redact, explanation?: string): string => {
  const last = errorChainOf(cause).findLast(({ code, message }) => code !== undefined || (message ?? "") !== "")
  const words = [last?.code, last?.message, explanations.get(last?.code ?? "") ?? explanation]
    .filter(Predicate.isNotUndefined)
    .join(": ")
  return printable(redact(words), excerptLimit) || "no reason given"
}

/** Whether a page asks a server of another origin; a browser reports nothing of an answer that it keeps from the page. */
const isCrossOrigin = (origin: string): boolean =>
  Predicate.hasProperty(globalThis, "location") &&
  Predicate.hasProperty(globalThis.location, "origin") &&
  globalThis.location.origin !== origin

const crossOrigin =
  "; a browser keeps from a page what a server of another origin does not share, and none shares a turn: serve both from one origin, by a proxy"

const isResponse = (value: unknown) => Predicate.hasProperty(value, "stream") && Predicate.hasProperty(value, "status")

const isClientError = (error: unknown): error is HttpClientError.HttpClientError => {
  if (!HttpClientError.isHttpClientError(error)) return false
  const { reason } = error
  if (!Predicate.hasProperty(reason, "request") || !HttpClientRequest.isHttpClientRequest(reason.request)) return false
  switch (reason._tag) {
    case "TransportError":
    case "InvalidUrlError":
    case "EncodeError":
      return true
    case "StatusCodeError":
    case "EmptyBodyError":
    case "DecodeError":
      return isResponse(reason.response)
    default:
      return false
  }
}

/** What a client failed with, which one of other code may do with anything. */
export const ofClient = (error: unknown, request: HttpClientRequest.HttpClientRequest) =>
  safelyIs(error, isClientError)
    ? error
    : new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause: error }) })

/** A request that got no response, or a response whose body broke off. */
export const fromHttpClientError = (error: HttpClientError.HttpClientError): AshErrorReason => {
  const { reason } = error
  const own = asInstance(reason.cause, Undecodable) ?? asInstance(reason.cause, ConnectionLost)
  if (own !== undefined) return own
  const http = { method: reason.request.method, path: pathOf(reason.request) }
  const redact = redactOf(reason.request)
  const describe = (explanation?: string) => describeCause(reason.cause, redact, explanation)
  switch (reason._tag) {
    case "TransportError": {
      const chain = errorChainOf(reason.cause)
      // Node's fetch decodes up to five codings, and fails otherwise before there is an answer.
      if (chain.some(({ message }) => /^too many content-encodings\b/.test(message ?? ""))) {
        return new Undecodable({ message: `the body cannot be decoded here (${describe()})`, http })
      }
      const why = chain.map(whyNotReached).find(Predicate.isNotUndefined)
      const origin = /^https?:\/\/[^/]*/.exec(UrlParams.redactUrl(reason.request.url))?.[0] ?? "the server"
      const further = reason.description === undefined ? "" : `; ${printable(redact(reason.description))}`
      if (why !== undefined) {
        const message = `no server reached at ${origin} (${why})${further}; start it, or mend the url`
        return new NotReached({ message, http })
      }
      // A server of TLS closes, or answers with what is no HTTP.
      const cause = describe(origin.startsWith("http:") ? schemes : undefined)
      const kept = chain.every(({ code }) => code === undefined) && isCrossOrigin(origin) ? crossOrigin : ""
      return new ConnectionLost({ message: `the connection to ${origin} broke (${cause})${kept}${further}`, http })
    }
    case "InvalidUrlError":
    case "EncodeError":
      return new InvalidRequest({ message: `the request could not be made (${describe()})`, http })
    case "StatusCodeError":
    case "EmptyBodyError":
    case "DecodeError":
      return new ConnectionLost({
        message: `the connection broke while the response was read (${describe()})`,
        http: { ...http, status: reason.response.status, ...requestIdOf(reason.response.headers, redact) }
      })
  }
}
