/** The spans of a turn's tools, from a tool's use to its result, by the messages of the stream. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import type {
  AssistantMessage,
  ClaudeMessage,
  ToolResultBlock,
  ToolUseBlock,
  UserMessage
} from "../../schema/ClaudeMessage.ts"
import { isToolError, jsonText } from "../../schema/Wire.ts"
import { endSpan, spanFailure } from "../request/traced.ts"
import { blocksOf, deliveryOf, present } from "../turn/agentText.ts"
import type { TurnEvent } from "../turn/turnFold.ts"
import { attribute, operation, toolError, toolType } from "./conventions.ts"

const isOpen = ({ status }: Tracer.Span) => status._tag === "Started"

const named = (type: string) => spanFailure(operation.executeTool, type)

/** The spans of the tools of one turn. Tools of a subagent are below the tool that started it. */
export class ToolSpans {
  readonly #turn: Tracer.Span
  readonly #hasContent: boolean
  /** By the id of the call; calls without an id of their own in their order. */
  readonly #tools = new Map<string, ReadonlyArray<Tracer.Span>>()
  readonly #messages = new Set<string>()

  constructor(turn: Tracer.Span, hasContent: boolean) {
    this.#turn = turn
    this.#hasContent = hasContent
  }

  take(events: ReadonlyArray<TurnEvent>): ReadonlyArray<Effect.Effect<void>> {
    return events.flatMap((event) => event._tag === "Message" ? this.#changes(event.message) : [])
  }

  /** Ends the tools whose results were not received. */
  close(now: bigint, isInterrupted: boolean) {
    for (const span of Array.from(this.#tools.values()).flat().filter(isOpen)) {
      if (!isInterrupted) span.attribute(attribute.errorType, toolError.noResult)
      span.end(now, isInterrupted ? Exit.interrupt() : named(toolError.noResult))
    }
  }

  #changes(message: ClaudeMessage): ReadonlyArray<Effect.Effect<void>> {
    if (message._tag !== "Assistant" && message._tag !== "User") return []
    const changes = blocksOf(message).flatMap((block, index) =>
      block._tag === "ToolUse"
        ? [this.#open(block, present(message.parent_tool_use_id))]
        : block._tag === "ToolResult"
        ? [this.#end(block, isToolError(block.is_error, message.raw, index))]
        : []
    )
    return changes.length === 0 || this.#isSeen(message) ? [] : changes
  }

  #isSeen(message: AssistantMessage | UserMessage): boolean {
    const mark = deliveryOf(message)
    if (mark === undefined) return false
    const isSeen = this.#messages.has(mark)
    this.#messages.add(mark)
    return isSeen
  }

  #open({ id: given, input, name }: ToolUseBlock, parentId: string | undefined): Effect.Effect<void> {
    const id = given ?? ""
    const attributes = {
      [attribute.operationName]: operation.executeTool,
      [attribute.toolType]: toolType,
      ...(name == null ? {} : { [attribute.toolName]: name }),
      ...(id === "" ? {} : { [attribute.toolCallId]: id }),
      ...(this.#hasContent ? { [attribute.toolArguments]: jsonText(input ?? null) } : {})
    }
    return Effect.suspend(() => {
      const caller = parentId === undefined ? undefined : this.#tools.get(parentId)?.at(-1)
      const parent = caller ?? this.#turn
      return Effect.map(
        Effect.makeSpan([operation.executeTool, name].join(" ").trim(), { parent, kind: "internal", attributes }),
        (span) => {
          this.#tools.set(id, [...this.#tools.get(id) ?? [], span])
        }
      )
    })
  }

  #end({ content, tool_use_id }: ToolResultBlock, isError: boolean): Effect.Effect<void> {
    return Effect.suspend(() => {
      const span = this.#tools.get(tool_use_id ?? "")?.find(isOpen)
      if (span === undefined) return Effect.void
      if (isError) span.attribute(attribute.errorType, toolError.failed)
      if (this.#hasContent) span.attribute(attribute.toolResult, jsonText(content ?? null))
      return endSpan(span, isError ? named(toolError.failed) : Exit.void)
    })
  }
}
