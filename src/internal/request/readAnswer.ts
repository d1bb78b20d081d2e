/** From a response to what it answers, or why it is no success, or cannot be read. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Schema from "effect/Schema"
import type { AshErrorReason } from "../../schema/AshError.ts"
import type { Received } from "./answer.ts"
import * as ConnectionFailures from "./connectionFailures.ts"
import { type Endpoint, eventStream } from "./endpoint.ts"
import * as Failures from "./failures.ts"
import { safelyIs } from "./inspectUnknown.ts"
import { redactOf } from "./secrets.ts"

/** A part of what was asked for, which nothing here asks for. */
const partialContent = 206

/** Whether a header has the type of events and no other. Types are compared by type and subtype alone. */
const isEventStream = (header = "") =>
  header === eventStream || header.replaceAll(/"(?:[^"\\]|\\.)*"?/g, "").split(",")
    .every((type) => type.split(";")[0]?.trim().toLowerCase() === eventStream)

/**
 * Whether a proxy answers a page of its own in the place of a file: servers name each file that they answer. What a browser
 * has of another origin has neither that header nor a date.
 */
const isProxyPage = (headers: Received["headers"]) =>
  /^\s*text\/html/i.test(headers["content-type"] ?? "") && headers["content-disposition"] === undefined &&
  headers["date"] !== undefined

const unread = (
  error: HttpClientError.HttpClientError | Schema.SchemaError,
  response: HttpClientResponse.HttpClientResponse,
  { answerInErrors }: Endpoint
): Effect.Effect<AshErrorReason> => {
  if (!safelyIs(error, Schema.isSchemaError)) {
    return Effect.succeed(ConnectionFailures.fromHttpClientError(ConnectionFailures.ofClient(error, response.request)))
  }
  const redact = redactOf(response.request)
  return Effect.map(
    Effect.orElseSucceed(response.text, () => ""),
    (text) => Failures.undecodable(response, { text }, redact, answerInErrors, Failures.describeBody(error, redact))
  )
}

/**
 * Reads a success of a type that the endpoint declares, of whatever status: a proxy that changed it, say, makes 203 of it. Of a
 * stream not yet what it holds.
 */
export const readAnswer = (endpoint: Endpoint, received: Received) => {
  const { headers, response } = received
  const { answerInErrors, answersEvents, answersStream } = endpoint
  const isSuccess = response.status >= 200 && response.status < 300
  const isTyped = answersEvents ? isEventStream(headers["content-type"]) : !answersStream || !isProxyPage(headers)
  if (isSuccess && isTyped && response.status !== partialContent) {
    return Effect.matchEffect(endpoint.decode(received), {
      onFailure: (error) => Effect.flip(unread(error, response, endpoint)),
      onSuccess: (value) => Effect.succeed({ value, response })
    })
  }
  return Effect.gen(function*() {
    const body = yield* Failures.readText(response)
    const now = yield* Clock.currentTimeMillis
    const redact = redactOf(response.request)
    if (!isSuccess) return yield* Effect.fail(Failures.fromResponse(response, body, redact, now, endpoint))
    return yield* Effect.fail(
      answersEvents && !isTyped
        ? Failures.noEventStream(response, body, redact)
        : Failures.undecodable(response, body, redact, answerInErrors)
    )
  })
}
