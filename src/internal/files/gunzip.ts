/**
 * Reads gzip (RFC 1951 and 1952) as `gzip` and GNU tar read it, as its bytes arrive, one member after the other.
 * `DecompressionStream` cannot do it: it fails at anything that follows the first member, does not report where that member
 * ends, and drops the last output.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { make } from "./byteReader.ts"

/** What the reader asks for. Without further bytes the input is cut off (`more`), or may end here (`moreOrEnd`). */
type Ask = "more" | "moreOrEnd"

/** Bits that a table decodes at once. Longer codes are rare, and decoded bit by bit. */
const tableBits = 10
const windowSize = 32_768
const bufferSize = windowSize * 3

interface Huffman {
  /** By the bits that come next: a symbol, times 16, and the length of its code; 0 where the code is longer. */
  readonly table: Uint16Array
  readonly counts: Uint16Array
  readonly symbols: Uint16Array
}

/** The code of symbols with codes of these lengths; undefined where there are too many. */
const huffman = (lengths: Uint8Array): Huffman | undefined => {
  const counts = new Uint16Array(16)
  for (const length of lengths) counts[length] = (counts[length] ?? 0) + 1
  counts[0] = 0
  const codes = new Uint16Array(17)
  const offsets = new Uint16Array(17)
  let free = 1
  for (let length = 1; length <= 15; length++) {
    const count = counts[length] ?? 0
    free = free * 2 - count
    if (free < 0) return undefined
    codes[length + 1] = ((codes[length] ?? 0) + count) * 2
    offsets[length + 1] = (offsets[length] ?? 0) + count
  }
  const table = new Uint16Array(1 << tableBits)
  const symbols = new Uint16Array(lengths.length)
  for (const [symbol, length] of lengths.entries()) {
    if (length === 0) continue
    const offset = offsets[length] ?? 0
    symbols[offset] = symbol
    offsets[length] = offset + 1
    const code = codes[length] ?? 0
    codes[length] = code + 1
    if (length > tableBits) continue
    let first = 0
    for (let bit = 0; bit < length; bit++) first |= ((code >> bit) & 1) << (length - 1 - bit)
    for (let at = first; at < table.length; at += 1 << length) table[at] = (symbol << 4) | length
  }
  return { table, counts, symbols }
}

/** What the table would have for 15 bits; 0 where no code begins so. */
const decodeLong = ({ counts, symbols }: Huffman, bits: number): number => {
  let code = 0
  let first = 0
  let index = 0
  for (let length = 1; length <= 15; length++) {
    code |= (bits >> (length - 1)) & 1
    const count = counts[length] ?? 0
    if (code - first < count) return ((symbols[index + code - first] ?? 0) << 4) | length
    index += count
    first = (first + count) * 2
    code *= 2
  }
  return 0
}

const lengthExtra = Uint8Array.from({ length: 29 }, (_, index) => index < 8 || index === 28 ? 0 : (index >> 2) - 1)
const distanceExtra = Uint8Array.from({ length: 30 }, (_, index) => index < 2 ? 0 : (index >> 1) - 1)

const basesOf = (first: number, extra: Uint8Array): Uint16Array => {
  let next = first
  return Uint16Array.from(extra, (bits) => {
    const base = next
    next += 1 << bits
    return base
  })
}

const lengthBase = basesOf(3, lengthExtra).fill(258, 28)
const distanceBase = basesOf(1, distanceExtra)
const lengthOrder = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]

const crcTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1
  return value
})

const crc32 = (crc: number, bytes: Uint8Array): number => {
  let value = ~crc
  for (let at = 0; at < bytes.length; at++) value = (crcTable[(value ^ (bytes[at] ?? 0)) & 255] ?? 0) ^ (value >>> 8)
  return ~value
}

type Steps<A> = Generator<Ask | Uint8Array, A, Uint8Array>

/** The input, bit by bit, and the output of one member. */
interface State {
  input: Uint8Array
  at: number
  /** Bits that are read and not used yet, the next one lowest. */
  hold: number
  held: number
  /** What is written. The window, which `emit` has yielded, stands before `from`. */
  readonly buffer: Uint8Array
  from: number
  to: number
  crc: number
  size: number
}

/** Holds so many bits, as far as the input has them: whether it has. */
const fill = (state: State, count: number): boolean => {
  while (state.held < count) {
    if (state.at === state.input.length) return false
    state.hold |= (state.input[state.at++] ?? 0) << state.held
    state.held += 8
  }
  return true
}

function* receive(state: State, ask: Ask = "more"): Steps<void> {
  state.at = 0
  do state.input = yield ask
  while (state.input.length === 0)
}

/** Takes bits of which {@link fill} holds enough. */
const take = (state: State, count: number): number => {
  const value = state.hold & ((1 << count) - 1)
  state.hold >>>= count
  state.held -= count
  return value
}

function* bits(state: State, count: number, ask: Ask = "more"): Steps<number> {
  while (!fill(state, count)) yield* receive(state, ask)
  return take(state, count)
}

function* unsigned32(state: State): Steps<number> {
  const low = yield* bits(state, 16)
  return (low | (yield* bits(state, 16)) << 16) >>> 0
}

/** Yields what is written, and keeps the end of it as the window. */
function* emit(state: State): Steps<void> {
  const { buffer, from, to } = state
  if (to === from) return
  const bytes = buffer.slice(from, to)
  state.crc = crc32(state.crc, bytes)
  state.size = (state.size + bytes.length) >>> 0
  yield bytes
  const start = Math.max(to - windowSize, 0)
  buffer.copyWithin(0, start, to)
  state.from = to - start
  state.to = to - start
}

/** A code for literals and lengths, and one for distances; either is undefined where it is broken. */
type Codes = readonly [literals?: Huffman | undefined, distances?: Huffman | undefined]

const fixedCodes: Codes = [
  huffman(Uint8Array.from({ length: 288 }, (_, symbol) => symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8)),
  huffman(new Uint8Array(30).fill(5))
]

/** The codes that stand at the start of a block. */
function* readCodes(state: State): Steps<Codes> {
  const literals = 257 + (yield* bits(state, 5))
  const count = literals + 1 + (yield* bits(state, 5))
  const codeLengths = new Uint8Array(19)
  const given = 4 + (yield* bits(state, 4))
  for (const symbol of lengthOrder.slice(0, given)) codeLengths[symbol] = yield* bits(state, 3)
  const code = huffman(codeLengths)
  if (code === undefined) return []
  const lengths = new Uint8Array(count)
  for (let at = 0; at < count;) {
    let symbol = 0
    // A code of at most 7 bits, which is read bit by bit: the block may end the input.
    for (let read = 0, length = 1;; length++) {
      read |= (yield* bits(state, 1)) << (length - 1)
      const entry = code.table[read] ?? 0
      if ((entry & 15) === length) {
        symbol = entry >> 4
        break
      }
      if (length === 7) return []
    }
    if (symbol < 16) {
      lengths[at++] = symbol
      continue
    }
    if (symbol === 16 && at === 0) return []
    const repeated = symbol === 16 ? lengths[at - 1] ?? 0 : 0
    const times = symbol === 16
      ? 3 + (yield* bits(state, 2))
      : symbol === 17
      ? 3 + (yield* bits(state, 3))
      : 11 + (yield* bits(state, 7))
    if (at + times > count) return []
    lengths.fill(repeated, at, at + times)
    at += times
  }
  return [huffman(lengths.subarray(0, literals)), huffman(lengths.subarray(literals))]
}

/** Copies a block that is not compressed, and returns what is wrong with it. */
function* copyBlock(state: State): Steps<string | undefined> {
  yield* bits(state, state.held & 7)
  const size = yield* bits(state, 16)
  if ((size ^ (yield* bits(state, 16))) !== 0xffff) return "the length of a block is broken"
  for (let left = size; left > 0;) {
    if (state.to === bufferSize) yield* emit(state)
    if (state.held > 0) {
      state.buffer[state.to++] = take(state, 8)
      left--
      continue
    }
    if (state.at === state.input.length) yield* receive(state)
    const part = state.input.subarray(state.at, state.at + Math.min(left, bufferSize - state.to))
    state.buffer.set(part, state.to)
    state.at += part.length
    state.to += part.length
    left -= part.length
  }
  return undefined
}

/** Takes the next symbol, of at most 15 bits, times 16; 0 where no code begins so. */
const takeEntry = (state: State, code: Huffman): number => {
  const entry = (code.table[state.hold & 1023] ?? 0) || decodeLong(code, state.hold)
  state.hold >>>= entry & 15
  state.held -= entry & 15
  return entry
}

/** Decodes a compressed block, and returns what is wrong with it. */
function* decodeBlock(state: State, [literals, distances]: Codes): Steps<string | undefined> {
  if (literals === undefined || distances === undefined) return "the codes of a block are broken"
  const { buffer } = state
  for (;;) {
    if (state.to > bufferSize - 258) yield* emit(state)
    // A code has at most 15 bits, and the rest of a length 5. The 8 bytes at the end of a member let them be read ahead.
    while (!fill(state, 20)) yield* receive(state)
    let entry = takeEntry(state, literals)
    if (entry === 0) return "a code is unknown"
    const symbol = entry >> 4
    if (symbol < 256) {
      buffer[state.to++] = symbol
      continue
    }
    if (symbol === 256) return undefined
    const length = (lengthBase[symbol - 257] ?? 0) + take(state, lengthExtra[symbol - 257] ?? 0)
    while (!fill(state, 15)) yield* receive(state)
    entry = takeEntry(state, distances)
    const extra = distanceExtra[entry >> 4] ?? 0
    while (!fill(state, extra)) yield* receive(state)
    const distance = (distanceBase[entry >> 4] ?? 0) + take(state, extra)
    let to = state.to
    if (entry === 0 || length === 0 || distance === 0 || distance > to) return "a code is unknown"
    // Byte by byte: what is copied may be what has just been written.
    for (const end = to + length; to < end; to++) buffer[to] = buffer[to - distance] ?? 0
    state.to = to
  }
}

/** Yields what a deflated stream holds, and returns what is wrong with it. */
function* inflate(state: State): Steps<string | undefined> {
  for (let isLast = 0; isLast === 0;) {
    isLast = yield* bits(state, 1)
    const type = yield* bits(state, 2)
    const broken = type === 0
      ? yield* copyBlock(state)
      : yield* decodeBlock(state, type === 1 ? fixedCodes : type === 2 ? yield* readCodes(state) : [])
    if (broken !== undefined) return broken
  }
  yield* emit(state)
  // What is left of the last byte of the stream.
  yield* bits(state, state.held & 7)
  return undefined
}

/** Reads past what stands between the magic bytes and the content of a member. */
function* readHeader(state: State): Steps<boolean> {
  const method = yield* bits(state, 8)
  const flags = yield* bits(state, 8)
  for (let skip = 6; skip > 0; skip--) yield* bits(state, 8)
  if ((flags & 4) !== 0) {
    for (let skip = yield* bits(state, 16); skip > 0; skip--) yield* bits(state, 8)
  }
  for (const text of [8, 16]) {
    if ((flags & text) !== 0) { while ((yield* bits(state, 8)) !== 0); }
  }
  if ((flags & 2) !== 0) yield* bits(state, 16)
  return method === 8 && flags < 32
}

/**
 * Yields what the members of a file hold, and receives the bytes that it asks for. As `gzip` does, it stops at zeros after a
 * member, and at anything that is no member. What it is handed for bytes that it has yielded does not count. Returns what is
 * wrong with them.
 */
function* members(): Steps<string | undefined> {
  const buffer = new Uint8Array(bufferSize)
  const state: State = { input: new Uint8Array(), at: 0, hold: 0, held: 0, buffer, from: 0, to: 0, crc: 0, size: 0 }
  for (let ask: Ask = "more";; ask = "moreOrEnd") {
    const first = yield* bits(state, 8, ask)
    if (first === 0 && ask === "moreOrEnd") {
      while ((yield* bits(state, 8, ask)) === 0);
      return undefined
    }
    if (first !== 0x1f || (yield* bits(state, 8, ask)) !== 0x8b) {
      return ask === "more" ? "it does not begin as gzip does" : undefined
    }
    if (!(yield* readHeader(state))) return "its method or its flags are unknown"
    state.from = 0
    state.to = 0
    state.crc = 0
    state.size = 0
    const broken = yield* inflate(state)
    if (broken !== undefined) return broken
    const crc = yield* unsigned32(state)
    if (crc !== state.crc >>> 0 || (yield* unsigned32(state)) !== state.size) return "its checksum does not match"
  }
}

/** The content of the members of a gzipped file. What follows them is not read; a warning reports it unless it is padding. */
export const gunzip =
  <E2>(broken: (why: string) => E2) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E | E2, R> =>
    Stream.unwrap(Effect.map(make(bytes, broken), ({ fail, some }) => {
      const steps = members()
      let input: Uint8Array = new Uint8Array()
      const next = Effect.gen(function*() {
        for (;;) {
          const { done, value } = steps.next(input)
          if (done === true) {
            if (value !== undefined) return yield* fail(value)
            yield* Effect.logWarning("what follows the gzipped data is left out")
            return yield* Cause.done()
          }
          if (value instanceof Uint8Array) return [value] as const
          input = yield* some(Infinity)
          if (input.length === 0) return yield* value === "moreOrEnd" ? Cause.done() : fail("it is cut off")
        }
      })
      return Stream.fromPull(Effect.succeed(next))
    }))
