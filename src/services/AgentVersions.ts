/** Versions of an agent: creates them, and activates one. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { AgentVersion, CreateAgentVersionRequest, UpdateAgentVersionRequest } from "../schema/AgentVersion.ts"
import type { AshError } from "../schema/AshError.ts"
import type { AgentVersionReference } from "../schema/Ids.ts"
import { layerOf } from "./layerOf.ts"

/** Manages the versions of agents. A version is named by its number or by its id. */
export class AgentVersions extends Context.Service<AgentVersions, {
  /** Creates a version. It is not in force until it is activated. */
  readonly create: (agent: string, version?: CreateAgentVersionRequest) => Effect.Effect<AgentVersion, AshError>
  /** Lists an agent's versions, the highest number first. */
  readonly list: (agent: string) => Effect.Effect<ReadonlyArray<AgentVersion>, AshError>
  /** Fetches one version. */
  readonly get: (agent: string, version: AgentVersionReference) => Effect.Effect<AgentVersion, AshError>
  /** Replaces fields of a version. */
  readonly update: (
    agent: string,
    version: AgentVersionReference,
    changes: UpdateAgentVersionRequest
  ) => Effect.Effect<AgentVersion, AshError>
  /** Deletes a version. After the active one is deleted, none is active. */
  readonly delete: (agent: string, version: AgentVersionReference) => Effect.Effect<void, AshError>
  /** Puts a version in force for new sessions, in the place of the one before it, and answers its number. */
  readonly activate: (agent: string, version: AgentVersionReference) => Effect.Effect<number, AshError>
}>()("effect-ash/services/AgentVersions") {
  static readonly layer = layerOf(AgentVersions, ({ agentVersions: api }, { field, remove }) => ({
    create: (name, payload = {}) => field(api.create, { params: { name }, payload }, "version"),
    list: (name) => field(api.list, { params: { name } }, "versions"),
    get: (name, versionNumber) => field(api.get, { params: { name, versionNumber } }, "version"),
    update: (name, versionNumber, payload) =>
      field(api.update, { params: { name, versionNumber }, payload }, "version"),
    delete: (name, versionNumber) => remove(api.delete, { params: { name, versionNumber } }),
    activate: (name, versionNumber) => field(api.activate, { params: { name, versionNumber } }, "versionNumber")
  }))
}
