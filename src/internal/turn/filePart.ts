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

type Source = { readonly bytes: Uint8Array } | { readonly url: string }

const isWeb = (url: string) => /^https?:/i.test(url)

const base64 = (text: string): Result.Result<Source, string> =>
  Base64.decode(text).pipe(
    Result.map((bytes) => ({ bytes })),
    Result.mapError(() => "its data is no base64")
  )

const percentEncoded = (text: string): Result.Result<Source, string> =>
  Result.try({
    try: () => ({ bytes: new TextEncoder().encode(decodeURIComponent(text)) }),
    catch: () => "its data is not percent-encoded"
  })

const dataUrl = /^data:[^,]*?(?<base64>;base64)?,(?<data>[^]*)$/i

const sourceOf = (data: FilePart["data"]): Result.Result<Source, string> => {
  if (data instanceof Uint8Array) return Result.succeed({ bytes: data })
  const text = Predicate.isString(data) ? data : data.href
  if (isWeb(text)) return Result.succeed({ url: text })
  const found = dataUrl.exec(text)?.groups
  if (found !== undefined) return (found["base64"] === undefined ? percentEncoded : base64)(found["data"] ?? "")
  return Predicate.isString(data) ? base64(data) : Result.fail("its URL is neither one of the web nor one of data")
}

/** The block of a file, or why agents do not take it: they take images, PDF and text. */
export const blockOf = ({ data, fileName, mediaType: given }: FilePart): Result.Result<ContentBlock, string> =>
  Result.flatMap(sourceOf(data), (source): Result.Result<ContentBlock, string> => {
    if ("bytes" in source && source.bytes.length === 0) return Result.fail("it is empty")
    const mediaType = given.toLowerCase()
    const title = fileName === undefined ? {} : { title: fileName }
    const blockSource = "url" in source
      ? { type: "url" as const, url: source.url }
      : { type: "base64" as const, media_type: mediaType, data: source.bytes }
    if (mediaType.startsWith("image/")) return Result.succeed({ type: "image", source: blockSource })
    if (mediaType === "application/pdf") return Result.succeed({ type: "document", source: blockSource, ...title })
    if (mediaType.startsWith("text/") && "bytes" in source) {
      const text = new TextDecoder().decode(source.bytes)
      return Result.succeed({
        type: "document",
        source: { type: "text", media_type: "text/plain", data: text },
        ...title
      })
    }
    return Result.fail("agents take images, PDF, and text that is sent along")
  })
