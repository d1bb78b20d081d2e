/** Credentials: keys to models, which the server keeps encrypted and gives to sessions. */
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { isSecret, nullish, omittable, open, Time, WellFormed } from "./Wire.ts"

const types = ["anthropic", "openai", "bedrock", "custom"] as const

/** A stored key. The key itself is never shown. */
export interface StoredCredential extends Schema.Schema.Type<typeof StoredCredential> {}
export const StoredCredential = Schema.Struct({
  id: Schema.String,
  type: open(types),
  label: nullish(Schema.String),
  active: nullish(Schema.Boolean),
  createdAt: Time,
  /** Only in lists. */
  lastUsedAt: nullish(Time)
}).annotate({ identifier: "StoredCredential" })

const Key = Schema.declare(
  (key): key is Redacted.Redacted<string> => isSecret(key) && Redacted.value(key) !== "",
  { expected: "a `Redacted` text of at least one character, which was not wiped" }
)

/** The body of `POST /api/credentials`. */
export interface CreateCredentialRequest extends Schema.Schema.Type<typeof CreateCredentialRequest> {}
export const CreateCredentialRequest = Schema.Struct({
  type: Schema.Literals(types),
  key: Schema.String.pipe(Schema.decodeTo(Key, {
    decode: SchemaGetter.transform(Redacted.make),
    encode: SchemaGetter.transform(Redacted.value)
  })),
  label: omittable(WellFormed)
}).annotate({ identifier: "CreateCredentialRequest" })
