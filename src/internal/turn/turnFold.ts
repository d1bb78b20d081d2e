/** Folds the events of a turn into one value. */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { AssistantMessage, ClaudeMessage, ToolResultBlock } from "../../schema/ClaudeMessage.ts"
import type { StoredContent } from "../../schema/Message.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import type { ToolCall, Turn, TurnOutcome } from "../../schema/Turn.ts"
import { isToolError, jsonAt, jsonText, saysError } from "../../schema/Wire.ts"
import type { Redact } from "../request/secrets.ts"
import { AgentText, blocksOf, makeWriter, present } from "./agentText.ts"
import { type Budget, bytesOf, spend, type TextListener } from "./textAccumulator.ts"
import { unknownBefore, type UsageBefore, usageOf } from "./turnUsage.ts"

/** How much of a turn is kept where it is not asked for as a whole, in bytes. */
const keptOfTurn = 1_048_576

/** An event of a turn, and the one that a session handle puts before them, which adds nothing to the turn. */
export type TurnEvent = StreamEvent | { readonly _tag: "SessionRestarted" }

export interface State {
  readonly words: AgentText
  readonly toolCalls: Array<ToolCall>
  /** Where the calls of an id are that are not answered. */
  readonly unanswered: Map<string, Array<number>>
  readonly budget: Budget
  readonly before: UsageBefore
  readonly redact: Redact
  result: Turn["result"]
}

export interface StateOptions {
  /** How much is kept, in bytes. @default Infinity */
  readonly size?: number
  readonly listener?: TextListener
  readonly before?: UsageBefore
  readonly redact?: Redact
}

export const initial = (
  { before = unknownBefore, listener = {}, redact = identity, size = Infinity }: StateOptions = {}
): State => {
  const budget: Budget = { left: size, isExceeded: false }
  return {
    words: new AgentText({ listener, budget, pendingLimit: size }),
    toolCalls: [],
    unanswered: new Map(),
    budget,
    before,
    redact,
    result: undefined
  }
}

const textOf = (json: unknown): string => Predicate.isString(json) ? json : jsonText(json)

/** Whether there is room for a value, by its text. Where there are no bounds, nothing is measured. */
const hasRoom = ({ budget }: State, json: unknown): boolean =>
  budget.left === Infinity || spend(budget, bytesOf(textOf(json)))

const addAssistant = (state: State, message: AssistantMessage) => {
  for (const block of blocksOf(message)) {
    if (block._tag !== "ToolUse") continue
    const { id: given, input = null, name: called } = block
    const id = given ?? ""
    const name = called ?? ""
    const parentToolUseId = present(message.parent_tool_use_id)
    if (!hasRoom(state, { id, name, input, parentToolUseId })) continue
    const index = state.toolCalls.length
    const others = state.unanswered.get(id)
    if (others === undefined) state.unanswered.set(id, [index])
    else others.push(index)
    state.toolCalls.push({ id, name, input, result: undefined, parentToolUseId })
  }
}

const addToolResult = (state: State, { content = null, tool_use_id }: ToolResultBlock, isError: boolean) => {
  const index = state.unanswered.get(tool_use_id ?? "")?.shift()
  const call = index === undefined ? undefined : state.toolCalls[index]
  if (index === undefined || call === undefined) return
  const kept = hasRoom(state, content) ? content : null
  state.toolCalls[index] = { ...call, result: { content: kept, isError } }
}

const addUser = (state: State, { message, raw }: Extract<ClaudeMessage, { readonly _tag: "User" }>) => {
  if (Predicate.isString(message.content)) return
  message.content.forEach((block, index) => {
    if (block._tag !== "ToolResult") return
    addToolResult(state, block, isToolError(block.is_error, raw, index))
  })
}

const addMessage = (state: State, message: ClaudeMessage) => {
  const isNew = state.words.takeMessage(message)
  if (message._tag === "Assistant" && isNew) addAssistant(state, message)
  if (message._tag === "User" && isNew) addUser(state, message)
  if (message._tag === "Result" && hasRoom(state, message.raw)) state.result = message
}

export const addEvent = (state: State, event: TurnEvent) => {
  if (event._tag === "Message") addMessage(state, event.message)
  else if (event._tag !== "SessionRestarted") state.words.take(event)
}

const limits = new Map<string, TurnOutcome>([
  ["error_max_turns", { _tag: "MaxTurns" }],
  ["error_max_budget_usd", { _tag: "MaxBudgetUsd" }],
  ["error_max_structured_output_retries", { _tag: "MaxStructuredOutputRetries" }]
])

/** The errors of a result, be they a list or not. */
const errorsOf = ({ errors, raw }: NonNullable<Turn["result"]>): ReadonlyArray<Schema.Json> => {
  if (errors !== undefined && errors !== null) return errors
  const error = jsonAt(raw, "errors") ?? null
  return error === null ? [] : [error]
}

export const outcomeOf = (result: Turn["result"]): TurnOutcome => {
  if (result === undefined) return { _tag: "NoResult" }
  const subtype = result.subtype ?? ""
  const limit = limits.get(subtype)
  if (limit !== undefined) return limit
  const errors = errorsOf(result)
  if (subtype === "error_during_execution") return { _tag: "ErrorDuringExecution", errors }
  if (saysError(result.is_error, () => jsonAt(result.raw, "is_error"))) {
    return { _tag: "IsError", error: present(result.result) ?? present(errors.map(textOf).join("; ")) ?? subtype }
  }
  return subtype === "success" ? { _tag: "Success" } : { _tag: "Other", subtype }
}

export const toTurn = (state: State): Turn => {
  const { before, budget, result, toolCalls, words } = state
  words.settle()
  const used = result === undefined ? undefined : usageOf(result, before)
  return {
    text: words.text,
    thinking: words.thinking,
    toolCalls: [...toolCalls],
    outcome: outcomeOf(result),
    structuredOutput: result?.structured_output,
    usage: used?.usage,
    costUsd: used?.costUsd,
    usageScope: used?.scope ?? "turn",
    numTurns: result?.num_turns ?? undefined,
    stopReason: result?.stop_reason ?? undefined,
    result,
    isPartial: budget.isExceeded
  }
}

/**
 * The text that the agent writes, as it arrives: pieces where the server sends pieces, whole blocks where it does not,
 * and nothing twice. Where a complete block differs from its pieces, it follows behind a blank line.
 */
export const textDeltas = <E, R>(events: Stream.Stream<TurnEvent, E, R>): Stream.Stream<string, E, R> =>
  Stream.mapAccumArray(
    events,
    () => {
      const writer = makeWriter()
      const budget: Budget = { left: keptOfTurn, isExceeded: false }
      const words = new AgentText({ listener: writer.listener, budget, keepsText: false, pendingLimit: keptOfTurn })
      return { writer, words }
    },
    (state, batch) => {
      for (const event of batch) if (event._tag !== "SessionRestarted") state.words.take(event)
      state.words.endBatch()
      state.words.settleAtOnce()
      return [state, state.writer.take()]
    },
    {
      onHalt: ({ words, writer }) => {
        words.settle()
        return writer.take()
      }
    }
  )

/** Folds the messages of a turn, as a server keeps them. */
export const fromMessages = (messages: ReadonlyArray<StoredContent>): Turn => {
  const state = initial()
  for (const message of messages) if (message._tag !== "UserPrompt") addMessage(state, message)
  return toTurn(state)
}

/** What to do while a stream is folded. */
export interface FoldOptions<E, R> {
  /** Is run with each piece of text as it arrives, as `textDeltas` would give it. */
  readonly onText?: ((text: string) => Effect.Effect<unknown, E, R>) | undefined
}

/** Runs a stream of events until it ends and folds it into the turn. */
export const fold = <E, R, E2 = never, R2 = never>(
  events: Stream.Stream<TurnEvent, E, R>,
  { onText }: FoldOptions<E2, R2> = {}
): Effect.Effect<Turn, E | E2, R | R2> =>
  Effect.suspend(() => {
    const writer = makeWriter()
    const state = initial(onText && { listener: writer.listener })
    const write = onText === undefined ? Effect.void : Effect.suspend(() => {
      state.words.settleAtOnce()
      return Effect.forEach(writer.take(), onText, { discard: true })
    })
    return Stream.runForEachArray(events, (batch) => {
      for (const event of batch) addEvent(state, event)
      state.words.endBatch()
      return write
    }).pipe(
      Effect.andThen(Effect.sync(() => state.words.settle())),
      Effect.andThen(write),
      Effect.map(() => toTurn(state))
    )
  })

export type Make = (options: StateOptions) => State

/** Keeps as much of a turn as its failure needs. */
export const foldForFailure: Make = (options) => initial({ size: keptOfTurn, ...options })
