/** What the groups of the API share: endpoints and their errors, paths, statuses, limits and downloads. */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import type { PathInput } from "effect/http/HttpRouter"
import * as Schema from "effect/Schema"
import { ErrorResponses } from "../ErrorResponse.ts"
import { AgentName, ResourceId, SessionId, Uuid } from "../Ids.ts"

/** Makes endpoints of a method, each of which may answer an error in the place of a success. */
const endpointsOf = <Method extends Parameters<typeof HttpApiEndpoint.make>[0]>(method: Method) => {
  const make = HttpApiEndpoint.make(method)
  return <
    const Identifier extends string,
    const Path extends PathInput,
    const Success extends HttpApiEndpoint.SuccessConstraint,
    Params extends Schema.Struct.Fields = never,
    Query extends Schema.Struct.Fields = never,
    Payload extends HttpApiEndpoint.PayloadConstraintCodecs<Method> = never
  >(
    identifier: Identifier,
    path: Path,
    options: {
      readonly params?: Params
      readonly query?: Query
      readonly payload?: Payload
      readonly success: Success
    }
  ) => make(identifier, path, options).middleware(ErrorResponses)
}

export const get = endpointsOf("GET")
export const post = endpointsOf("POST")
export const patch = endpointsOf("PATCH")
export const remove = endpointsOf("DELETE")

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
