/** Accumulates the text, or the thinking, of a turn: pieces, and the complete blocks that take their place. */

export type Kind = "text" | "thinking"

/** Receives what the agent writes, as it becomes known. */
export interface TextListener {
  /** More was written: a piece, a block, or what a block has beyond its pieces. */
  readonly written?: (kind: Kind, text: string, isBehindTool: boolean) => void
  /** Pieces turned out to be no part of what the agent wrote; this stands in their place. */
  readonly replaced?: (kind: Kind, abandoned: string, text: string) => void
}

/** What may be kept, in bytes. */
export interface Budget {
  left: number
  /** Whether something was left out. */
  isExceeded: boolean
}

/** Takes from a budget; answers whether there was so much. */
export const spend = (budget: Budget, bytes: number): boolean => {
  const isAffordable = bytes <= budget.left
  if (isAffordable) budget.left -= bytes
  else budget.isExceeded = true
  return isAffordable
}

/** Engines take up to two bytes for a character. */
export const bytesOf = (text: string): number => text.length * 2

/** A message of the model that has started, with the id of its `message_start`. */
export interface StartedMessage {
  readonly id: string | undefined
}

/** A block, or as much of it as has arrived. */
interface Part {
  message: StartedMessage
  text: string
  /** Of pieces: how long they are, though not all of them may be kept. */
  length: number
  /** How long it was when its pieces were last joined. */
  joined: number
  /** How much of the end of the text no `Partial` event has confirmed as the agent's own. */
  unconfirmed: number
  /** Of pieces: whether more may follow, whether the model was asked again. */
  state: "open" | "closed" | "retried" | "complete"
  isBehindTool: boolean
}

const joined = (parts: ReadonlyArray<Part>, separator: string): string =>
  parts.filter(({ text }) => text !== "")
    .map(({ isBehindTool, text }, index) => isBehindTool && index > 0 ? separator + text : text)
    .join("")

const anyText = /^/

/**
 * Engines keep every piece of a text until it is looked into. That is done when it has doubled: a text in pieces takes many
 * times its length.
 */
const append = (part: Part, text: string) => {
  part.text += text
  if (part.text.length < 2 * part.joined) return
  part.joined = part.text.length
  anyText.test(part.text)
}

export interface BlockPlace {
  /** Whether the message has others of its kind, be they empty. */
  readonly hasOthers: boolean
  /** Whether there is text of its kind before it, or behind it, which goes on where the block ends. */
  readonly isPreceded: boolean
  readonly isFollowed: boolean
  readonly isBehindTool: boolean
}

/** What has been settled belongs to no message that anything could be added to. */
const settled: StartedMessage = { id: undefined }

/** Characters of a part that is pending, and of what belongs to it. */
const pendingSizeOf = ({ message, text }: Part): number => text.length + (message.id ?? "").length + 64

export class TextAccumulator {
  readonly #kind: Kind
  readonly #listener: TextListener
  readonly #budget: Budget
  readonly #pendingLimit: number
  readonly #parts: Array<Part> = []
  /** Those parts that no complete message has confirmed. */
  #pending: Array<Part> = []
  #pendingSize = 0
  /** What is written on, as nothing was taken back behind it. */
  #last: Part | undefined
  #toolUsed = false
  #isRetried = false

  constructor(kind: Kind, listener: TextListener, budget: Budget, pendingLimit: number) {
    this.#kind = kind
    this.#listener = listener
    this.#budget = budget
    this.#pendingLimit = pendingLimit
  }

  piece(message: StartedMessage, text: string, isConfirmed: boolean) {
    let part = this.#pending.at(-1)
    const isFirst = part?.state !== "open"
    if (part?.state !== "open") {
      part = this.#add(message, "open")
      this.#pending.push(part)
      this.#pendingSize += pendingSizeOf(part)
    }
    if (part.text.length === part.length && this.#hasRoom(part, text)) {
      append(part, text)
      this.#pendingSize += text.length
    }
    part.length += text.length
    part.unconfirmed = isConfirmed ? 0 : part.unconfirmed + text.length
    this.#listener.written?.(this.#kind, text, isFirst && part.isBehindTool)
  }

  /** A block of a complete message; one that is empty confirms nothing of what is pending. */
  block(message: StartedMessage, id: string | undefined, text: string, place: BlockPlace) {
    if (text === "") return
    const { isBehindTool, isFollowed, hasOthers, isPreceded } = place
    const part = this.#partOf(message, id, text)
    if (part === undefined) {
      const added = this.#add(message, "complete")
      if (isPreceded) added.isBehindTool = isBehindTool
      added.text = text
      this.#listener.written?.(this.#kind, text, added.isBehindTool)
      return this.#keep(added)
    }
    const started = part.message
    const isOfMessage = ({ message }: Part) => message === started
    if (hasOthers) {
      // Its blocks are in the order of their pieces, and it is whole.
      const [first = part] = this.#dropAll(isOfMessage, this.#pending.indexOf(part))
      part.isBehindTool = isPreceded ? isBehindTool : first.isBehindTool
    }
    if (isBehindTool) {
      part.isBehindTool = true
      this.#toolUsed = false
    }
    if (!hasOthers) this.#absorb(part, text)
    const pieces = part.text
    const isLast = part === this.#last
    if (isFollowed && pieces.length > text.length && pieces.startsWith(text)) {
      const first: Part = { ...part, text, length: text.length, state: "complete" }
      this.#parts.splice(this.#parts.indexOf(part), 0, first)
      this.#keep(first)
      part.text = pieces.slice(text.length)
      part.length -= text.length
      this.#pendingSize -= text.length
      part.isBehindTool = false
      return
    }
    const written = part.length
    this.#settle(part)
    part.text = text
    if (text.startsWith(pieces) && (isLast || text === pieces)) {
      if (text.length > written) this.#listener.written?.(this.#kind, text.slice(written), false)
    } else {
      this.#last = part
      this.#listener.replaced?.(this.#kind, pieces, text)
    }
    this.#keep(part)
    if (hasOthers && !isFollowed) this.#dropAll(isOfMessage)
  }

  /** What follows belongs to another block. */
  close() {
    const part = this.#pending.at(-1)
    if (part?.state === "open") part.state = "closed"
  }

  /** The model is asked once more for the message. */
  retry(message: StartedMessage) {
    for (const part of this.#pending) if (part.message === message) part.state = "retried"
    this.#isRetried = true
  }

  /** There is something in the place of what the model was asked for again. */
  supersede() {
    if (!this.#isRetried) return
    this.#isRetried = false
    for (const part of this.#pending) if (part.state === "retried") this.#drop(part, part.text)
  }

  /** Takes back what no `Partial` event has confirmed as the agent's own, at the end of what has arrived. */
  takeBack(text: string) {
    const part = this.#pending.at(-1)
    if (part?.state !== "open" || text === "" || part.unconfirmed < text.length || !part.text.endsWith(text)) return
    if (part.text === text) return this.#drop(part, text)
    part.text = part.text.slice(0, -text.length)
    part.length -= text.length
    this.#pendingSize -= text.length
    part.unconfirmed -= text.length
    this.#listener.replaced?.(this.#kind, text, "")
  }

  isPending(text: string): boolean {
    return this.#pending.some((part) => part.text === text)
  }

  useTool() {
    this.#toolUsed = true
  }

  join(separator: string): string {
    return joined(this.#parts, separator)
  }

  /** Takes out what no complete message has confirmed, but for what belongs to one. */
  takePending(separator: string, except: StartedMessage): string {
    return joined(this.#dropAll(({ message }) => message !== except), separator)
  }

  #add(message: StartedMessage, state: Part["state"]): Part {
    const part: Part = { message, text: "", length: 0, joined: 0, unconfirmed: 0, state, isBehindTool: this.#toolUsed }
    this.#toolUsed = false
    this.#parts.push(part)
    this.#last = part
    return part
  }

  #drop(part: Part, abandoned: string) {
    this.#settle(part)
    this.#parts.splice(this.#parts.lastIndexOf(part), 1)
    this.#last = undefined
    if (part.isBehindTool) this.#toolUsed = true
    this.#listener.replaced?.(this.#kind, abandoned, "")
  }

  /** Drops pieces that are followed by what shows by itself where a tool was used. */
  #dropAll(isDropped: (part: Part) => boolean, end?: number): ReadonlyArray<Part> {
    const toolUsed = this.#toolUsed
    const dropped = this.#pending.slice(0, end).filter(isDropped)
    for (const part of dropped) this.#drop(part, part.text)
    this.#toolUsed = toolUsed
    return dropped
  }

  /** Whether there is room for more of the last part; where there is none, those that began before it are taken as they are. */
  #hasRoom(part: Part, text: string): boolean {
    for (
      let oldest = this.#pending[0];
      oldest !== undefined && oldest !== part && this.#pendingSize + text.length > this.#pendingLimit;
      oldest = this.#pending[0]
    ) {
      this.#settle(oldest)
      this.#keep(oldest)
    }
    const isRoom = this.#pendingSize + text.length <= this.#pendingLimit
    this.#budget.isExceeded ||= !isRoom
    return isRoom
  }

  /** Nothing more is to come of the part. */
  #settle(part: Part) {
    this.#pending = this.#pending.filter((other) => other !== part)
    this.#pendingSize -= pendingSizeOf(part)
    part.state = "complete"
    part.message = settled
  }

  #keep(part: Part) {
    if (!spend(this.#budget, bytesOf(part.text))) this.#parts.splice(this.#parts.lastIndexOf(part), 1)
  }

  /**
   * The pieces of a block: those of the message that it has the id of, or else of the one that began last; of several blocks
   * those with the same text.
   */
  #partOf(message: StartedMessage, id: string | undefined, text: string): Part | undefined {
    if (this.#pending.length === 0) return undefined
    const first = (isOf: (part: Part) => boolean) => {
      const part = this.#pending.find(isOf)
      return part === undefined || part.text === text
        ? part
        : this.#pending.find((other) => other.text === text && isOf(other)) ?? part
    }
    const earlier = id === undefined || id === message.id || message.id === undefined
      ? undefined
      : first((part) => part.message.id === id)
    return earlier ??
      first((part) => part.message === message && part.state !== "retried") ??
      this.#pending.find(({ state }) => state === "retried")
  }

  /** Pieces of one block may have been taken for those of several, where something else came between them. */
  #absorb(part: Part, text: string) {
    const at = this.#pending.indexOf(part) + 1
    for (let other = this.#pending[at]; other !== undefined; other = this.#pending[at]) {
      if (other.message !== part.message || !text.startsWith(part.text + other.text)) return
      part.text += other.text
      part.length += other.length
      this.#pendingSize += other.text.length
      if (other.isBehindTool) this.#toolUsed = true
      this.#settle(other)
      this.#parts.splice(this.#parts.lastIndexOf(other), 1)
      if (this.#last === other) this.#last = part
    }
  }
}
