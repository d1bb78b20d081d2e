/** The handlers of the group `workspaces` (contract 3.7). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import { AshApi } from "../schema/AshApi.ts"
import * as Errors from "./Errors.ts"
import { SessionFolders } from "./SessionFolders.ts"

// Looser than the schema of clients: every text passes as base64.
const decodeBody = Schema.decodeUnknownEffect(Schema.Struct({ bundle: Schema.String }))

export const WorkspaceHandlers = HttpApiBuilder.group(
  AshApi,
  "workspaces",
  Effect.fnUntraced(function*(handlers) {
    const folders = yield* SessionFolders
    return handlers
      .handle(
        "download",
        Effect.fnUntraced(function*({ params: { id } }) {
          const bundle = yield* Effect.flatMap(folders.find(id), folders.pack)
          return HttpServerResponse.uint8Array(bundle, {
            contentType: "application/gzip",
            headers: { "content-disposition": `attachment; filename="${id}.tar.gz"` }
          })
        })
      )
      .handleRaw(
        "upload",
        Effect.fnUntraced(function*({ params, request }) {
          const folder = yield* folders.find(params.id)
          const { bundle } = yield* Effect.orDie(Effect.flatMap(request.json, decodeBody))
          const bytes = Buffer.from(bundle, "base64")
          if (bytes.length === 0) return yield* Errors.badRequest("Bundle is empty")
          yield* folders.unpack(folder, bytes)
          return {
            message: folder.source === "sandbox" ? "Workspace restored to live sandbox" : "Workspace saved as snapshot"
          }
        })
      )
  })
)
