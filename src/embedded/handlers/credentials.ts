/** The handlers of the group `credentials` (docs/ash.md 3.10). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { CreateCredentialRequest } from "../../schema/Credential.ts"
import { Credentials } from "../store/Credentials.ts"
import { ServerApi } from "./ServerApi.ts"

export const CredentialHandlers = HttpApiBuilder.group(ServerApi, "credentials", (handlers) =>
  handlers
    .handle("create", ({ payload }) => create(payload))
    .handle("list", () => list)
    .handle("delete", ({ params }) => remove(params.id)))

const create = Effect.fnUntraced(function*(request: CreateCredentialRequest) {
  const credentials = yield* Credentials
  return { credential: yield* credentials.create(request) }
})

const list = Effect.gen(function*() {
  const credentials = yield* Credentials
  return { credentials: yield* credentials.list }
})

const remove = Effect.fnUntraced(function*(id: string) {
  const credentials = yield* Credentials
  yield* credentials.remove(id)
})
