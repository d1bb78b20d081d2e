/** The name of a file in a `content-disposition` header: RFC 6266, with the encodings of RFC 8187. Never a path. */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { unreadable } from "../request/printable.ts"

/** `name=token`, `name="quoted \" string"`, and `name*=charset'language'percent-encoded`, with spaces where they may be. */
const parameter = /;\s*([\w!#$&+.^`|~-]+)(\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*)(?:"|\\?$)|([^;"\s][^;]*))/gs

/** Decodes bytes; none where they are no text in a charset, or it is unknown. */
export const decodeText = (charset: string, bytes: Uint8Array): Option.Option<string> =>
  Result.getSuccess(Result.try(() => new TextDecoder(charset, { fatal: true }).decode(bytes)))

const latin1 = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0))

const decodeExtended = (value: string): Option.Option<string> => {
  const match = /^([\w.:+-]+)'[\w-]*'((?:%[\da-f]{2}|[\w!#$&+.^`|~-])*)$/i.exec(value)
  if (match === null) return Option.none()
  const [, charset = "", encoded = ""] = match
  const text = encoded.replaceAll(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
  return decodeText(charset, latin1(text))
}

/** A header has bytes, which clients show as latin-1, and servers mean as UTF-8 as a rule. */
const decodePlain = (value: string): string =>
  /^[\0-\xff]*$/.test(value) ? Option.getOrElse(decodeText("utf-8", latin1(value)), () => value) : value

/** The last segment of what may be a path, of any system. Windows treats the part after a colon as a stream of the file. */
export const lastSegment = (text: string): Option.Option<string> => {
  const segment = text.replaceAll(unreadable, "").split(/[/\\]/).at(-1) ?? ""
  const name = segment.trim().replace(/^(?:[a-z]:\s*)+/i, "").replaceAll(":", "_").trim()
  return /^[. ]*$/.test(name) ? Option.none() : Option.some(name)
}

/** The file name in a header, from the parameter that encodes it best. */
export const inHeader = (header: string): Option.Option<string> => {
  const values = new Map<string, string>()
  for (
    const [, name = "", star = "", quoted, token = ""] of `;${header.replace(/^[^;=]*(?=;|$)/, "")}`.matchAll(parameter)
  ) {
    const key = name.toLowerCase() + star
    const value = quoted === undefined ? token : quoted.replaceAll(/\\(.)/gs, "$1")
    if ((values.get(key) ?? "") === "") values.set(key, value)
  }
  const named = (key: string, decode: (value: string) => Option.Option<string>) =>
    Option.fromUndefinedOr(values.get(key)).pipe(Option.flatMap(decode), Option.flatMap(lastSegment))
  return Option.orElse(
    named("filename*", decodeExtended),
    () => named("filename", (value) => Option.some(decodePlain(value)))
  )
}

/** A name that git, or a disk beneath it, takes for that of a repository. */
const isRepository = (name: string) => /^(?:\.git|git~1)[. ]*(?::.*)?$/is.test(name.replaceAll(/\p{Cf}/gu, ""))

/** What Windows takes for another name, for a device or for no name. */
const isForeignToWindows = (name: string) =>
  /[<>:"|?*\\\p{Cc}]|[. ]$/u.test(name) ||
  /^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3]) *(?:\.|$)/i.test(name)

/**
 * Why a relative path, its segments separated by `/`, is not to be written on a system, which its separator shows. Undefined
 * where it may be.
 */
export const unwritable = (path: string, { sep }: { readonly sep: string }): string | undefined => {
  const names = path.split("/")
  return names.some(isRepository)
    ? "git would run what is in it"
    : sep === "\\" && names.some(isForeignToWindows)
    ? "Windows has no such name"
    : undefined
}
