/** The handlers of the group `meta` (docs/ash.md 3.1). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as OpenApi from "effect/http-api/OpenApi"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Redacted from "effect/Redacted"
import { parseJson } from "../../schema/Wire.ts"
import { isObject } from "../wire/Json.ts"
import { serverVersion } from "./health.ts"
import { ServerApi } from "./ServerApi.ts"

export const MetaHandlers = HttpApiBuilder.group(ServerApi, "meta", (handlers) =>
  handlers
    .handle("openApi", () => openApi)
    .handle("dashboardConfig", () => dashboardConfig))

const openApi = Effect.sync(() => {
  const document = parseJson(JSON.stringify(OpenApi.fromApi(ServerApi)))
  return isObject(document) ? document : {}
})

/** A real server reports the key that it was started with. No client needs it, so that this server reports none. */
const dashboardConfig = Effect.gen(function*() {
  const { headers } = yield* HttpServerRequest
  const serverUrl = `http://${headers["host"] ?? "localhost"}`
  const config = JSON.stringify({ apiKey: null, serverVersion, serverUrl })
  return Redacted.make(`window.__ASH_CONFIG__ = ${config};`)
})
