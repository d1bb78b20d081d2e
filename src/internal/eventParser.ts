/**
 * Cuts the bytes of an event stream into events, by the standard (HTML, section 9.2.6). A turn has thousands of events, so
 * each byte is looked at once: what is complete is decoded in one piece, up to the last line feed, which is never inside
 * a character, and a rest is kept as it is until its line ends. Lines that end in a carriage return, which no known server
 * sends, take Effect's parser.
 */
import * as Sse from "effect/encoding/Sse"

const lineFeed = 10
const carriageReturn = 13
const byteOrderMark = 0xfeff

/** Is called with the name and the data of each event. */
export type OnEvent = (name: string, data: string) => void

export interface EventParser {
  /** Takes bytes; answers whether the event that is not complete by then is within the limit. */
  readonly feed: (chunk: Uint8Array) => boolean
}

const join = (pieces: ReadonlyArray<Uint8Array>, size: number): Uint8Array => {
  const joined = new Uint8Array(size)
  let position = 0
  for (const piece of pieces) {
    joined.set(piece, position)
    position += piece.length
  }
  return joined
}

const hasMark = (pieces: ReadonlyArray<Uint8Array>): boolean => {
  const [first, second, third] = pieces.slice(0, 3).flatMap((piece) => [...piece.subarray(0, 3)])
  return first === 0xef && second === 0xbb && third === 0xbf
}

// Of all streams: what is complete is decoded at once, and nothing is kept.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** Makes a parser of one stream; an event may have so many characters. */
export const make = (onEvent: OnEvent, maxEventSize: number): EventParser => {
  let isStart = true
  /** The line that is not complete. */
  let rest: Array<Uint8Array> = []
  let restSize = 0
  /** Counts the UTF-16 units of the rest, as the limit is one of them; each piece once. */
  let counter: { readonly decoder: TextDecoder; pieces: number; length: number } | undefined
  let name = ""
  let data: string | undefined

  const lengthOfRest = () => {
    counter ??= { decoder: new TextDecoder("utf-8", { ignoreBOM: true }), pieces: 0, length: 0 }
    for (const piece of rest.slice(counter.pieces)) {
      counter.length += counter.decoder.decode(piece, { stream: true }).length
    }
    counter.pieces = rest.length
    return counter.length
  }

  const dispatch = () => {
    if (data !== undefined) onEvent(name === "" ? "message" : name, data)
    name = ""
    data = undefined
  }

  const parseLines = (text: string) => {
    let position = 0
    if (isStart && text.charCodeAt(0) === byteOrderMark) position = 1
    isStart = false
    while (position < text.length) {
      const end = text.indexOf("\n", position)
      if (end === position) {
        dispatch()
      } else if (text.startsWith("data:", position)) {
        const value = text.slice(text.charCodeAt(position + 5) === 32 ? position + 6 : position + 5, end)
        data = data === undefined ? value : `${data}\n${value}`
      } else if (text.startsWith("event:", position)) {
        name = text.slice(text.charCodeAt(position + 6) === 32 ? position + 7 : position + 6, end)
      } else if (end - position === 4 && text.startsWith("data", position)) {
        data = data === undefined ? "" : `${data}\n`
      } else if (end - position === 5 && text.startsWith("event", position)) {
        name = ""
      }
      position = end + 1
    }
  }

  /** Effect's parser, from the event on that is not complete. */
  const makeSlow = () => {
    const parser = Sse.makeParser((event) => {
      if (event._tag === "Event") onEvent(event.event, event.data)
    }, { maxEventSize })
    const slowDecoder = new TextDecoder("utf-8", { ignoreBOM: true })
    // A comment, behind which a byte order mark is no longer one.
    if (!isStart) parser.feed(":\n")
    if (name !== "") parser.feed(`event: ${name}\n`)
    for (const line of data?.split("\n") ?? []) parser.feed(`data: ${line}\n`)
    return (chunk: Uint8Array) => parser.feed(slowDecoder.decode(chunk, { stream: true })) === undefined
  }
  let slow: ((chunk: Uint8Array) => boolean) | undefined

  return {
    feed: (chunk) => {
      if (slow !== undefined) return slow(chunk)
      if (chunk.includes(carriageReturn)) {
        slow = makeSlow()
        return slow(restSize === 0 ? chunk : join([...rest, chunk], restSize + chunk.length))
      }
      const end = chunk.lastIndexOf(lineFeed) + 1
      if (end > 0) {
        const complete = chunk.subarray(0, end)
        parseLines(decoder.decode(restSize === 0 ? complete : join([...rest, complete], restSize + end)))
        rest = []
        restSize = 0
        counter = undefined
      }
      if (end < chunk.length) {
        rest.push(chunk.subarray(end))
        restSize += chunk.length - end
      }
      const size = (data === undefined ? 0 : data.length + 1) - (isStart && hasMark(rest) ? 1 : 0)
      return restSize + size <= maxEventSize || lengthOfRest() + size <= maxEventSize
    }
  }
}
