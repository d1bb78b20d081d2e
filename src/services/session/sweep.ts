/** Ends sessions that were left behind, by the label that they were opened with. */
import * as Arr from "effect/Array"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { checked, finite, optionsOf, required, rule, text } from "../../internal/request/options.ts"
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

/** A label is the name of a file. */
export const isLabel = rule(
  "1 to 100 letters, digits, `.`, `_` or `-`",
  (label) => Predicate.isString(label) && /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/.test(label)
)

const rules = required(
  optionsOf<SweepOptions>({ label: required(isLabel), olderThan: required(finite), agent: text })
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

export const sweep = Effect.fnUntraced(function*(
  parts: SessionsParts,
  list: (agent: string | undefined) => Effect.Effect<ReadonlyArray<Session>, AshError>,
  options: SweepOptions
) {
  yield* checked("Sessions.sweep", rules, options)
  const { agent, label, olderThan } = options
  const before = DateTime.subtractDuration(yield* DateTime.now, olderThan)
  const left = (yield* list(agent)).filter(({ id, lastActiveAt, status }) =>
    status !== "ended" && !isOpen(parts.gates, id) && DateTime.isLessThan(lastActiveAt, before)
  )
  return Arr.getSomes(yield* Effect.forEach(left, ({ id }) => endIfMarked(parts, id, label), { concurrency: 4 }))
})
