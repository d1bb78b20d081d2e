/** The ways in which a text may be spelled: its characters escaped for JSON, HTML or a URL, or its bytes as base64 or hex. */
import * as Base64 from "effect/encoding/Base64"
import * as Hex from "effect/encoding/Hex"
import * as Result from "effect/Result"

/** Where a part of a text begins and ends. */
export type Place = readonly [from: number, to: number]

/** A text as it reads without its escapes, and where in the original each part of it stands. */
export interface Reading {
  readonly text: string
  readonly placeOf: (from: number, to: number) => Place
}

/** What stands for one character, in JSON, JavaScript, HTML, a URL or a shell. */
const escaped =
  /%u[\da-f]{4}|%[0-7][\da-f]|%[c-f][\da-f](?:%[89ab][\da-f]){1,3}|%[89a-f][\da-f]|&(?:#\d{1,7};?|#x[\da-f]{1,6};?|[a-z]{2,8};)|\\u(?:[\da-f]{4}|\{[\da-f]{1,6}\})|\\x[c-f][\da-f](?:\\x[89ab][\da-f]){1,3}|\\x[\da-f]{2}|\\3[0-7]{2}(?:\\2[0-7]{2}){1,3}|\\[0-3][0-7]{2}|\\[^]/gi

/** What is named, by its names, each of which stands before it. */
const named = (text: string): ReadonlyMap<string, string> =>
  new Map(Array.from(text.matchAll(/([a-z]+)([^a-z])/g), ([, name = "", character = ""]) => [name, character]))

/** As in `&amp;`. */
const names = named(
  "amp&apos'ast*bsol\\colon:comma,commat@dash-dollar$equals=excl!grave`gt>hat^hyphen-" +
    "lbrace{lbrack[lcub{lowbar_lpar(lsqb[lt<nbsp newline\nnum#percnt%period.plus+quest?quot\"rbrace}rbrack]rcub}rpar)rsqb]semi;sol/tab\tverbar|vert|"
)

/** The marks of accented letters, as in `&eacute;`. */
const accents = named("acute\u0301cedil\u0327circ\u0302grave\u0300ring\u030atilde\u0303uml\u0308")

const controls = named("b\bf\fn\nr\rt\t")

const characterOf = (code: number, otherwise: string) => code <= 0x10ffff ? String.fromCodePoint(code) : otherwise

const decodeName = (escape: string): string => {
  const name = escape.slice(1, -1)
  const accent = accents.get(name.slice(1))
  return names.get(name.toLowerCase()) ??
    (accent === undefined ? escape : (name.slice(0, 1) + accent).normalize("NFC"))
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The character of bytes in UTF-8; of others that of each. */
const decodeBytes = (numbers: ReadonlyArray<string>, radix: number): string => {
  const bytes = Uint8Array.from(numbers, (number) => Number.parseInt(number, radix))
  const each = String.fromCharCode(...bytes)
  return bytes.length === 1 ? each : Result.getOrElse(Result.try(() => utf8.decode(bytes)), () => each)
}

const decode = (escape: string): string => {
  if (escape.startsWith("&")) {
    return escape.charAt(1) !== "#"
      ? decodeName(escape)
      : characterOf(Number(`0${escape.slice(2).replace(";", "").toLowerCase()}`), escape)
  }
  const kind = escape.charAt(1)
  if (escape.length < 3) return controls.get(kind) ?? kind
  if (/u/i.test(kind)) return characterOf(Number.parseInt(escape.replace(/[%\\u{}]/gi, ""), 16), escape)
  const isHex = /x|%/i.test(escape)
  return decodeBytes(escape.match(isHex ? /[\da-f]{2}/gi : /[0-7]{3}/g) ?? [], isHex ? 16 : 8)
}

/** Escapes of escapes are read so many times. */
const maxTimes = 6

/** A text without its escapes, and without those that come to light then. */
export const unescape = (text: string, times = maxTimes): string => {
  if (times === 0) return text
  const read = text.replace(escaped, decode)
  return read === text ? text : unescape(read, times - 1)
}

/** A text with something in the place of what a pattern finds, and where in the text before each character of it begins. */
export const replaced = (text: string, pattern: RegExp, replace: (match: string) => string) => {
  const starts: Array<number> = []
  let result = ""
  let end = 0
  const keep = (to: number) => {
    result += text.slice(end, to)
    for (; end < to; end++) starts.push(end)
  }
  for (const { 0: match, index } of text.matchAll(pattern)) {
    keep(index)
    const replacement = replace(match)
    result += replacement
    for (let count = 0; count < replacement.length; count++) starts.push(index)
    end = index + match.length
  }
  keep(text.length)
  starts.push(text.length)
  return { text: result, startOf: (position: number) => starts[position] ?? position }
}

/** A text as {@link unescape} reads it. */
export const read = (text: string, times = maxTimes): Reading => {
  const once = replaced(text, escaped, decode)
  if (times === 0 || once.text === text) return { text, placeOf: (from, to) => [from, to] }
  const reading = read(once.text, times - 1)
  return {
    text: reading.text,
    placeOf: (from, to) => {
      const [start, end] = reading.placeOf(from, to)
      return [once.startOf(start), once.startOf(end)]
    }
  }
}

const decoder = new TextDecoder()

const bytesOf = (base64: string): Result.Result<Uint8Array, unknown> => {
  const whole = base64.length % 4 === 1 ? base64.slice(0, -1) : base64
  return Base64.decode(
    whole.replaceAll("-", "+").replaceAll("_", "/").padEnd(Math.ceil(whole.length / 4) * 4, "=")
  )
}

const textsOf = (bytes: ReadonlyArray<Result.Result<Uint8Array, unknown>>): ReadonlyArray<string> =>
  bytes.flatMap((bytes) =>
    // Of text in UTF-16 every other byte is zero.
    Result.isSuccess(bytes) ? [unescape(decoder.decode(bytes.success).replaceAll("\0", ""))] : []
  )

/** What a text may be the base64 of, wherever in it that begins: a text that is cut off in front begins anywhere. */
const fromBase64 = (text: string): ReadonlyArray<string> =>
  textsOf([0, 1, 2, 3].map((start) => bytesOf(text.slice(start))))

/** The text that a whole text is the base64 of, if it is of one, and not of a picture. */
export const fromWholeBase64 = (text: string): ReadonlyArray<string> => {
  if (text.length < 8 || text.length % 4 !== 0 || /[^\w+/=-]/.test(text)) return []
  // The start shows it, at little cost. It may be the rest of a character.
  const isText = textsOf([bytesOf(text.slice(0, 64).replace(/={1,2}$/, ""))]).every((start) =>
    !/[^\ufffd]\ufffd./.test(start)
  )
  return isText ? textsOf([bytesOf(text.replace(/={1,2}$/, ""))]) : []
}

/** So many bytes are looked at together; a multiple of 3, so that their base64 is a part of the whole one. */
const partSize = 98_304
/** How far they reach into the next ones: further than what is looked for, however it is spelled in them. */
const overlap = 1_536

/** Bytes in base64, in parts, as they may be many. */
export const inBase64 = function*(bytes: Uint8Array): Generator<string> {
  for (let from = 0; from < bytes.length; from += partSize) {
    yield Base64.encode(bytes.subarray(from, from + partSize + overlap))
  }
}

/** What a text may be the hex digits of. */
const fromHex = (text: string): ReadonlyArray<string> => {
  const digits = text.replaceAll(/0x|[^\da-f]/gi, "")
  return textsOf([0, 1].map((start) => Hex.decode(digits.slice(start, digits.length - (digits.length - start) % 2))))
}

/** What a list of numbers may be the bytes of. */
const fromNumbers = (text: string): ReadonlyArray<string> =>
  textsOf([Result.succeed(Uint8Array.from(text.split(/\D+/), Number))])

/** How bytes are written as text, and what that may be read as. */
export const encodings: ReadonlyArray<{
  readonly pattern: RegExp
  readonly decode: (text: string) => ReadonlyArray<string>
}> = [
  { pattern: /[\w+/-]{6,}/g, decode: fromBase64 },
  { pattern: /(?:(?:0x)?[\da-f]{2}[\s:,.-]*){4,}/gi, decode: fromHex },
  { pattern: /\d{1,3}(?:\s*,\s*\d{1,3}){7,}/g, decode: fromNumbers }
]
