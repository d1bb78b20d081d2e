/** A file on its way from a server. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as FileName from "../internal/files/fileName.ts"
import { upTo } from "../internal/request/answer.ts"
import { failure } from "../internal/request/operations.ts"
import type { Download } from "../schema/api/parts.ts"
import type { AshError } from "../schema/AshError.ts"
import { Undecodable } from "../schema/Reasons.ts"

/** A file, as the server describes it, and its bytes. The connection is held until the bytes are read or the scope closes. */
export interface FileDownload {
  /** As the server names it, and without folders; the end of its path where the server names none. */
  readonly name: string
  readonly mediaType: string
  /** In bytes, where the server reports it. */
  readonly size: number | undefined
  /** Of a session's file: read in the live sandbox, or in what was kept of it. */
  readonly source: string | undefined
  /** Is read once. A second time, or behind the scope, it fails. */
  readonly content: Stream.Stream<Uint8Array, AshError>
}

/** The download in a response; `path` names the file where the server does not. */
export const fromResponse = (path: string) =>
(
  { body, headers }: {
    readonly body: FileDownload["content"]
    readonly headers: typeof Download["headers"]["Type"]
  }
): FileDownload => {
  const length = headers["content-length"]
  return {
    name: FileName.inHeader(headers["content-disposition"] ?? "").pipe(
      Option.orElse(() => FileName.lastSegment(path)),
      Option.getOrElse(() => "download")
    ),
    mediaType: headers["content-type"] ?? "application/octet-stream",
    size: /^\d+$/.test(length ?? "") ? Number(length) : undefined,
    source: headers["x-ash-source"],
    content: body
  }
}

/** The bytes of a file that is read as text, unless an option sets another limit. */
const defaultTextLimit = 104_857_600

/** The name, which the server gives, is not in the error: it may repeat what it was sent. */
const within = ({ content }: FileDownload, operation: string, limit: number, advice = "") =>
  content.pipe(
    upTo(limit, () =>
      failure(operation, Undecodable, { message: `the file is larger than the limit of ${limit} bytes${advice}` }))
  )

/** The whole content as UTF-8 text. */
export const text =
  (operation: string, limit = defaultTextLimit, advice = "read it as a stream, or allow more by responseLimits.text") =>
  (file: FileDownload): Effect.Effect<string, AshError> =>
    within(file, operation, limit, `; ${advice}`).pipe(
      Stream.decodeText,
      Stream.mkString
    )

/** The whole content, of at most so many bytes. */
export const bytes = (operation: string, limit: number) => (file: FileDownload): Effect.Effect<Uint8Array, AshError> =>
  Stream.mkUint8Array(within(file, operation, limit))
