/** Reads the bodies of requests as Fastify does (docs/ash.md 2.2, 2.4 and 2.5). */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import * as Errors from "./Errors.ts"

const refused = (status: number, message: string, code: string) =>
  Errors.framework(status, message, `FST_ERR_CTP_${code}`)

const tooLarge = refused(413, "Request body is too large", "BODY_TOO_LARGE")
const badType = refused(415, "Unsupported Media Type", "INVALID_MEDIA_TYPE")
const emptyJson = refused(400, "Body cannot be empty when content-type is set to 'application/json'", "EMPTY_JSON_BODY")
const badEncoding = refused(400, "Request body size did not match Content-Length", "INVALID_CONTENT_LENGTH")
const badJson = refused(
  400,
  "Body is not valid JSON but content-type is set to 'application/json'",
  "INVALID_JSON_BODY"
)

/** The errors of reading a body. Each closes the connection, as more of the body may come. */
export const readErrors: ReadonlySet<unknown> = new Set([tooLarge, emptyJson, badEncoding, badJson])

/**
 * The levels that JSON may have. Handlers, stores and responses walk it recursively. A real server has no limit: at some
 * thousands of levels its stack overflows, with a 500, where it keeps the value.
 */
const maxDepth = 1000

const parse = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Unknown))
const decodeJson = Schema.decodeUnknownEffect(Schema.Json)

/** Whether JSON reaches into prototypes, or is too deep. It is walked level by level, without recursion. */
const isRefused = (json: unknown): boolean => {
  let level = [json]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > maxDepth || level.some(isPoisoned)) return true
    level = level.filter(Predicate.isObjectOrArray).flatMap((value) => Object.values<unknown>(value))
  }
  return false
}

/** The rule of the JSON parser of the real server's framework, which sees names with their escapes decoded. */
const isPoisoned = (value: unknown): boolean => {
  if (!Predicate.isObjectOrArray(value)) return false
  if (Object.hasOwn(value, "__proto__")) return true
  const constructor: unknown = Object.getOwnPropertyDescriptor(value, "constructor")?.value
  return Predicate.isObjectOrArray(constructor) && Object.hasOwn(constructor, "prototype")
}

/** Reads a body up to a limit in bytes. An absent one is `undefined`. A text stays a text, which no route takes. */
export const read = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest, limit: number) {
  if (request.method === "GET" || request.method === "HEAD") return undefined
  if (Number(request.headers["content-length"] ?? 0) > limit) return yield* tooLarge
  const bytes = yield* request.arrayBuffer.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(limit)),
    Effect.mapError(() => tooLarge)
  )
  if (bytes.byteLength > limit) return yield* tooLarge

  const type = request.headers["content-type"]?.split(";")[0]?.trim().toLowerCase()
  // A body without a length needs a type, though it is empty.
  const isAbsent = bytes.byteLength === 0 && request.headers["transfer-encoding"] === undefined
  if (type === undefined && isAbsent) return undefined
  if (type !== "application/json" && type !== "text/plain") return yield* badType
  // What is no UTF-8 is replaced, which may change the length: that alone is refused.
  const text = Buffer.from(bytes).toString()
  const length = Buffer.byteLength(text)
  if (length > limit) return yield* tooLarge
  if (length !== Number(request.headers["content-length"] ?? length)) return yield* badEncoding
  if (type === "text/plain") return text
  if (text === "") return yield* emptyJson
  const json = yield* Effect.mapError(parse(text.replace(/^\ufeff/, "")), () => badJson)
  if (isRefused(json)) return yield* badJson
  return yield* Effect.mapError(decodeJson(json), () => badJson)
})

/**
 * The body that the gate has checked, for a handler that accepts more than the schema of clients. A client refuses to send
 * some bodies that a real server accepts.
 */
export const accepted = <S extends Schema.Top & { readonly DecodingServices: never }>(schema: S) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (request: HttpServerRequest.HttpServerRequest) => Effect.orDie(Effect.flatMap(request.json, decode))
}
