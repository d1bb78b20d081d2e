/** The queue: prompts that the server works off by itself, one after the other. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { AshApiClient } from "../client/AshApiClient.ts"
import { RequestPolicy } from "../client/RequestPolicy.ts"
import { failure, renamed } from "../internal/request/operations.ts"
import { poll } from "../internal/request/paging.ts"
import { fenced } from "../internal/turn/gated.ts"
import type { AshError } from "../schema/AshError.ts"
import type { CreateQueueItemRequest, QueueItem, QueueItemStatus, QueueStats } from "../schema/QueueItem.ts"
import { SessionBusy } from "../schema/Reasons.ts"
import { isOpen, SessionGates } from "./SessionGates.ts"

/** Which items to list. */
export interface ListQueueItemsOptions {
  readonly status?: QueueItemStatus | undefined
  /** The most items to list, 1 to 500; the rest cannot be listed. @default 50 */
  readonly limit?: number | undefined
}

/** How an item is awaited. */
export interface AwaitQueueItemOptions {
  /**
   * The time between two polls; longer where they would use more than a third of what the server's limit leaves.
   *
   * @default "1 second"
   */
  readonly every?: Duration.Input | undefined
}

/**
 * Enqueues prompts. The server runs one item at a time. It does not store the agent's answer, nor report the session that it
 * used. To get an answer, give the item a session and have the agent write a file there.
 */
export class QueueItems extends Context.Service<QueueItems, {
  /**
   * Puts a prompt into the queue. It fails with `SessionBusy` for a session that a handle of this program has open, unless
   * the request option `exclusive` is false: the server could run the prompt in the middle of a turn. So could it after a turn
   * that broke off, for which it fails with `SessionFenced`.
   */
  readonly enqueue: (item: CreateQueueItemRequest) => Effect.Effect<QueueItem, AshError>
  /** Lists items, the newest first. */
  readonly list: (options?: ListQueueItemsOptions) => Effect.Effect<ReadonlyArray<QueueItem>, AshError>
  /** Fetches one item. */
  readonly get: (id: string) => Effect.Effect<QueueItem, AshError>
  /**
   * Polls an item until it is `completed`, `failed` or `cancelled`, and returns it. An item that failed is a result, not a
   * failure of this effect. An item stays `processing` for ever if its server crashed: limit the wait in time.
   */
  readonly await: (id: string, options?: AwaitQueueItemOptions) => Effect.Effect<QueueItem, AshError>
  /** Cancels an item that is still pending. */
  readonly cancel: (id: string) => Effect.Effect<QueueItem, AshError>
  /** Counts items by state. */
  readonly stats: () => Effect.Effect<QueueStats, AshError>
}>()("effect-ash/services/QueueItems") {
  static readonly layer: Layer.Layer<QueueItems, never, AshApiClient | RequestPolicy | SessionGates> = Layer.effect(
    QueueItems,
    Effect.gen(function*() {
      const { queue: api } = yield* AshApiClient
      const policy = yield* RequestPolicy
      const { exchange, field } = policy
      const gates = yield* SessionGates
      return QueueItems.of({
        enqueue: (payload) =>
          Effect.flatMap(policy.settings("QueueItems.enqueue"), ({ options: { exclusive = true } }) => {
            const { sessionId } = { ...payload }
            const refusal = exclusive && sessionId !== undefined ? refusalOf(gates, sessionId) : undefined
            return refusal === undefined ? field(api.create, { payload }, "item") : Effect.fail(refusal)
          }),
        list: (query = {}) => field(api.list, { query }, "items"),
        get: (id) => field(api.get, { params: { id } }, "item"),
        await: (id, options) =>
          poll("QueueItems.await", exchange(api.get, { params: { id } }), options, "1 second").pipe(
            Stream.map(({ item }) => item),
            Stream.filter(isFinished),
            Stream.runHead,
            // It is polled until there is one.
            Effect.map(Option.getOrThrow),
            Effect.mapError(renamed("QueueItems.await"))
          ),
        cancel: (id) => field(api.cancel, { params: { id } }, "item"),
        stats: () => field(api.stats, {}, "stats")
      })
    })
  )
}

const isFinished = ({ status }: QueueItem) => status === "completed" || status === "failed" || status === "cancelled"

/** Why the queue must not run something in a session of this program. */
const refusalOf = (gates: SessionGates["Service"], sessionId: string): AshError | undefined => {
  const fence = gates.find(sessionId)?.fence
  if (fence?._tag === "Broken") return fenced("QueueItems.enqueue", sessionId, fence)
  return isOpen(gates, sessionId)
    ? failure("QueueItems.enqueue", SessionBusy, {
      message:
        `the session ${sessionId} is open in this program: the queue would run its prompt in the middle of a turn. ` +
        "Enqueue without a session, or ask the session itself",
      sessionId
    })
    : undefined
}
