/** The keys that a server takes. */
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { nullish, Time } from "./Wire.ts"

/** A time, or none: null, or the empty text of known servers. */
const TimeOrNone = Schema.NullOr(Schema.String).pipe(
  Schema.decodeTo(Schema.NullOr(Schema.String), {
    decode: SchemaGetter.transform((text) => text === "" ? null : text),
    encode: SchemaGetter.transform((text) => text ?? "")
  }),
  Schema.decodeTo(Schema.NullOr(Time))
)

/** A key, without what opens the server. */
export interface ApiKey extends Schema.Schema.Type<typeof ApiKey> {}
export const ApiKey = Schema.Struct({
  /** `env` is the key that the server was started with. */
  id: Schema.String,
  label: Schema.String,
  /** Bullets, after the first characters if they are known. */
  keyPrefix: nullish(Schema.String),
  /** Null for the key that the server was started with. */
  createdAt: TimeOrNone
}).annotate({ identifier: "ApiKey" })

/** A new key. The server returns it only once. */
export interface NewApiKey extends Schema.Schema.Type<typeof NewApiKey> {}
export const NewApiKey = Schema.Struct({ id: Schema.String, key: Schema.RedactedFromValue(Schema.String) })
  .annotate({ identifier: "NewApiKey" })
