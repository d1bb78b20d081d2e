/** What the groups of the API share: methods, paths, statuses, limits and downloads. */
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as Schema from "effect/Schema"
import { AgentName, ResourceId, SessionId, Uuid } from "../Ids.ts"

export { delete as remove, get, patch, post } from "effect/http-api/HttpApiEndpoint"

/** The status of what was created. */
export const created = HttpApiSchema.status(201)

/** An answer without a body. */
export const empty = HttpApiSchema.NoContent

/** How many rows a page has. */
export const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }, { expected: "1 to 1,000" }))

/** The path of an agent. */
export const agent = { name: AgentName }

/** The path of a session. */
export const session = { id: SessionId }

/** The path of what has a UUID. */
export const item = { id: Uuid }

/** The path of what has an id that servers make. */
export const key = { id: ResourceId }

/** Bytes, and the headers that describe them. */
export const Download = HttpApiSchema.WithHeaders(
  HttpApiSchema.StreamUint8Array(),
  Schema.Struct({
    "content-type": Schema.optionalKey(Schema.String),
    "content-length": Schema.optionalKey(Schema.String),
    "content-disposition": Schema.optionalKey(Schema.String),
    "x-ash-source": Schema.optionalKey(Schema.String)
  })
)

/** A stream of server-sent events, as bytes, and the header that describes it. */
export const EventStream = HttpApiSchema.WithHeaders(
  HttpApiSchema.StreamUint8Array({ contentType: "text/event-stream" }),
  Schema.Struct({ "content-type": Schema.optionalKey(Schema.String) })
)

/** A text, which is no page of a proxy. */
export const Text = Schema.String.check(Schema.isPattern(/^(?!\s*<)/)).pipe(HttpApiSchema.asText())

/** A script, which may hold a key. */
export const Script = Schema.RedactedFromValue(Schema.String).pipe(
  HttpApiSchema.asText({ contentType: "application/javascript" })
)
