/** The endpoints for a server as a whole: health, keys, credentials, the queue of prompts, usage and analytics. */
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
import { created, empty, get, item, key, Limit, post, remove, Script, Text } from "./parts.ts"

export class HealthGroup extends HttpApiGroup.make("health")
  .add(
    get("get", "/health", { success: ServerHealth }),
    get("metrics", "/metrics", { success: Text })
  )
  .annotate(AnswerInErrors, true)
{}

export class MetaGroup extends HttpApiGroup.make("meta")
  .add(
    get("openApi", "/docs/json", { success: JsonObject }).annotate(MethodName, "Health.openApi"),
    get("dashboardConfig", "/dashboard/config.js", { success: Script })
  )
{}

export class CredentialsGroup extends HttpApiGroup.make("credentials")
  .add(
    post("create", "/api/credentials", {
      payload: CreateCredentialRequest,
      success: Schema.Struct({ credential: StoredCredential }).pipe(created)
    }),
    get("list", "/api/credentials", { success: Schema.Struct({ credentials: Schema.Array(StoredCredential) }) }),
    remove("delete", "/api/credentials/:id", { params: key, success: empty })
  )
{}

export class ApiKeysGroup extends HttpApiGroup.make("apiKeys")
  .add(
    get("list", "/api/api-keys", { success: Schema.Struct({ keys: Schema.Array(ApiKey) }) }),
    post("create", "/api/api-keys", {
      payload: Schema.Struct({ label: omittable(WellFormed) }),
      success: NewApiKey.pipe(created)
    }),
    remove("delete", "/api/api-keys/:id", { params: key, success: empty })
  )
{}

const ItemResponse = Schema.Struct({ item: QueueItem })

export class QueueGroup extends HttpApiGroup.make("queue")
  .add(
    post("create", "/api/queue", { payload: CreateQueueItemRequest, success: ItemResponse.pipe(created) })
      .annotate(MethodName, "enqueue"),
    get("list", "/api/queue", {
      query: {
        status: omittable(QueueItemStatus),
        limit: omittable(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 500 }, { expected: "1 to 500" })))
      },
      success: Schema.Struct({ items: Schema.Array(QueueItem) })
    }),
    get("stats", "/api/queue/stats", { success: Schema.Struct({ stats: QueueStats }) }),
    get("get", "/api/queue/:id", { params: item, success: ItemResponse }),
    remove("cancel", "/api/queue/:id", { params: item, success: ItemResponse }).annotate(Repeats, "repeats")
  )
  .annotate(ServiceName, "QueueItems")
{}

export class UsageGroup extends HttpApiGroup.make("usage")
  .add(
    get("listEvents", "/api/usage", {
      query: { ...UsageFilter.fields, limit: omittable(Limit) },
      success: Schema.Struct({ events: Schema.Array(UsageEvent) })
    }),
    get("stats", "/api/usage/stats", { query: UsageFilter.fields, success: Schema.Struct({ stats: UsageStats }) })
  )
  .annotate(AnswerInErrors, true)
{}

export class AnalyticsGroup extends HttpApiGroup.make("analytics")
  .add(get("get", "/api/analytics", { query: timeSpan, success: AnalyticsSummary }))
  .annotate(AnswerInErrors, true)
{}
