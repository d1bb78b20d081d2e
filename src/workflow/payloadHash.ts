/** Tells two payloads apart, however the fields of free JSON in them are ordered. */
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { AgentRunPayload } from "./AgentRun.ts"

const encode = Schema.encodeEffect(Schema.toCodecJson(AgentRunPayload))

const sorted = (json: unknown): unknown =>
  Array.isArray(json)
    ? json.map(sorted)
    : Predicate.isObject(json)
    ? Object.fromEntries(
      Object.entries(json).toSorted(([one], [other]) => one < other ? -1 : 1).map((
        [name, value]
      ) => [name, sorted(value)])
    )
    : json

/** The payload as it lies in the database, and its hash. */
export const encodePayload = (payload: AgentRunPayload) =>
  Effect.gen(function*() {
    const digest = yield* Digest.Digest
    const text = JSON.stringify(sorted(yield* encode(payload)))
    const bytes = new TextEncoder().encode(text)
    return { size: bytes.length, hash: yield* digest.digestHex(Digest.sha256, bytes) }
  })
