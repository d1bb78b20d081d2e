/** The handlers of the group `apiKeys` (docs/ash.md 3.13). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { ApiKeys } from "../store/ApiKeys.ts"
import * as Errors from "../wire/Errors.ts"
import { ServerApi } from "./ServerApi.ts"

export const ApiKeyHandlers = HttpApiBuilder.group(ServerApi, "apiKeys", (handlers) =>
  handlers
    .handle("list", () => list)
    .handle("create", ({ payload }) => create(payload.label))
    .handle("delete", ({ params }) => remove(params.id)))

const list = Effect.gen(function*() {
  const keys = yield* ApiKeys
  return { keys: yield* keys.list }
})

const create = Effect.fnUntraced(function*(label = "") {
  const keys = yield* ApiKeys
  return yield* keys.create(label)
})

const remove = Effect.fnUntraced(function*(id: string) {
  const keys = yield* ApiKeys
  const isFound = yield* keys.remove(id)
  if (!isFound) return yield* Errors.bare("API key not found")
})
