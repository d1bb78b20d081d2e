/** The queue: prompts that the server works off one after the other, with retries. */
import * as Schema from "effect/Schema"
import { SessionId } from "./Ids.ts"
import { atLeast, harmless, nullish, omittable, open, rowFields, Time, WellFormed } from "./Wire.ts"

const statuses = ["pending", "processing", "completed", "failed", "cancelled"] as const

/** The state of an item. */
export const QueueItemStatus = Schema.Literals(statuses)
export type QueueItemStatus = typeof QueueItemStatus.Type

/** A prompt in the queue. What the agent answers is not kept with it. */
export interface QueueItem extends Schema.Schema.Type<typeof QueueItem> {}
export const QueueItem = Schema.Struct({
  ...rowFields,
  /** As it was given; absent for a session that the server makes for the item. */
  sessionId: nullish(Schema.String),
  agentName: Schema.String,
  prompt: Schema.String,
  /** Between two attempts it is `pending` again, with `error` set. */
  status: open(statuses),
  /** Higher goes first. */
  priority: Schema.Finite,
  retryCount: Schema.Finite,
  maxRetries: Schema.Finite,
  /** Of the last attempt that failed; it stays when a later one succeeds. */
  error: nullish(Schema.String),
  startedAt: nullish(Time),
  /** Null for a cancelled item. */
  completedAt: nullish(Time)
}).annotate({ identifier: "QueueItem" })

/** The body of `POST /api/queue`. */
export interface CreateQueueItemRequest extends Schema.Schema.Type<typeof CreateQueueItemRequest> {}
export const CreateQueueItemRequest = Schema.Struct({
  /** The server does not check that there is such an agent. */
  agentName: WellFormed.check(Schema.isNonEmpty({ expected: "not empty" })).annotate(harmless),
  prompt: Schema.NonEmptyString,
  /** A session that is active. Without one the server starts a session for each attempt, and ends none of them. */
  sessionId: omittable(SessionId),
  /** By default 0. */
  priority: atLeast(0),
  /** Attempts in all, and at least one; by default 3. */
  maxRetries: atLeast(0)
}).annotate({ identifier: "CreateQueueItemRequest" })

/** How many items there are, by state. */
export interface QueueStats extends Schema.Schema.Type<typeof QueueStats> {}
export const QueueStats = Schema.Struct({
  pending: Schema.Finite,
  processing: Schema.Finite,
  completed: Schema.Finite,
  failed: Schema.Finite,
  cancelled: Schema.Finite
}).annotate({ identifier: "QueueStats" })
