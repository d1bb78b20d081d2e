/** The handlers of the group `messages` (docs/ash.md 3.6 and 4). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { isHttpClientRequest } from "effect/http/HttpClientRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import { SendMessageRequest } from "../../schema/Message.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import { Store } from "../store/Store.ts"
import * as FrameWriter from "../turn/FrameWriter.ts"
import * as Turns from "../turn/Turns.ts"
import * as Errors from "../wire/Errors.ts"
import * as Frames from "../wire/Frames.ts"
import { serverVersion } from "./health.ts"
import { ServerApi } from "./ServerApi.ts"

// The content goes to the agent as it came: the schema of clients would refuse what a server mangles or lets pass.
const decodeBody = Schema.decodeUnknownEffect(
  Schema.Struct({ ...Struct.omit(SendMessageRequest.fields, ["content"]), content: Schema.Json }),
  { disableChecks: true }
)

/** Without a socket, what one holds of a stream that is not read, some megabytes, waits here. */
const socketCapacity = 4_194_304

const defaultLimit = 100

export const MessageHandlers = HttpApiBuilder.group(ServerApi, "messages", (handlers) =>
  Effect.gen(function*() {
    const store = yield* Store
    const sandboxes = yield* Sandboxes
    return handlers
      .handleRaw("send", ({ params, request }) =>
        Effect.gen(function*() {
          const { content, ...options } = yield* Effect.orDie(Effect.flatMap(request.json, decodeBody))
          const session = yield* store.session(params.id)
          const { id, sandboxId, status } = session
          if (status !== "active") return yield* Errors.badRequest(`Session is ${status}`)
          const sandbox = yield* sandboxes.find(sandboxId)
          if (sandbox === undefined) {
            yield* store.updateSession(id, { status: "error" })
            return yield* Errors.serverError("Sandbox not found")
          }
          const capacity = isHttpClientRequest(request.source) ? socketCapacity : FrameWriter.chunkSize
          const bytes = yield* Turns.start({ session, sandbox, content, options, capacity })
          const first = Stream.make(Frames.encode(Frames.sessionStart(id, serverVersion)))
          return HttpServerResponse.stream(Stream.concat(first, bytes), {
            contentType: "text/event-stream",
            headers: { "cache-control": "no-cache", connection: "keep-alive" }
          })
        }))
      .handle("list", ({ params: { id }, query: { after, limit = defaultLimit } }) =>
        Effect.andThen(store.session(id), Effect.bindTo(store.messages(id, { after, limit }), "messages")))
  }))
