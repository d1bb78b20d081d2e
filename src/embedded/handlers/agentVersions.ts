/** The handlers of the group `agentVersions` (docs/ash.md 3.3). */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Option from "effect/Option"
import { AgentVersions, type VersionRow } from "../store/AgentVersions.ts"
import { Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { present } from "../wire/Json.ts"
import { ServerApi } from "./ServerApi.ts"

export const AgentVersionHandlers = HttpApiBuilder.group(
  ServerApi,
  "agentVersions",
  Effect.fnUntraced(function*(handlers) {
    const store = yield* Store
    const versions = yield* AgentVersions
    const random = yield* SecureRandom.SecureRandom

    /** A version is named by its number, spelt as JSON spells it, or by its id; nothing else names one. */
    const find = (name: string, version: number | string) => {
      const number = Number(version)
      return versions.find(name, String(number) === String(version) ? number : version)
    }

    /** The version of a path, as it is spelt there: the parameter is a number wherever it could be one. */
    const versionOf = Effect.fnUntraced(function*(name: string) {
      yield* store.agent(name)
      const { versionNumber = "" } = yield* HttpRouter.params
      return yield* Tables.orNotFound("Version not found")(find(name, versionNumber))
    })

    /** The version that a new one begins as. */
    const sourceOf = Effect.fnUntraced(function*(name: string, cloneFrom: number | string | undefined) {
      if (cloneFrom === undefined) return undefined
      const source = yield* find(name, cloneFrom)
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
      .handle("get", ({ params }) => Effect.map(versionOf(params.name), (version) => ({ version })))
      .handle(
        "update",
        Effect.fnUntraced(function*({ params, payload }) {
          const row = yield* versionOf(params.name)
          const version = { ...row, ...present(payload), updatedAt: yield* DateTime.now }
          yield* versions.put(version)
          return { version }
        })
      )
      .handle("delete", ({ params }) => Effect.flatMap(versionOf(params.name), ({ id }) => versions.remove(id)))
      .handle(
        "activate",
        Effect.fnUntraced(function*({ params }) {
          const row = yield* versionOf(params.name)
          yield* versions.activate(row)
          return { activated: true, versionNumber: row.versionNumber }
        })
      )
  })
)
