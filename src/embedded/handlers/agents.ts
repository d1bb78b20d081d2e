/** The handlers of the group `agents` (docs/ash.md 3.2). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { Agent } from "../../schema/Agent.ts"
import { StringMap, withoutUndefined } from "../../schema/Wire.ts"
import * as AgentFolders from "../sandbox/AgentFolders.ts"
import * as RequestedFiles from "../sandbox/RequestedFiles.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import { bare } from "../sandbox/SessionStarts.ts"
import { type AgentRow, Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Bodies from "../wire/Bodies.ts"
import { disposition, extensionOf } from "../wire/MediaTypes.ts"
import { ServerApi } from "./ServerApi.ts"

const createBody = Bodies.accepted(Schema.Struct({
  name: Schema.String,
  path: Schema.optionalKey(Schema.String),
  systemPrompt: Schema.optionalKey(Schema.String),
  files: Schema.optionalKey(RequestedFiles.IncomingFiles),
  env: Schema.optionalKey(StringMap)
}))

const writeBody = Bodies.accepted(Schema.Struct({ files: RequestedFiles.IncomingFiles }))

const contentTypes = new Map([["md", "text/markdown"], ["json", "application/json"]])

export const AgentHandlers = HttpApiBuilder.group(ServerApi, "agents", (handlers) =>
  Effect.gen(function*() {
    const store = yield* Store
    const sandboxes = yield* Sandboxes

    const change = Effect.fnUntraced(function*(
      name: string,
      changes: (row: AgentRow) => Partial<Pick<AgentRow, "env" | "config">>
    ) {
      const row = yield* store.agent(name)
      return yield* store.putAgent({ ...row, ...changes(row), updatedAt: yield* DateTime.now })
    })

    return handlers
      .handleRaw("create", ({ request }) =>
        Effect.gen(function*() {
          const body = yield* createBody(request)
          const path = yield* AgentFolders.deploy(body.name, body)
          const previous = yield* store.findAgent(body.name)
          const { createdAt, id, tenantId } = yield* Tables.newRow
          const row = yield* store.putAgent({
            id: previous?.id ?? id,
            tenantId,
            name: body.name,
            version: (previous?.version ?? 0) + 1,
            path,
            env: body.env ?? previous?.env ?? {},
            config: previous?.config ?? {},
            createdAt: previous?.createdAt ?? createdAt,
            updatedAt: createdAt
          })
          yield* sandboxes.warmUp(row, { ...bare, env: row.env })
          // A real server answers a redeployment from the request, not from the row: its time and its environment are wrong.
          return { agent: shown({ ...row, createdAt, env: body.env ?? {} }) }
        }))
      .handleRaw("writeFiles", ({ params, request }) =>
        Effect.gen(function*() {
          const { path } = yield* store.agent(params.name)
          const { files } = yield* writeBody(request)
          return { written: yield* AgentFolders.write(path, files) }
        }))
      .handleAll({
        list: () => Effect.map(store.agents, (rows) => ({ agents: rows.map(shown) })),
        get: ({ params }) => answer(store.agent(params.name)),
        update: ({ params, payload: { config, env } }) =>
          answer(change(params.name, (row) => ({
            ...(env === undefined ? {} : { env }),
            ...(config === undefined ? {} : { config: { ...row.config, ...withoutUndefined(config) } })
          }))),
        delete: ({ params }) => Effect.as(Effect.flatMap(store.agent(params.name), store.removeAgent), { ok: true }),
        getConfig: ({ params }) => configOf(store.agent(params.name)),
        updateConfig: ({ params, payload }) =>
          configOf(change(params.name, (row) => ({ config: { ...row.config, ...withoutUndefined(payload) } }))),
        listFiles: ({ params }) =>
          Effect.bindTo(Effect.flatMap(store.agent(params.name), ({ path }) => AgentFolders.list(path)), "files"),
        readFile: Effect.fnUntraced(function*({ params: { name, path }, query: { format } }) {
          const agent = yield* store.agent(name)
          if (format !== "raw") {
            return HttpServerResponse.jsonUnsafe(yield* RequestedFiles.readText(agent.path, path))
          }
          return HttpServerResponse.uint8Array(yield* RequestedFiles.read(agent.path, path, Infinity), {
            contentType: contentTypes.get(extensionOf(path)) ?? "application/octet-stream",
            headers: { "content-disposition": disposition(path) }
          })
        }),
        deleteFile: Effect.fnUntraced(function*({ params: { name, path } }) {
          const agent = yield* store.agent(name)
          yield* AgentFolders.remove(agent.path, path)
          return { deleted: true }
        })
      })
  }))

const answer = <E, R>(row: Effect.Effect<AgentRow, E, R>) => Effect.map(row, (row) => ({ agent: shown(row) }))

const configOf = <E, R>(row: Effect.Effect<AgentRow, E, R>) => Effect.map(row, ({ config }) => ({ config }))

/** A row as it is shown: every value of the environment is masked, and an empty environment left out. */
const shown = ({ env, ...row }: AgentRow): Agent => ({
  ...Struct.omit(row, ["config"]),
  ...(Record.isEmptyRecord(env) ? {} : { env: Record.map(env, () => "***") })
})
