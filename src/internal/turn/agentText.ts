/**
 * What an agent writes in a turn, from what servers send of it: its text and its thinking come in pieces, as they are
 * written, and once more in complete messages, which are the truth.
 *
 * Pieces belong to the message that began before them. A complete message takes the place of its pieces; pieces that no
 * complete message followed count as they are, unless the model was asked again for what they are the start of.
 */
import * as Hash from "effect/Hash"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { AssistantMessage, ClaudeMessage, MessageBlock, UserMessage } from "../../schema/ClaudeMessage.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import { parseJson, startsAt } from "../../schema/Wire.ts"
import { afford, type Beginning, type Budget, bytesOf, type Listener, Strand } from "./strand.ts"

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

/** Whether a piece is said to be the agent's own, where no text of an agent's can stand: its quotes are escaped. */
const isPlainlyOwn = (json: string) =>
  startsAt(json, json.length - ownMarkBeforeEnd, ownMark) || startsAt(json, json.length - ownEnd.length, ownEnd)

const endsInUuid = /"uuid":"[^"]+"\}$/

/** How long the end of a piece is that has its id. */
const endLength = "\"uuid\":\"00000000-0000-0000-0000-000000000000\"}".length

/** A mark of the end of a piece, which has its id. The piece itself would keep in memory what it is a part of. */
const markOf = (json: string): number => {
  let mark = json.length
  for (let index = Math.max(0, json.length - endLength); index < json.length; index++) {
    mark = (Math.imul(mark, 31) + json.charCodeAt(index)) | 0
  }
  return mark
}

/** A field of a JSON value, be it one that has fields. */
const field = (json: unknown, name: string): unknown => Predicate.hasProperty(json, name) ? json[name] : undefined

const stringField = (json: unknown, name: string): string | undefined => {
  const value = field(json, name)
  return Predicate.isString(value) && value !== "" ? value : undefined
}

const mayHaveWords = /text_delta|thinking_delta/

/** The words of a piece, as the API has them. */
const wordsIn = (delta: unknown): string | undefined => stringField(delta, "text") ?? stringField(delta, "thinking")

/** Whether the agent used a tool there: its own, a server's or an API's. */
const isToolUse = (type: unknown) => Predicate.isString(type) && /^(?:\w+_)?tool_use$/.test(type)

const wordsOf = (block: MessageBlock): string =>
  block._tag === "Text" ? block.text : block._tag === "Thinking" ? block.thinking : ""

/** Whether a message of the SDK's reports that the model is asked once more. */
const isRetry = ({ raw }: Extract<ClaudeMessage, { readonly _tag: "Unknown" }>) =>
  field(raw, "type") === "system" && field(raw, "subtype") === "api_retry" &&
  stringField(raw, "parent_tool_use_id") === undefined

export interface AgentTextOptions {
  readonly listener?: Listener
  /** For the text of complete messages, and to know those that are delivered twice. */
  readonly budget?: Budget
  /** Whether the text of complete messages is kept. @default true */
  readonly keepsText?: boolean
  /** Characters of text, and of thinking, that no complete message has confirmed. */
  readonly pendingLimit?: number
}

/** What the agent itself writes, and no subagent. A class, as methods stay compiled when a turn ends. */
export class AgentText {
  readonly #text: Strand
  readonly #thinking: Strand
  readonly #seen = new Set<string>()
  readonly #budget: Budget
  #message: Beginning = { id: undefined }
  /** A piece in an event of its own has no author: its twin has, a `Partial` event right behind it. */
  #loose: Strand | undefined
  #looseText = ""
  #isLooseCounted = false
  /** The mark of the last `Partial` event, if there was one, and what it said. */
  #lastPartial: number | undefined
  #lastSaid: string | undefined
  /** Whether the agent's own message has begun that its pieces belong to; behind a result none has. */
  #hasBegun = false
  /** Whether a message has begun at all: there are servers that send no beginnings. */
  #saysBeginnings = false
  /** Whether there was a piece without a beginning. */
  #isUnbegun = false
  /** The id of the turn's first message, and whether an agent said something before. */
  #init: string | undefined
  #hasSpoken = false
  #isMixed = false

  constructor(
    { budget = { left: Infinity, isExceeded: false }, keepsText = true, listener = {}, pendingLimit = Infinity }:
      AgentTextOptions = {}
  ) {
    this.#budget = budget
    const forText = keepsText ? budget : { left: 0, isExceeded: false }
    this.#text = new Strand("text", listener, forText, pendingLimit)
    this.#thinking = new Strand("thinking", listener, forText, pendingLimit)
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
   * said before the first one, or pieces have no beginning though the server sends beginnings.
   */
  get isMixed(): boolean {
    return this.#isMixed
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
          this.#isUnbegun = false
        }
        return true
      case "SystemInit":
        this.settle()
        this.#takeInit(stringField(message.raw, "uuid") ?? "")
        return true
      case "Result":
        this.settle()
        this.#hasBegun = false
        this.#hasSpoken = true
        return true
      default:
        this.settle()
        return true
    }
  }

  /** Counts a piece that no twin has followed. */
  settle() {
    const loose = this.#loose
    if (loose === undefined) return
    this.#loose = undefined
    if (!this.#isLooseCounted && !this.#isRepetition(loose)) this.#count(loose, this.#looseText, false)
  }

  /** Counts a piece at once, unless its twin is to be waited for, as the server is one that sends twins. */
  hurry() {
    const loose = this.#loose
    if (loose === undefined || this.#isLooseCounted || this.#lastPartial !== undefined) return
    this.#isLooseCounted = true
    if (!this.#isRepetition(loose)) this.#count(loose, this.#looseText, false)
  }

  /** Servers send the whole of each block of thinking once more before its message. */
  #isRepetition(loose: Strand): boolean {
    return loose === this.#thinking && (this.#lastPartial !== undefined || loose.isPending(this.#looseText))
  }

  #count(strand: Strand, text: string, isTold: boolean) {
    if (text === "") return
    this.#supersede()
    strand.piece(this.#message, text, isTold)
  }

  #supersede() {
    this.#text.supersede()
    this.#thinking.supersede()
  }

  #close() {
    this.#text.close()
    this.#thinking.close()
  }

  #takePiece(strand: Strand, text: string) {
    this.settle()
    this.#loose = strand
    this.#looseText = text
    this.#isLooseCounted = false
  }

  #takePartial(json: string) {
    const mark = markOf(json)
    const isRepeated = mark === this.#lastPartial && this.#lastSaid !== undefined && endsInUuid.test(json) &&
      this.#lastSaid === wordsIn(field(field(parseJson(json), "event"), "delta"))
    this.#lastPartial = mark
    if (isRepeated) {
      this.#loose = undefined
      return
    }
    if (startsAt(json, deltaTypeAt, deltaType)) {
      if (this.#loose !== undefined && isPlainlyOwn(json)) return this.#attribute(this.#loose, true)
      if (this.#loose === undefined && !mayHaveWords.test(json)) {
        if (!this.#hasBegun && isPlainlyOwn(json)) this.#takeUnbegun()
        return
      }
    }
    const message = parseJson(json)
    this.#takeModelEvent(field(message, "event"), stringField(message, "parent_tool_use_id") === undefined)
  }

  /** The twin of a piece has come. */
  #attribute(loose: Strand, isOwn: boolean) {
    this.#loose = undefined
    this.#lastSaid = this.#looseText
    if (isOwn && !this.#hasBegun) this.#takeUnbegun()
    if (isOwn && !this.#isLooseCounted) this.#count(loose, this.#looseText, true)
    if (!isOwn && this.#isLooseCounted) loose.takeBack(this.#looseText)
  }

  /** An event of the Claude Messages API. */
  #takeModelEvent(event: unknown, isOwn: boolean) {
    const delta = field(event, "delta")
    const deltaType = field(delta, "type")
    this.#lastSaid = wordsIn(delta)
    if (deltaType === "text_delta") return this.#takeTwin(this.#text, this.#lastSaid, isOwn)
    if (deltaType === "thinking_delta") return this.#takeTwin(this.#thinking, this.#lastSaid, isOwn)
    this.settle()
    if (!isOwn) return
    const type = field(event, "type")
    if (type === "message_start") this.#begin(stringField(field(event, "message"), "id"))
    if (isToolUse(field(field(event, "content_block"), "type"))) this.#text.useTool()
    if (type === "message_start" || type === "content_block_start") this.#close()
  }

  #begin(id: string | undefined) {
    this.#message = { id }
    this.#hasBegun = true
    this.#saysBeginnings = true
    this.#hasSpoken = true
    this.#isMixed ||= this.#isUnbegun
  }

  /** A piece that no message began before. It is another turn's, unless the server sends no beginnings. */
  #takeUnbegun() {
    this.#isUnbegun = true
    this.#hasSpoken = true
    this.#isMixed ||= this.#saysBeginnings
  }

  #takeInit(id: string) {
    const before = this.#init
    this.#init = id
    this.#isMixed ||= before === undefined ? this.#hasSpoken : before === "" || before !== id
  }

  /** A piece as the API has it, be it the twin of the last one or not. */
  #takeTwin(strand: Strand, text: string | undefined, isOwn: boolean) {
    if (this.#loose === strand) return this.#attribute(strand, isOwn)
    this.settle()
    if (!isOwn) return
    if (!this.#hasBegun) this.#takeUnbegun()
    if (text !== undefined) this.#count(strand, text, true)
  }

  #strandOf(block: MessageBlock): Strand | undefined {
    return block._tag === "Text" ? this.#text : block._tag === "Thinking" ? this.#thinking : undefined
  }

  #takeAssistant(message: AssistantMessage): boolean {
    this.#hasSpoken = true
    const blocks = blocksOf(message)
    const isLooseAmong = blocks.some((block) =>
      this.#strandOf(block) === this.#loose && wordsOf(block) === this.#looseText
    )
    // A piece that repeats a block as a whole is a part of it, whosever it is.
    if (isLooseAmong && !this.#isLooseCounted) this.#loose = undefined
    this.settle()
    const isNew = !this.#isSeen(message)
    if (!isNew || present(message.parent_tool_use_id) !== undefined) {
      for (const block of blocks) this.#strandOf(block)?.takeBack(wordsOf(block))
      return isNew
    }
    const id = present(message.message.id)
    let isBehindTool = false
    blocks.forEach((block, index) => {
      if (block._tag === "ToolUse" || (block._tag === "Unknown" && isToolUse(field(block.raw, "type")))) {
        isBehindTool = true
        this.#text.useTool()
        // Nothing else shows where a block of text ends.
        if (!this.#saysBeginnings) this.#text.close()
      }
      const isFollowed = blocks.some(({ _tag }, other) => other > index && _tag === block._tag)
      this.#strandOf(block)?.block(this.#message, id, wordsOf(block), isFollowed, isBehindTool)
      if (block._tag === "Text" && block.text !== "") isBehindTool = false
    })
    this.#supersede()
    return true
  }

  /** A message is delivered twice if both its id and its text are the same. */
  #isSeen({ message, uuid }: AssistantMessage): boolean {
    const id = present(uuid)
    if (id === undefined) return false
    const said = Result.getOrElse(Result.try(() => JSON.stringify(message.content)), () => "")
    const mark = `${id} ${said.length} ${Hash.string(said)}`
    if (this.#seen.has(mark)) return true
    if (afford(this.#budget, bytesOf(mark))) this.#seen.add(mark)
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
  const listener: Listener = {
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
