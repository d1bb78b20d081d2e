/** The versions of agents (docs/ash.md 3.3). */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { AgentVersion } from "../../schema/AgentVersion.ts"
import type { AgentVersionReference } from "../../schema/Ids.ts"
import * as Tables from "./Tables.ts"

export interface VersionRow extends AgentVersion {
  readonly tenantId: string
}

export class AgentVersions extends Context.Service<AgentVersions, {
  /** The highest number first. */
  readonly list: (agentName: string) => Effect.Effect<ReadonlyArray<VersionRow>>
  /** A version, by its number or its id. */
  readonly find: (agentName: string, version: AgentVersionReference) => Effect.Effect<Option.Option<VersionRow>>
  /** Adds a version, or replaces the one of its id. */
  readonly put: (row: VersionRow) => Effect.Effect<void>
  /** Removes a version. */
  readonly remove: (id: string) => Effect.Effect<void>
  /** Makes one version the active one. */
  readonly activate: (row: VersionRow) => Effect.Effect<void>
  /** The prompt of the active version, if it has one. */
  readonly activePrompt: (agentName: string) => Effect.Effect<string | undefined>
}>()("effect-ash/embedded/store/AgentVersions") {
  static readonly layer: Layer.Layer<AgentVersions> = Layer.sync(AgentVersions, () => {
    const table = Tables.make<VersionRow>()
    const list = (agentName: string) =>
      Effect.map(
        table.all,
        (rows) =>
          rows.filter((row) => row.agentName === agentName).toSorted((a, b) => b.versionNumber - a.versionNumber)
      )
    return AgentVersions.of({
      list,
      find: (agentName, version) =>
        Effect.map(
          list(agentName),
          (rows) =>
            Option.fromUndefinedOr(rows.find(({ id, versionNumber }) => version === versionNumber || version === id))
        ),
      put: table.put,
      remove: table.remove,
      activate: ({ agentName, id }) =>
        Effect.flatMap(
          list(agentName),
          (rows) => Effect.forEach(rows, (row) => table.put({ ...row, isActive: row.id === id }), { discard: true })
        ),
      activePrompt: (agentName) =>
        Effect.map(list(agentName), (rows) => rows.find(({ isActive }) => isActive)?.systemPrompt ?? undefined)
    })
  })
}
