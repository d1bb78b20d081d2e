/** A file on its way from a server. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { AshError } from "../schema/AshError.ts"

/** A file: what the server says of it, and its bytes. The connection is held until the bytes are read or the scope closes. */
export interface FileDownload {
  readonly name: string
  readonly mediaType: string
  /** Bytes, where the server says it. */
  readonly size: number | undefined
  /** Of a session's file: read in the live sandbox, or in what was kept of it. */
  readonly source: string | undefined
  readonly content: Stream.Stream<Uint8Array, AshError>
}

interface DownloadHeaders {
  readonly "content-type"?: string
  readonly "content-length"?: string
  readonly "content-disposition"?: string
  readonly "x-ash-source"?: string
}

const decodeName = (encoded: string) => Result.getSuccess(Result.try(() => decodeURIComponent(encoded)))

/** The name in a header, which has it encoded, or as it is in quotes. */
const nameIn = (disposition: string): Option.Option<string> =>
  Option.orElse(
    Option.flatMap(Option.fromUndefinedOr(/filename\*=UTF-8''([^;]+)/.exec(disposition)?.[1]), decodeName),
    () => Option.fromUndefinedOr(/filename="([^"]+)"/.exec(disposition)?.[1])
  )

/** The download in a response to an operation; `path` names the file where the server does not. */
export const fromResponse = (
  operation: string,
  path: string,
  { body, headers }: { readonly body: Stream.Stream<Uint8Array, AshError>; readonly headers: DownloadHeaders }
): FileDownload => {
  const length = headers["content-length"]
  return {
    name: nameIn(headers["content-disposition"] ?? "").pipe(Option.getOrElse(() => path.split("/").at(-1) ?? path)),
    mediaType: headers["content-type"] ?? "application/octet-stream",
    size: length === undefined ? undefined : Number(length),
    source: headers["x-ash-source"],
    content: Stream.mapError(body, ({ reason }) => new AshError({ operation, reason }))
  }
}

/** The whole content as UTF-8 text. */
export const text = ({ content }: FileDownload): Effect.Effect<string, AshError> =>
  content.pipe(Stream.decodeText, Stream.runFold(() => "", (text, piece) => text + piece))

/** The whole content. */
export const bytes = ({ content }: FileDownload): Effect.Effect<Uint8Array, AshError> =>
  Effect.map(Stream.runCollect(content), (chunks) => {
    const whole = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0))
    let position = 0
    for (const chunk of chunks) {
      whole.set(chunk, position)
      position += chunk.length
    }
    return whole
  })
