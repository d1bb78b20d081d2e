/** What a request holds that must not come back in a message, though a server may repeat it in its answer. */
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Predicate from "effect/Predicate"
import { parseJson } from "../schema/Wire.ts"

/** Takes secrets out of a text. */
export type Redact = (text: string) => string

/** The fields of requests that hold secrets, or what is said to an agent. */
const secretFields: ReadonlySet<string> = new Set([
  "content",
  "env",
  "extraEnv",
  "key",
  "mcpServers",
  "prompt",
  "subagents",
  "systemPrompt"
])

/** Shorter texts are no secrets, and would be found in every other word. */
const shortest = 4

const textsIn = (value: unknown): ReadonlyArray<string> =>
  typeof value === "string"
    ? value.length < shortest ? [] : [value]
    : Array.isArray(value)
    ? value.flatMap(textsIn)
    : Predicate.isObject(value)
    ? Object.values(value).flatMap(textsIn)
    : []

const secretsOf = ({ body }: HttpClientRequest.HttpClientRequest): ReadonlyArray<string> => {
  if (body._tag !== "Uint8Array" || !body.contentType.startsWith("application/json")) return []
  const sent = parseJson(new TextDecoder().decode(body.body))
  return Predicate.isObject(sent)
    ? Object.entries(sent).flatMap(([field, value]) => secretFields.has(field) ? textsIn(value) : [])
    : []
}

const escaped = (text: string) => JSON.stringify(text).slice(1, -1)

/** Takes the key, and what a request holds, out of a text; as it is in JSON, and in a text of JSON, too. */
export const redactOf = (request: HttpClientRequest.HttpClientRequest): Redact => {
  const key = request.headers["authorization"]?.slice("Bearer ".length) ?? ""
  let secrets: ReadonlyArray<string> | undefined
  return (text) => {
    secrets ??= [...key === "" ? [] : [key], ...secretsOf(request)]
      .flatMap((secret) => [secret, escaped(secret), escaped(escaped(secret))])
      // A long one may hold a short one.
      .toSorted((a, b) => b.length - a.length)
    return secrets.reduce((text, secret) => text.replaceAll(secret, "<redacted>"), text)
  }
}

/** The name of a header, or of a part of the query, whose value a span does not tell: it is not known to be harmless. */
export const harmful =
  /^(?!(?:accept|accept-encoding|after|cache-control|connection|content-encoding|content-length|content-type|date|format|includehidden|includetotal|keep-alive|limit|offset|retry-after|server|status|transfer-encoding|type|user-agent|vary|x-ratelimit-\w+)$)/i
