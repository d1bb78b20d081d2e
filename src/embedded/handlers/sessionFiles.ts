/** The handlers of the group `sessionFiles` (docs/ash.md 3.7). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { SessionFolders } from "../sandbox/SessionFolders.ts"
import * as Bodies from "../wire/Bodies.ts"
import { disposition, mediaTypeOf } from "../wire/mediaTypes.ts"
import { ServerApi } from "./ServerApi.ts"

/** The size up to which a file is answered as JSON. */
const jsonLimit = 1_048_576

const writeBody = Bodies.accepted(Schema.Struct({
  files: Schema.Array(Schema.Struct({ path: Schema.String, content: Schema.String })),
  targetPath: Schema.optionalKey(Schema.String)
}))

export const SessionFileHandlers = HttpApiBuilder.group(
  ServerApi,
  "sessionFiles",
  Effect.fnUntraced(function*(handlers) {
    const folders = yield* SessionFolders
    return handlers
      .handle(
        "list",
        Effect.fnUntraced(function*({ params, query: { includeHidden = true } }) {
          const folder = yield* folders.find(params.id)
          return { files: yield* folders.list(folder, includeHidden), source: folder.source }
        })
      )
      .handle(
        "read",
        Effect.fnUntraced(function*({ params: { id, path }, query: { format } }) {
          const folder = yield* folders.find(id)
          const { source } = folder
          if (format !== "json") {
            const bytes = yield* folders.read(folder, path)
            return HttpServerResponse.uint8Array(bytes, {
              contentType: mediaTypeOf(path),
              headers: {
                "content-disposition": disposition(path),
                "x-ash-source": source
              }
            })
          }
          const bytes = yield* folders.read(folder, path, jsonLimit)
          const content = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
          return HttpServerResponse.jsonUnsafe({ path, content, size: bytes.length, source })
        })
      )
      .handleRaw(
        "write",
        Effect.fnUntraced(function*({ params, request }) {
          const folder = yield* folders.find(params.id)
          const { files, targetPath = "." } = yield* writeBody(request)
          return { files: yield* folders.write(folder, files, targetPath) }
        })
      )
      .handle(
        "delete",
        Effect.fnUntraced(function*({ params: { id, path } }) {
          const folder = yield* folders.find(id)
          yield* folders.remove(folder, path)
          return { path, deleted: true }
        })
      )
  })
)
