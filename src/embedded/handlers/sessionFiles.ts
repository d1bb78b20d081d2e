/** The handlers of the group `sessionFiles` (docs/ash.md 3.7). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import * as RequestedFiles from "../sandbox/RequestedFiles.ts"
import * as SessionFolders from "../sandbox/SessionFolders.ts"
import * as Bodies from "../wire/Bodies.ts"
import { disposition, mediaTypeOf } from "../wire/MediaTypes.ts"
import { ServerApi } from "./ServerApi.ts"

const writeBody = Bodies.accepted(Schema.Struct({
  files: RequestedFiles.IncomingFiles,
  targetPath: Schema.optionalKey(Schema.String)
}))

export const SessionFileHandlers = HttpApiBuilder.group(ServerApi, "sessionFiles", (handlers) =>
  handlers
    .handleAll({
      list: Effect.fnUntraced(function*({ params, query: { includeHidden = true } }) {
        const { directory, source } = yield* SessionFolders.find(params.id)
        return { files: yield* SessionFolders.list(directory, includeHidden), source }
      }),
      read: Effect.fnUntraced(function*({ params: { id, path }, query: { format } }) {
        const { directory, source } = yield* SessionFolders.find(id)
        if (format === "json") {
          return HttpServerResponse.jsonUnsafe({ ...yield* RequestedFiles.readText(directory, path), source })
        }
        return HttpServerResponse.uint8Array(yield* SessionFolders.read(directory, path), {
          contentType: mediaTypeOf(path),
          headers: { "content-disposition": disposition(path), "x-ash-source": source }
        })
      }),
      delete: Effect.fnUntraced(function*({ params: { id, path } }) {
        const { directory } = yield* SessionFolders.find(id)
        yield* SessionFolders.remove(directory, path)
        return { path, deleted: true }
      })
    })
    .handleRaw("write", ({ params, request }) =>
      Effect.gen(function*() {
        const { directory } = yield* SessionFolders.find(params.id)
        const { files, targetPath = "." } = yield* writeBody(request)
        return { files: yield* SessionFolders.write(directory, files, targetPath) }
      })))
