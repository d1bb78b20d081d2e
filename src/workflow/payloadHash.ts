/** Tells two payloads apart, however the fields of free JSON in them are ordered. */
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { MessageContent } from "../schema/Message.ts"
import { omittable } from "../schema/Wire.ts"
import { AgentRun, AgentRunPayload, StoredStep } from "./AgentRun.ts"
import { encoder } from "./AgentTurn.ts"

/** Bytes that the database of runs may take of one thing: drivers do not read larger ones back. */
export const sizeLimit = 8_388_608

/** Characters of a failure that are kept: one may hold whatever a plan has read. */
export const longestFailure = 100_000

/** Whether a text can name a run, as it is or in a database. */
export const isId = Schema.is(AgentRunPayload.fields.id)

/** What a run was started with, as it is read back. */
export const StoredPayload = Schema.Struct({
  ...AgentRunPayload.fields,
  steps: omittable(Schema.Array(Schema.Union([MessageContent, StoredStep])))
})

const encode = Schema.encodeEffect(Schema.toCodecJson(AgentRunPayload))

const encoded = Schema.decodeUnknownEffect(AgentRun.payloadSchema)

const sorted = (_: string, json: unknown): unknown =>
  Predicate.isObject(json)
    ? Object.fromEntries(Object.entries(json).toSorted(([one], [other]) => one < other ? -1 : 1))
    : json

export const encodePayload = (payload: AgentRunPayload) =>
  Effect.gen(function*() {
    const digest = yield* Digest.Digest
    const json = yield* encode(payload)
    const bytes = encoder.encode(JSON.stringify(json, sorted))
    return {
      encoded: yield* encoded(json),
      size: bytes.length,
      hash: yield* digest.digestHex(Digest.sha256, bytes)
    }
  })
