/** The handlers of the group `credentials` (docs/ash.md 3.10). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Store } from "../store/Store.ts"
import { ServerApi } from "./ServerApi.ts"

export const CredentialHandlers = HttpApiBuilder.group(ServerApi, "credentials", (handlers) =>
  Effect.gen(function*() {
    const { credentials } = yield* Store
    return handlers.handleAll({
      create: ({ payload }) => Effect.bindTo(credentials.create(payload), "credential"),
      list: () => Effect.bindTo(credentials.list, "credentials"),
      delete: ({ params }) => Effect.asVoid(credentials.remove(params.id))
    })
  }))
