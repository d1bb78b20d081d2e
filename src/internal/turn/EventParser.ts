/**
 * Cuts the bytes of an event stream into events, by the standard (HTML, section 9.2.6). A turn has thousands of events, so
 * each byte is looked at once: what is complete is decoded in one piece, up to the last line feed, which is never inside
 * a character, and a rest is kept as it is until its line ends. Once there is a carriage return, which no known server
 * sends, each that ends a line is replaced first.
 */
import * as Bytes from "effect/Bytes"
import { type StreamEvent, type StreamEventKind, streamEventKind } from "../../schema/StreamEvent.ts"

const lineFeed = 10
const carriageReturn = 13
const space = 32
const byteOrderMark = 0xfeff

const hasMark = (pieces: ReadonlyArray<Uint8Array>): boolean => {
  const [first, second, third] = pieces.slice(0, 3).flatMap((piece) => [...piece.subarray(0, 3)])
  return first === 0xef && second === 0xbb && third === 0xbf
}

// Of all streams: what is complete is decoded at once, and nothing is kept.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** What an event without a name is. */
const unnamed = streamEventKind("message")

/** The parser of one stream. A class, as methods stay compiled when a stream ends, and closures do not. */
export class EventParser {
  readonly #maxPendingSize: number
  readonly #maxDataSize: number
  #isTooLarge = false
  #events: Array<StreamEvent> = []
  #isStart = true
  /** The line that is not complete. */
  #rest: Array<Uint8Array> = []
  #restSize = 0
  /** Counts the UTF-16 units of the rest, as the limit is one of them; each piece once. */
  #counter: { readonly decoder: TextDecoder; pieces: number; length: number } | undefined
  #kind: StreamEventKind | undefined
  /** Where the data of the event stands: between two positions of a text. */
  #data: string | undefined
  #dataStart = 0
  #dataEnd = 0
  #hasReturns = false
  #isAfterReturn = false

  /** So many characters may be pending of an event that is not complete, and so many be the data of one. */
  constructor(maxPendingSize: number, maxDataSize = Infinity) {
    this.#maxPendingSize = maxPendingSize
    this.#maxDataSize = maxDataSize
  }

  /** Takes bytes; answers whether all events are within the limits, that which is not complete by then too. */
  feed(chunk: Uint8Array): boolean {
    const bytes = this.#hasReturns ? this.#withoutReturns(chunk) : chunk
    const end = bytes.lastIndexOf(lineFeed) + 1
    const rest = bytes.subarray(end)
    // The line that has begun before is joined alone: with those behind it, all of them would be copied.
    const begun = this.#restSize === 0 || end === 0 ? 0 : bytes.indexOf(lineFeed) + 1
    const line = begun === 0 ? "" : decoder.decode(Bytes.concat([...this.#rest, bytes.subarray(0, begun)]))
    const lines = begun === end ? "" : decoder.decode(bytes.subarray(begun, end))
    if (!this.#hasReturns && (line.includes("\r") || lines.includes("\r") || rest.includes(carriageReturn))) {
      this.#hasReturns = true
      return this.feed(chunk)
    }
    if (end > 0) {
      if (begun > 0) this.#parseLines(line)
      this.#parseLines(lines)
      // A copy, as a part of the chunk would keep all of it in memory.
      this.#rest = rest.length === 0 ? [] : [new Uint8Array(rest)]
      this.#restSize = rest.length
      this.#counter = undefined
    } else {
      this.#rest.push(rest)
      this.#restSize += rest.length
    }
    const size = (this.#data === undefined ? 0 : this.#dataEnd - this.#dataStart + 1) -
      (this.#isStart && hasMark(this.#rest) ? 1 : 0)
    return !this.#isTooLarge &&
      (this.#restSize + size <= this.#maxPendingSize || this.#lengthOfRest() + size <= this.#maxPendingSize)
  }

  get size(): number {
    return this.#events.length
  }

  take(): Array<StreamEvent> {
    const events = this.#events
    this.#events = []
    return events
  }

  /** The same lines, each ended by a line feed. That of a pair may be in the next chunk. */
  #withoutReturns(chunk: Uint8Array): Uint8Array {
    const lines = new Uint8Array(chunk.length)
    let length = 0
    for (const byte of chunk) {
      if (byte !== lineFeed || !this.#isAfterReturn) lines[length++] = byte === carriageReturn ? lineFeed : byte
      this.#isAfterReturn = byte === carriageReturn
    }
    return lines.subarray(0, length)
  }

  #lengthOfRest(): number {
    const counter = this.#counter ??= { decoder: new TextDecoder("utf-8", { ignoreBOM: true }), pieces: 0, length: 0 }
    for (const piece of this.#rest.slice(counter.pieces)) {
      counter.length += counter.decoder.decode(piece, { stream: true }).length
    }
    counter.pieces = this.#rest.length
    return counter.length
  }

  #parseLines(text: string) {
    let position = 0
    if (this.#isStart && text.charCodeAt(0) === byteOrderMark) position = 1
    this.#isStart = false
    while (position < text.length && !this.#isTooLarge) {
      if (text.charCodeAt(position) === lineFeed) {
        this.#dispatch()
        position += 1
        continue
      }
      const end = text.indexOf("\n", position)
      if (text.startsWith("data:", position)) {
        this.#addData(text, text.charCodeAt(position + 5) === space ? position + 6 : position + 5, end)
      } else if (text.startsWith("event:", position)) {
        const start = text.charCodeAt(position + 6) === space ? position + 7 : position + 6
        this.#kind = start === end ? undefined : streamEventKind(text, start, end)
      } else if (end - position === 4 && text.startsWith("data", position)) {
        this.#addData("", 0, 0)
      } else if (end - position === 5 && text.startsWith("event", position)) {
        this.#kind = undefined
      }
      position = end + 1
    }
  }

  #addData(text: string, start: number, end: number) {
    if (this.#data === undefined) {
      this.#data = text
      this.#dataStart = start
      this.#dataEnd = end
    } else {
      this.#data = `${this.#data.slice(this.#dataStart, this.#dataEnd)}\n${text.slice(start, end)}`
      this.#dataStart = 0
      this.#dataEnd = this.#data.length
    }
  }

  #dispatch() {
    if (this.#data !== undefined) {
      this.#isTooLarge = this.#dataEnd - this.#dataStart > this.#maxDataSize
      if (this.#isTooLarge) return
      const { decode } = this.#kind ?? unnamed
      this.#events.push(decode(this.#data, this.#dataStart, this.#dataEnd))
    } else if (this.#kind?.isTerminal) {
      this.#events.push(this.#kind.decode("", 0, 0))
    }
    this.#kind = undefined
    this.#data = undefined
  }
}
