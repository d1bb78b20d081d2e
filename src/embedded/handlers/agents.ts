/** The handlers of the group `agents` (docs/ash.md 3.2). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { Agent, UpdateAgentRequest } from "../../schema/Agent.ts"
import { type JsonInput, StringMap, withoutUndefined } from "../../schema/Wire.ts"
import * as AgentFolders from "../sandbox/AgentFolders.ts"
import * as RequestedFiles from "../sandbox/RequestedFiles.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import { bare } from "../sandbox/SessionStarts.ts"
import { agentOf, type AgentRow, Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Bodies from "../wire/Bodies.ts"
import { disposition, extensionOf } from "../wire/MediaTypes.ts"
import { ServerApi } from "./ServerApi.ts"

export const AgentHandlers = HttpApiBuilder.group(ServerApi, "agents", (handlers) =>
  handlers
    .handleRaw("create", ({ request }) => create(request))
    .handle("list", () => Store.use((store) => Effect.map(store.agents, (rows) => ({ agents: rows.map(shown) }))))
    .handle("get", ({ params }) => answer(agentOf(params.name)))
    .handle("update", ({ params, payload }) => update(params.name, payload))
    .handle("delete", ({ params }) => remove(params.name))
    .handle("getConfig", ({ params }) => configOf(agentOf(params.name)))
    .handle("updateConfig", ({ params, payload }) => updateConfig(params.name, payload))
    .handle("listFiles", ({ params }) => listFiles(params.name))
    .handle("readFile", ({ params, query }) => readFile(params.name, params.path, query.format))
    .handleRaw("writeFiles", ({ params, request }) => writeFiles(params.name, request))
    .handle("deleteFile", ({ params }) => deleteFile(params.name, params.path)))

const createBody = Bodies.accepted(Schema.Struct({
  name: Schema.String,
  path: Schema.optionalKey(Schema.String),
  systemPrompt: Schema.optionalKey(Schema.String),
  files: Schema.optionalKey(RequestedFiles.IncomingFiles),
  env: Schema.optionalKey(StringMap)
}))

const create = Effect.fnUntraced(function*(request: HttpServerRequest) {
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const body = yield* createBody(request)
  const path = yield* AgentFolders.deploy(body.name, body)
  const previous = Option.getOrUndefined(yield* store.findAgent(body.name))
  const now = yield* DateTime.now
  const row = yield* store.putAgent({
    id: previous?.id ?? (yield* Tables.newId),
    tenantId: yield* Tables.Tenant,
    name: body.name,
    version: (previous?.version ?? 0) + 1,
    path,
    env: body.env ?? previous?.env ?? {},
    config: previous?.config ?? {},
    createdAt: previous?.createdAt ?? now,
    updatedAt: now
  })
  yield* sandboxes.warmUp(row, { ...bare, env: row.env })
  // A real server answers a redeployment from the request, not from the row: its time and its environment are wrong.
  return { agent: shown({ ...row, createdAt: now, env: body.env ?? {} }) }
})

const answer = <E, R>(row: Effect.Effect<AgentRow, E, R>) => Effect.map(row, (row) => ({ agent: shown(row) }))

const configOf = <E, R>(row: Effect.Effect<AgentRow, E, R>) => Effect.map(row, ({ config }) => ({ config }))

const update = (name: string, { config, env }: UpdateAgentRequest) =>
  answer(change(name, (row) => ({
    ...(env === undefined ? {} : { env }),
    ...(config === undefined ? {} : { config: { ...row.config, ...withoutUndefined(config) } })
  })))

const remove = Effect.fnUntraced(function*(name: string) {
  const store = yield* Store
  yield* store.agent(name)
  yield* store.removeAgent(name)
  return { ok: true }
})

const updateConfig = (name: string, fields: Readonly<Record<string, JsonInput | undefined>>) =>
  configOf(change(name, (row) => ({ config: { ...row.config, ...withoutUndefined(fields) } })))

const change = Effect.fnUntraced(function*(
  name: string,
  changes: (row: AgentRow) => Partial<Pick<AgentRow, "env" | "config">>
) {
  const store = yield* Store
  const row = yield* store.agent(name)
  return yield* store.putAgent({ ...row, ...changes(row), updatedAt: yield* DateTime.now })
})

/** A row as it is shown: every value of the environment is masked, and an empty environment left out. */
const shown = (row: AgentRow): Agent => {
  const names = Object.keys(row.env)
  return {
    ...Struct.omit(row, ["config", "env"]),
    ...(names.length === 0 ? {} : { env: Object.fromEntries(names.map((name) => [name, "***"])) })
  }
}

const listFiles = Effect.fnUntraced(function*(name: string) {
  const { path } = yield* agentOf(name)
  return { files: yield* AgentFolders.list(path) }
})

const contentTypes = new Map([["md", "text/markdown"], ["json", "application/json"]])

const readFile = Effect.fnUntraced(function*(name: string, path: string, format: "json" | "raw" | undefined) {
  const agent = yield* agentOf(name)
  if (format === "raw") {
    return HttpServerResponse.uint8Array(yield* RequestedFiles.read(agent.path, path, Infinity), {
      contentType: contentTypes.get(extensionOf(path)) ?? "application/octet-stream",
      headers: { "content-disposition": disposition(path) }
    })
  }
  return HttpServerResponse.jsonUnsafe(yield* RequestedFiles.readText(agent.path, path))
})

const writeBody = Bodies.accepted(Schema.Struct({ files: RequestedFiles.IncomingFiles }))

const writeFiles = Effect.fnUntraced(function*(name: string, request: HttpServerRequest) {
  const { path } = yield* agentOf(name)
  const { files } = yield* writeBody(request)
  return { written: yield* AgentFolders.write(path, files) }
})

const deleteFile = Effect.fnUntraced(function*(name: string, path: string) {
  const agent = yield* agentOf(name)
  yield* AgentFolders.remove(agent.path, path)
  return { deleted: true }
})
