/** Folds the events of a turn into one value. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type {
  AssistantMessage,
  ClaudeMessage,
  MessageBlock,
  ToolResultBlock,
  UserMessage
} from "../schema/ClaudeMessage.ts"
import type { StoredContent } from "../schema/Message.ts"
import type { StreamEvent } from "../schema/StreamEvent.ts"
import type { ToolCall, Turn } from "../schema/Turn.ts"

/** The blocks of a message; a content that is a text counts as one. */
export const blocksOf = (message: AssistantMessage | UserMessage): ReadonlyArray<MessageBlock> => {
  const { content } = message.message
  return typeof content === "string" ? [{ _tag: "Text", type: "text", text: content }] : content
}

/** An event of a turn, and what a session handle says before the first of them, which adds nothing to the turn. */
export type TurnEvent = StreamEvent | { readonly _tag: "SessionRestarted" }

/** A turn as far as it is folded. */
export interface State {
  readonly seen: Set<string>
  readonly texts: Array<string>
  /** Text, and thinking, that arrived in pieces and that no complete message has repeated yet. */
  pendingText: string
  pendingThinking: string
  toolUsed: boolean
  readonly thinkings: Array<string>
  readonly toolCalls: Map<string, ToolCall>
  result: Turn["result"]
}

const isRepeated = (seen: Set<string>, uuid: string | null | undefined): boolean => {
  if (uuid === null || uuid === undefined) return false
  const repeated = seen.has(uuid)
  seen.add(uuid)
  return repeated
}

/** Whether the message is the agent's own, not a subagent's. */
const isOwn = ({ parent_tool_use_id }: AssistantMessage) => (parent_tool_use_id ?? undefined) === undefined

/** What was written before and after a tool was used is kept apart. */
const separated = ({ texts, toolUsed }: State, text: string) =>
  toolUsed && texts.length > 0 ? `${separator}${text}` : text

const addAssistant = (state: State, message: AssistantMessage) => {
  for (const block of blocksOf(message)) {
    if (block._tag === "ToolUse") {
      const id = block.id ?? ""
      state.toolCalls.set(id, {
        id,
        name: block.name ?? "",
        input: block.input ?? null,
        result: undefined,
        parentToolUseId: message.parent_tool_use_id ?? undefined
      })
      state.toolUsed = true
    } else if (isOwn(message) && block._tag === "Text") {
      state.texts.push(separated(state, block.text))
      state.pendingText = state.pendingText.slice(block.text.length)
      state.toolUsed = false
    } else if (isOwn(message) && block._tag === "Thinking") {
      state.thinkings.push(block.thinking)
      state.pendingThinking = ""
    }
  }
}

const addToolResult = (state: State, { content, is_error, tool_use_id }: ToolResultBlock) => {
  const id = tool_use_id ?? ""
  const call = state.toolCalls.get(id)
  if (call !== undefined) {
    state.toolCalls.set(id, { ...call, result: { content: content ?? null, isError: is_error ?? false } })
  }
}

const addUser = (state: State, message: UserMessage) => {
  for (const block of blocksOf(message)) {
    if (block._tag === "ToolResult") addToolResult(state, block)
  }
}

const addMessage = (state: State, message: ClaudeMessage) => {
  switch (message._tag) {
    case "Assistant":
      return isRepeated(state.seen, message.uuid) ? undefined : addAssistant(state, message)
    case "User":
      return addUser(state, message)
    case "Result":
      state.result = message
  }
}

/** Folds events into a turn. */
export const add = (state: State, events: ReadonlyArray<TurnEvent>): State => {
  for (const event of events) {
    if (event._tag === "TextDelta") state.pendingText += event.delta
    else if (event._tag === "ThinkingDelta") state.pendingThinking += event.delta
    else if (event._tag === "Message") addMessage(state, event.message)
  }
  return state
}

export const initial = (): State => ({
  seen: new Set(),
  texts: [],
  pendingText: "",
  pendingThinking: "",
  toolUsed: false,
  thinkings: [],
  toolCalls: new Map(),
  result: undefined
})

export const toTurn = (state: State): Turn => {
  const { pendingText, pendingThinking, result, texts, thinkings, toolCalls } = state
  return {
    text: texts.join("") + (pendingText === "" ? "" : separated(state, pendingText)),
    thinking: thinkings.join("") + pendingThinking,
    toolCalls: [...toolCalls.values()],
    structuredOutput: result?.structured_output ?? undefined,
    usage: result?.usage ?? undefined,
    costUsd: result?.total_cost_usd ?? undefined,
    numTurns: result?.num_turns ?? undefined,
    stopReason: result?.stop_reason ?? undefined,
    result
  }
}

interface TextState {
  readonly seen: Set<string>
  /** Text that arrived in pieces and that no complete message has repeated yet. */
  pending: string
  hasWritten: boolean
  toolUsed: boolean
}

const initialText = (): TextState => ({ seen: new Set(), pending: "", hasWritten: false, toolUsed: false })

const separator = "\n\n"

const written = (state: TextState, text: string): string => {
  const separated = state.hasWritten && state.toolUsed ? `${separator}${text}` : text
  state.hasWritten = true
  state.toolUsed = false
  return separated
}

/** The text that a block of a complete message adds: none where it repeats what arrived in pieces. */
const blockText = (state: TextState, block: MessageBlock): string => {
  if (block._tag === "ToolUse") state.toolUsed = true
  if (block._tag !== "Text") return ""
  const repeats = state.pending !== ""
  state.pending = state.pending.slice(block.text.length)
  return repeats ? "" : written(state, block.text)
}

/** The text that an event adds. */
const textOf = (state: TextState, event: TurnEvent): string => {
  switch (event._tag) {
    case "TextDelta":
      state.pending += event.delta
      return written(state, event.delta)
    case "ToolUse":
      state.toolUsed = true
      return ""
    case "Message": {
      const { message } = event
      return message._tag !== "Assistant" || !isOwn(message) || isRepeated(state.seen, message.uuid)
        ? ""
        : blocksOf(message).map((block) => blockText(state, block)).join("")
    }
    default:
      return ""
  }
}

/**
 * The text that the agent writes, as it arrives: pieces where the server sends pieces, whole blocks where it does not,
 * and nothing twice.
 */
export const textDeltas = <E, R>(events: Stream.Stream<TurnEvent, E, R>): Stream.Stream<string, E, R> =>
  Stream.mapAccumArray(events, initialText, (state, batch) => [
    state,
    batch.map((event) => textOf(state, event)).filter((text) => text !== "")
  ])

/** Folds the messages of a turn, as a server keeps them. */
export const fromMessages = (messages: ReadonlyArray<ClaudeMessage | UserPromptContent>): Turn => {
  const state = initial()
  for (const message of messages) if (message._tag !== "UserPrompt") addMessage(state, message)
  return toTurn(state)
}

type UserPromptContent = Extract<StoredContent, { readonly _tag: "UserPrompt" }>

/** What to do while a stream is folded. */
export interface FoldOptions<E, R> {
  /** Is run with each piece of text as it arrives, as `textDeltas` would give it. */
  readonly onText?: ((text: string) => Effect.Effect<unknown, E, R>) | undefined
}

/** Runs a stream of events to its end and folds it into the turn. */
export const fold = <E, R, E2 = never, R2 = never>(
  events: Stream.Stream<TurnEvent, E, R>,
  { onText }: FoldOptions<E2, R2> = {}
): Effect.Effect<Turn, E | E2, R | R2> =>
  Effect.suspend(() => {
    const state = initial()
    const text = initialText()
    const watched: Stream.Stream<TurnEvent, E | E2, R | R2> = onText === undefined ?
      events :
      Stream.tap(events, (event) => {
        const piece = textOf(text, event)
        return piece === "" ? Effect.void : onText(piece)
      })
    return Effect.map(
      Stream.runForEachArray(watched, (batch) => Effect.sync(() => add(state, batch))),
      () => toTurn(state)
    )
  })
