/** From an answer, or an input, that is not as it should be to an {@link AshErrorReason}. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Headers from "effect/http/Headers"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { AshError, type AshErrorReason } from "../../schema/AshError.ts"
import { ErrorBody } from "../../schema/ErrorResponse.ts"
import {
  AtCapacity,
  InvalidRequest,
  NotFound,
  NotSupported,
  RateLimited,
  ServerFailure,
  Unauthorized,
  Undecodable,
  WrongState
} from "../../schema/Reasons.ts"
import { fromHttpClientError, ofClient } from "./connectionFailures.ts"
import { limitOrElse } from "./eventLoop.ts"
import { digitsOf, exchange, requestIdIn } from "./exchange.ts"
import { mustBe } from "./options.ts"
import { printable } from "./printable.ts"
import { problemOf } from "./schemaIssue.ts"
import { type Redact, redactOf, redactTogether } from "./secrets.ts"

const bodyLimit = 65_536

/** What could be read of a response's body, and why it could not be, or what cut it off. */
export interface ReadBody {
  readonly text: string
  readonly problem?: string
  readonly cut?: AshErrorReason
}

/** How long the body of an error is waited for; it may have no end. */
const patience = Duration.seconds(2)

/** The text of a response, as far as it is of use in an error. A connection that breaks meanwhile, or the time, ends the text. */
export const readText = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<ReadBody> =>
  Effect.suspend(() => {
    let size = 0
    let text = ""
    return response.stream.pipe(
      Stream.takeUntil((chunk) => (size += chunk.length) >= bodyLimit),
      Stream.decodeText,
      Stream.runForEach((piece) =>
        Effect.sync(() => {
          text += piece
        })
      ),
      Effect.map((): ReadBody => ({ text })),
      Effect.catch((error) => {
        const reason = fromHttpClientError(ofClient(error, response.request))
        return Effect.succeed<ReadBody>(
          reason._tag === "Undecodable" ? { text, problem: reason.message } : { text, cut: reason }
        )
      }),
      limitOrElse({ duration: patience, orElse: () => Effect.fail("late" as const) }),
      Effect.catch(() => Effect.succeed<ReadBody>({ text, problem: "its body did not come to an end" }))
    )
  })

/** The failure of a body that cannot be read, or not as a whole, though its connection is sound. */
export const unreadable = (response: HttpClientResponse.HttpClientResponse, message: string, description?: string) =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.DecodeError({
      request: response.request,
      response,
      ...(description !== undefined && { description }),
      cause: new Undecodable({ message, http: exchange(response, "", redactOf(response.request)) })
    })
  })

const decodeErrorBody = Schema.decodeUnknownOption(Schema.fromJsonString(ErrorBody))

const isPage = (body: string) => /^\s*<(?:!doctype|!--|\?xml|html|head|body|title|center|h\d|div|p)\b/i.test(body)

const proxy = "is the URL that of an Ash server, or is there a proxy before it?"

/** Statuses by which any server refuses a request as too large, and so passes it on to none (RFC 9110, RFC 6585). */
const tooLarge = new Set([413, 414, 431])

const unreadableBody = (status: number, { problem, text: body }: ReadBody): string =>
  tooLarge.has(status)
    ? `the server, or a proxy before it, takes no request this large (${status}); send less at once, or let the proxy take more`
    : problem !== undefined
    ? `the server answered ${status}: ${problem}`
    : body === ""
    ? `the server answered ${status} without a body`
    : isPage(body)
    ? `the server answered ${status} with a page of HTML; ${proxy}`
    : status < 300
    ? `the server answered ${status} with something else than what was asked for`
    : `the server answered ${status} with something that is no Ash error`

/** The three forms of a date (RFC 9110, section 5.6.7), perhaps followed by the same header once more. */
const httpDate =
  /^\s*([A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} [\d:]{8}|[A-Z][a-z]+day, \d{2}-[A-Z][a-z]{2}-\d{2} [\d:]{8}|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4})(?: GMT)?\s*(?:,|$)/

/** Read without its zone a date would be of this machine's. */
const millisOf = (header = ""): number | undefined => {
  const date = httpDate.exec(header)?.[1]
  return date === undefined ? undefined : Option.getOrUndefined(DateTime.make(`${date} GMT`))?.epochMilliseconds
}

/** When a server sent its answer, by its own clock, in milliseconds. */
export const sentAt = (headers: Headers.Headers): number | undefined => millisOf(headers["date"])

/** Seconds, or a date (RFC 9110, section 10.2.3), which is compared to the server's own clock where it has sent that. */
export const retryAfterOf = (
  headers: Headers.Headers,
  now: number
): { readonly retryAfter?: Duration.Duration } => {
  const seconds = digitsOf(headers, "retry-after")
  if (seconds !== undefined) return { retryAfter: Duration.seconds(Number(seconds)) }
  const date = millisOf(headers["retry-after"])
  return date === undefined ? {} : { retryAfter: Duration.millis(Math.max(0, date - (sentAt(headers) ?? now))) }
}

/** `params/id must match format "uuid"` is about the field `id`. */
const fieldOf = (message: string) => {
  const match = /^(?:body|params|querystring|headers)\/(\S+) /.exec(message)
  return match?.[1] === undefined ? {} : { field: printable(match[1].replaceAll("/", ".")) }
}

/**
 * A message of servers in fixed words (docs/ash.md 2.2), perhaps in its body. It holds nothing of a request: no secret is as
 * short as the numbers.
 */
const fixed =
  /^(?:\{"error":")?(?:(?:Agent|Attachment|Credential|File|Sandbox|Session|Version|Workspace) not found|Bad Request|Internal Server Error|(?:Invalid|Missing) (?:API key|Authorization header(?: format)?)|(?:Exec failed: )?Not connected|Not Found|Rate limit exceeded, retry in \d{1,3} (?:seconds|minutes?)|Runner not available|Session is (?:active|ended|error|paused|starting|stopped)|Too Many Requests|Unauthorized)(?:","statusCode":\d{3}\})?$/

/** Takes secrets out of what is no such message. */
export const exceptFixed = (redact: Redact): Redact => (text) => fixed.test(text) ? text : redact(text)

/** The longest message of a server that an error shows, in characters. */
const messageLimit = 2_000

const stateOf = (message: string): string | undefined =>
  /^Session is (\w+)$/.exec(message)?.[1] ?? /with status "(\w+)"/.exec(message)?.[1]

/**
 * What a server answers for a route that it does not have, with and without its dashboard (docs/ash.md 2.2, shapes D and
 * E).
 */
const isUnknownRoute = ({ error, message, statusCode }: ErrorBody): boolean =>
  /^Route \S+ not found$/.test(message ?? "") || (error === "Not found" && (statusCode ?? undefined) === undefined)

/** Why a response is no success, by its status and, where it has one, the server's own message. */
export const fromResponse = (
  response: HttpClientResponse.HttpClientResponse,
  read: ReadBody,
  redactOther: Redact,
  now: number,
  /** Where answers hold secrets, the text of what is no error of Ash's is not shown: it may hold one. */
  { answerInErrors, startsSandbox }: { readonly answerInErrors: boolean; readonly startsSandbox: boolean }
): AshErrorReason => {
  const { headers, status } = response
  const { text } = read
  const body = Option.getOrElse(decodeErrorBody(text), (): ErrorBody => ({}))
  const serverMessage = body.message?.trim() || (body.error ?? body.message)?.trim()
  const code = body.code ?? undefined
  // What was sent may be large, and is read once for all of them.
  const shown = [serverMessage, code, requestIdIn(headers), text].filter((text) =>
    text !== undefined && !fixed.test(text)
  )
  const redact = exceptFixed(redactTogether(shown, redactOther))
  const message = serverMessage === undefined
    ? unreadableBody(status, read)
    : `${printable(redact(serverMessage), messageLimit) || "no reason given"} (${status})`
  const quoted = serverMessage !== undefined || answerInErrors || isPage(text) ? text : ""
  const http = exchange(response, quoted, redact, code)
  const retryAfter = retryAfterOf(headers, now)
  if (status < 400) {
    const location = headers["location"]
    // What is behind the path may be a secret of where it leads.
    const target = location && printable(redact(UrlParams.redactUrl(location).replace(/[?#].*/s, "")))
    return new Undecodable({
      message: target === undefined
        ? `the server answered ${status}, which no Ash server does; ${proxy}`
        : `the server redirects (${status}) to ${target}; use the URL of the server itself`,
      http
    })
  }
  switch (status) {
    case 401:
    case 403:
      return new Unauthorized({
        message: status === 403
          ? `the server refused this: ${message}`
          : `the server refused the key: ${message}; set another apiKey (ASH_API_KEY)`,
        http
      })
    case 429:
      return new RateLimited({ message, http, ...retryAfter })
    case 503:
      if (startsSandbox && /capacity reached|No runners available/i.test(serverMessage ?? "")) {
        return new AtCapacity({ message, http, ...retryAfter })
      }
  }
  if (status >= 500 || status === 408 || status === 425) return new ServerFailure({ message, http, ...retryAfter })
  if (tooLarge.has(status)) return new InvalidRequest({ message, http })
  // What no Ash server has sent, a proxy's page of 404 above all, does not show what the server has.
  if (serverMessage === undefined) return read.cut ?? new Undecodable({ message, http })
  switch (status) {
    case 404:
      return isUnknownRoute(body)
        ? new NotSupported({ message: `this server does not have the route: ${message}`, http })
        : new NotFound({ message, http })
    case 410:
      return new WrongState({ message, http, status: "ended" })
  }
  const state = stateOf(serverMessage)
  return state === undefined
    ? new InvalidRequest({ message, http, ...fieldOf(redact(serverMessage)) })
    : new WrongState({ message, http, status: redact(state) })
}

/** A success whose body is not what it should be. */
export const undecodable = (
  response: HttpClientResponse.HttpClientResponse,
  read: ReadBody,
  redact: Redact,
  /** Whether the content of such an answer may be shown; a page, which no Ash server answers, always is. */
  showsBody: boolean,
  where?: string
): AshErrorReason =>
  new Undecodable({
    message: where === undefined || read.text === "" || isPage(read.text)
      ? unreadableBody(response.status, read)
      : where,
    http: exchange(response, showsBody || isPage(read.text) ? read.text : "", redact)
  })

/** A success whose body is of another type than that of a stream of events. */
export const noEventStream = (response: HttpClientResponse.HttpClientResponse, read: ReadBody, redact: Redact) =>
  new Undecodable({
    message: "the answer should be an event stream; it is " +
      `${printable(redact(response.headers["content-type"] ?? "of no type"))}; ${proxy}`,
    http: exchange(response, read.text, redact)
  })

/** What a schema finds in a response's body. The keys of maps in it are the server's own words. */
export const describeBody = (error: Schema.SchemaError, redact: Redact): string => {
  const { expected, field: path } = problemOf(error.issue)
  const field = printable(redact(path), messageLimit)
  return `${field === "" ? "the body of" : `${field} in`} the response should be ${expected}`
}

export const refusedBy = (operation: string) => (error: Schema.SchemaError) =>
  new AshError({ operation, reason: fromInput(error) })

/** An input as it must be, or its refusal by the name of its field. */
export const checkInput = <S extends Schema.Constraint>(schema: S) => {
  const check = Schema.decodeUnknownEffect(Schema.toType(schema))
  return (operation: string, input: unknown) => Effect.mapError(check(input), refusedBy(operation))
}

/** Input that a schema refuses, before anything was sent. */
export const fromInput = (error: Schema.SchemaError): AshErrorReason => {
  const { expected, field } = problemOf(error.issue)
  return mustBe(field, expected)
}
