/**
 * How things are named in a path. Every path parameter is checked here, before anything is sent: an empty one, `.` or
 * `..` would reach another route.
 */
import * as Schema from "effect/Schema"
import { atMost, harmless, isWellFormed } from "./Wire.ts"

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** The id that a server gives to most things. */
export type Uuid = typeof Uuid.Type
export const Uuid = Schema.String.check(Schema.isPattern(uuid, { expected: "a UUID" })).annotate({
  identifier: "Uuid",
  ...harmless
})

/** The id of a session: a UUID. */
export type SessionId = typeof SessionId.Type
export const SessionId = Uuid.annotate({ identifier: "SessionId" })

const isAgentName = Schema.isPattern(/^[a-zA-Z0-9_-]+$/, { expected: "one or more letters, digits, _ or -" })

/** The name of an agent where a request carries it in the body: 1 to 255 letters, digits, `_` and `-`. */
export type NewAgentName = typeof NewAgentName.Type
export const NewAgentName = Schema.String.check(isAgentName, atMost(255)).annotate({
  identifier: "NewAgentName",
  ...harmless
})

/** The name of an agent in a path: as {@link NewAgentName}, but at most 100 characters, the longest that servers route. */
export type AgentName = typeof AgentName.Type
export const AgentName = Schema.String.check(
  isAgentName,
  Schema.isMaxLength(100, { expected: "at most 100 characters, the longest name that a server routes" })
).annotate({ identifier: "AgentName", ...harmless })

/** A version of an agent, by its number or its id. */
export type AgentVersionReference = typeof AgentVersionReference.Type
export const AgentVersionReference = Schema.Union([
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(1, { expected: "a number from 1 on" })),
  Uuid
]).annotate({
  ...harmless,
  identifier: "AgentVersionReference",
  expected: "the number of a version, from 1 on, or its id"
})

const isSegment = (segment: string) => segment !== "" && segment !== "." && segment !== ".."

/** The path of a file, relative, its segments separated by `/`; none of them empty, `.` or `..`. */
export type FilePath = typeof FilePath.Type
export const FilePath = Schema.String.check(
  Schema.makeFilter((path: string) => isWellFormed(path) && path.split("/").every(isSegment), {
    expected: "a relative path of well-formed text, without empty, . or .. segments"
  })
).annotate({ identifier: "FilePath", ...harmless })

/** An id of whatever form, as credentials and keys have it: one segment of a path. */
export type ResourceId = typeof ResourceId.Type
export const ResourceId = Schema.String.check(
  Schema.makeFilter((id: string) => isSegment(id) && isWellFormed(id) && id.length <= 100, {
    expected: "an id of 1 to 100 characters"
  })
).annotate({ identifier: "ResourceId", ...harmless })
