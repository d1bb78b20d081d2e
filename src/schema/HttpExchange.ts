/** What an error holds of its request and the response. */
import * as Schema from "effect/Schema"
import { omittable } from "./Wire.ts"

/**
 * The request and the response behind an error. It holds no header but the request id. Texts of the server, here and in
 * messages, hold nothing that they repeat of the request, and their control characters are escaped.
 */
export interface HttpExchange extends Schema.Schema.Type<typeof HttpExchange> {}
export const HttpExchange = Schema.Struct({
  method: Schema.String,
  /** The path of the request, without the host and the query. */
  path: Schema.String,
  /** Absent when no response arrived. */
  status: omittable(Schema.Finite),
  /** The id of the request in the logs of the server or of a proxy: `x-request-id` or a similar header. */
  requestId: omittable(Schema.String),
  /** The server's own code for the failure, such as `FST_ERR_VALIDATION`. */
  code: omittable(Schema.String),
  /**
   * The start of the response's body, at most 1,000 characters, without what it repeats of the request. Absent if it could
   * not be decoded and may hold secrets or a conversation.
   */
  body: omittable(Schema.String)
}).annotate({ identifier: "HttpExchange" })
