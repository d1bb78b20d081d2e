/** What an error tells of its request and the response. */
import * as Schema from "effect/Schema"
import { omittable } from "./Wire.ts"

/**
 * The exchange that an error came from. Holds no header but the request id. What a server repeats of the request is taken
 * out of what it says, here and in messages, and its control characters are escaped.
 */
export interface HttpExchange extends Schema.Schema.Type<typeof HttpExchange> {}
export const HttpExchange = Schema.Struct({
  method: Schema.String,
  /** The path of the request, without the host and the query. */
  path: Schema.String,
  /** Absent when no response arrived. */
  status: omittable(Schema.Finite),
  /** The name by which the logs of the server, or of a proxy before it, know the request: `x-request-id` or a like header. */
  requestId: omittable(Schema.String),
  /** The server's own code for the failure, such as `FST_ERR_VALIDATION`. */
  code: omittable(Schema.String),
  /**
   * The start of the response's body, at most 1,000 characters, without what it repeats of the request. Absent where it is
   * an answer that may hold secrets or what was said, and could not be decoded.
   */
  body: omittable(Schema.String)
}).annotate({ identifier: "HttpExchange" })
