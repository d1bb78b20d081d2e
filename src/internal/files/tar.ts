/**
 * Reads tar archives of every common format: v7, ustar, pax, and GNU's long names. Effect's decoder ends at a sparse file,
 * which this one skips, and it keeps global headers, which this one ignores.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type ByteReader, make } from "./byteReader.ts"

/** An entry of an archive. Its content is read before the next entry, or skipped. */
export interface Entry<E> {
  readonly path: string
  /** In words: `file`, `folder`, `hard link`, or what is none of these. */
  readonly kind: string
  /** The bytes of the content. */
  readonly size: number
  readonly mode: number
  /** The path of the file that a hard link is another name of. */
  readonly target: string
  readonly content: Stream.Stream<Uint8Array, E>
}

const blockSize = 512

/** Bytes that names and attributes of one entry may have. */
const maxAttributes = 1_048_576

const padding = (size: number) => (blockSize - size % blockSize) % blockSize

const isZero = (bytes: Uint8Array): boolean => {
  for (let at = 0; at < bytes.length; at++) if (bytes[at] !== 0) return false
  return true
}

const kinds: ReadonlyMap<string, string> = new Map([
  ["\0", "file"],
  ["0", "file"],
  ["7", "file"],
  ["1", "hard link"],
  ["2", "symbolic link"],
  ["3", "character device"],
  ["4", "block device"],
  ["5", "folder"],
  ["6", "FIFO"],
  ["S", "sparse file"]
])

const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** Text that ends at its first NUL. */
const textOf = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0)
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end))
}

/** A number, octal or in base 256; -1 for anything else. */
const numberOf = (bytes: Uint8Array): number => {
  const [first = 0, ...others] = bytes
  if (first === 0x80) return others.reduce((value, byte) => value * 256 + byte, 0)
  const digits = String.fromCharCode(...bytes).replaceAll(/^[ \0]+|[ \0].*$/gs, "")
  return /^[0-7]*$/.test(digits) ? Number.parseInt(`0${digits}`, 8) : -1
}

/** Whether the checksum of a header matches. Old writers summed signed bytes. */
const isIntact = (block: Uint8Array): boolean => {
  const bytes = block.slice().fill(32, 148, 156)
  const difference = bytes.reduce((sum, byte) => sum + byte, 0) - numberOf(block.subarray(148, 156))
  return difference === 0 || difference === 256 * bytes.filter((byte) => byte > 127).length
}

/** The path in a header. In ustar, its beginning is in a field of its own. */
const pathOf = (block: Uint8Array): string => {
  const name = textOf(block.subarray(0, 100))
  const isStar = textOf(block.subarray(508)) === "tar"
  const prefix = textOf(block.subarray(257, 263)) === "ustar" ? textOf(block.subarray(345, isStar ? 476 : 500)) : ""
  return prefix === "" ? name : `${prefix}/${name}`
}

/** The records of a pax header for names, the size and sparse files; undefined if they are broken. */
const paxOf = (bytes: Uint8Array): ReadonlyMap<string, string> | undefined => {
  const records = new Map<string, string>()
  for (let at = 0; at < bytes.length;) {
    const [digits = ""] = /^\d+(?= )/.exec(decoder.decode(bytes.subarray(at, at + 20))) ?? []
    const end = at + Number(digits)
    if (digits === "" || end <= at + digits.length + 1 || end > bytes.length || bytes[end - 1] !== 10) return undefined
    const record = bytes.subarray(at + digits.length + 1, end - 1)
    const equals = record.indexOf(61)
    const key = decoder.decode(record.subarray(0, Math.max(equals, 0)))
    const known = /^(?:path|linkpath|size|GNU\.sparse\.(?:name)?)/.exec(key)?.[0] ?? ""
    if (known === key || known === "GNU.sparse.") records.set(known, decoder.decode(record.subarray(equals + 1)))
    at = end
  }
  return records
}

/** Reads to the end, so that what was read is checked. */
const drain = Effect.fnUntraced(function*<E>({ some }: ByteReader<E>) {
  for (let isReported = false;;) {
    const bytes = yield* some(Infinity)
    if (bytes.length === 0) return yield* Cause.done()
    if (isReported || isZero(bytes)) continue
    isReported = true
    yield* Effect.logWarning("what follows the end of the archive is left out")
  }
})

/** Reads a header of attributes, which the entry after it has. */
const readAttributes = Effect.fnUntraced(function*<E>(input: ByteReader<E>, type: string, size: number) {
  if (size > maxAttributes) return yield* input.fail("the attributes of an entry are too large")
  const bytes = yield* input.exactly(size)
  yield* input.skip(padding(size))
  switch (type) {
    case "x":
      return paxOf(bytes) ?? (yield* input.fail("the attributes of an entry are broken"))
    case "g":
      return new Map<string, string>()
    default:
      return new Map([[type === "L" ? "path" : "linkpath", textOf(bytes)]])
  }
})

type Header = Omit<Entry<never>, "content">

const headerOf = (block: Uint8Array, type: string, size: number, attributes: ReadonlyMap<string, string>): Header => {
  const isSparse = type === "S" || attributes.has("GNU.sparse.")
  const path = attributes.get("GNU.sparse.name") ?? (attributes.get("path") || pathOf(block))
  const kind = isSparse ? "sparse file" : kinds.get(type) ?? `entry of the type ${JSON.stringify(type)}`
  return {
    path,
    kind: kind === "file" && path.endsWith("/") ? "folder" : kind,
    // Entries without content may have a size all the same.
    size: /[1-6]/.test(type) ? 0 : size,
    mode: Math.max(numberOf(block.subarray(100, 108)), 0),
    target: attributes.get("linkpath") || textOf(block.subarray(157, 257))
  }
}

/** Reads up to the content of the next entry. */
const readHeader = Effect.fnUntraced(function*<E>(input: ByteReader<E>) {
  const attributes = new Map<string, string>()
  for (;;) {
    const block = yield* input.upTo(blockSize)
    if (block.length === 0 && attributes.size === 0) {
      yield* Effect.logWarning("the archive ends without a mark: its end may be missing")
      return yield* Cause.done()
    }
    if (block.length < blockSize) return yield* input.fail("it is cut off")
    if (isZero(block)) return yield* drain(input)
    if (!isIntact(block)) return yield* input.fail("the checksum of a header does not match")
    const type = String.fromCharCode(block[156] ?? 0)
    const stored = numberOf(block.subarray(124, 136))
    const given = attributes.get("size") ?? ""
    const size = /^\d+$/.test(given) ? Number(given) : stored
    if (size < 0) return yield* input.fail("the size of an entry is no number")
    if ("xgLK".includes(type)) {
      for (const [key, value] of yield* readAttributes(input, type, stored)) attributes.set(key, value)
      continue
    }
    if (type === "S") {
      // The map of a file with many holes goes on in blocks of its own.
      for (let goesOn = block[482]; goesOn === 1;) goesOn = (yield* input.exactly(blockSize))[504]
    }
    return headerOf(block, type, size, attributes)
  }
})

/** The entries of an archive, up to its end mark. A warning reports what follows the mark, unless it is zeros, or that there is none. */
export const decode = <E, R, E2>(
  archive: Stream.Stream<Uint8Array, E, R>,
  broken: (why: string) => E2
): Stream.Stream<Entry<E | E2>, E | E2, R> =>
  Stream.unwrap(Effect.map(make(archive, broken), (input) => {
    /** What is left of the content of the last entry, and of what fills its last block. */
    let content = 0
    let filling = 0

    const body = Effect.gen(function*() {
      if (content === 0) return yield* Cause.done()
      const bytes = yield* input.some(content)
      if (bytes.length === 0) return yield* input.fail("it is cut off")
      content -= bytes.length
      return [bytes] as const
    })

    const next = Effect.gen(function*() {
      yield* input.skip(content + filling)
      const header = yield* readHeader(input)
      content = header.size
      filling = padding(content)
      const entry: Entry<E | E2> = { ...header, content: Stream.fromPull(Effect.succeed(body)) }
      return [entry] as const
    })

    return Stream.fromPull(Effect.succeed(next))
  }))
