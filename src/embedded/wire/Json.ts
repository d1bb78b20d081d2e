/** Reads JSON values of any shape. */
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import type * as Schema from "effect/Schema"

/** Whether a value is a JSON object: no array, not null. */
export const isObject = (value: Schema.Json | undefined): value is Schema.JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A field of a value, absent where the value is no object. */
export const field = (value: Schema.Json | undefined, name: string): Schema.Json | undefined =>
  // oxlint-disable-next-line effect-ash/no-computed-access -- behind Object.hasOwn
  isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined

/** A field of a value; absent where it is no text. */
export const textField = (value: Schema.Json | undefined, name: string): string | undefined => {
  const found = field(value, name)
  return typeof found === "string" ? found : undefined
}

/** The elements of a value, none where it is no array. */
export const elements = (value: Schema.Json | undefined): ReadonlyArray<Schema.Json> =>
  Array.isArray(value) ? value : []

/** An object of the fields that are not `undefined`. */
export const present = (fields: Readonly<Record<string, Schema.Json | undefined>>): Schema.JsonObject =>
  Record.filter(fields, Predicate.isNotUndefined)

/** An object of those fields of a value that are there, each by the name that it has in the value. */
export const picked = (value: Schema.Json, names: Readonly<Record<string, string>>): Schema.JsonObject =>
  present(Record.map(names, (name) => field(value, name)))
