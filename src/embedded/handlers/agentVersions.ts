/** The handlers of the group `agentVersions` (docs/ash.md 3.3). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Predicate from "effect/Predicate"
import { agentOf, Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { present } from "../wire/Json.ts"
import { ServerApi } from "./ServerApi.ts"

export const AgentVersionHandlers = HttpApiBuilder.group(
  ServerApi,
  "agentVersions",
  Effect.fnUntraced(function*(handlers) {
    const { versions } = yield* Store

    /** The version of a path, as it is spelt there: the parameter is a number wherever it could be one. */
    const versionOf = Effect.fnUntraced(function*(agentName: string) {
      yield* agentOf(agentName)
      const { versionNumber = "" } = yield* HttpRouter.params
      return yield* Tables.orNotFound("Version not found")(versions.find(agentName, referenceOf(versionNumber)))
    })

    const sourceOf = (agentName: string, version: number | string) =>
      Effect.filterOrFail(
        versions.find(agentName, referenceOf(version)),
        Predicate.isNotUndefined,
        () => Errors.badRequest(`Source version ${version} not found`)
      )

    return handlers.handleAll({
      list: ({ params: { name } }) => Effect.andThen(agentOf(name), Effect.bindTo(versions.list(name), "versions")),
      create: Effect.fnUntraced(function*({ params: { name: agentName }, payload: { cloneFrom, ...fields } }) {
        yield* agentOf(agentName)
        const source = cloneFrom === undefined ? undefined : yield* sourceOf(agentName, cloneFrom)
        const [highest] = yield* versions.list(agentName)
        const versionNumber = (highest?.versionNumber ?? 0) + 1
        const row = yield* Tables.newRow
        const version = yield* versions.put({
          ...row,
          agentName,
          versionNumber,
          name: fields.name ?? `v${versionNumber}`,
          systemPrompt: fields.systemPrompt ?? source?.systemPrompt ?? null,
          releaseNotes: fields.releaseNotes ?? null,
          isActive: false,
          knowledgeFiles: fields.knowledgeFiles ?? source?.knowledgeFiles ?? null,
          createdBy: null,
          updatedAt: row.createdAt
        })
        return { version }
      }),
      get: ({ params }) => Effect.bindTo(versionOf(params.name), "version"),
      update: Effect.fnUntraced(function*({ params, payload }) {
        const row = yield* versionOf(params.name)
        return { version: yield* versions.put({ ...row, ...present(payload), updatedAt: yield* DateTime.now }) }
      }),
      delete: ({ params }) => Effect.flatMap(versionOf(params.name), ({ id }) => Effect.asVoid(versions.remove(id))),
      activate: Effect.fnUntraced(function*({ params }) {
        const version = yield* versionOf(params.name)
        yield* versions.activate(version)
        return { activated: true, versionNumber: version.versionNumber }
      })
    })
  })
)

/** A version is named by its number, spelt as JSON spells it, or by its id; nothing else names one. */
const referenceOf = (version: number | string): number | string => {
  const number = Number(version)
  return String(number) === String(version) ? number : version
}
