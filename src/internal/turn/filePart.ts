/** Files as other programs give them, as the blocks of a message that agents take. */
import * as Base64 from "effect/encoding/Base64"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type { ContentBlock } from "../../schema/Message.ts"

/** A file: its bytes, a URL of the web, a data URL, or base64. */
export interface FilePart {
  readonly mediaType: string
  readonly data: Uint8Array | URL | string
  readonly fileName?: string | undefined
}

/** Whether a block is not a blank text. Models refuse one beside others, and programs send it with every file. */
export const isReadable = (block: ContentBlock): boolean => block.type !== "text" || block.text.trim() !== ""

/** With bytes the type that a data URL has for them. */
type Source = { readonly bytes: Uint8Array; readonly type?: string } | { readonly url: string }

/** Bytes from base64, which may have white space in it and lack its padding, as browsers take it. */
const base64 = (text: string): Result.Result<Uint8Array, string> => {
  const digits = text.replace(/[\t\n\f\r ]/g, "")
  const whole = digits.endsWith("=") ? digits : digits.padEnd(Math.ceil(digits.length / 4) * 4, "=")
  return Result.mapError(Base64.decode(whole), () => "its data is no base64")
}

const encodedByte = /^[\da-f]{2}$/i

/** The bytes that a part of a URL stands for. What looks like an encoded one and is none stands for itself. */
const percentDecoded = (text: string): Uint8Array => {
  const bytes = new Uint8Array(text.length)
  let size = 0
  for (let at = 0; at < text.length; at++) {
    const digits = text[at] === "%" ? text.slice(at + 1, at + 3) : ""
    const isEncoded = encodedByte.test(digits)
    bytes[size++] = isEncoded ? Number.parseInt(digits, 16) : text.charCodeAt(at)
    if (isEncoded) at += 2
  }
  return bytes.subarray(0, size)
}

const dataUrl = /^data:(?<type>[^,#]*),(?<data>[^#]*)/

/** The content of a data URL, by the rules of browsers. In a URL there is ASCII alone, and no line breaks. */
const dataOf = ({ href }: URL): Result.Result<Source, string> => {
  const { data, type } = dataUrl.exec(href)?.groups ?? {}
  if (data === undefined || type === undefined) return Result.fail("its URL has no data")
  const bytes = !/; *base64$/i.test(type.trim())
    ? Result.succeed(percentDecoded(data))
    : base64(data.includes("%") ? new TextDecoder().decode(percentDecoded(data)) : data)
  return Result.map(bytes, (bytes) => ({ bytes, type }))
}

const charsetOf = (type: string) => /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(type)?.[1]

/** A text in the charset of its type. */
const decodedText = (bytes: Uint8Array, types: ReadonlyArray<string>): Result.Result<string, string> =>
  Result.try({
    try: () => new TextDecoder(types.map(charsetOf).find(Predicate.isNotUndefined), { fatal: true }).decode(bytes),
    catch: () => "its bytes are no text of the charset of its type, by default UTF-8"
  })

const sourceOf = (data: FilePart["data"]): Result.Result<Source, string> => {
  if (data instanceof Uint8Array) return Result.succeed({ bytes: data })
  if (Predicate.isString(data) && !URL.canParse(data)) return Result.map(base64(data), (bytes) => ({ bytes }))
  const url = new URL(data)
  return /^https?:$/.test(url.protocol)
    ? Result.succeed({ url: Predicate.isString(data) ? data : url.href })
    : url.protocol === "data:"
    ? dataOf(url)
    : Result.fail("its URL is neither one of the web nor one of data")
}

/** The block of a file, or why agents do not take it: they take images, PDF and text. */
export const blockOf = ({ data, fileName, mediaType: given }: FilePart): Result.Result<ContentBlock, string> =>
  Result.flatMap(sourceOf(data), (source): Result.Result<ContentBlock, string> => {
    if ("bytes" in source && source.bytes.length === 0) return Result.fail("it is empty")
    const mediaType = given.toLowerCase().replace(/\s*;[^]*/, "")
    const title = fileName === undefined ? {} : { title: fileName }
    const blockSource = "url" in source
      ? { type: "url" as const, url: source.url }
      : { type: "base64" as const, media_type: mediaType, data: source.bytes }
    if (mediaType.startsWith("image/")) return Result.succeed({ type: "image", source: blockSource })
    if (mediaType === "application/pdf") return Result.succeed({ type: "document", source: blockSource, ...title })
    return mediaType.startsWith("text/") && "bytes" in source
      ? Result.map(decodedText(source.bytes, [given, source.type ?? ""]), (data) => ({
        type: "document",
        source: { type: "text", media_type: "text/plain", data },
        ...title
      }))
      : Result.fail("agents take images, PDF, and text that is sent along")
  })
