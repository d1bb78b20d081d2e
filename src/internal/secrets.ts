/**
 * What a request holds that must not come back in a message, though a server may repeat it in its answer: the key, the
 * headers and the cookies, the query, and every text of the body, but for what is known to be harmless.
 */
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import { parseJson } from "../schema/Wire.ts"
import * as Spellings from "./spellings.ts"

/** Takes secrets out of a text. */
export type Redact = (text: string) => string

/** The name of a header, or of a part of the query, whose value is not known to be harmless. */
export const harmful =
  /^(?!(?:accept|accept-encoding|after|b3|cache-control|cf-ray|connection|content-encoding|content-length|content-type|date|fly-request-id|format|includehidden|includetotal|keep-alive|limit|offset|request-id|retry-after|server|status|traceparent|tracestate|transfer-encoding|type|user-agent|vary|x-amz-cf-id|x-amz-request-id|x-amzn-requestid|x-cloud-trace-context|x-correlation-id|x-ratelimit-\w+|x-request-id|x-requestid|x-trace-id|x-vercel-id)$)/i

/** Fields of bodies that are names, ids and enums. */
const harmless: ReadonlySet<string> = new Set([
  "agent",
  "agentName",
  "cloneFrom",
  "content.source.media_type",
  "content.source.type",
  "content.type",
  "credentialId",
  "effort",
  "filename",
  "files.path",
  "initialAgent",
  "messageId",
  "mimeType",
  "model",
  "outputFormat.type",
  "path",
  "permissionMode",
  "resultId",
  "sessionId",
  "targetPath",
  "thinking.type",
  "type"
])

const textsIn = function*(value: unknown, path: string): Generator<string> {
  if (harmless.has(path)) return
  if (Predicate.isString(value)) {
    yield value
  } else if (Array.isArray(value)) {
    for (const item of value) yield* textsIn(item, path)
  } else if (Predicate.isObject(value)) {
    for (const [name, field] of Object.entries(value)) yield* textsIn(field, path === "" ? name : `${path}.${name}`)
  }
}

/** Words and numbers that stand in many a message by themselves. */
const ordinary = /^(?:\p{L}{1,7}|[\d.,:+-]{1,7})$/u

const secretsOf = function*({ body, headers, urlParams }: HttpClientRequest.HttpClientRequest): Generator<string> {
  for (const [name, value] of Object.entries(headers)) {
    if (!harmful.test(name)) continue
    yield value
    // The token behind its scheme, the value of each cookie.
    for (const piece of value.split(/[\s;,]+|(?<=^|[\s;])[^\s;=]*=/)) if (!ordinary.test(piece)) yield piece
  }
  for (const [name, value] of urlParams.params) {
    const text = Redacted.isRedacted(value) ? Redacted.value(value) : value
    if (harmful.test(name) && !ordinary.test(text)) yield text
  }
  if (body._tag !== "Uint8Array" || !body.contentType.startsWith("application/json")) return
  for (const text of textsIn(parseJson(new TextDecoder().decode(body.body)), "")) if (!ordinary.test(text)) yield text
}

/** A secret is found by any so many characters of it that follow each other; a shorter one as a whole, between others. */
const run = 12
/** Shorter texts are no secrets, and would be found in every other word. */
const shortest = 4

/** The longest text that is looked through. What stands behind it is left out. */
const longest = 65_536

/** What differs between spellings of a character, and escapes no character: its case, and what a space is written as. */
const fold = (text: string): string => text.toLowerCase().replaceAll(/[+\s]/g, " ")

const foldedCodes = Uint16Array.from({ length: 128 }, (_, code) => fold(String.fromCharCode(code)).charCodeAt(0))

const base = 0x01000193
/** What the first character of a run was multiplied with when the last one is added. */
const weight = Array.from({ length: run }).reduce<number>((power) => Math.imul(power, base), 1)

/** Calls back with the hash of each run, and where it begins: in one step for each character, as secrets may be megabytes. */
const eachRun = (text: string, onRun: (hash: number, from: number) => void): void => {
  let hash = 0
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    hash = (Math.imul(hash, base) + (foldedCodes[code] ?? code)) | 0
    if (index >= run) {
      const first = text.charCodeAt(index - run)
      hash = (hash - Math.imul(weight, foldedCodes[first] ?? first)) | 0
    }
    if (index >= run - 1) onRun(hash, index - run + 1)
  }
}

/** Tells fast of most hashes that they are none of those that were added. */
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

/** A text, and what it may be the base64 or the hex digits of, each without escapes. */
const readingsOf = (text: string): ReadonlyArray<Spellings.Reading> => {
  const main = Spellings.read(text)
  const encoded = (pattern: RegExp, decode: (text: string) => ReadonlyArray<string>) =>
    Array.from(main.text.matchAll(pattern)).flatMap(({ 0: match, index }) => {
      // Nobody reads it, so all of it may go.
      const place = main.placeOf(index, index + match.length)
      // What is no text has no secret in it.
      return decode(match).flatMap((text) => text.split(/[^\P{Cc}\s]+|\ufffd+/u))
        .flatMap((text) => text.length < shortest ? [] : [{ text, placeOf: () => place }])
    })
  return [
    main,
    ...encoded(/[\w+/-]{6,}/g, Spellings.fromBase64),
    ...encoded(/[\da-f]{8,}/gi, Spellings.fromHex)
  ]
}

const isWord = (character: string | undefined) => character !== undefined && /[\p{L}\p{N}]/u.test(character)

/** Whether a word may begin or end at a position. */
const isEdge = (text: string, position: number) => !isWord(text[position - 1]) || !isWord(text[position])

/** Where secrets stand in a text: 1 at each of their characters. */
const find = (text: string, secrets: Iterable<string>): Uint8Array => {
  const readings = readingsOf(text)
  const filter = makeFilter(readings.reduce((size, { text }) => size + text.length, 0))
  const places = new Map<string, Array<Spellings.Place>>()
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
  const done = new Set<Spellings.Place>()
  const hide = (place: Spellings.Place) => {
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
    const encoded = Spellings.fromWholeBase64(secret)
    for (const text of encoded) look(text)
    if (encoded.length === 0 || secret.length <= longest) look(Spellings.unescape(secret.trim()))
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
