/** The handlers of the group `apiKeys` (docs/ash.md 3.13). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Store } from "../store/Store.ts"
import * as Errors from "../wire/Errors.ts"
import { ServerApi } from "./ServerApi.ts"

export const ApiKeyHandlers = HttpApiBuilder.group(ServerApi, "apiKeys", (handlers) =>
  Effect.gen(function*() {
    const { keys } = yield* Store
    return handlers.handleAll({
      list: () => Effect.bindTo(keys.list, "keys"),
      create: ({ payload: { label = "" } }) => keys.create(label),
      delete: Effect.fnUntraced(function*({ params }) {
        const isFound = yield* keys.remove(params.id)
        if (!isFound) return yield* Errors.bare("API key not found")
      })
    })
  }))
