/** Files of a project: a part of the hosted product. Against another server every call fails with `NotSupported`. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { AshError } from "../schema/AshError.ts"
import type { CreateProjectFileRequest, ProjectFile } from "../schema/ProjectFile.ts"
import { layerOf } from "./layerOf.ts"

/** Keeps files for all sessions of a project. Only the hosted product has them. */
export class ProjectFiles extends Context.Service<ProjectFiles, {
  /** Stores a file. */
  readonly create: (file: CreateProjectFileRequest) => Effect.Effect<ProjectFile, AshError>
  /** Lists files. */
  readonly list: () => Effect.Effect<ReadonlyArray<ProjectFile>, AshError>
  /** Makes an address under which a file can be fetched. */
  readonly getUrl: (id: string) => Effect.Effect<string, AshError>
  /** Deletes a file. */
  readonly delete: (id: string) => Effect.Effect<void, AshError>
}>()("effect-ash/services/ProjectFiles") {
  static readonly layer = layerOf(
    ProjectFiles,
    ({ hosted: api }, { call, remove }) => ({
      create: (payload) => Effect.map(call(api.createFile, { payload }), ({ file }) => file),
      list: () => Effect.map(call(api.listFiles, {}), ({ files }) => files),
      getUrl: (id) => Effect.map(call(api.getFileUrl, { params: { id } }), ({ url }) => url),
      delete: (id) => remove(api.deleteFile, { params: { id } })
    })
  )
}
