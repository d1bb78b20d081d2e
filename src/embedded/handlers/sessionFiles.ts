/** The handlers of the group `sessionFiles` (docs/ash.md 3.7). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import * as RequestedFiles from "../sandbox/RequestedFiles.ts"
import * as SessionFolders from "../sandbox/SessionFolders.ts"
import * as Bodies from "../wire/Bodies.ts"
import { disposition, mediaTypeOf } from "../wire/MediaTypes.ts"
import { ServerApi } from "./ServerApi.ts"

export const SessionFileHandlers = HttpApiBuilder.group(ServerApi, "sessionFiles", (handlers) =>
  handlers
    .handle("list", ({ params, query }) => list(params.id, query.includeHidden))
    .handle("read", ({ params, query }) => read(params.id, params.path, query.format))
    .handleRaw("write", ({ params, request }) => write(params.id, request))
    .handle("delete", ({ params }) => remove(params.id, params.path)))

const list = Effect.fnUntraced(function*(sessionId: string, includeHidden = true) {
  const { directory, source } = yield* SessionFolders.find(sessionId)
  return { files: yield* SessionFolders.list(directory, includeHidden), source }
})

const read = Effect.fnUntraced(function*(sessionId: string, path: string, format: "json" | "raw" | undefined) {
  const { directory, source } = yield* SessionFolders.find(sessionId)
  if (format !== "json") {
    return HttpServerResponse.uint8Array(yield* SessionFolders.read(directory, path), {
      contentType: mediaTypeOf(path),
      headers: { "content-disposition": disposition(path), "x-ash-source": source }
    })
  }
  return HttpServerResponse.jsonUnsafe({ ...yield* RequestedFiles.readText(directory, path), source })
})

const writeBody = Bodies.accepted(Schema.Struct({
  files: RequestedFiles.IncomingFiles,
  targetPath: Schema.optionalKey(Schema.String)
}))

const write = Effect.fnUntraced(function*(sessionId: string, request: HttpServerRequest) {
  const { directory } = yield* SessionFolders.find(sessionId)
  const { files, targetPath = "." } = yield* writeBody(request)
  return { files: yield* SessionFolders.write(directory, files, targetPath) }
})

const remove = Effect.fnUntraced(function*(sessionId: string, path: string) {
  const { directory } = yield* SessionFolders.find(sessionId)
  yield* SessionFolders.remove(directory, path)
  return { path, deleted: true }
})
