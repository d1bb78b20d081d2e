/**
 * The body of a request that carries files: JSON, with their base64 put in while it goes out, so that beside the bytes
 * themselves only a piece of it is in memory.
 */
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import { constVoid } from "effect/Function"
import * as HttpBody from "effect/http/HttpBody"
import * as Stream from "effect/Stream"
import { isBrowser } from "./connection.ts"
import { join } from "./content.ts"

/** Up to so many bytes, whose base64 has 1 MiB, a content is a text of the JSON like the others. */
const smallest = 786_432

/** So many bytes of a content are sent at once: a multiple of 3, as their base64 is a part of the whole one. */
const pieceSize = 49_152

/** What a body was made of: JSON with marks, and the contents in their places. */
export interface Parts {
  readonly json: HttpBody.HttpBody
  readonly contents: ReadonlyArray<Uint8Array>
  /** The fields of the JSON whose texts a message may repeat, as paths with dots. */
  readonly harmless: ReadonlySet<string>
}

const partsIn = new WeakMap<HttpBody.HttpBody, Parts>()

/** What a body was made of; one without large contents is its JSON. */
export const partsOf = (body: HttpBody.HttpBody): Parts =>
  partsIn.get(body) ?? { json: body, contents: [], harmless: new Set() }

export const jsonBody = (json: HttpBody.HttpBody, harmless: ReadonlySet<string>): HttpBody.HttpBody => {
  partsIn.set(json, { json, contents: [], harmless })
  return json
}

const encoder = new TextEncoder()

const lengthOf = ({ length }: { readonly length: number }): number => Math.ceil(length / 3) * 4

/** Whether a body of at most so many bytes has room for a content that is sent in pieces. */
export const hasRoomForPieces = (bodyLimit: number): boolean => bodyLimit > lengthOf({ length: smallest })

/** The base64 of bytes; of many, which are kept, the mark that stands for it until {@link bodyOf}. */
export const toBase64 = (mark: string, contents: Array<Uint8Array>) => (bytes: Uint8Array): string => {
  if (bytes.length <= smallest) return Base64.encode(bytes)
  contents.push(bytes)
  return mark
}

/** The body with all contents in it. `onSent` is called, each time that it is sent, with how many of their bytes were taken. */
export const bodyOf = (
  body: HttpBody.HttpBody,
  mark: string,
  contents: ReadonlyArray<Uint8Array>,
  onSent: (bytes: number) => void = constVoid
): HttpBody.HttpBody => {
  if (contents.length === 0 || body._tag !== "Uint8Array") return body
  const texts = new TextDecoder().decode(body.body).split(mark)
  const length = contents.reduce((size, bytes) => size + lengthOf(bytes) - mark.length, body.contentLength)
  // What was taken of the contents is reported when more is asked for.
  const pieces = function*(onSent: (bytes: number) => void) {
    let sent = 0
    for (const [index, text] of texts.entries()) {
      yield encoder.encode(text)
      const content = contents[index] ?? new Uint8Array()
      for (let from = 0; from < content.length; from += pieceSize) {
        const piece = content.subarray(from, from + pieceSize)
        yield encoder.encode(Base64.encode(piece))
        onSent(sent += piece.length)
      }
    }
  }
  const uploaded = isBrowser()
    // Browsers send no body in pieces, or none over HTTP/1.1.
    ? HttpBody.uint8Array(join(pieces(constVoid), length), body.contentType)
    : HttpBody.stream(
      Stream.suspend(() => Stream.fromIteratorSucceed(pieces(onSent), 1)).pipe(
        // An answer that came meanwhile is read before more is sent, which may fail where the server has closed.
        Stream.tap(() => Effect.yieldNow)
      ),
      body.contentType,
      length
    )
  partsIn.set(uploaded, { ...partsOf(body), contents })
  return uploaded
}
