/** A file on its way from a server. */
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
  readonly content: Stream.Stream<Uint8Array, AshError>
}

interface DownloadHeaders {
  readonly "content-type"?: string
  readonly "content-length"?: string
  readonly "content-disposition"?: string
}

const decodeName = (encoded: string) => Result.getSuccess(Result.try(() => decodeURIComponent(encoded)))

/** The download in a response to an operation; `path` names the file where the server does not. */
export const fromResponse = (
  operation: string,
  path: string,
  { body, headers }: { readonly body: Stream.Stream<Uint8Array, AshError>; readonly headers: DownloadHeaders }
): FileDownload => {
  const length = headers["content-length"]
  return {
    name: Option.fromUndefinedOr(/filename\*=UTF-8''([^;]+)/.exec(headers["content-disposition"] ?? "")?.[1]).pipe(
      Option.flatMap(decodeName),
      Option.getOrElse(() => path.split("/").at(-1) ?? path)
    ),
    mediaType: headers["content-type"] ?? "application/octet-stream",
    size: length === undefined ? undefined : Number(length),
    content: Stream.mapError(body, ({ reason }) => new AshError({ operation, reason }))
  }
}
