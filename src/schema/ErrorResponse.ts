/** The answer of a server that refuses or fails, in the shapes that it has on the wire. */
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
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

/** An error as a handler of the embedded server fails with it. */
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

/** Every status that a server answers an error with, each encoded by its own member. */
export const ErrorResponses = [400, 401, 404, 405, 410, 413, 415, 422, 429, 500, 503].map(forStatus)
