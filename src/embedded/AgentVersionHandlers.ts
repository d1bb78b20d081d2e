/** The handlers of the group `agentVersions` (contract 3.3). */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Option from "effect/Option"
import { AshApi } from "../schema/AshApi.ts"
import type { AgentVersionReference } from "../schema/Ids.ts"
import { AgentVersions, type VersionRow } from "./AgentVersions.ts"
import * as Errors from "./Errors.ts"
import { present } from "./Json.ts"
import { Store } from "./Store.ts"
import * as Tables from "./Tables.ts"

export const AgentVersionHandlers = HttpApiBuilder.group(
  AshApi,
  "agentVersions",
  Effect.fnUntraced(function*(handlers) {
    const store = yield* Store
    const versions = yield* AgentVersions
    const random = yield* SecureRandom.SecureRandom

    const versionOf = (params: { readonly name: string; readonly versionNumber: AgentVersionReference }) =>
      Effect.andThen(
        store.agent(params.name),
        Tables.orNotFound("Version not found")(versions.find(params.name, params.versionNumber))
      )

    /** The version that a new one begins as. */
    const sourceOf = Effect.fnUntraced(function*(name: string, cloneFrom: number | string | undefined) {
      if (cloneFrom === undefined) return undefined
      const source = yield* versions.find(name, cloneFrom)
      return Option.isSome(source)
        ? source.value
        : yield* Errors.badRequest(`Source version ${cloneFrom} not found`)
    })

    return handlers
      .handle("list", ({ params }) =>
        Effect.andThen(
          store.agent(params.name),
          Effect.map(versions.list(params.name), (versions) => ({ versions }))
        ))
      .handle(
        "create",
        Effect.fnUntraced(function*({ params: { name: agentName }, payload: { cloneFrom, ...fields } }) {
          yield* store.agent(agentName)
          const source = yield* sourceOf(agentName, cloneFrom)
          const [highest] = yield* versions.list(agentName)
          const versionNumber = (highest?.versionNumber ?? 0) + 1
          const now = yield* DateTime.now
          const version: VersionRow = {
            id: yield* random.uuidV4(),
            tenantId: yield* Tables.Tenant,
            agentName,
            versionNumber,
            name: fields.name ?? `v${versionNumber}`,
            systemPrompt: fields.systemPrompt ?? source?.systemPrompt ?? null,
            releaseNotes: fields.releaseNotes ?? null,
            isActive: false,
            knowledgeFiles: fields.knowledgeFiles ?? source?.knowledgeFiles ?? null,
            createdBy: null,
            createdAt: now,
            updatedAt: now
          }
          yield* versions.put(version)
          return { version }
        })
      )
      .handle("get", ({ params }) => Effect.map(versionOf(params), (version) => ({ version })))
      .handle(
        "update",
        Effect.fnUntraced(function*({ params, payload }) {
          const row = yield* versionOf(params)
          const version = { ...row, ...present(payload), updatedAt: yield* DateTime.now }
          yield* versions.put(version)
          return { version }
        })
      )
      .handle("delete", ({ params }) => Effect.flatMap(versionOf(params), ({ id }) => versions.remove(id)))
      .handle(
        "activate",
        Effect.fnUntraced(function*({ params }) {
          const row = yield* versionOf(params)
          yield* versions.activate(row)
          return { activated: true, versionNumber: row.versionNumber }
        })
      )
  })
)
