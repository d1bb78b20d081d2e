/** The versions of agents (docs/ash.md 3.3). */
import * as Effect from "effect/Effect"
import type { AgentVersion } from "../../schema/AgentVersion.ts"
import type { AgentVersionReference } from "../../schema/Ids.ts"
import * as Tables from "./Tables.ts"

export const make = () => {
  const { put, remove, where } = Tables.make<AgentVersion>()
  const list = (agentName: string) =>
    Effect.map(
      where((row) => row.agentName === agentName),
      (rows) => rows.toSorted((a, b) => b.versionNumber - a.versionNumber)
    )
  return {
    /** The highest number first. */
    list,
    find: (agentName: string, version: AgentVersionReference) =>
      Effect.map(
        list(agentName),
        (rows) => rows.find(({ id, versionNumber }) => version === versionNumber || version === id)
      ),
    put,
    remove,
    activate: ({ agentName, id }: AgentVersion) =>
      Effect.flatMap(list(agentName), Effect.forEach((row) => put({ ...row, isActive: row.id === id }))),
    activePrompt: (agentName: string) =>
      Effect.map(list(agentName), (rows) => rows.find(({ isActive }) => isActive)?.systemPrompt ?? undefined)
  }
}
