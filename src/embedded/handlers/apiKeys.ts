/** The handlers of the group `apiKeys` (docs/ash.md 3.13). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { ApiKeys } from "../store/ApiKeys.ts"
import * as Errors from "../wire/Errors.ts"
import { ServerApi } from "./ServerApi.ts"

export const ApiKeyHandlers = HttpApiBuilder.group(
  ServerApi,
  "apiKeys",
  Effect.fnUntraced(function*(handlers) {
    const keys = yield* ApiKeys
    return handlers.handleAll({
      list: () => Effect.map(keys.list, (keys) => ({ keys })),
      create: ({ payload: { label = "" } }) => keys.create(label),
      delete: ({ params }) =>
        Effect.flatMap(
          keys.remove(params.id),
          (found) => found ? Effect.void : Effect.fail(Errors.bare("API key not found"))
        )
    })
  })
)
