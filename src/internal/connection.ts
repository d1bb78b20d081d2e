/** What a connection needs to be before anything is sent over it. */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { InvalidRequest } from "../schema/AshError.ts"

const refuse = (field: string, message: string) => Effect.fail(new InvalidRequest({ message, field }))

/** The base URL without a slash at its end. */
export const baseUrl = (input: string | URL): Effect.Effect<string, InvalidRequest> => {
  const text = String(input)
  if (!/^https?:\/\//i.test(text)) {
    return refuse("url", "url must begin with http:// or https://, as in http://localhost:4100")
  }
  if (!URL.canParse(text)) return refuse("url", "url is not a URL; it should look like http://localhost:4100")
  const url = new URL(text)
  if (url.username !== "" || url.password !== "") return refuse("url", "url must not hold a user name or a password")
  if (url.search !== "" || url.hash !== "") return refuse("url", "url must not hold a query or a fragment")
  return Effect.succeed(`${url.origin}${url.pathname}`.replace(/\/+$/, ""))
}

/** The text of a key. A header can carry visible ASCII characters only, and the server takes exactly one token. */
export const keyText = (
  key: Redacted.Redacted<string> | undefined
): Effect.Effect<Option.Option<string>, InvalidRequest> => {
  if (key === undefined) return Effect.succeedNone
  const text = Redacted.value(key)
  return /^[\x21-\x7e]+$/.test(text)
    ? Effect.succeedSome(text)
    : refuse(
      "apiKey",
      "apiKey must be one word of visible ASCII characters; it is empty, or holds a space or a line break"
    )
}
