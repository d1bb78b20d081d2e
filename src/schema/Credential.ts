/** Credentials: keys to models, which the server keeps encrypted and gives to sessions. */
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { nullish, omittable, open, Time, WellFormed } from "./Wire.ts"

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

/** The body of `POST /api/credentials`. */
export interface CreateCredentialRequest extends Schema.Schema.Type<typeof CreateCredentialRequest> {}
export const CreateCredentialRequest = Schema.Struct({
  type: Schema.Literals(types),
  key: Schema.RedactedFromValue(Schema.String).check(
    Schema.makeFilter((key: Redacted.Redacted<string>) => Redacted.value(key) !== "", {
      expected: "at least one character"
    })
  ),
  label: omittable(WellFormed)
}).annotate({ identifier: "CreateCredentialRequest" })
