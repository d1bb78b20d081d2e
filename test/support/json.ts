/** JSON for properties that send a value as text and compare what comes back. */
import * as Schema from "effect/Schema"

/**
 * Whether a runtime reads the text of a value as the value: V8 of Node 24 mistakes a name that is written with an
 * escape for a name with a backslash that an object had in its place. After `{ a: 0, "\\": 0 }`, it reads the text of
 * `{ a: 0, "\n": 0 }` as that.
 */
export const isReadAsWritten = (json: unknown): boolean => !/\\.(?:[^"\\]|\\.)*":/.test(JSON.stringify(json) ?? "")

/** Any JSON that is read as it was written. */
export const AnyJson: Schema.Codec<Schema.Json> = Schema.Json.check(Schema.makeFilter(isReadAsWritten))
