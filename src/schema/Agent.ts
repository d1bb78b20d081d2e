/** Agents: named folders of instructions and files that sessions run. */
import * as Schema from "effect/Schema"
import { FileUpload } from "./File.ts"
import { FilePath, NewAgentName } from "./Ids.ts"
import {
  atMost,
  harmless,
  JsonObject,
  JsonObjectInput,
  nullish,
  omittable,
  StringMap,
  Time,
  WellFormed
} from "./Wire.ts"

/** An agent that a server hosts. */
export interface Agent extends Schema.Schema.Type<typeof Agent> {}
export const Agent = Schema.Struct({
  /** A UUID, the same across redeployments. */
  id: Schema.String,
  name: Schema.String,
  tenantId: nullish(Schema.String),
  /** Rises by one with every deployment. */
  version: Schema.Finite,
  /** The agent's folder on the server's disk. */
  path: Schema.String,
  /** The names of the agent's environment variables; every value is shown as `***`. Absent when there are none. */
  env: nullish(StringMap),
  /** In the answer to a redeployment this is the time of the redeployment; a later read has the true one. */
  createdAt: Time,
  updatedAt: Time
}).annotate({ identifier: "Agent" })

/** The free-form settings of an agent. The server reads only `preWarmCount`, when it starts. */
export type AgentConfig = typeof AgentConfig.Type
export const AgentConfig = JsonObject.annotate({ identifier: "AgentConfig" })

/** A file of a deployment: servers skip one that has `..` in its path, be it in a name. */
const DeployedFile = Schema.Struct({
  path: FilePath.check(
    Schema.makeFilter((path: string) => !path.includes(".."), {
      expected: "without `..`, as servers skip such a file of a deployment: write it into the agent afterwards"
    })
  ).annotate(harmless),
  content: FileUpload.fields.content
})

/** The body of `POST /api/agents`: deploys an agent, or deploys it anew. At most 1 MiB as JSON. */
export interface CreateAgentRequest extends Schema.Schema.Type<typeof CreateAgentRequest> {}
export const CreateAgentRequest = Schema.Struct({
  name: NewAgentName,
  /** A folder on the server's disk that holds a `CLAUDE.md`; with it `systemPrompt` and `files` are ignored. */
  path: omittable(WellFormed.check(atMost(4096)).annotate(harmless)),
  /** Written to `CLAUDE.md`, unless `files` has one. */
  systemPrompt: omittable(Schema.String.check(atMost(1_000_000))),
  /** Laid over the files that are there: a redeployment deletes none. */
  files: omittable(Schema.Array(DeployedFile)),
  /** Environment variables of every session of the agent. */
  env: omittable(StringMap)
}).annotate({ identifier: "CreateAgentRequest" })

/** The body of `PATCH /api/agents/:name`. */
export interface UpdateAgentRequest extends Schema.Schema.Type<typeof UpdateAgentRequest> {}
export const UpdateAgentRequest = Schema.Struct({
  /** Replaces the whole environment; `{}` clears it. */
  env: omittable(StringMap),
  /** Merged key by key. A key cannot be removed, only set to null. */
  config: omittable(JsonObjectInput)
}).annotate({ identifier: "UpdateAgentRequest" })
