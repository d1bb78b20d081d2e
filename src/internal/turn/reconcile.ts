/** What became of a turn, by what the server keeps of the conversation. Nothing is sent to the agent. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { AshError } from "../../schema/AshError.ts"
import { bytesOf } from "../../schema/Bytes.ts"
import type { MessageContent, StoredMessage, UserPrompt } from "../../schema/Message.ts"
import { textsOf } from "../../schema/promptText.ts"
import type { SessionEvent } from "../../schema/SessionEvent.ts"
import type { Turn } from "../../schema/Turn.ts"
import * as TurnFold from "./turnFold.ts"

/** The turn that is asked about. */
export interface ReconcileQuery {
  /** The sequence number of the last message that was stored before it. @default 0, before the conversation */
  readonly after?: number | undefined
  /** The content of its message; without it, the first turn behind `after`. */
  readonly content?: MessageContent | undefined
}

/** What became of a turn, as far as the server keeps it. */
export type ReconcileOutcome =
  /** It ran until it ended. */
  | { readonly _tag: "Completed"; readonly turn: Turn }
  /** The server has nothing of it. A message that is still on its way can yet start it. */
  | { readonly _tag: "NotStarted" }
  | {
    /** It was begun, or may have been, and there is no end that is certainly its own. */
    readonly _tag: "OutcomeUnknown"
    /** What the server kept of it: nothing that came after the connection was lost. */
    readonly messages: ReadonlyArray<StoredMessage>
    readonly events: ReadonlyArray<SessionEvent>
  }

/** The turn that is asked about, as far as it is known. */
export interface TurnToFind {
  readonly after: number
  /** The key of its content, if that is known. */
  readonly contentKey?: string | undefined
  /** When it was sent, in milliseconds of this program's clock. */
  readonly sentAt?: number | undefined
  /** The sequence number of the last message that was stored before it, as this program has counted. */
  readonly lastSequence?: number | undefined
  /** Whether it is the last that matches, not the first. */
  readonly isLast?: boolean
}

export interface Conversation {
  readonly messages: Effect.Effect<{
    readonly rows: ReadonlyArray<StoredMessage>
    /** How far the server's clock is ahead of this program's, if it sends its time: a second or less too little. */
    readonly clockAhead: number | undefined
  }, AshError>
  readonly events: Stream.Stream<SessionEvent, AshError>
}

/** Bytes at each end of a block by which it is compared. */
const comparedBytes = 32

/** A key to compare a block by that is no text. */
const blockKeyOf = (block: unknown): ReadonlyArray<unknown> => {
  if (!Predicate.hasProperty(block, "source") || !Predicate.hasProperty(block, "type")) return []
  const { source, type } = block
  const bytes = Predicate.hasProperty(source, "data") ? bytesOf(source.data) : undefined
  return [[
    type,
    bytes === undefined ? source : [bytes.length, ...bytes.slice(0, comparedBytes), ...bytes.slice(-comparedBytes)]
  ]]
}

/** A key to compare contents by: the same for all forms in which a server is sent a content, and keeps it. */
export const contentKeyOf = (content: MessageContent | UserPrompt["content"]): string =>
  JSON.stringify([textsOf(content).join(""), Predicate.isString(content) ? [] : [...content].flatMap(blockKeyOf)])

const isPrompt = ({ content }: StoredMessage) => content._tag === "UserPrompt"
const isResult = ({ content }: StoredMessage) => content._tag === "Result"
const timeOf = ({ createdAt }: StoredMessage | SessionEvent) => createdAt.epochMilliseconds

/** How many turns run when a row is stored: before it there were prompts, and results, and what the timeline has of others. */
const runningAt = (row: StoredMessage, rows: ReadonlyArray<StoredMessage>, timeline: ReadonlyArray<SessionEvent>) => {
  let running = 0
  let seen = 0
  for (const next of rows) {
    for (let event = timeline[seen]; event !== undefined && timeOf(event) < timeOf(next); event = timeline[++seen]) {
      const { data } = event
      if (data._tag === "Error") running = Math.max(0, running - 1)
      if (data._tag === "Lifecycle" && (data.action === "stopped" || data.action === "ended")) running = 0
    }
    if (next === row) break
    if (isPrompt(next)) running += 1
    if (isResult(next)) running = Math.max(0, running - 1)
  }
  return running
}

/** Finds the turn, and its end if that is certainly its own: a turn that ran before it may have brought another's. */
export const reconcile = Effect.fnUntraced(function*(
  { events, messages }: Conversation,
  { after, isLast = false, contentKey, lastSequence = after, sentAt }: TurnToFind
): Effect.fn.Return<ReconcileOutcome, AshError> {
  const { clockAhead, rows } = yield* messages
  const hasContent = ({ content, sequence }: StoredMessage) =>
    content._tag === "UserPrompt" && sequence > after &&
    (contentKey === undefined || contentKeyOf(content.content) === contentKey)
  const earliest = (sentAt ?? -Infinity) + (clockAhead ?? 0)
  const mayBeAsked = (row: StoredMessage) => hasContent(row) && timeOf(row) >= earliest
  // The time alone does not tell a turn from one of the same content that was sent a little earlier.
  const isAsked = (row: StoredMessage) => mayBeAsked(row) && row.sequence > lastSequence
  const prompt = isLast ? rows.findLastIndex(isAsked) : rows.findIndex(isAsked)
  const asked = rows[prompt]
  if (asked === undefined) {
    const isCursor = after === 0 || rows.some(({ sequence }) => sequence === after)
    // A server that has lost a row counts less than this program.
    return isCursor && !rows.some(clockAhead === undefined ? hasContent : mayBeAsked)
      ? { _tag: "NotStarted" }
      : { _tag: "OutcomeUnknown", messages: [], events: [] }
  }
  const following = rows.findIndex((row, index) => index > prompt && isPrompt(row))
  const turn = rows.slice(prompt, following === -1 ? undefined : following)
  const end = turn.findIndex(isResult)
  const completed = {
    _tag: "Completed",
    turn: TurnFold.fromMessages(turn.slice(0, end + 1).map(({ content }) => content))
  } as const
  if (end >= 0 && runningAt(asked, rows, []) === 0) return completed

  const timeline = yield* Stream.runCollect(events)
  // A turn before it that failed, or was stopped, has no result.
  if (end >= 0 && runningAt(asked, rows, timeline) === 0) return completed
  const next = rows[following]
  return {
    _tag: "OutcomeUnknown",
    messages: turn,
    events: timeline.filter((event) =>
      timeOf(event) >= timeOf(asked) && (next === undefined || timeOf(event) < timeOf(next))
    )
  }
})
