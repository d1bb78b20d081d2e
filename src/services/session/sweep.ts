/** Ends sessions that were left behind, by the label that they were opened with. */
import * as Arr from "effect/Array"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { readDuration, refuseOption } from "../../internal/request/durations.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { Session } from "../../schema/Session.ts"
import { isOpen } from "../SessionGates.ts"
import type { SessionsParts } from "./sessionsParts.ts"

/** Which sessions to end. */
export interface SweepOptions {
  /** The label that they were opened with. */
  readonly label: string
  /** How long they have not been active, by the clock here and the server's; more than the longest turn. */
  readonly olderThan: Duration.Input
  /** Only those of one agent. */
  readonly agent?: string | undefined
}

const labelType = "application/vnd.effect-ash.label"

/** Marks a session with a label, which is kept as an attachment. */
export const mark = ({ attachments }: SessionsParts, id: string, label: string) =>
  attachments.upload(id, { filename: label, content: label, mimeType: labelType })

/** Refuses a label that can be no name of a file. */
export const checkLabel = (operation: string, label: string) =>
  Predicate.isString(label) && /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/.test(label)
    ? Effect.void
    : refuseOption(operation, "label", "1 to 100 letters, digits, dots, underscores or hyphens")

const checkAge = (olderThan: Duration.Input) =>
  Effect.filterOrElse(
    readDuration("Sessions.sweep", "olderThan", olderThan),
    Duration.isFinite,
    () => refuseOption("Sessions.sweep", "olderThan", "a finite duration")
  )

/** Ends a session of the label; none that was deleted meanwhile, with its agent, or that has come into use. */
const endIfMarked = ({ attachments, end, gates }: SessionsParts, id: string, label: string) =>
  attachments.list(id).pipe(
    Effect.flatMap((files) =>
      files.some(({ filename, mimeType }) => filename === label && mimeType === labelType) && !isOpen(gates, id)
        ? Effect.asSome(end(id))
        : Effect.succeedNone
    ),
    Effect.catchReason("AshError", "NotFound", () => Effect.succeedNone)
  )

/** Ends those of the sessions that have the label and were not active for as long. */
export const sweep = Effect.fnUntraced(function*(
  parts: SessionsParts,
  list: (agent: string | undefined) => Effect.Effect<ReadonlyArray<Session>, AshError>,
  options: SweepOptions
) {
  const { agent, label, olderThan } = { ...options }
  yield* checkLabel("Sessions.sweep", label)
  const age = yield* checkAge(olderThan)
  const before = DateTime.subtractDuration(yield* DateTime.now, age)
  const left = (yield* list(agent)).filter(({ id, lastActiveAt, status }) =>
    status !== "ended" && !isOpen(parts.gates, id) && DateTime.isLessThan(lastActiveAt, before)
  )
  return Arr.getSomes(yield* Effect.forEach(left, ({ id }) => endIfMarked(parts, id, label), { concurrency: 4 }))
})
