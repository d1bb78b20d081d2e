/** The handlers of the group `workspaces` (docs/ash.md 3.8). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import * as Bundles from "../sandbox/Bundles.ts"
import * as SessionFolders from "../sandbox/SessionFolders.ts"
import * as Bodies from "../wire/Bodies.ts"
import * as Errors from "../wire/Errors.ts"
import { ServerApi } from "./ServerApi.ts"

const uploadBody = Bodies.accepted(Schema.Struct({ bundle: Schema.String }))

export const WorkspaceHandlers = HttpApiBuilder.group(ServerApi, "workspaces", (handlers) =>
  handlers
    .handle("download", ({ params: { id } }) =>
      Effect.gen(function*() {
        const { directory } = yield* SessionFolders.find(id)
        return HttpServerResponse.uint8Array(yield* Bundles.pack(directory), {
          contentType: "application/gzip",
          headers: { "content-disposition": `attachment; filename="${id}.tar.gz"` }
        })
      }))
    .handleRaw("upload", ({ params, request }) =>
      Effect.gen(function*() {
        const { directory, source } = yield* SessionFolders.find(params.id)
        const { bundle } = yield* uploadBody(request)
        const bytes = Buffer.from(bundle, "base64")
        if (bytes.length === 0) return yield* Errors.badRequest("Empty bundle")
        yield* Bundles.unpack(directory, bytes)
        return {
          message: source === "sandbox" ? "Workspace restored to live sandbox" : "Workspace saved as snapshot"
        }
      })))
