/** What a connection needs to be before anything is sent over it. */
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import { InvalidRequest, Unauthorized } from "../../schema/Reasons.ts"
import { errorChainOf, readSafely } from "./inspectUnknown.ts"
import { printable } from "./printable.ts"

const refuse = (field: string, message: string) => Effect.fail(new InvalidRequest({ message, field }))

/** The base URL without a slash at its end. */
export const baseUrl = (input: string | URL): Effect.Effect<string, InvalidRequest> => {
  const text = String(input)
  if (!/^https?:\/\//i.test(text)) {
    return refuse("url", "url must begin with http:// or https://, as in http://localhost:4100")
  }
  if (!URL.canParse(text)) return refuse("url", "url must be a URL, as in http://localhost:4100")
  const url = new URL(text)
  if (url.username !== "" || url.password !== "") return refuse("url", "url must not hold a user name or a password")
  if (url.search !== "" || url.hash !== "") return refuse("url", "url must not hold a query or a fragment")
  return Effect.succeed(`${url.origin}${url.pathname}`.replace(/\/+$/, ""))
}

/** Where a server is. */
export interface ServerAddress {
  readonly address: string
  readonly port: number
}

export const addressOf = (url: string): ServerAddress => {
  const { hostname, port, protocol } = new URL(url)
  return {
    address: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? protocol === "https:" ? 443 : 80 : Number(port)
  }
}

/** The machine itself: what is sent there passes no network. */
const loopback = /^(?:(?:.*\.)?localhost|127(?:\.\d+){3}|\[::1\]|\[::ffff:7f[\da-f]{2}:[\da-f]{1,4}\])\.?$/

/** Whether the network between can read what is sent to a URL, the key above all. */
export const isExposed = (url: string): boolean => {
  const { hostname, protocol } = new URL(url)
  return protocol === "http:" && !loopback.test(hostname)
}

/**
 * The text of a key. A header can carry visible ASCII characters only, and the server takes exactly one token. One that was
 * wiped, or made by another copy of Effect, cannot be read.
 */
const keyText = (key: unknown): Effect.Effect<string, InvalidRequest> => {
  const text = Redacted.isRedacted(key) ? readSafely(() => Redacted.value(key)) : undefined
  return Predicate.isString(text) && /^[\x21-\x7e]+$/.test(text)
    ? Effect.succeed(text)
    : refuse(
      "apiKey",
      "apiKey must be one word of visible ASCII characters; it is none or wiped, or has a space or line break"
    )
}

/** A key that does not change, or one that is asked for before each request. */
export type KeySource<E = unknown> = string | Redacted.Redacted<string> | Effect.Effect<Redacted.Redacted<string>, E>

/** The name of a failure. Its words may hold what belongs in no message. */
const nameOf = (cause: Cause.Cause<unknown>): string => {
  const name = errorChainOf(Cause.squash(cause))[0]?.name ?? ""
  return /^[A-Z][A-Za-z]{1,39}$/.test(name) ? name : "a failure"
}

/** How to get the key for one request. One that does not change is checked at once. */
export const keyFrom = <E>(
  source: KeySource<E> | undefined
): Effect.Effect<Effect.Effect<string | undefined, InvalidRequest | Unauthorized>, InvalidRequest> => {
  if (source === undefined) return Effect.succeed(Effect.succeed(source))
  if (Predicate.isString(source)) return keyFrom(Redacted.make(source))
  if (!Effect.isEffect(source)) return Effect.map(keyText(source), Effect.succeed)
  return Effect.map(ConfigProvider.ConfigProvider, (provider) =>
    Effect.matchCauseEffect(source, {
      onFailure: (cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.fail(
          new Unauthorized({ message: `there is no key: apiKey ended in ${nameOf(cause)}; nothing was sent` })
        ),
      onSuccess: keyText
    }).pipe(Effect.provideService(ConfigProvider.ConfigProvider, provider)))
}

/** Headers that are about the connection, the body or the key, all of which this package sets. */
const reserved =
  /^(?:authorization|connection|content-(?:encoding|length|type)|expect|host|http2-settings|keep-alive|proxy-.+|te|trailer|transfer-encoding|upgrade)$/i

const problemOf = (name: string, value: unknown): string | undefined =>
  !/^[!#$%&'*+.^_`|~\w-]+$/.test(name)
    ? "must have a name of letters, digits and hyphens"
    : reserved.test(name)
    ? "cannot be set: it belongs to the connection, the body or the key"
    : !Predicate.isString(value) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value)
    ? "must be a text of Latin-1 characters in one line"
    : undefined

/** Why a caller's headers cannot be sent, or not by a caller, if so. It never holds a value. */
export const wrongHeader = (headers: Readonly<Record<string, unknown>>): InvalidRequest | undefined => {
  for (const [name, value] of Object.entries(headers)) {
    const problem = problemOf(name, value)
    if (problem === undefined) continue
    const field = printable(name)
    return new InvalidRequest({ message: `the header ${field} ${problem}`, field })
  }
  return undefined
}

/** Whether this runs in a page, or in a worker of one. */
export const isBrowser = (): boolean => globalThis.navigator?.userAgent?.startsWith("Mozilla/") === true

/** The version of this package; a test holds it to package.json. */
export const version = "0.1.0"

export const userAgent = `effect-ash/${version}`

/** Names this package to a server. A browser has a name of its own, and asks a server whether it may send another. */
export const ownHeaders: Readonly<Record<string, string>> = isBrowser() ? {} : { "user-agent": userAgent }
