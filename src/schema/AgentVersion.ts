/** Versions of an agent: numbered prompts, of which one may be active. */
import * as Schema from "effect/Schema"
import { atMost, harmless, nullish, omittable, rowFields, Time, WellFormed } from "./Wire.ts"

/** A version of an agent. */
export interface AgentVersion extends Schema.Schema.Type<typeof AgentVersion> {}
export const AgentVersion = Schema.Struct({
  ...rowFields,
  agentName: Schema.String,
  /** Counts from 1. The highest number is given again after its version was deleted. */
  versionNumber: Schema.Finite,
  name: Schema.String,
  /** In force for new sessions while the version is active, unless they bring a prompt of their own. */
  systemPrompt: nullish(Schema.String),
  releaseNotes: nullish(Schema.String),
  /** At most one version of an agent is active. */
  isActive: Schema.Boolean,
  /** Paths, for information only: the server does nothing with them. */
  knowledgeFiles: nullish(Schema.Array(Schema.String)),
  createdBy: nullish(Schema.String),
  updatedAt: Time
}).annotate({ identifier: "AgentVersion" })

/** The body of `PATCH /api/agents/:name/versions/:version`. A field cannot be emptied, only replaced. */
export interface UpdateAgentVersionRequest extends Schema.Schema.Type<typeof UpdateAgentVersionRequest> {}
export const UpdateAgentVersionRequest = Schema.Struct({
  /** At most 255 characters. */
  name: omittable(WellFormed.check(atMost(255)).annotate(harmless)),
  /** At most 1,000,000 characters. */
  systemPrompt: omittable(Schema.String.check(atMost(1_000_000))),
  /** At most 10,000 characters. */
  releaseNotes: omittable(Schema.String.check(atMost(10_000))),
  knowledgeFiles: omittable(Schema.Array(WellFormed))
}).annotate({ identifier: "UpdateAgentVersionRequest" })

/** The body of `POST /api/agents/:name/versions`. */
export interface CreateAgentVersionRequest extends Schema.Schema.Type<typeof CreateAgentVersionRequest> {}
export const CreateAgentVersionRequest = Schema.Struct({
  /** By default `v` and the version's number. */
  ...UpdateAgentVersionRequest.fields,
  /** The number or the id of a version whose prompt and knowledge files are taken where none are given. */
  cloneFrom: omittable(Schema.Union([Schema.Int, WellFormed]).annotate(harmless))
}).annotate({ identifier: "CreateAgentVersionRequest" })
