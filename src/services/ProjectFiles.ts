/** Files of a project: a part of the hosted product. Against another server every call fails with `NotSupported`. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
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
  static readonly layer = layerOf(ProjectFiles, ({ hosted: api }, { field, remove }) => ({
    create: (payload) => field(api.createFile, { payload }, "file"),
    list: () => field(api.listFiles, {}, "files"),
    getUrl: (id) => field(api.getFileUrl, { params: { id } }, "url"),
    delete: (id) => remove(api.deleteFile, { params: { id } })
  }))
}
