/** The handlers of the group `apiKeys` (docs/ash.md 3.13). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { ApiKeys } from "../store/ApiKeys.ts"
import * as Errors from "../wire/Errors.ts"
import { ServerApi } from "./ServerApi.ts"

export const ApiKeyHandlers = HttpApiBuilder.group(ServerApi, "apiKeys", (handlers) =>
  handlers
    .handle("list", () => Effect.bindTo(ApiKeys.use(({ list }) => list), "keys"))
    .handle("create", ({ payload: { label = "" } }) => ApiKeys.use(({ create }) => create(label)))
    .handle("delete", ({ params }) => remove(params.id)))

const remove = Effect.fnUntraced(function*(id: string) {
  const keys = yield* ApiKeys
  const isFound = yield* keys.remove(id)
  if (!isFound) return yield* Errors.bare("API key not found")
})
