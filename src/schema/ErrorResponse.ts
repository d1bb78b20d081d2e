/** The answer of a server that refuses or fails, in the shapes that it has on the wire. */
import { identity } from "effect/Function"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { nullish } from "./Wire.ts"

/**
 * The body of an error, whatever its shape: handlers send `{error, statusCode}`, the web framework adds a `message` and
 * perhaps a `code`, some routes send only `{error}`.
 */
export interface ErrorBody extends Schema.Schema.Type<typeof ErrorBody> {}
export const ErrorBody = Schema.Struct({
  error: nullish(Schema.String),
  message: nullish(Schema.String),
  code: nullish(Schema.String),
  statusCode: nullish(Schema.Finite)
}).annotate({ identifier: "ErrorBody" })

/** An error as a handler of a server fails with it. */
export class ErrorResponse extends Schema.TaggedError<ErrorResponse>("effect-ash/ErrorResponse")("ErrorResponse", {
  status: Schema.Finite,
  body: ErrorBody
}) {}

const forStatus = (status: number) =>
  ErrorBody.pipe(
    Schema.decodeTo(
      Schema.toType(ErrorResponse).check(Schema.makeFilter((response: ErrorResponse) => response.status === status)),
      {
        decode: SchemaGetter.transform((body) => new ErrorResponse({ status, body })),
        encode: SchemaGetter.transform(({ body }) => body)
      }
    ),
    HttpApiSchema.status(status)
  )

/**
 * What each endpoint of an API may answer in the place of a success: a member for each status that servers answer an error
 * with, which encodes it. A server of the API provides `layer`, and its handlers fail with an {@link ErrorResponse}.
 */
export class ErrorResponses extends HttpApiMiddleware.Service<ErrorResponses>()(
  "effect-ash/schema/ErrorResponse/ErrorResponses",
  { error: [400, 401, 404, 405, 410, 413, 415, 422, 429, 500, 503].map(forStatus) }
) {
  static readonly layer = Layer.succeed(this, identity)
}
