/**
 * What an agent writes in a turn, from what servers send of it: its text and its thinking come in pieces, as they are
 * written, and once more in complete messages, which are the truth.
 *
 * Pieces belong to the message that began before them. A complete message takes the place of its pieces; pieces that no
 * complete message followed count as they are, unless the model was asked again for what they are the start of.
 */
import * as Predicate from "effect/Predicate"
import type { AssistantMessage, ClaudeMessage, MessageBlock, UserMessage } from "../../schema/ClaudeMessage.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import { copyOf, jsonText, parseJson } from "../../schema/Wire.ts"
import {
  type Budget,
  bytesOf,
  spend,
  type StartedMessage,
  TextAccumulator,
  type TextListener
} from "./textAccumulator.ts"

/** The blocks of a message; a content that is a text counts as one. */
export const blocksOf = (message: AssistantMessage | UserMessage): ReadonlyArray<MessageBlock> => {
  const { content } = message.message
  return Predicate.isString(content) ? [{ _tag: "Text", type: "text", text: content }] : content
}

/** An id or a reference; an empty one is none. */
export const present = (id: string | null | undefined): string | undefined => id === null || id === "" ? undefined : id

/** Where the pieces of known servers, of which there are thousands, have their type and their author. Others are parsed whole. */
const deltaType = "\"content_block_delta\""
const deltaTypeAt = "{\"type\":\"stream_event\",\"event\":{\"type\":".length
const ownMark = "\"parent_tool_use_id\":null,\"uuid\":\""
const ownEnd = "\"parent_tool_use_id\":null}"
const ownMarkBeforeEnd = ownMark.length + "00000000-0000-0000-0000-000000000000\"}".length

/** As `startsWith`, which costs more in a string that is a part of another. */
const standsAt = (json: string, position: number, word: string) =>
  position >= 0 && json.indexOf(word, position) === position

/** Whether a piece is marked as the agent's own, where no text of an agent's can stand: its quotes are escaped. */
const isPlainlyOwn = (json: string) =>
  standsAt(json, json.length - ownMarkBeforeEnd, ownMark) || standsAt(json, json.length - ownEnd.length, ownEnd)

const endsInUuid = /"uuid":"[^"]+"\}$/

const quote = 34

/** What stands behind the id of a piece. */
const behindId = "\"}"

/** Whether pieces of one length end in one id, however long. It is looked at from the end, near which ids differ. */
const endsAlike = (json: string, other: string): boolean => {
  for (let back = 1; back <= other.length; back++) {
    const code = json.charCodeAt(json.length - back)
    if (code !== other.charCodeAt(other.length - back)) return false
    if (code === quote && back > behindId.length) return true
  }
  return false
}

/** Spreads over all bits what a character adds, so that two characters cannot undo each other. */
const factor = 0x01000193

/** A hash of a text. Effect's own computes beyond integers, and is slow on megabytes. */
const hashOf = (text: string): number => {
  let hash = 0
  for (let index = 0; index < text.length; index++) hash = (Math.imul(hash, factor) + text.charCodeAt(index)) | 0
  return hash
}

/** Of a text its length and its ends: results of tools are large, and to hash them costs more than to read them. */
const shortened = (_: string, value: unknown) =>
  Predicate.isString(value) ? value.length + value.slice(0, 999) + value.slice(-999) : value

/** What tells whether a message is delivered twice: its id and its content. One without an id is always new. */
export const deliveryOf = ({ message, uuid }: AssistantMessage | UserMessage): string | undefined => {
  const id = present(uuid)
  if (id === undefined) return undefined
  // One piece of memory, where a template keeps its parts, too.
  return [id, hashOf(jsonText(message.content, undefined, shortened))].join(" ")
}

const field = (json: unknown, name: string): unknown => Predicate.isObject(json) ? json[name] : undefined

const stringField = (json: unknown, name: string): string | undefined => {
  const value = field(json, name)
  return Predicate.isString(value) && value !== "" ? value : undefined
}

const mayHaveText = /text_delta|thinking_delta/

const deltaTextOf = (delta: unknown): string | undefined => stringField(delta, "text") ?? stringField(delta, "thinking")

/** Whether the agent used a tool there: its own, a server's or an API's. */
const isToolUse = (type: unknown) => Predicate.isString(type) && /^(?:\w+_)?tool_use$/.test(type)

const blockTextOf = (block: MessageBlock): string =>
  block._tag === "Text" ? block.text : block._tag === "Thinking" ? block.thinking : ""

/** How many blocks of a kind a message has, and where the first and the last one stand that are not empty. */
const spreadOf = (blocks: ReadonlyArray<MessageBlock>, tag: MessageBlock["_tag"]) => {
  const hasText = (block: MessageBlock) => block._tag === tag && blockTextOf(block) !== ""
  const count = blocks.filter(({ _tag }) => _tag === tag).length
  return { count, first: blocks.findIndex(hasText), last: blocks.findLastIndex(hasText) }
}

/** Whether a message of the SDK's reports that the model is asked once more. */
const isRetry = ({ raw }: Extract<ClaudeMessage, { readonly _tag: "Unknown" }>) =>
  field(raw, "type") === "system" && field(raw, "subtype") === "api_retry" &&
  stringField(raw, "parent_tool_use_id") === undefined

export interface AgentTextOptions {
  readonly listener?: TextListener
  /** For the text of complete messages, and to know those that are delivered twice. */
  readonly budget?: Budget
  /** Whether the text of complete messages is kept. @default true */
  readonly keepsText?: boolean
  /** Characters of text, and of thinking, that no complete message has confirmed. */
  readonly pendingLimit?: number
}

/** What the agent itself writes, and no subagent. A class, as methods stay compiled when a turn ends. */
export class AgentText {
  readonly #text: TextAccumulator
  readonly #thinking: TextAccumulator
  readonly #seen = new Set<string>()
  readonly #budget: Budget
  #message: StartedMessage = { id: undefined }
  /** A piece in an event of its own has no author: its twin has, a `Partial` event right behind it. */
  #unattributed: TextAccumulator | undefined
  #unattributedText = ""
  #isUnattributedCounted = false
  /** The last `Partial` event, or its end, if there was one; its length, and its text. */
  #lastPartial: string | undefined
  #lastPartialLength = 0
  #lastPartialText: string | undefined
  /** Whether the agent's own message has started that its pieces belong to; behind a result none has. */
  #hasStarted = false
  /** Whether the server sends `message_start` at all. */
  #sendsStarts = false
  /** Whether there was a piece whose message did not start before it. */
  #hasUnstarted = false
  /** The id of the turn's first message, and whether an agent wrote something before. */
  #init: string | undefined
  #hasWritten = false
  #isMixed = false

  constructor(
    { budget = { left: Infinity, isExceeded: false }, keepsText = true, listener = {}, pendingLimit = Infinity }:
      AgentTextOptions = {}
  ) {
    this.#budget = budget
    const forText = keepsText ? budget : { left: 0, isExceeded: false }
    this.#text = new TextAccumulator("text", listener, forText, pendingLimit)
    this.#thinking = new TextAccumulator("thinking", listener, forText, pendingLimit)
  }

  /** What was written until now; a blank line separates what was written before and after a tool was used. */
  get text(): string {
    return this.#text.join(separator)
  }

  get thinking(): string {
    return this.#thinking.join("")
  }

  /**
   * Whether another turn writes here, too: there are two first messages, unless one was delivered twice, or something was
   * written before the first one, or a piece follows no `message_start` though the server sends them.
   */
  get isMixed(): boolean {
    return this.#isMixed
  }

  /** Takes out what no complete message has confirmed of the messages before the present one. */
  takePending(): Pick<AgentText, "text" | "thinking"> {
    const except = this.#message
    return { text: this.#text.takePending(separator, except), thinking: this.#thinking.takePending(separator, except) }
  }

  take(event: StreamEvent) {
    switch (event._tag) {
      case "TextDelta":
        return this.#takePiece(this.#text, event.delta)
      case "ThinkingDelta":
        return this.#takePiece(this.#thinking, event.delta)
      case "Partial":
        return this.#takePartial(event.json)
      case "Message":
        this.takeMessage(event.message)
        return
      case "TextReplaced":
      case "ThinkingReplaced":
        return
      default:
        this.settle()
    }
  }

  /** Keeps the end of the last piece alone: the piece would keep what has arrived with it. */
  endBatch() {
    const last = this.#lastPartial
    if (last !== undefined) {
      this.#lastPartial = copyOf(last.slice(last.lastIndexOf("\"", last.length - behindId.length - 1)))
    }
  }

  /** Takes a message; answers whether it is a new one, and was not delivered before. */
  takeMessage(message: ClaudeMessage): boolean {
    switch (message._tag) {
      case "Assistant":
        return this.#takeAssistant(message)
      case "Partial":
        this.#takeModelEvent(message.event, present(message.parent_tool_use_id) === undefined)
        return true
      case "Unknown":
        this.settle()
        if (isRetry(message)) {
          this.#text.retry(this.#message)
          this.#thinking.retry(this.#message)
          this.#hasUnstarted = false
        }
        return true
      case "SystemInit":
        this.settle()
        this.#takeInit(stringField(message.raw, "uuid") ?? "")
        return true
      case "Result":
        this.settle()
        this.#hasStarted = false
        this.#hasWritten = true
        return true
      case "User":
        this.settle()
        return !this.#isSeen(message)
    }
  }

  /** Counts a piece that no twin has followed. */
  settle() {
    const unattributed = this.#unattributed
    if (unattributed === undefined) return
    this.#unattributed = undefined
    if (!this.#isUnattributedCounted && !this.#isRepetition(unattributed)) {
      this.#count(unattributed, this.#unattributedText, false)
    }
  }

  /** Counts a piece at once, unless its twin is to be waited for, as the server is one that sends twins. */
  settleAtOnce() {
    const unattributed = this.#unattributed
    if (unattributed === undefined || this.#isUnattributedCounted || this.#lastPartial !== undefined) return
    this.#isUnattributedCounted = true
    if (!this.#isRepetition(unattributed)) this.#count(unattributed, this.#unattributedText, false)
  }

  /** Servers send the whole of each block of thinking once more before its message. */
  #isRepetition(unattributed: TextAccumulator): boolean {
    return unattributed === this.#thinking &&
      (this.#lastPartial !== undefined || unattributed.isPending(this.#unattributedText))
  }

  #count(accumulator: TextAccumulator, text: string, isConfirmed: boolean) {
    if (text === "") return
    this.#supersede()
    accumulator.piece(this.#message, text, isConfirmed)
  }

  #supersede() {
    this.#text.supersede()
    this.#thinking.supersede()
  }

  #close() {
    this.#text.close()
    this.#thinking.close()
  }

  #takePiece(accumulator: TextAccumulator, text: string) {
    this.settle()
    this.#unattributed = accumulator
    this.#unattributedText = text
    this.#isUnattributedCounted = false
  }

  #takePartial(json: string) {
    const last = this.#lastPartial
    const isRepeated = last !== undefined && json.length === this.#lastPartialLength && endsAlike(json, last) &&
      this.#lastPartialText !== undefined && endsInUuid.test(json) &&
      this.#lastPartialText === deltaTextOf(field(field(parseJson(json), "event"), "delta"))
    this.#lastPartial = json
    this.#lastPartialLength = json.length
    if (isRepeated) {
      this.#unattributed = undefined
      return
    }
    if (standsAt(json, deltaTypeAt, deltaType)) {
      if (this.#unattributed !== undefined && isPlainlyOwn(json)) return this.#attribute(this.#unattributed, true)
      if (this.#unattributed === undefined && !mayHaveText.test(json)) {
        if (!this.#hasStarted && isPlainlyOwn(json)) this.#takeUnstarted()
        return
      }
    }
    const message = parseJson(json)
    this.#takeModelEvent(field(message, "event"), stringField(message, "parent_tool_use_id") === undefined)
  }

  /** The twin of a piece has come. */
  #attribute(unattributed: TextAccumulator, isOwn: boolean) {
    this.#unattributed = undefined
    this.#lastPartialText = this.#unattributedText
    if (isOwn && !this.#hasStarted) this.#takeUnstarted()
    if (isOwn && !this.#isUnattributedCounted) this.#count(unattributed, this.#unattributedText, true)
    if (!isOwn && this.#isUnattributedCounted) unattributed.takeBack(this.#unattributedText)
  }

  #takeModelEvent(event: unknown, isOwn: boolean) {
    const delta = field(event, "delta")
    const deltaType = field(delta, "type")
    this.#lastPartialText = deltaTextOf(delta)
    if (deltaType === "text_delta") return this.#takeTwin(this.#text, this.#lastPartialText, isOwn)
    if (deltaType === "thinking_delta") return this.#takeTwin(this.#thinking, this.#lastPartialText, isOwn)
    this.settle()
    if (!isOwn) return
    const type = field(event, "type")
    if (type === "message_start") this.#start(stringField(field(event, "message"), "id"))
    if (isToolUse(field(field(event, "content_block"), "type"))) this.#text.useTool()
    if (type === "message_start" || type === "content_block_start") this.#close()
  }

  #start(id: string | undefined) {
    this.#message = { id }
    this.#hasStarted = true
    this.#sendsStarts = true
    this.#hasWritten = true
    this.#isMixed ||= this.#hasUnstarted
  }

  /** A piece before which no message started. It is another turn's, unless the server sends no `message_start`. */
  #takeUnstarted() {
    this.#hasUnstarted = true
    this.#hasWritten = true
    this.#isMixed ||= this.#sendsStarts
  }

  #takeInit(id: string) {
    const before = this.#init
    this.#init = id
    this.#isMixed ||= before === undefined ? this.#hasWritten : before === "" || before !== id
  }

  /** A piece as the API has it, be it the twin of the last one or not. */
  #takeTwin(accumulator: TextAccumulator, text: string | undefined, isOwn: boolean) {
    if (this.#unattributed === accumulator) return this.#attribute(accumulator, isOwn)
    this.settle()
    if (!isOwn) return
    if (!this.#hasStarted) this.#takeUnstarted()
    if (text !== undefined) this.#count(accumulator, text, true)
  }

  #accumulatorOf(block: MessageBlock): TextAccumulator | undefined {
    return block._tag === "Text" ? this.#text : block._tag === "Thinking" ? this.#thinking : undefined
  }

  #takeAssistant(message: AssistantMessage): boolean {
    this.#hasWritten = true
    const blocks = blocksOf(message)
    const isUnattributedAmong = blocks.some((block) =>
      this.#accumulatorOf(block) === this.#unattributed && blockTextOf(block) === this.#unattributedText
    )
    // A piece that repeats a block as a whole is a part of it, whosever it is.
    if (isUnattributedAmong && !this.#isUnattributedCounted) this.#unattributed = undefined
    this.settle()
    const isNew = !this.#isSeen(message)
    if (!isNew || present(message.parent_tool_use_id) !== undefined) {
      for (const block of blocks) this.#accumulatorOf(block)?.takeBack(blockTextOf(block))
      return isNew
    }
    const id = present(message.message.id)
    const [texts, thoughts] = [spreadOf(blocks, "Text"), spreadOf(blocks, "Thinking")]
    let isBehindTool = false
    blocks.forEach((block, index) => {
      if (block._tag === "ToolUse" || (block._tag === "Unknown" && isToolUse(field(block.raw, "type")))) {
        isBehindTool = true
        this.#text.useTool()
        // Nothing else shows where a block of text ends.
        if (!this.#sendsStarts) this.#text.close()
      }
      const { count, first, last } = block._tag === "Text" ? texts : thoughts
      this.#accumulatorOf(block)?.block(this.#message, id, blockTextOf(block), {
        hasOthers: count > 1,
        isPreceded: first < index,
        isFollowed: last > index,
        isBehindTool
      })
      if (block._tag === "Text" && block.text !== "") isBehindTool = false
    })
    this.#supersede()
    return true
  }

  #isSeen(message: AssistantMessage | UserMessage): boolean {
    const mark = deliveryOf(message)
    if (mark === undefined) return false
    if (this.#seen.has(mark)) return true
    if (spend(this.#budget, bytesOf(mark))) this.#seen.add(mark)
    return false
  }
}

const separator = "\n\n"

/** Writes the text of an agent in pieces that follow each other. Behind what it takes back there is a blank line, too. */
export const makeWriter = () => {
  let pieces: Array<string> = []
  let hasWritten = false
  let isBroken = false
  const write = (text: string, isApart: boolean) => {
    pieces.push(isApart && hasWritten ? separator + text : text)
    hasWritten = true
    isBroken = false
  }
  const listener: TextListener = {
    written: (kind, text, isBehindTool) => {
      if (kind === "text") write(text, isBroken || isBehindTool)
    },
    replaced: (kind, _, text) => {
      if (kind !== "text") return
      isBroken = true
      if (text !== "") write(text, true)
    }
  }
  return {
    listener,
    take: (): ReadonlyArray<string> => {
      const taken = pieces
      pieces = []
      return taken
    }
  }
}
