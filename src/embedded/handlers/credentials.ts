/** The handlers of the group `credentials` (docs/ash.md 3.10). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Credentials } from "../store/Credentials.ts"
import { ServerApi } from "./ServerApi.ts"

export const CredentialHandlers = HttpApiBuilder.group(
  ServerApi,
  "credentials",
  Effect.fnUntraced(function*(handlers) {
    const credentials = yield* Credentials
    return handlers.handleAll({
      create: ({ payload }) => Effect.map(credentials.create(payload), (credential) => ({ credential })),
      list: () => Effect.map(credentials.list, (credentials) => ({ credentials })),
      delete: ({ params }) => credentials.remove(params.id)
    })
  })
)
