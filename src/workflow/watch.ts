/** What becomes of a run, as it is watched from another process. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import type { AshError } from "../schema/AshError.ts"
import type { StoredMessage } from "../schema/Message.ts"
import { Messages } from "../services/Messages.ts"
import { RunNotFound } from "./RunErrors.ts"
import { type RunStatus, statusOf } from "./RunStatus.ts"
import type { RunRow, RunStore } from "./store/RunStore.ts"

/** Something that became of a run. */
export type RunEvent =
  /** Its status is another. */
  | { readonly _tag: "StatusChanged"; readonly status: RunStatus }
  /** The server has stored a message of its session. */
  | { readonly _tag: "MessageStored"; readonly sessionId: string; readonly message: StoredMessage }

/** What was seen so far: the row, and the last message of each session. */
interface Seen {
  readonly row: RunRow | undefined
  readonly sequences: ReadonlyMap<string, number>
}

const changes = (row: RunRow) => JSON.stringify({ ...statusOf(row), updatedAt: undefined })

const lookAt = Effect.fnUntraced(function*(store: RunStore["Service"], id: string, { row, sequences }: Seen) {
  const now = yield* store.findRun(id)
  if (now === undefined) return yield* new RunNotFound({ id: String(id) })
  const messages = yield* Messages
  const next = new Map(sequences)
  const events: Array<RunEvent> = []
  for (const { sessionId } of yield* store.sessionsOf(id)) {
    const stored = yield* Stream.runCollect(messages.history(sessionId, { after: sequences.get(sessionId) ?? 0 }))
    for (const message of stored) {
      events.push({ _tag: "MessageStored", sessionId, message })
      next.set(sessionId, message.sequence)
    }
  }
  // Behind the messages, so that nothing comes after the end.
  if (row === undefined || changes(row) !== changes(now)) events.push({ _tag: "StatusChanged", status: statusOf(now) })
  return { events, seen: { row: now, sequences: next } }
})

const nothingSeen: Seen = { row: undefined, sequences: new Map() }

export const watchRun = (
  store: RunStore["Service"],
  id: string,
  every: Effect.Effect<Duration.Input, AshError>
): Stream.Stream<RunEvent, RunNotFound | SqlError | AshError, Messages> =>
  Stream.paginate(nothingSeen, (seen) =>
    Effect.gen(function*() {
      const interval = yield* every
      if (seen.row !== undefined) yield* Effect.sleep(interval)
      const look = yield* lookAt(store, id, seen)
      const isOver = look.seen.row.endedAt !== null
      const next: Option.Option<Seen> = isOver ? Option.none() : Option.some(look.seen)
      return [look.events, next] as const
    }))
