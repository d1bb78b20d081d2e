/** The handlers of the group `agents` (docs/ash.md 3.2). */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { Agent } from "../../schema/Agent.ts"
import { StringMap, withoutUndefined } from "../../schema/Wire.ts"
import { AgentFolders } from "../sandbox/AgentFolders.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import { bare } from "../sandbox/SessionStarts.ts"
import { type AgentRow, Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Bodies from "../wire/Bodies.ts"
import { disposition, extensionOf } from "../wire/mediaTypes.ts"
import { ServerApi } from "./ServerApi.ts"

/** A row as it is shown: every value of the environment is masked, and an empty one left out. */
const shown = (row: AgentRow): Agent => {
  const names = Object.keys(row.env)
  return {
    ...Struct.omit(row, ["config", "env"]),
    ...(names.length === 0 ? {} : { env: Object.fromEntries(names.map((name) => [name, "***"])) })
  }
}

const Files = Schema.Array(Schema.Struct({ path: Schema.String, content: Schema.String }))
const createBody = Bodies.accepted(Schema.Struct({
  name: Schema.String,
  path: Schema.optionalKey(Schema.String),
  systemPrompt: Schema.optionalKey(Schema.String),
  files: Schema.optionalKey(Files),
  env: Schema.optionalKey(StringMap)
}))
const writeBody = Bodies.accepted(Schema.Struct({ files: Files }))

/** The size up to which a file is answered as JSON. */
const jsonLimit = 1_048_576

export const AgentHandlers = HttpApiBuilder.group(
  ServerApi,
  "agents",
  Effect.fnUntraced(function*(handlers) {
    const store = yield* Store
    const folders = yield* AgentFolders
    const sandboxes = yield* Sandboxes
    const random = yield* SecureRandom.SecureRandom

    const change = Effect.fnUntraced(function*(row: AgentRow, change: Partial<Pick<AgentRow, "env" | "config">>) {
      const updated = { ...row, ...change, updatedAt: yield* DateTime.now }
      yield* store.putAgent(updated)
      return updated
    })

    return handlers
      .handleRaw(
        "create",
        Effect.fnUntraced(function*({ request }) {
          const body = yield* createBody(request)
          const path = yield* folders.deploy(body.name, body)
          const previous = Option.getOrUndefined(yield* store.findAgent(body.name))
          const now = yield* DateTime.now
          const row: AgentRow = {
            id: previous?.id ?? (yield* random.uuidV4()),
            tenantId: yield* Tables.Tenant,
            name: body.name,
            version: (previous?.version ?? 0) + 1,
            path,
            env: body.env ?? previous?.env ?? {},
            config: previous?.config ?? {},
            createdAt: previous?.createdAt ?? now,
            updatedAt: now
          }
          yield* store.putAgent(row)
          yield* sandboxes.warmUp(row, { ...bare, env: row.env })
          // The answer to a redeployment is made of the request, not of the row: its time and its environment are wrong.
          return { agent: shown({ ...row, createdAt: now, env: body.env ?? {} }) }
        })
      )
      .handle("list", () => Effect.map(store.agents, (rows) => ({ agents: rows.map(shown) })))
      .handle("get", ({ params }) => Effect.map(store.agent(params.name), (row) => ({ agent: shown(row) })))
      .handle(
        "update",
        Effect.fnUntraced(function*({ params, payload: { config, env } }) {
          const row = yield* store.agent(params.name)
          const updated = yield* change(row, {
            ...(env === undefined ? {} : { env }),
            ...(config === undefined ? {} : { config: { ...row.config, ...withoutUndefined(config) } })
          })
          return { agent: shown(updated) }
        })
      )
      .handle(
        "delete",
        Effect.fnUntraced(function*({ params }) {
          yield* store.agent(params.name)
          yield* store.removeAgent(params.name)
          return { ok: true }
        })
      )
      .handle("getConfig", ({ params }) => Effect.map(store.agent(params.name), ({ config }) => ({ config })))
      .handle(
        "updateConfig",
        Effect.fnUntraced(function*({ params, payload }) {
          const row = yield* store.agent(params.name)
          const { config } = yield* change(row, { config: { ...row.config, ...withoutUndefined(payload) } })
          return { config }
        })
      )
      .handle(
        "listFiles",
        Effect.fnUntraced(function*({ params }) {
          const { path } = yield* store.agent(params.name)
          return { files: yield* folders.list(path) }
        })
      )
      .handle(
        "readFile",
        Effect.fnUntraced(function*({ params: { name, path }, query }) {
          const agent = yield* store.agent(name)
          if (query.format === "raw") return download(path, yield* folders.read(agent.path, path, Infinity))
          const bytes = yield* folders.read(agent.path, path, jsonLimit)
          const content = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
          return HttpServerResponse.jsonUnsafe({ path, content, size: bytes.length })
        })
      )
      .handleRaw(
        "writeFiles",
        Effect.fnUntraced(function*({ params, request }) {
          const { path } = yield* store.agent(params.name)
          const { files } = yield* writeBody(request)
          return { written: yield* folders.write(path, files) }
        })
      )
      .handle(
        "deleteFile",
        Effect.fnUntraced(function*({ params }) {
          const { path } = yield* store.agent(params.name)
          yield* folders.remove(path, params.path)
          return { deleted: true }
        })
      )
  })
)

const contentTypes = new Map([["md", "text/markdown"], ["json", "application/json"]])

const download = (path: string, bytes: Uint8Array) =>
  HttpServerResponse.uint8Array(bytes, {
    contentType: contentTypes.get(extensionOf(path)) ?? "application/octet-stream",
    headers: { "content-disposition": disposition(path) }
  })
