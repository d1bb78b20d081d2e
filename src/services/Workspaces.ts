/** Workspaces as a whole: sends and fetches them as bundles, gzipped tar archives. `Bundle` packs and unpacks one. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as FileDownload from "../client/FileDownload.ts"
import * as Bundle from "../internal/files/bundle.ts"
import { type FileContent, gather } from "../internal/request/content.ts"
import { within } from "../internal/request/operations.ts"
import type { AshError } from "../schema/AshError.ts"
import { layerOf } from "./layerOf.ts"

/** A file of a workspace. */
export interface WorkspaceFile extends Bundle.BundleFile {
  readonly content: Uint8Array
}

/** The methods for a workspace as a whole, whose session `At` names where they are not of one session. */
export interface WorkspaceMethods<At extends ReadonlyArray<string>> {
  /**
   * Fetches a workspace as a bundle of at most 100 MiB. Without folders of dependencies and caches and without `.env*`;
   * links are followed. The connection is held until the content is read or the scope closes.
   */
  readonly download: (...session: At) => Effect.Effect<FileDownload.FileDownload, AshError, Scope.Scope>
  /** Lays a bundle of at most 100 MiB over a workspace. What is there and not in the bundle stays. */
  readonly upload: <E = never, R = never>(
    ...args: [...At, bundle: Exclude<FileContent<E, R>, string>]
  ) => Effect.Effect<void, AshError | E, R>
  /**
   * Fetches the files of a workspace, one after the other, each of at most 100 MiB, and all of at most 1 GiB and 100,000 files
   * and folders; beyond it fails with `Undecodable`. What is neither file nor folder is passed over with a warning. A hard
   * link has the content of its file, unless more than 100 MiB of files came since: then a warning reports it.
   */
  readonly files: (...session: At) => Stream.Stream<WorkspaceFile, AshError>
}

/** Sends and fetches workspaces. */
export class Workspaces extends Context.Service<Workspaces, WorkspaceMethods<[sessionId: string]>>()(
  "effect-ash/services/Workspaces"
) {
  static readonly layer = layerOf(Workspaces, ({ workspaces: api }, { call }) => {
    const download = (id: string) =>
      Effect.map(call(api.download, { params: { id } }), FileDownload.fromResponse(`${id}.tar.gz`))
    return {
      download,
      upload: (id, bundle) =>
        Effect.flatMap(
          gather("Workspaces.upload", bundle, "bundle", Bundle.maxSize),
          (bundle) => Effect.asVoid(call(api.upload, { params: { id }, payload: { bundle } }))
        ),
      files: (id) =>
        Stream.unwrap(Effect.map(download(id), ({ content }) => Bundle.unpack(content))).pipe(
          Stream.mapError(within("Workspaces.files"))
        )
    }
  })
}
