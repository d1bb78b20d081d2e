/** The handlers of the group `agentVersions` (docs/ash.md 3.3). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Option from "effect/Option"
import type { CreateAgentVersionRequest, UpdateAgentVersionRequest } from "../../schema/AgentVersion.ts"
import { AgentVersions } from "../store/AgentVersions.ts"
import { agentOf } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { present } from "../wire/Json.ts"
import { ServerApi } from "./ServerApi.ts"

export const AgentVersionHandlers = HttpApiBuilder.group(ServerApi, "agentVersions", (handlers) =>
  handlers
    .handle("list", ({ params }) => list(params.name))
    .handle("create", ({ params, payload }) => create(params.name, payload))
    .handle("get", ({ params }) => Effect.bindTo(versionOf(params.name), "version"))
    .handle("update", ({ params, payload }) => update(params.name, payload))
    .handle("delete", ({ params }) => remove(params.name))
    .handle("activate", ({ params }) => activate(params.name)))

const list = Effect.fnUntraced(function*(agentName: string) {
  const versions = yield* AgentVersions
  yield* agentOf(agentName)
  return { versions: yield* versions.list(agentName) }
})

const create = Effect.fnUntraced(function*(agentName: string, { cloneFrom, ...fields }: CreateAgentVersionRequest) {
  const versions = yield* AgentVersions
  yield* agentOf(agentName)
  const source = yield* sourceOf(agentName, cloneFrom)
  const [highest] = yield* versions.list(agentName)
  const versionNumber = (highest?.versionNumber ?? 0) + 1
  const now = yield* DateTime.now
  const version = yield* versions.put({
    id: yield* Tables.newId,
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
  })
  return { version }
})

/** The version that a new one begins as. */
const sourceOf = Effect.fnUntraced(function*(agentName: string, cloneFrom: number | string | undefined) {
  if (cloneFrom === undefined) return undefined
  const versions = yield* AgentVersions
  const source = yield* versions.find(agentName, referenceOf(cloneFrom))
  return Option.isSome(source) ? source.value : yield* Errors.badRequest(`Source version ${cloneFrom} not found`)
})

const update = Effect.fnUntraced(function*(agentName: string, fields: UpdateAgentVersionRequest) {
  const versions = yield* AgentVersions
  const row = yield* versionOf(agentName)
  return { version: yield* versions.put({ ...row, ...present(fields), updatedAt: yield* DateTime.now }) }
})

const remove = Effect.fnUntraced(function*(agentName: string) {
  const versions = yield* AgentVersions
  const { id } = yield* versionOf(agentName)
  yield* versions.remove(id)
})

const activate = Effect.fnUntraced(function*(agentName: string) {
  const versions = yield* AgentVersions
  const version = yield* versionOf(agentName)
  yield* versions.activate(version)
  return { activated: true, versionNumber: version.versionNumber }
})

/** The version of a path, as it is spelt there: the parameter is a number wherever it could be one. */
const versionOf = Effect.fnUntraced(function*(agentName: string) {
  const versions = yield* AgentVersions
  yield* agentOf(agentName)
  const { versionNumber = "" } = yield* HttpRouter.params
  return yield* Tables.orNotFound("Version not found")(versions.find(agentName, referenceOf(versionNumber)))
})

/** A version is named by its number, spelt as JSON spells it, or by its id; nothing else names one. */
const referenceOf = (version: number | string): number | string => {
  const number = Number(version)
  return String(number) === String(version) ? number : version
}
