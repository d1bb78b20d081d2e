/** From the events or the stored messages of a conversation to what there is to read of it, in order, once each. */
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type { ClaudeMessage, MessageBlock } from "../../schema/ClaudeMessage.ts"
import type { MessageContent, StoredMessage, UserPrompt } from "../../schema/Message.ts"
import { textsOf } from "../../schema/promptText.ts"
import type { ToolCall, Turn } from "../../schema/Turn.ts"
import { isToolError } from "../../schema/Wire.ts"
import { AgentText, blocksOf, present } from "./agentText.ts"
import { outcomeOf, type TurnEvent } from "./turnFold.ts"

/** A prompt, which the events of a turn do not have. */
export interface PromptEntry {
  readonly _tag: "Prompt"
  readonly content: MessageContent
}

export type Source = TurnEvent | StoredMessage | Turn | PromptEntry

/** A call of a tool, with what the subagent did that it started. */
export interface CallEntry {
  readonly _tag: "Call"
  readonly name: string
  readonly input: Schema.Json
  readonly inside: ReadonlyArray<Entry>
  readonly result: ToolCall["result"]
}

export type Entry =
  | { readonly _tag: "User" | "Text" | "Thinking" | "Note"; readonly text: string }
  | { readonly _tag: "Data"; readonly name: string; readonly json: Schema.Json }
  | CallEntry

/** A call, and what is put into it while it is not written. */
interface OpenCall extends CallEntry {
  readonly inside: Array<Entry>
  result: ToolCall["result"]
  /** The calls without a result among it and those that it stands in or that stand in it. Where there is none, they may be written. */
  readonly open: { count: number }
}

/** Something that nothing is put into. */
type PlainEntry = Exclude<Entry, CallEntry>

const typeOf = (block: unknown): string =>
  Predicate.hasProperty(block, "type") && Predicate.isString(block.type) ? block.type : "content"

/** The text of a prompt, with a mark for what is none. */
const textOf = (content: MessageContent | UserPrompt["content"]): string => {
  if (Predicate.isString(content)) return content
  const marks = content.map((block) =>
    Predicate.isString(block) || ("type" in block && block.type === "text")
      ? ""
      : `[${typeOf("raw" in block ? block.raw : block)}]`
  )
  return [textsOf(content).join(""), ...marks].filter((part) => part !== "").join("\n\n")
}

/** How a turn ended, if that is worth a word. */
const endOf = (outcome: Turn["outcome"]): ReadonlyArray<PlainEntry> => {
  switch (outcome._tag) {
    case "Success":
      return []
    case "IsError":
      return [{ _tag: "Note", text: `The turn ended with an error: ${outcome.error}` }]
    case "Other":
      return [{ _tag: "Note", text: `The turn ended: ${outcome.subtype}` }]
    default:
      return [{ _tag: "Note", text: `The turn ended: ${outcome._tag}` }]
  }
}

const structuredOf = (json: Schema.Json | null | undefined): ReadonlyArray<PlainEntry> =>
  Predicate.isNullish(json) ? [] : [{ _tag: "Data", name: "Structured output", json }]

/** What somebody says in words, where there are any. */
const said = (tag: "Text" | "Thinking" | "User", text: string): ReadonlyArray<PlainEntry> =>
  text.trim() === "" ? [] : [{ _tag: tag, text }]

type Blocks = Extract<ClaudeMessage, { readonly _tag: "Assistant" | "User" }>

export class Conversation {
  /** The entries that nothing can be added to, and those of the present turn behind them. */
  readonly #done: Array<Entry> = []
  #entries: Array<PlainEntry | OpenCall> = []
  readonly #calls = new Map<string, Array<OpenCall>>()
  /** Knows what is delivered twice, and what is written of messages that are not complete. */
  #words = new AgentText({ keepsText: false })
  /** Whether the agent itself said anything in the turn. */
  #hasText = false

  take(source: Source) {
    if ("outcome" in source) return this.#takeTurn(source)
    if ("sequence" in source) {
      return source.content._tag === "UserPrompt"
        ? this.#takePrompt(source.content.content)
        : this.#takeMessage(source.content)
    }
    switch (source._tag) {
      case "Prompt":
        return this.#takePrompt(source.content)
      case "SessionRestarted":
        return this.#add({ _tag: "Note", text: "The session was restarted" })
      case "TurnError":
        this.#end()
        return this.#add({ _tag: "Note", text: `The turn failed: ${source.error}` })
      case "Message":
        return this.#takeMessage(source.message)
      default:
        this.#words.take(source)
    }
  }

  /** The entries that nothing can be added to when a batch ends, each once. */
  ready(): ReadonlyArray<Entry> {
    this.#words.endBatch()
    const open = this.#entries.findIndex((entry) => entry._tag === "Call" && entry.open.count > 0)
    this.#done.push(...this.#entries.splice(0, open === -1 ? this.#entries.length : open))
    return this.#done.splice(0)
  }

  finish(): ReadonlyArray<Entry> {
    this.#end()
    return this.#done.splice(0)
  }

  /** Puts an entry behind the others, or into the call whose subagent it is of; where that may be written, the call goes on. */
  #add(entry: PlainEntry | OpenCall, parent?: string) {
    const call = this.#callOf(parent)
    if (call === undefined) this.#entries.push(entry)
    else if (call.open.count > 0) call.inside.push(entry)
    else {
      const { open } = entry._tag === "Call" ? entry : call
      this.#entries.push({ _tag: "Call", name: call.name, input: null, inside: [entry], result: undefined, open })
    }
  }

  #addAll(entries: ReadonlyArray<PlainEntry>, parent?: string) {
    for (const entry of entries) this.#add(entry, parent)
  }

  #callOf(parent: string | undefined): OpenCall | undefined {
    return parent === undefined ? undefined : this.#calls.get(parent)?.at(-1)
  }

  #end() {
    this.#endWords()
    this.#done.push(...this.#entries)
    this.#entries = []
    this.#calls.clear()
    this.#hasText = false
  }

  #takePrompt(content: MessageContent | UserPrompt["content"]) {
    this.#end()
    this.#add({ _tag: "User", text: textOf(content) })
  }

  #takeMessage(message: ClaudeMessage) {
    const isNew = this.#words.takeMessage(message)
    switch (message._tag) {
      case "Assistant":
        return isNew ? this.#takeAssistant(message) : undefined
      case "User":
        return isNew ? this.#takeUser(message) : undefined
      case "Result": {
        this.#endWords()
        const text = this.#hasText ? "" : message.result ?? ""
        const outcome = outcomeOf(message)
        this.#addAll([
          ...(outcome._tag === "Success" ? said("Text", text) : endOf(outcome)),
          ...structuredOf(message.structured_output)
        ])
        return this.#end()
      }
    }
  }

  #takeAssistant(message: Extract<ClaudeMessage, { readonly _tag: "Assistant" }>) {
    const parent = present(message.parent_tool_use_id)
    if (parent === undefined) this.#addPending(this.#words.takePending())
    blocksOf(message).forEach((block, index) => this.#takeBlock(message, block, index))
  }

  /** What it did not complete stays as it is. */
  #endWords() {
    this.#words.settle()
    this.#addPending(this.#words)
    this.#words = new AgentText({ keepsText: false })
  }

  /** Adds what was written of messages that never came. */
  #addPending({ text, thinking }: Pick<AgentText, "text" | "thinking">) {
    this.#addAll([...said("Thinking", thinking), ...said("Text", text)])
    this.#hasText ||= text.trim() !== ""
  }

  #takeBlock(message: Blocks, block: MessageBlock, index: number) {
    const parent = present(message.parent_tool_use_id)
    switch (block._tag) {
      case "Text":
        this.#hasText ||= parent === undefined && block.text.trim() !== ""
        return this.#addAll(said("Text", block.text), parent)
      case "Thinking":
        return this.#addAll(said("Thinking", block.thinking), parent)
      case "ToolUse":
        return this.#call({ id: block.id ?? "", name: block.name ?? "", input: block.input ?? null }, parent)
      case "ToolResult": {
        const isError = isToolError(block.is_error, message.raw, index)
        return this.#answer(block.tool_use_id ?? "", { content: block.content ?? null, isError }, parent)
      }
      case "Unknown":
        return this.#add({ _tag: "Data", name: typeOf(block.raw), json: block.raw }, parent)
    }
  }

  /** A subagent's prompt is left out: it is the input of the call that started it. */
  #takeUser(message: Extract<ClaudeMessage, { readonly _tag: "User" }>) {
    const isPrompt = present(message.parent_tool_use_id) !== undefined
    blocksOf(message).forEach((block, index) => {
      if (block._tag === "Text") {
        if (!isPrompt) this.#addAll(said("User", block.text))
      } else if (!isPrompt || block._tag === "ToolResult") this.#takeBlock(message, block, index)
    })
  }

  #call({ id, input, name }: Pick<ToolCall, "id" | "input" | "name">, parent?: string) {
    const around = this.#callOf(parent)?.open
    const open = around !== undefined && around.count > 0 ? around : { count: 0 }
    open.count += 1
    const call: OpenCall = { _tag: "Call", name, input, inside: [], result: undefined, open }
    this.#add(call, parent)
    const calls = this.#calls.get(id)
    if (calls === undefined) this.#calls.set(id, [call])
    else calls.push(call)
    return call
  }

  #answer(id: string, result: ToolCall["result"], parent?: string) {
    const call = this.#calls.get(id)?.find((call) => call.result === undefined) ??
      this.#call({ id, name: "", input: null }, parent)
    call.result = result
    call.open.count -= 1
  }

  /** A turn as one value: it has no order of texts and calls, so the calls come first. */
  #takeTurn(turn: Turn) {
    this.#end()
    this.#addAll(said("Thinking", turn.thinking))
    const calls = turn.toolCalls.map((call) => this.#call(call, call.parentToolUseId))
    calls.forEach((call, index) => call.result = turn.toolCalls[index]?.result)
    this.#addAll(said("Text", turn.text === "" ? turn.result?.result ?? "" : turn.text))
    this.#addAll([...endOf(turn.outcome), ...structuredOf(turn.structuredOutput)])
    this.#end()
  }
}
