/** The handlers of the group `sessionFiles` (docs/ash.md 3.7). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { SessionFolders } from "../sandbox/SessionFolders.ts"
import * as Bodies from "../wire/Bodies.ts"
import { disposition, mediaTypeOf } from "../wire/MediaTypes.ts"
import { ServerApi } from "./ServerApi.ts"

export const SessionFileHandlers = HttpApiBuilder.group(ServerApi, "sessionFiles", (handlers) =>
  handlers
    .handle("list", ({ params, query }) => list(params.id, query.includeHidden))
    .handle("read", ({ params, query }) => read(params.id, params.path, query.format))
    .handleRaw("write", ({ params, request }) => write(params.id, request))
    .handle("delete", ({ params }) => remove(params.id, params.path)))

const list = Effect.fnUntraced(function*(sessionId: string, includeHidden: boolean | undefined) {
  const folders = yield* SessionFolders
  const folder = yield* folders.find(sessionId)
  return { files: yield* folders.list(folder, includeHidden ?? true), source: folder.source }
})

/** The size in bytes up to which a file is answered as JSON. */
const jsonLimit = 1_048_576

const read = Effect.fnUntraced(function*(sessionId: string, path: string, format: "json" | "raw" | undefined) {
  const folders = yield* SessionFolders
  const folder = yield* folders.find(sessionId)
  const { source } = folder
  if (format !== "json") {
    return HttpServerResponse.uint8Array(yield* folders.read(folder, path), {
      contentType: mediaTypeOf(path),
      headers: { "content-disposition": disposition(path), "x-ash-source": source }
    })
  }
  const bytes = yield* folders.read(folder, path, jsonLimit)
  const content = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
  return HttpServerResponse.jsonUnsafe({ path, content, size: bytes.length, source })
})

const writeBody = Bodies.accepted(Schema.Struct({
  files: Schema.Array(Schema.Struct({ path: Schema.String, content: Schema.String })),
  targetPath: Schema.optionalKey(Schema.String)
}))

const write = Effect.fnUntraced(function*(sessionId: string, request: HttpServerRequest) {
  const folders = yield* SessionFolders
  const folder = yield* folders.find(sessionId)
  const { files, targetPath = "." } = yield* writeBody(request)
  return { files: yield* folders.write(folder, files, targetPath) }
})

const remove = Effect.fnUntraced(function*(sessionId: string, path: string) {
  const folders = yield* SessionFolders
  const folder = yield* folders.find(sessionId)
  yield* folders.remove(folder, path)
  return { path, deleted: true }
})
