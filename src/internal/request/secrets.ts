/**
 * What a request holds that must not come back in a message, though a server may repeat it in its answer: the key, the
 * headers and the cookies, the query, and every text of the body, but for what is known to be harmless.
 */
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import { parseJson } from "../../schema/Wire.ts"
import { userAgent } from "./connection.ts"
import * as TextEncodings from "./textEncodings.ts"
import { partsOf } from "./upload.ts"

/** Takes secrets out of a text. */
export type Redact = (text: string) => string

/** The name of a header, or of a part of the query, whose value is not known to be harmless. */
export const harmful =
  /^(?!(?:accept|accept-encoding|after|b3|cache-control|cf-ray|connection|content-encoding|content-length|content-type|date|fly-request-id|format|includehidden|includetotal|keep-alive|limit|offset|request-id|retry-after|server|status|traceparent|tracestate|transfer-encoding|type|user-agent|vary|x-amz-cf-id|x-amz-request-id|x-amzn-requestid|x-cloud-trace-context|x-correlation-id|x-ratelimit-\w+|x-request-id|x-requestid|x-trace-id|x-vercel-id)$)/i

/** Headers of a request that identify no client. The value of any other header may be the caller's secret. */
const ownHeader = /^(?:accept|accept-encoding|b3|content-length|content-type|traceparent|tracestate)$/i

/** The fewest digits of a number that is looked for. */
const longNumber = 1e7

/** The texts of JSON, which may have more levels than calls can. */
const textsIn = function*(json: unknown, harmless: ReadonlySet<string>): Generator<string> {
  const found: Array<readonly [path: string, value: unknown]> = [["", json]]
  for (const [path, value] of found) {
    if (harmless.has(path)) continue
    if (Predicate.isString(value)) {
      if (path === "key" || !ordinary.test(value)) yield value
    } else if (typeof value === "number" && Math.abs(value) >= longNumber) {
      yield String(value)
    } else if (Array.isArray(value)) {
      for (const item of value) found.push([path, item])
    } else if (Predicate.isObject(value)) {
      for (const [name, field] of Object.entries(value)) found.push([path === "" ? name : `${path}.${name}`, field])
    }
  }
}

/** Words and numbers that stand in many a message by themselves. */
const ordinary = /^(?:\p{L}{1,10}|[\d.,:+-]{1,7})$/u

const isAuthorization = (name: string) => /^(?:authorization|cookie|proxy-authorization)$/i.test(name)

const scheme = /^(?:apikey|basic|bearer|digest|negotiate|token)\s+/i

/** What stands in the value of a header: a token behind its scheme, what that is the base64 of, the value of each cookie. */
const piecesOf = function*(name: string, value: string): Generator<string> {
  const token = value.replace(scheme, "")
  yield token
  for (const text of TextEncodings.fromWholeBase64(token)) {
    yield text
    yield* text.split(":")
  }
  if (/cookie/i.test(name)) { for (const pair of value.split(/;\s*/)) yield pair.replace(/^[^=]*=/, "") }
  yield* token.split(/[\s;,]+/)
}

const secretsOf = function*({ body, headers, urlParams }: HttpClientRequest.HttpClientRequest): Generator<string> {
  for (const [name, value] of Object.entries(headers)) {
    if (ownHeader.test(name) || value === userAgent) continue
    for (const piece of piecesOf(name, value)) if (isAuthorization(name) || !ordinary.test(piece)) yield piece
  }
  for (const [name, value] of urlParams.params) {
    const text = Redacted.isRedacted(value) ? Redacted.value(value) : value
    if (harmful.test(name) && !ordinary.test(text)) yield text
  }
  const { contents, harmless, json } = partsOf(body)
  for (const content of contents) yield* TextEncodings.inBase64(content)
  if (json._tag !== "Uint8Array" || !json.contentType.startsWith("application/json")) return
  yield* textsIn(parseJson(new TextDecoder().decode(json.body)), harmless)
}

/** A secret is found by any so many characters of it that follow each other; a shorter one as a whole, between others. */
const run = 12
/** Shorter texts are no secrets, and would be found in every other word. */
const shortest = 4

/** The longest text that is looked through. What stands behind it is left out. */
const longest = 65_536

/** What differs between spellings of a character, and escapes no character: its case, and what a space is written as. */
const foldOne = (character: string): string => /[+\s]/.test(character) ? " " : character.toLowerCase().charAt(0)

/** What each UTF-16 unit is folded to, once it is known; 0 until then. */
const foldedCodes = new Uint16Array(65_536)

const foldedCode = (text: string, index: number): number => {
  const code = text.charCodeAt(index)
  const known = foldedCodes[code] ?? 0
  return known === 0 ? foldedCodes[code] = foldOne(String.fromCharCode(code)).charCodeAt(0) : known
}

const fold = (text: string): string => {
  let result = ""
  for (let index = 0; index < text.length; index++) result += String.fromCharCode(foldedCode(text, index))
  return result
}

const base = 0x01000193
/** What the first character of a run was multiplied with when the last one is added. */
const weight = Array.from({ length: run }).reduce<number>((power) => Math.imul(power, base), 1)

/** Calls back with the hash of each run, and where it begins: in one step for each character, as secrets may be megabytes. */
const eachRun = (text: string, onRun: (hash: number, from: number) => void): void => {
  let hash = 0
  for (let index = 0; index < text.length; index++) {
    hash = (Math.imul(hash, base) + foldedCode(text, index)) | 0
    if (index >= run) hash = (hash - Math.imul(weight, foldedCode(text, index - run))) | 0
    if (index >= run - 1) onRun(hash, index - run + 1)
  }
}

/** Excludes most hashes that were not added, at little cost. */
const makeFilter = (size: number) => {
  const shift = 32 - Math.min(21, Math.ceil(Math.log2(size + 16)) + 4)
  const marks = new Uint8Array(2 ** (32 - shift))
  const other = (hash: number) => Math.imul(hash, 0x9e3779b1) >>> shift
  return {
    add: (hash: number) => {
      const one = hash >>> shift
      marks[one] = (marks[one] ?? 0) | 1
      const two = other(hash)
      marks[two] = (marks[two] ?? 0) | 2
    },
    mayHave: (hash: number) => ((marks[hash >>> shift] ?? 0) & 1) !== 0 && ((marks[other(hash)] ?? 0) & 2) !== 0
  }
}

/** What may stand between the characters of a text that is broken into lines: white space, also of a form, and what is not seen. */
const between = /[\s+\u200b-\u200f\u2060\ufeff]+/g

/** A text without what may stand between its characters. */
const joined = ({ placeOf, text }: TextEncodings.Reading): ReadonlyArray<TextEncodings.Reading> => {
  const { startOf, text: result } = TextEncodings.replaced(text, between, () => "")
  return result === text ? [] : [{
    text: result,
    placeOf: (from, to) => [placeOf(startOf(from), startOf(from))[0], placeOf(startOf(to - 1), startOf(to - 1) + 1)[1]]
  }]
}

/** How often what is encoded is read for what is encoded in it. */
const deepest = 2

/** What parts of a text may be the base64, the hex digits or the numbers of, each without escapes. */
const decodedOf = ({ placeOf, text }: TextEncodings.Reading, depth = deepest): ReadonlyArray<TextEncodings.Reading> =>
  depth === 0 ?
    [] :
    TextEncodings.encodings.flatMap(({ decode, pattern }) =>
      Array.from(text.matchAll(pattern)).flatMap(({ 0: match, index }) => {
        // Encoded text is not for readers, so all of it may go.
        const place = placeOf(index, index + match.length)
        // What is no text has no secret in it.
        const texts = decode(match).flatMap((text) => text.split(/[^\P{Cc}\s]+|\ufffd+/u))
        return texts.filter((text) => text.length >= shortest).flatMap((text) => {
          const reading: TextEncodings.Reading = { text, placeOf: () => place }
          return [reading, ...decodedOf(reading, depth - 1)]
        })
      })
    )

/** A text as it reads without escapes, without what may stand between its characters, and decoded. */
const readingsOf = (text: string): ReadonlyArray<TextEncodings.Reading> => {
  const plain = TextEncodings.read(text)
  const all = [plain, ...joined(plain)]
  return [...all, ...all.flatMap((reading) => decodedOf(reading))]
}

const isWord = (character: string | undefined) => character !== undefined && /[\p{L}\p{N}]/u.test(character)

/** Whether a word may begin or end at a position. */
const isEdge = (text: string, position: number) => !isWord(text[position - 1]) || !isWord(text[position])

/** Where secrets stand in a text: 1 at each of their characters. */
const find = (text: string, secrets: Iterable<string>): Uint8Array => {
  const readings = readingsOf(text)
  const filter = makeFilter(readings.reduce((size, { text }) => size + text.length, 0))
  const places = new Map<string, Array<TextEncodings.Place>>()
  for (const { placeOf, text } of readings) {
    eachRun(text, (hash, from) => {
      filter.add(hash)
      const key = fold(text.slice(from, from + run))
      const place = placeOf(from, from + run)
      const known = places.get(key)
      if (known === undefined) places.set(key, [place])
      else known.push(place)
    })
  }

  const hidden = new Uint8Array(text.length)
  const done = new Set<TextEncodings.Place>()
  const hide = (place: TextEncodings.Place) => {
    if (!done.has(place)) hidden.fill(1, ...place)
    done.add(place)
  }

  const words = new Set<string>()
  // A run that secrets repeat for megabytes is looked for once.
  const looked = new Int32Array(65_536)
  const look = (secret: string) => {
    if (secret.length < run) {
      if (secret.length >= shortest) words.add(fold(secret))
      return
    }
    eachRun(secret, (hash, from) => {
      if (!filter.mayHave(hash) || looked[hash & 0xffff] === hash) return
      looked[hash & 0xffff] = hash
      places.get(fold(secret.slice(from, from + run)))?.forEach(hide)
    })
  }
  for (const secret of secrets) {
    // Files are sent as base64. A long one is read once, as the text that it is: it is found so in its base64, too.
    const encoded = TextEncodings.fromWholeBase64(secret)
    for (const text of encoded) look(text)
    if (encoded.length > 0 && secret.length > longest) continue
    const plain = TextEncodings.unescape(secret.trim())
    look(plain)
    if (plain.length <= longest && /[\s+]/.test(plain)) look(plain.replaceAll(between, ""))
  }

  const lengths = [...new Set(Array.from(words, ({ length }) => length))]
  for (const { placeOf, text } of lengths.length === 0 ? [] : readings) {
    for (let from = 0; from + shortest <= text.length; from++) {
      if (!isEdge(text, from)) continue
      for (const length of lengths) {
        const to = from + length
        if (to <= text.length && isEdge(text, to) && words.has(fold(text.slice(from, to)))) hide(placeOf(from, to))
      }
    }
  }
  return hidden
}

/** Takes the key, and what else a request holds, out of a text, in whatever spelling a server repeats it. */
export const redactOf = (request: HttpClientRequest.HttpClientRequest): Redact => (text) => {
  const kept = text.slice(0, longest)
  const hidden = find(kept, secretsOf(request))
  let redacted = ""
  for (let from = 0; from < kept.length;) {
    const isHidden = hidden[from]
    const next = hidden.indexOf(1 - (isHidden ?? 0), from)
    const to = next === -1 ? kept.length : next
    redacted += isHidden === 1 ? "<redacted>" : kept.slice(from, to)
    from = to
  }
  return redacted
}

/** Between texts that are looked through at once. */
const separator = "\u001f"

/**
 * Takes secrets out of these texts, as many at once as are looked through, as all that was sent is read each time; and out of
 * any other by itself.
 */
export const redactTogether = (texts: ReadonlyArray<string | undefined>, redact: Redact): Redact => {
  const known = new Map<string, string | undefined>()
  const groups: Array<Array<string>> = []
  let size = longest
  for (const text of texts) {
    if (text === undefined || text.includes(separator)) continue
    size += text.length + 1
    if (size > longest) {
      groups.push([])
      size = text.length + 1
    }
    groups.at(-1)?.push(text)
  }
  for (const group of groups) {
    const redacted = redact(group.join(separator)).split(separator)
    // A secret with separators in it may take some.
    if (redacted.length === group.length) group.forEach((text, index) => known.set(text, redacted[index]))
  }
  return (text) => known.get(text) ?? redact(text)
}
