/** The endpoints for a server as a whole: health, keys, credentials, the queue of prompts, usage and analytics. */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Schema from "effect/Schema"
import { AnalyticsSummary } from "../Analytics.ts"
import { ApiKey, NewApiKey } from "../ApiKey.ts"
import { CreateCredentialRequest, StoredCredential } from "../Credential.ts"
import { ServerHealth } from "../Health.ts"
import { AnswerInErrors, MethodName, Repeats, ServiceName } from "../Operation.ts"
import { CreateQueueItemRequest, QueueItem, QueueItemStatus, QueueStats } from "../QueueItem.ts"
import { timeSpan, UsageEvent, UsageFilter, UsageStats } from "../Usage.ts"
import { JsonObject, omittable, WellFormed } from "../Wire.ts"
import { created, empty, error, item, key, Limit, Script, Text } from "./parts.ts"

/** The endpoints of health and metrics. */
export class HealthGroup extends HttpApiGroup.make("health")
  .add(
    HttpApiEndpoint.get("get", "/health", { success: ServerHealth, error }),
    HttpApiEndpoint.get("metrics", "/metrics", { success: Text, error })
  )
  .annotate(AnswerInErrors, true)
{}

/** The endpoints of a server's description and dashboard. */
export class MetaGroup extends HttpApiGroup.make("meta")
  .add(
    HttpApiEndpoint.get("openApi", "/docs/json", { success: JsonObject, error }).annotate(MethodName, "Health.openApi"),
    HttpApiEndpoint.get("dashboardConfig", "/dashboard/config.js", {
      success: Script,
      error
    })
  )
{}

/** The endpoints of credentials of models and tools. */
export class CredentialsGroup extends HttpApiGroup.make("credentials")
  .add(
    HttpApiEndpoint.post("create", "/api/credentials", {
      payload: CreateCredentialRequest,
      success: Schema.Struct({ credential: StoredCredential }).pipe(created),
      error
    }),
    HttpApiEndpoint.get("list", "/api/credentials", {
      success: Schema.Struct({ credentials: Schema.Array(StoredCredential) }),
      error
    }),
    HttpApiEndpoint.delete("delete", "/api/credentials/:id", { params: key, success: empty, error })
  )
{}

/** The endpoints of keys to the API. */
export class ApiKeysGroup extends HttpApiGroup.make("apiKeys")
  .add(
    HttpApiEndpoint.get("list", "/api/api-keys", { success: Schema.Struct({ keys: Schema.Array(ApiKey) }), error }),
    HttpApiEndpoint.post("create", "/api/api-keys", {
      payload: Schema.Struct({ label: omittable(WellFormed) }),
      success: NewApiKey.pipe(created),
      error
    }),
    HttpApiEndpoint.delete("delete", "/api/api-keys/:id", { params: key, success: empty, error })
  )
{}

const ItemResponse = Schema.Struct({ item: QueueItem })

/** The endpoints of the queue of prompts. */
export class QueueGroup extends HttpApiGroup.make("queue")
  .add(
    HttpApiEndpoint.post("create", "/api/queue", {
      payload: CreateQueueItemRequest,
      success: ItemResponse.pipe(created),
      error
    }).annotate(MethodName, "enqueue"),
    HttpApiEndpoint.get("list", "/api/queue", {
      query: {
        status: omittable(QueueItemStatus),
        limit: omittable(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 500 }, { expected: "1 to 500" })))
      },
      success: Schema.Struct({ items: Schema.Array(QueueItem) }),
      error
    }),
    HttpApiEndpoint.get("stats", "/api/queue/stats", { success: Schema.Struct({ stats: QueueStats }), error }),
    HttpApiEndpoint.get("get", "/api/queue/:id", { params: item, success: ItemResponse, error }),
    HttpApiEndpoint.delete("cancel", "/api/queue/:id", { params: item, success: ItemResponse, error }).annotate(
      Repeats,
      "repeats"
    )
  )
  .annotate(ServiceName, "QueueItems")
{}

/** The endpoints of usage. */
export class UsageGroup extends HttpApiGroup.make("usage")
  .add(
    HttpApiEndpoint.get("listEvents", "/api/usage", {
      query: { ...UsageFilter.fields, limit: omittable(Limit) },
      success: Schema.Struct({ events: Schema.Array(UsageEvent) }),
      error
    }),
    HttpApiEndpoint.get("stats", "/api/usage/stats", {
      query: UsageFilter.fields,
      success: Schema.Struct({ stats: UsageStats }),
      error
    })
  )
  .annotate(AnswerInErrors, true)
{}

/** The endpoint of analytics. */
export class AnalyticsGroup extends HttpApiGroup.make("analytics")
  .add(HttpApiEndpoint.get("get", "/api/analytics", { query: timeSpan, success: AnalyticsSummary, error }))
  .annotate(AnswerInErrors, true)
{}
