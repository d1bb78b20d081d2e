/** The queue, and the loop that performs its items, one at a time (docs/ash.md 3.11). */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type { CreateQueueItemRequest, QueueItem } from "../../schema/QueueItem.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import * as SessionStarts from "../sandbox/SessionStarts.ts"
import { Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Turns from "../turn/Turns.ts"

export interface QueueRow extends QueueItem {
  /** When the next attempt may begin, in milliseconds of the clock. No answer has it. */
  readonly retryAfter: number
}

export class Queue extends Context.Service<Queue>()("effect-ash/embedded/work/Queue", {
  make: Effect.gen(function*() {
    const table = Tables.make<QueueRow>()
    yield* Effect.all([table.everyones, Clock.currentTimeMillis]).pipe(
      Effect.flatMap(([rows, now]) => {
        const [next] = rows.filter(({ retryAfter, status }) => status === "pending" && retryAfter <= now)
          .toSorted((a, b) => b.priority - a.priority)
        return next === undefined
          ? Effect.undefined
          : Effect.provideService(perform(table, next), Tables.Tenant, next.tenantId)
      }),
      Effect.repeat(Schedule.spaced("1 second")),
      Effect.forkScoped
    )
    return {
      /** The items, those that are done as well. */
      table,
      add: Effect.fnUntraced(function*(request: CreateQueueItemRequest) {
        const { agentName, maxRetries = 3, priority = 0, prompt, sessionId = null } = request
        return yield* table.put({
          ...(yield* Tables.newRow),
          sessionId,
          agentName,
          prompt,
          status: "pending",
          priority,
          retryCount: 0,
          maxRetries,
          error: null,
          startedAt: null,
          completedAt: null,
          retryAfter: 0
        })
      })
    }
  })
}) {
  static readonly layer = Layer.effect(Queue, Queue.make)
}

const perform = Effect.fnUntraced(function*(table: Tables.Table<QueueRow>, row: Tables.Row<QueueRow>) {
  const processing = yield* table.put({ ...row, status: "processing", startedAt: yield* DateTime.now })
  // Whatever ends an attempt, the loop goes on.
  const exit = yield* Effect.exit(attempt(processing))
  const now = yield* Clock.currentTimeMillis
  const completedAt = yield* DateTime.now
  if (Exit.isSuccess(exit)) return yield* table.put({ ...processing, status: "completed", completedAt })
  const error = Turns.messageOf(Cause.squash(exit.cause))
  const retryCount = row.retryCount + 1
  return yield* table.put(
    retryCount >= row.maxRetries
      ? { ...processing, status: "failed", error, retryCount, completedAt }
      : { ...processing, status: "pending", error, retryCount, retryAfter: now + backOff(retryCount) }
  )
})

const attempt = Effect.fnUntraced(function*(row: QueueRow) {
  const sandboxes = yield* Sandboxes
  const session = yield* sessionOf(row)
  const sandbox = yield* Tables.orNotFound("Sandbox not found")(sandboxes.find(session.sandboxId))
  yield* Turns.ask(sandbox, session, row.prompt)
})

/** The session of an item: the one that it names, which must be active, else a new one, which stays open. */
const sessionOf = Effect.fnUntraced(function*({ agentName, sessionId }: QueueRow) {
  const store = yield* Store
  if (typeof sessionId !== "string") return yield* SessionStarts.create({ agent: agentName })
  const session = yield* store.session(sessionId)
  return session.status === "active"
    ? session
    : yield* new Turns.TurnFailure({ message: `Session ${sessionId} is ${session.status}` })
})

/** Milliseconds before an attempt: 5 s, doubling to 5 min. */
const backOff = (retryCount: number) => Math.min(5000 * 2 ** (retryCount - 1), 300_000)
