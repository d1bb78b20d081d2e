/** A response as everything behind the transport reads it: its content decoded, and counted while it is read. */
import * as Arr from "effect/Array"
import * as Bytes from "effect/Bytes"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { ofClient } from "./connectionFailures.ts"
import { unreadable } from "./failures.ts"
import { errorChainOf } from "./inspectUnknown.ts"
import { redactOf } from "./secrets.ts"

type Response = HttpClientResponse.HttpClientResponse
type ByteStream = Stream.Stream<Uint8Array, HttpClientError.HttpClientError>

/** Decodes bytes, and reports what is wrong with them by an error of the caller's. */
type Decode = (bytes: ByteStream, onError: (cause: unknown) => HttpClientError.HttpClientError) => ByteStream

/** How a content is decoded that has a coding and begins so; none where the platform cannot. */
export type ContentDecoder = (coding: string, start: Uint8Array) => Option.Option<Decode>

/** The format of a coding, by the names of `DecompressionStream`. */
export const formatOf = (coding: string, start: Uint8Array): string => {
  switch (coding) {
    case "gzip":
    case "x-gzip":
      return "gzip"
    case "deflate":
      // Some servers send what is meant by the name, and some what RFC 9110 defines: with the header of zlib.
      return ((start[0] ?? 0) & 0x0f) === 8 ? "deflate" : "deflate-raw"
    case "br":
      return "brotli"
    default:
      return coding
  }
}

type Transform = TransformStream<Uint8Array<ArrayBuffer>, Uint8Array>

/** Sends bytes through a transformation of the platform, which takes only memory that no other thread shares. */
export const through =
  <E2>(evaluate: () => Transform, onError: (cause: unknown) => E2) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E | E2, R> =>
    Stream.pipeThroughChannel(
      Stream.map(bytes, (chunk) => new Uint8Array(chunk)),
      Channel.fromTransformStream({ evaluate, onError })
    )

/** What the Web's `DecompressionStream` can decode here. */
const platformDecoder: ContentDecoder = (coding, start) =>
  Option.map(
    Result.getSuccess(
      Result.try((): Transform => Reflect.construct(DecompressionStream, [formatOf(coding, start)]))
    ),
    (transform): Decode => (bytes, onError) => through(() => transform, onError)(bytes)
  )

/** How contents are decoded that a transport leaves coded. */
export class ContentDecoding
  extends Context.Reference<ContentDecoder>("effect-ash/internal/request/answer/ContentDecoding", {
    defaultValue: () => platformDecoder
  })
{}

const none: ReadonlyArray<string> = []

/** The codings of a content, in the order in which they were applied. */
const codingsOf = (headers: Headers.Headers): ReadonlyArray<string> =>
  headers["content-encoding"]?.toLowerCase().match(/[^\s,]+/g) ?? none

const isNone = (coding: string) => coding === "identity"

/** A `Response` of `fetch`, unlike one that a program made, has a URL. */
const isFetched = (response: Response) => Option.exists(HttpClientResponse.toWeb(response), ({ url }) => url !== "")

/** What each `fetch` decodes; where there is another in the list, some decode nothing. */
const ofAllFetches: ReadonlySet<string> = new Set(["gzip", "x-gzip", "deflate", "br"])

const ofSomeFetches: ReadonlySet<string> = new Set([...ofAllFetches, "zstd", "identity"])

/** How contents begin that have a coding, where a beginning shows it. */
const signs: ReadonlyMap<string, ReadonlyArray<number>> = new Map([
  ["gzip", [0x1f, 0x8b]],
  ["x-gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]]
])

/** Shown in a message, so that nothing of a header is in it that is no name, or is of the request. */
const quote = ({ request }: Response, coding: string) =>
  /^[\w.+, -]{1,80}$/.test(redactOf(request)(coding)) ? `"${coding}"` : "with another name"

/** Marks the failure of a content that ends within its coding. */
const cutShort = "cut short"

/** Whether a content ended within its coding, and was right until then. */
export const isCutShort = ({ reason }: HttpClientError.HttpClientError) =>
  reason._tag === "DecodeError" && reason.description === cutShort

/** As the decoders of platforms name what they fail with. */
const decodingFailure = /^(?:Z_\w+|ZSTD_error\w+|ERR_(?:_ERROR|BROTLI|ZLIB|ZSTD)_\w+|(?:Zlib|Brotli|Zstd)\w*Error)$/

/** Goes on with a stream as its first bytes decide, so many of them if there are; one without any is none. */
const byStart = (
  bytes: ByteStream,
  length: number,
  onStart: (start: Uint8Array, bytes: ByteStream) => ByteStream
): ByteStream =>
  Stream.unwrap(Effect.suspend(() => {
    let size = 0
    const start = Sink.takeUntil((chunk: Uint8Array) => (size += chunk.length) >= length)
    return Effect.map(Stream.peel(bytes, start), ([chunks, rest]) =>
      size === 0 ? Stream.empty : onStart(Bytes.concat(chunks), Stream.concat(Stream.fromIterable(chunks), rest)))
  }))

const decoded = (response: Response, decoder: ContentDecoder, listed: ReadonlyArray<string>): ByteStream => {
  const codings = listed.filter((coding) => !isNone(coding))
  const last = codings.at(-1)
  if (last === undefined) return response.stream

  const undecoded = (coding: string) =>
    unreadable(response, `the body has the content coding ${quote(response, coding)}, which cannot be decoded here`)

  const broken = (coding: string, cause: unknown) =>
    unreadable(
      response,
      `the body should have the content coding ${quote(response, coding)}; it is broken`,
      // The code of zlib, whatever the coding.
      errorChainOf(cause).some(({ code }) => code === "Z_BUF_ERROR") ? cutShort : undefined
    )

  const decodeAll = (bytes: ByteStream): ByteStream =>
    Arr.reduceRight(
      codings,
      bytes,
      (bytes, coding) =>
        byStart(bytes, 1, (start, bytes) =>
          Option.match(decoder(coding, start), {
            onNone: () => Stream.fail(undecoded(coding)),
            onSome: (decode) => decode(bytes, (cause) => broken(coding, cause))
          }))
    )

  if (!isFetched(response)) return decodeAll(response.stream)
  // What a `fetch` cannot decode fails as if the connection had.
  const fetched = Stream.mapError(response.stream, (error) => {
    const { cause } = ofClient(error, response.request).reason
    return errorChainOf(cause).some(({ code, name }) => decodingFailure.test(code ?? name ?? ""))
      ? broken(codings.join(", "), cause)
      : error
  })
  if (listed.every((coding) => ofAllFetches.has(coding))) return fetched
  // It leaves the headers as they were whether or not it has decoded the content.
  const sign = signs.get(last)
  const stranger = codings.find((coding) => !ofSomeFetches.has(coding)) ?? (sign === undefined ? last : undefined)
  return byStart(
    fetched,
    sign?.length ?? 1,
    (start, bytes) =>
      sign?.every((byte, index) => byte === start[index]) === true
        ? decodeAll(bytes)
        : stranger === undefined
        ? bytes
        : Stream.fail(undecoded(stranger))
  )
}

/** Whether the content is declared to have at most so many bytes. */
const isWithin = (headers: Headers.Headers, limit: number) => {
  const length = headers["content-length"]
  return limit === Infinity || (length !== undefined && /^\d+$/.test(length) && Number(length) <= limit)
}

/** The bytes of an answer that is read as a whole, unless an option sets another limit. */
export const defaultLimit = 67_108_864

/** Lets at most so many bytes pass. */
export const upTo =
  <E2>(limit: number, tooLarge: () => E2) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E | E2, R> =>
    Stream.suspend(() => {
      let size = 0
      return Stream.tap(bytes, (chunk) => {
        size += chunk.length
        return size > limit ? Effect.fail(tooLarge()) : Effect.void
      })
    })

/** A response, and its headers, which some responses make anew each time that they are asked for. */
export interface Received {
  readonly response: Response
  readonly headers: Headers.Headers
}

/** The response with its content decoded, and read as a whole up to a limit. The headers agree with the content. */
export const receive = (response: Response, decoder: ContentDecoder, limit: number): Received => {
  const { headers } = response
  const codings = codingsOf(headers)
  const web = Option.getOrUndefined(HttpClientResponse.toWeb(response))
  // A browser may keep it from a page that the content was compressed, as it does with an answer of another origin.
  const isAsSent = codings.every(isNone) && web?.type !== "cors"
  // What the Web gives no body has an empty one, as with the other clients.
  const hasNone = web?.body === null
  if (isAsSent && !hasNone && isWithin(headers, limit)) return { response, headers }
  const stream = hasNone ? Stream.empty : decoded(response, decoder, codings)
  let whole: ArrayBuffer | undefined
  const tooLarge = `the body is larger than the limit of ${limit} bytes; raise responseLimits.body to read it`
  const read = stream.pipe(
    upTo(limit, () => unreadable(response, tooLarge)),
    Stream.mkArrayBuffer
  )
  const arrayBuffer = Effect.suspend(() =>
    whole !== undefined ? Effect.succeed(whole) : Effect.map(read, (bytes) => whole = bytes)
  )
  const agreeing = isAsSent ? headers : Headers.removeMany(headers, ["content-encoding", "content-length"])
  const answer: Response = Object.create(response, {
    headers: { value: agreeing },
    stream: { value: stream },
    arrayBuffer: { value: arrayBuffer },
    text: { value: Effect.map(arrayBuffer, (bytes) => new TextDecoder().decode(bytes)) }
  })
  return { response: answer, headers: agreeing }
}
