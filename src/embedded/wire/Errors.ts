/** The errors of the embedded server, in the shapes that they have on the wire (docs/ash.md 2.2). */
import * as Process from "node:process"
import { type ErrorBody, ErrorResponse } from "../../schema/ErrorResponse.ts"

const answer = (status: number, body: ErrorBody) => new ErrorResponse({ status, body })

/** Shape A, of handlers: `{error, statusCode}`. */
export const failure = (status: number, error: string) => answer(status, { error, statusCode: status })

export const badRequest = (error: string) => failure(400, error)
export const notFound = (error: string) => failure(404, error)
export const serverError = (error: string) => failure(500, error)

/** The words of a failure. */
export const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

/** All sandboxes run. */
export const atCapacity = failure(503, "Sandbox capacity reached and no evictable sandboxes (all running)")

/** Shape F, of a few routes: `{error}` alone. */
export const bare = (error: string) => answer(404, { error })

/** Shape B, of the web framework: the reason is in `message`. */
export const framework = (status: number, message: string, code?: string) =>
  answer(status, { statusCode: status, ...(code === undefined ? {} : { code }), error: phrase(status), message })

/** Shape C, of the web framework on a route that declares the status: it has neither message nor code. */
export const stripped = (status: number) => failure(status, phrase(status))

/** The path of a request has escapes that decode to no text. The router's error has its fields in another order. */
export const badUrl = (url: string) =>
  answer(400, {
    error: phrase(400),
    code: "FST_ERR_BAD_URL",
    message: `'${url}' is not a valid url component`,
    statusCode: 400
  })

/** Shape D: there is no such route. */
export const noRoute = (method: string, url: string) =>
  answer(404, { message: `Route ${method}:${url} not found`, error: phrase(404), statusCode: 404 })

/** The web framework has them from Node. */
const phrases = new Map(Object.entries(Process.getBuiltinModule("node:http").STATUS_CODES))

const phrase = (status: number) => phrases.get(String(status)) ?? ""
