/** What became of a turn, told by what the server keeps of the conversation. Nothing is sent to the agent. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { AshError } from "../schema/AshError.ts"
import type { Content, StoredMessage, UserPrompt } from "../schema/Message.ts"
import { textsOf } from "../schema/promptText.ts"
import type { SessionEvent } from "../schema/SessionEvent.ts"
import type { Turn } from "../schema/Turn.ts"
import * as TurnFold from "./turnFold.ts"

/** The turn that is asked about. */
export interface Asked {
  /** The sequence number of the last message that was stored before it. @default 0, before the conversation */
  readonly after?: number | undefined
  /** What was said in it; without it, the first turn behind `after`. */
  readonly content?: Content | undefined
}

/** What became of a turn, as far as the server keeps it. */
export type Outcome =
  /** It ran to its end. */
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
export interface AskedTurn {
  readonly after: number
  /** What was said in it, if that is known. */
  readonly said: string | undefined
  /** When it was sent, in milliseconds of this program's clock. */
  readonly sentAt?: number
  /** Whether it is the last that matches, not the first. */
  readonly isLast?: boolean
}

/** The rows of a conversation, and how far the server's clock is ahead of this program's, if it says so: a second or less too little. */
export interface Rows {
  readonly rows: ReadonlyArray<StoredMessage>
  readonly clockAhead: number | undefined
}

export interface Conversation {
  readonly messages: (after: number) => Effect.Effect<Rows, AshError>
  readonly events: Stream.Stream<SessionEvent, AshError>
}

/** The text of what was said, however a server was sent it and keeps it. */
export const textOf = (content: Content | UserPrompt["content"]): string => textsOf(content).join("")

const isPrompt = ({ content }: StoredMessage) => content._tag === "UserPrompt"
const isResult = ({ content }: StoredMessage) => content._tag === "Result"
const timeOf = ({ createdAt }: StoredMessage | SessionEvent) => createdAt.epochMilliseconds

/** What ends a turn in the timeline. */
const isEnd = ({ data }: SessionEvent) =>
  data._tag === "TurnComplete" || data._tag === "Error" ||
  (data._tag === "Lifecycle" && (data.action === "stopped" || data.action === "ended"))

/** Finds the turn, and its end if that is certainly its own: a turn that ran before it may have brought another's. */
export const reconcile = Effect.fnUntraced(function*(
  { events, messages }: Conversation,
  { after, isLast = false, said, sentAt = 0 }: AskedTurn
): Effect.fn.Return<Outcome, AshError> {
  // With the row at the cursor: where it is not there, the cursor is not one of this conversation.
  const { clockAhead, rows } = yield* messages(Math.max(0, after - 1))
  const says = ({ content, sequence }: StoredMessage) =>
    content._tag === "UserPrompt" && sequence > after && (said === undefined || textOf(content.content) === said)
  const isAsked = (row: StoredMessage) => says(row) && timeOf(row) >= sentAt + (clockAhead ?? 0)
  const prompt = isLast ? rows.findLastIndex(isAsked) : rows.findIndex(isAsked)
  const asked = rows[prompt]
  if (asked === undefined) {
    const isKnown = (after === 0 || rows[0]?.sequence === after) && (clockAhead !== undefined || !rows.some(says))
    return isKnown ? { _tag: "NotStarted" } : { _tag: "OutcomeUnknown", messages: [], events: [] }
  }
  const following = rows.findIndex((row, index) => index > prompt && isPrompt(row))
  const turn = rows.slice(prompt, following === -1 ? undefined : following)
  const end = turn.findIndex(isResult)
  const completed = {
    _tag: "Completed",
    turn: TurnFold.fromMessages(turn.slice(0, end + 1).map(({ content }) => content))
  } as const
  const before = rows.slice(0, prompt)
  const previous = before.slice(Math.max(0, before.findLastIndex(isPrompt)))
  if (end >= 0 && (previous.length === 0 || previous.some(isResult))) return completed

  const timeline = yield* Stream.runCollect(events)
  const between = (from: StoredMessage | undefined, to: StoredMessage | undefined) =>
    timeline.filter((event) =>
      timeOf(event) >= (from === undefined ? 0 : timeOf(from)) &&
      timeOf(event) < (to === undefined ? Infinity : timeOf(to))
    )
  // A turn before it that failed has no result.
  return end >= 0 && between(previous[0], asked).some(isEnd)
    ? completed
    : { _tag: "OutcomeUnknown", messages: turn, events: between(asked, rows[following]) }
})
