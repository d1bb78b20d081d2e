/** Where the embedded server keeps files: one temporary folder, removed when the server's scope closes. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type { PlatformError } from "effect/PlatformError"

export class DataFolder extends Context.Service<DataFolder, string>()("effect-ash/embedded/DataFolder") {
  static readonly layer: Layer.Layer<DataFolder, PlatformError, FileSystem.FileSystem> = Layer.effect(
    DataFolder,
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* fileSystem.makeTempDirectoryScoped({ prefix: "effect-ash-" })
      // macOS hands out a link; a shell shows the path behind it.
      return yield* fileSystem.realPath(folder)
    })
  )
}
