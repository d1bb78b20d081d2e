/** The handlers of the group `credentials` (docs/ash.md 3.10). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Credentials } from "../store/Credentials.ts"
import { ServerApi } from "./ServerApi.ts"

export const CredentialHandlers = HttpApiBuilder.group(ServerApi, "credentials", (handlers) =>
  handlers
    .handle("create", ({ payload }) => Effect.bindTo(Credentials.use(({ create }) => create(payload)), "credential"))
    .handle("list", () => Effect.bindTo(Credentials.use(({ list }) => list), "credentials"))
    .handle("delete", ({ params }) => Effect.asVoid(Credentials.use(({ remove }) => remove(params.id)))))
