/** The handlers of the group `sessionFiles` (contract 3.7). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { AshApi } from "../schema/AshApi.ts"
import { mediaTypeOf } from "./mediaTypes.ts"
import { SessionFolders } from "./SessionFolders.ts"

/** The size up to which a file is answered as JSON. */
const jsonLimit = 1_048_576

// Looser than the schema of clients: a bad path, and a file that is too large, are refused one by one.
const decodeBody = Schema.decodeUnknownEffect(Schema.Struct({
  files: Schema.Array(Schema.Struct({ path: Schema.String, content: Schema.String })),
  targetPath: Schema.optionalKey(Schema.String)
}))

export const SessionFileHandlers = HttpApiBuilder.group(
  AshApi,
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
                "content-disposition": `attachment; filename*=UTF-8''${
                  encodeURIComponent(path.slice(path.lastIndexOf("/") + 1))
                }`,
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
          const { files, targetPath = "." } = yield* Effect.orDie(Effect.flatMap(request.json, decodeBody))
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
