/** Agents: deploys them, and reads and changes their settings and files. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { AshApiClient } from "../client/AshApiClient.ts"
import * as FileDownload from "../client/FileDownload.ts"
import { RequestPolicy } from "../client/RequestPolicy.ts"
import { batches, isTooLarge } from "../internal/files/batches.ts"
import { gatherFiles, type WholeContent } from "../internal/request/content.ts"
import type { Agent, AgentConfig, CreateAgentRequest, UpdateAgentRequest } from "../schema/Agent.ts"
import { AshError } from "../schema/AshError.ts"
import type { FileEntry } from "../schema/File.ts"
import { InvalidRequest } from "../schema/Reasons.ts"
import type { JsonInput } from "../schema/Wire.ts"

/** A file to write, as bytes or as text, which is sent as UTF-8. */
export interface NewFile {
  /** Relative, its segments separated by `/`. */
  readonly path: string
  readonly content: WholeContent
}

/** An agent to deploy. */
export interface CreateAgent extends Omit<CreateAgentRequest, "files"> {
  /** Without a `CLAUDE.md` among them and without a `systemPrompt` the server writes a placeholder for it. */
  readonly files?: ReadonlyArray<NewFile> | undefined
}

/** Deploys and manages agents. */
export class Agents extends Context.Service<Agents, {
  /**
   * Deploys an agent, or deploys it anew: then its version rises by one, and files that are not sent again stay. All
   * files together may have some 750 KB. A server allows 20 deployments in 15 minutes.
   */
  readonly create: (agent: CreateAgent) => Effect.Effect<Agent, AshError>
  /** Lists all agents by name. */
  readonly list: () => Effect.Effect<ReadonlyArray<Agent>, AshError>
  /** Fetches one agent. */
  readonly get: (name: string) => Effect.Effect<Agent, AshError>
  /** Replaces an agent's environment, merges into its settings, or both. */
  readonly update: (name: string, changes: UpdateAgentRequest) => Effect.Effect<Agent, AshError>
  /** Deletes an agent and the records of all its sessions; what else it left is back when it is created again. */
  readonly delete: (name: string) => Effect.Effect<void, AshError>
  /** Reads an agent's settings, `{}` if it has none. */
  readonly getConfig: (name: string) => Effect.Effect<AgentConfig, AshError>
  /** Merges into an agent's settings key by key and answers the whole. A key cannot be removed, only set to null. */
  readonly updateConfig: (
    name: string,
    config: Readonly<Record<string, JsonInput | undefined>>
  ) => Effect.Effect<AgentConfig, AshError>
  /** Lists an agent's files, without those in folders of dependencies and caches. */
  readonly listFiles: (name: string) => Effect.Effect<ReadonlyArray<FileEntry>, AshError>
  /** Reads one of an agent's files. The connection is held until the content is read or the scope closes. */
  readonly readFile: (name: string, path: string) => Effect.Effect<FileDownload.FileDownload, AshError, Scope.Scope>
  /**
   * Writes files over those that are there, each of at most some 750 KB, in as many requests as they need, and answers
   * their number. Not all or nothing: it may fail after a part.
   */
  readonly writeFiles: (name: string, files: ReadonlyArray<NewFile>) => Effect.Effect<number, AshError>
  /** Deletes one of an agent's files. */
  readonly deleteFile: (name: string, path: string) => Effect.Effect<void, AshError>
}>()("effect-ash/services/Agents") {
  static readonly layer: Layer.Layer<Agents, never, AshApiClient | RequestPolicy> = Layer.effect(
    Agents,
    Effect.gen(function*() {
      const { agents: api } = yield* AshApiClient
      const { call, remove } = yield* RequestPolicy
      return Agents.of({
        create: ({ files, ...agent }) =>
          Effect.flatMap(gatherFiles("Agents.create", files ?? []), (uploads) =>
            Effect.map(
              call(api.create, { payload: files === undefined ? agent : { ...agent, files: uploads } }),
              ({ agent }) => agent
            )),
        list: () => Effect.map(call(api.list, {}), ({ agents }) => agents),
        get: (name) => Effect.map(call(api.get, { params: { name } }), ({ agent }) => agent),
        update: (name, payload) =>
          Effect.map(
            call(api.update, { params: { name }, payload }),
            ({ agent }) => agent
          ),
        delete: (name) => remove(api.delete, { params: { name } }),
        getConfig: (name) =>
          Effect.map(
            call(api.getConfig, { params: { name } }),
            ({ config }) => config
          ),
        updateConfig: (name, payload) =>
          Effect.map(
            call(api.updateConfig, { params: { name }, payload }),
            ({ config }) => config
          ),
        listFiles: (name) =>
          Effect.map(
            call(api.listFiles, { params: { name } }),
            ({ files }) => files
          ),
        readFile: (name, path) =>
          Effect.map(
            call(api.readFile, { params: { name, path }, query: { format: "raw" } }),
            (response) => FileDownload.fromResponse("Agents.readFile", path, response)
          ),
        writeFiles: Effect.fnUntraced(function*(name, files) {
          const uploads = yield* gatherFiles("Agents.writeFiles", files)
          const tooLarge = uploads.findIndex(isTooLarge)
          if (tooLarge >= 0) return yield* refuse(`files[${tooLarge}].content`)
          // An empty list is sent as well: the response shows whether the agent exists.
          const written = yield* Effect.forEach(
            files.length === 0 ? [[]] : batches(uploads),
            (files) => call(api.writeFiles, { params: { name }, payload: { files } })
          )
          return written.reduce((sum, { written }) => sum + written, 0)
        }),
        deleteFile: (name, path) => remove(api.deleteFile, { params: { name, path } })
      })
    })
  )
}

const refuse = (field: string) =>
  Effect.fail(
    new AshError({
      operation: "Agents.writeFiles",
      reason: new InvalidRequest({
        message: `${field} is too large: a request carries some 750,000 bytes; leave it out, or split it`,
        field
      })
    })
  )
